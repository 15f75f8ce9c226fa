"""The in-process target carries what a socket would: streams, cuts and broken answers, and not more than that."""

from __future__ import annotations

import asyncio
import threading

import httpx
import pytest

from conformance import plan, wire
from conformance.behave import Cell
from conformance.drivers import Broken, Unsupported
from conformance.drivers.bodies import Pattern
from conformance.drivers.rest import Cut
from conformance.results import Status
from conformance.targets import Off
from conformance.targets.inprocess import ASGI, InProcess
from conformance.world import World, remove_bucket


@pytest.fixture(scope="module")
def loop():
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture(scope="module")
def place():
    target = InProcess()
    yield target.start()
    target.stop()


@pytest.fixture(scope="module", params=["rest", "grpc", "connect", "grpcweb"])
def driver(place, request):
    return plan.make_driver(request.param, place)


@pytest.fixture(scope="module")
def rest(place):
    return plan.make_driver("rest", place)


def test_a_body_arrives_in_the_pieces_in_which_it_was_sent(loop):
    seen = []

    async def application(scope, receive, send):
        while (message := await receive())["more_body"]:
            seen.append(message["body"])
        await send({"type": "http.response.start", "status": 200, "headers": [(b"a", b"1"), (b"a", b"2")]})
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        await send({"type": "http.response.body", "body": b"two"})

    request = httpx.Request("PUT", "http://x/k", content=iter([b"a", b"b"]), extensions={"target": b"/a/../b?q"})
    response = ASGI(application, loop).handle_request(request)

    assert response.read() == b"onetwo"
    assert response.headers.get_list("a") == ["1", "2"]
    assert seen == [b"a", b"b"]


def test_an_upload_that_is_broken_off_is_a_disconnect_to_the_application(loop):
    seen = []

    async def application(scope, receive, send):
        while True:
            message = await receive()
            seen.append(message["type"])
            if message["type"] == "http.disconnect":
                return

    def chunks():
        yield b"a"
        raise Cut

    with pytest.raises(Cut):
        ASGI(application, loop).handle_request(httpx.Request("PUT", "http://x/k", content=chunks()))

    assert seen == ["http.request", "http.disconnect"]


def test_an_answer_that_breaks_off_midway_is_no_clean_end(loop):
    async def application(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})

    response = ASGI(application, loop).handle_request(httpx.Request("GET", "http://x/k"))

    with pytest.raises(httpx.RemoteProtocolError):
        response.read()


def test_an_application_that_raises_is_a_lost_connection(loop):
    async def application(scope, receive, send):
        raise ZeroDivisionError

    with pytest.raises(httpx.RemoteProtocolError):
        ASGI(application, loop).handle_request(httpx.Request("GET", "http://x/k"))


def test_the_whole_server_answers_without_a_socket(driver):
    world = World(driver)
    bucket = world.make_bucket()
    content = Pattern(200_000, seed=3)
    world.must("PutObject", bucket=bucket, key="a/../b c", body=content)
    got = []
    answer = world.ask("GetObject", bucket=bucket, key="a/../b c", sink=got.append)

    assert answer.measure == content.measure()
    assert answer.body == b""
    assert b"".join(got) == content.read()

    world.clean()

    assert driver.perform("HeadBucket", bucket=bucket).refusal.status == driver.expected_status(
        "NoSuchBucket", "HeadBucket"
    )


def test_the_broom_sweeps_whatever_a_bucket_holds(driver):
    world = World(driver)
    bucket = world.make_bucket()
    for key in ("plain", "control \x01", "a/b"):
        world.must("PutObject", bucket=bucket, key=key, body=b"x")
    world.must("CreateMultipartUpload", bucket=bucket, key="upload")
    remove_bucket(driver, bucket)

    assert driver.perform("HeadBucket", bucket=bucket).refusal.status == driver.expected_status(
        "NoSuchBucket", "HeadBucket"
    )


def test_identities_are_who_they_say(driver):
    world = World(driver)
    bucket = world.make_bucket()
    found = {
        name: driver.as_(name).perform("ListObjectsV2", bucket=bucket).refusal
        for name in ("owner", "stranger", "anonymous", "impostor", "unknown")
    }
    world.clean()

    assert found["owner"] is None
    assert {name: refusal.code for name, refusal in found.items() if refusal} == {
        "stranger": "AccessDenied",
        "anonymous": "AccessDenied",
        "impostor": "SignatureDoesNotMatch",
        "unknown": "InvalidAccessKeyId",
    }


def test_an_upload_that_is_broken_off_leaves_nothing(driver):
    world = World(driver)
    bucket = world.make_bucket()
    driver.cancel_upload(bucket=bucket, key="k", body=Pattern(1_000_000), after_bytes=300_000)
    answer = driver.perform("GetObject", bucket=bucket, key="k")
    world.clean()

    assert answer.refusal.code == "NoSuchKey"


def test_what_one_protocol_writes_the_other_reads(place):
    cell = plan.make_cell("rest", place)
    world = World(cell.driver, cell.other)
    bucket = world.make_bucket()
    world.must("PutObject", bucket=bucket, key="é", body=b"hello", metadata={"note": "grüezi"})
    read = world.other.perform("GetObject", bucket=bucket, key="é")
    world.clean()

    assert read.body == b"hello"
    assert read["metadata"] == {"note": "grüezi"}


@pytest.mark.parametrize("name", ["grpc", "connect", "grpcweb"])
def test_a_token_is_as_good_as_a_signature_for_an_rpc(place, name):
    driver = plan.make_driver(name, place)

    assert driver.as_("owner", bearer=True).perform("ListBuckets").refusal is None
    assert driver.as_("impostor", bearer=True).perform("ListBuckets").refusal.code == "InvalidToken"


def test_a_field_that_grpc_does_not_have_is_unsupported_and_a_misspelt_one_a_mistake(place):
    driver = plan.make_driver("grpc", place)

    with pytest.raises(Unsupported):
        driver.perform("ListObjectsV2", bucket="b", encoding_type="url")
    with pytest.raises(TypeError, match="colour"):
        driver.perform("PutObject", bucket="b", key="k", body=b"", colour="blue")


def test_rest_has_no_bearer_tokens_and_says_so(rest):
    with pytest.raises(Unsupported):
        rest.as_("owner", bearer=True)


def test_an_unmodified_sdk_is_off_where_there_is_no_socket(place):
    with pytest.raises(Off, match="socket"):
        plan.make_driver("boto3", place)


ROWS = """
feature = "Rows"

[[row]]
name = "holds"
objects = { greeting = "hello" }
request = '''
GET /{bucket}/greeting HTTP/1.1
Host: {host}
'''
sign = {}
answer = { status = 200, body = "hello", headers = { ETag = '"[0-9a-f]{32}"', X-None = "" } }

[[row]]
name = "is refused"
request = '''
GET /{bucket}/greeting HTTP/1.1
Host: {host}
'''
sign = { flip = true }
answer = { status = 403, code = "SignatureDoesNotMatch" }

[[row]]
name = "expects too much"
request = '''
GET /{bucket}/greeting HTTP/1.1
Host: {host}
'''
sign = {}
answer = { status = 200 }

[[row]]
name = "needs a socket"
request = '''
PUT /{bucket}/greeting HTTP/1.1
Host: {host}
'''
body = "hello"
send_bytes = 3
sign = {}
answer = { status = 400 }
"""


def test_rows_are_played_and_can_fail(rest, tmp_path):
    (tmp_path / "rows.toml").write_text(ROWS)
    cell = Cell(driver=rest)
    found = [wire._status(row, cell) for row in wire.rows(tmp_path)]

    assert [status for status, _ in found] == [Status.PASS, Status.PASS, Status.FAIL, Status.UNSUPPORTED]
    assert "NoSuchKey" in found[2][1]


@pytest.mark.parametrize(
    "row",
    ["colour = 1", 'sign = { mood = "good" }', "chunks = { size = 3 }", "answer = { stat = 200 }"],
)
def test_a_row_says_nothing_that_the_runner_does_not_know(tmp_path, row):
    answer = "" if row.startswith("answer") else "answer = { status = 200 }\n"
    (tmp_path / "r.toml").write_text(f'feature = "F"\n[[row]]\nname = "n"\nrequest = "GET / HTTP/1.1"\n{answer}{row}\n')

    with pytest.raises(wire.RowError, match="no such thing"):
        list(wire.rows(tmp_path))


def test_every_row_of_the_suite_can_be_read():
    names = [(row.feature, row.name) for row in wire.rows()]

    assert len(set(names)) == len(names)


def test_who_has_sent_everything_says_nothing_more_until_its_answer_is_whole(loop):
    """A server that waits for its client to leave must not hear so while the client waits for it."""
    seen = []

    async def application(scope, receive, send):
        while (await receive())["more_body"]:
            pass
        leaving = asyncio.ensure_future(receive())
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.sleep(0.01)
        seen.append(leaving.done())
        await send({"type": "http.response.body", "body": b"all"})
        seen.append((await leaving)["type"])

    response = ASGI(application, loop).handle_request(httpx.Request("GET", "http://x/k"))

    assert response.read() == b"all"
    response.close()
    assert seen == [False, "http.disconnect"]


def test_what_a_server_cannot_have_meant_is_broken(loop):
    async def application(scope, receive, send):
        await send({"type": "http.response.start", "status": 500, "headers": []})
        await send({"type": "http.response.body", "body": b"<html>oops"})

    from conformance.drivers import rest
    from conformance.targets import Keys, Place

    place = Place(url="http://x", identities={"owner": Keys("a", "b")}, transport=lambda: ASGI(application, loop))

    with pytest.raises(Broken, match="no XML"):
        rest.make(place).perform("ListBuckets")

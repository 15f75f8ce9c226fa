"""
The application as a client meets it: what is answered, what is refused before a body is read, what breaks off.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rs3gw.errors import DamagedObject, InvalidArgument
from rs3gw.operations import of
from rs3gw.operations.body import Stream, Whole
from rs3gw.operations.object import PutObject
from rs3gw.rest import asgi, codec, xml
from rs3gw.rest.messages import Answer

from .conftest import path_of, serving


def md5(data):
    return hashlib.md5(data, usedforsecurity=False).digest()


async def test_what_was_put_comes_back_with_everything_that_was_said_of_it(client):
    said = {
        "content-type": "text/plain",
        "cache-control": "no-store",
        "content-disposition": 'attachment; filename="a"',
        "x-amz-meta-colour": "blue",
    }
    put = await client.ask("PUT", "/bucket/a", b"hello", headers=said)
    got = await client.ask("GET", "/bucket/a")

    assert (put.status, got.status, got.body) == (200, 200, b"hello")
    assert said == {name: got.headers[name] for name in said}
    assert got.headers["etag"] == put.headers["etag"] == f'"{md5(b"hello").hex()}"'
    assert got.headers["content-length"] == "5"
    assert len(got.headers["x-amz-request-id"]) == 16


async def test_a_part_of_an_object_is_partial_content(client):
    await client.ask("PUT", "/bucket/a", b"hello")
    got = await client.ask("GET", "/bucket/a", headers={"range": "bytes=1-2"})

    assert (got.status, got.body, got.headers["content-range"]) == (206, b"el", "bytes 1-2/5")


async def test_a_range_beyond_the_end_is_told_the_size(client):
    await client.ask("PUT", "/bucket/a", b"hello")
    got = await client.ask("GET", "/bucket/a", headers={"range": "bytes=9-"})

    assert (got.status, got.code, got.headers["content-range"]) == (416, "InvalidRange", "bytes */5")


async def test_not_modified_has_no_body_and_its_validators(client):
    put = await client.ask("PUT", "/bucket/a", b"hello")
    got = await client.ask("GET", "/bucket/a", headers={"if-none-match": put.headers["etag"]})

    assert (304, b"", put.headers["etag"]) == (got.status, got.body, got.headers["etag"])
    assert "content-length" not in got.headers


async def test_head_says_what_get_says_without_the_bytes(client):
    await client.ask("PUT", "/bucket/a", b"hello")
    head, missing = await client.ask("HEAD", "/bucket/a"), await client.ask("HEAD", "/bucket/b")

    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", "5")
    assert (missing.status, missing.body) == (404, b"")


async def test_no_content_is_none(client):
    gone = await client.ask("DELETE", "/bucket/never-there")

    assert (gone.status, gone.body) == (204, b"")
    assert "content-length" not in gone.headers


async def test_a_refusal_names_the_resource_and_the_request(client):
    got = await client.ask("GET", "/bucket/a%26b")

    assert (got.status, got.code) == (404, "NoSuchKey")
    assert b"<Resource>/bucket/a%26b</Resource>" in got.body
    assert f"<RequestId>{got.headers['x-amz-request-id']}</RequestId>".encode() in got.body


async def test_a_method_that_is_not_allowed_is_told_which_are(client):
    got = await client.ask("PATCH", "/bucket/a")

    assert (got.status, got.headers["allow"]) == (405, "DELETE, GET, HEAD, POST, PUT")


@settings(max_examples=40, deadline=None)
@given(key=st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=40))
def test_every_key_comes_back(key):
    async def round_trip():
        async with serving() as client:
            put = await client.ask("PUT", path_of(key), key.encode())
            got = await client.ask("GET", path_of(key))
            return put, got, await client.ask("GET", "/bucket?list-type=2&encoding-type=url")

    put, got, listed = asyncio.run(round_trip())

    assert (200, key.encode()) == (put.status, got.body)
    assert xml.escape(xml.urlencoded(key)).encode() in listed.body


@pytest.mark.parametrize("key", ["-/health", "a", "/a"])
async def test_a_host_may_name_the_bucket(client, key):
    put = await client.ask("PUT", "/" + key, b"x", headers={"host": "bucket.localhost:9000"})

    assert put.status == 200
    assert (await client.ask("GET", path_of(key))).body == b"x"


async def test_the_server_s_own_pages_need_no_key(client):
    assert (await client.ask("GET", "/-/health", signed=False)).body == b"ok\n"
    assert (await client.ask("GET", "/-/unheard-of", signed=False)).status == 404


# Values ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["plain", "=?UTF-8?B?w4TDlg==?=", "=?UTF-8?Q?plain?=", "=?broken", "Äö"])
async def test_metadata_comes_back_as_it_was_sent_or_as_an_encoded_word(client, value):
    await client.ask("PUT", "/bucket/a", b"", headers={"x-amz-meta-said": value})
    got = (await client.ask("HEAD", "/bucket/a")).headers["x-amz-meta-said"]

    assert got == value or codec.metadata_of(got) == value


@given(value=st.text(st.characters(exclude_categories=("Cs",)), max_size=30))
def test_a_header_can_hold_any_metadata(value):
    """The other protocol lets in what no header can hold; one such object must not break its own GET."""
    sent = codec.metadata_as(value)

    assert all(32 <= byte < 127 for byte in sent)
    assert sent == sent.strip()
    if not value.isascii():
        assert codec.metadata_of(sent.decode()) == value


@pytest.mark.parametrize(
    ("query", "name"),
    [("max-keys=many", "max-keys"), ("max-keys=-1", "max-keys"), ("max-keys=" + "9" * 30, "max-keys")],
)
async def test_a_number_that_is_none_is_refused_by_name(client, query, name):
    got = await client.ask("GET", f"/bucket?{query}")

    assert (got.status, got.code) == (400, "InvalidArgument")
    assert f"<ArgumentName>{name}</ArgumentName>".encode() in got.body


async def test_a_date_that_is_none_is_no_condition(client):
    await client.ask("PUT", "/bucket/a", b"hello")

    assert (await client.ask("GET", "/bucket/a", headers={"if-modified-since": "tomorrow"})).status == 200


@pytest.mark.parametrize(
    ("method", "target", "headers"),
    [
        ("PUT", "/bucket/a", {"x-amz-server-side-encryption": "AES256"}),
        ("PUT", "/bucket/a", {"x-amz-object-lock-mode": "COMPLIANCE"}),
        ("PUT", "/bucket/a", {"x-amz-checksum-sha512": "AAAA"}),
        ("PUT", "/bucket/a", {"if-unmodified-since": "Mon, 23 Nov 2026 00:00:00 GMT"}),
        ("PUT", "/bucket/a", {"content-range": "bytes 0-1/5"}),
        ("DELETE", "/bucket", {"if-match": '"a"'}),
        ("GET", "/bucket/a", {"x-amz-meta-colour": "blue"}),
    ],
)
async def test_a_header_that_would_be_ignored_is_refused_by_name(client, method, target, headers):
    got = await client.ask(method, target, b"hello" if method == "PUT" else b"", headers=headers)

    assert (got.status, got.code) == (501, "NotImplemented")
    assert f"<Header>{next(iter(headers))}</Header>".encode() in got.body


# Bodies ------------------------------------------------------------------------------------------------------


def crc32(data):
    return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


def trailing(data, checksum):
    framed = b"%x\r\n%b\r\n0\r\nx-amz-checksum-crc32:%b\r\n\r\n" % (len(data), data, checksum.encode())
    headers = {
        "x-amz-decoded-content-length": str(len(data)),
        "x-amz-trailer": "x-amz-checksum-crc32",
        "content-encoding": "aws-chunked,gzip",
    }
    return framed, headers


async def test_the_framing_of_chunks_is_not_content(client):
    framed, headers = trailing(b"hello", crc32(b"hello"))
    put = await client.ask("PUT", "/bucket/a", framed, headers=headers, payload="STREAMING-UNSIGNED-PAYLOAD-TRAILER")
    got = await client.ask("GET", "/bucket/a")

    assert (put.status, got.body, got.headers["content-encoding"]) == (200, b"hello", "gzip")


async def test_a_checksum_that_trails_is_verified_before_anything_is_there(client):
    framed, headers = trailing(b"hello", crc32(b"other"))
    put = await client.ask("PUT", "/bucket/a", framed, headers=headers, payload="STREAMING-UNSIGNED-PAYLOAD-TRAILER")

    assert (put.status, put.code) == (400, "BadDigest")
    assert (await client.ask("GET", "/bucket/a")).status == 404


async def test_a_body_that_is_not_the_signed_one_leaves_nothing(client):
    put = await client.ask("PUT", "/bucket/a", b"hello", payload=hashlib.sha256(b"other").hexdigest())

    assert (put.status, put.code) == (400, "XAmzContentSHA256Mismatch")
    assert (await client.ask("GET", "/bucket/a")).status == 404


async def test_an_upload_has_to_say_how_long_it_is(client):
    put = await client.ask(
        "PUT", "/bucket/a", [b"hello"], headers={"transfer-encoding": "chunked"}, payload="UNSIGNED-PAYLOAD"
    )

    assert (put.status, put.code) == (411, "MissingContentLength")


async def test_a_client_that_leaves_in_its_body_leaves_nothing(client):
    pieces = [b"hel", b"lo"]
    gone = await client.ask(
        "PUT", "/bucket/a", pieces, headers={"content-length": "5"}, payload="UNSIGNED-PAYLOAD", leaves_after=1
    )

    assert (gone.status, gone.body) == (0, b"")
    assert (await client.ask("GET", "/bucket/a")).status == 404


async def test_a_body_shorter_than_announced_is_incomplete(client):
    put = await client.ask("PUT", "/bucket/a", [b"hel"], headers={"content-length": "5"}, payload="UNSIGNED-PAYLOAD")

    assert (put.status, put.code) == (400, "IncompleteBody")


async def test_a_client_that_falls_silent_is_told_and_let_go(client):
    silent = await client.ask(
        "PUT", "/bucket/a", [b"hel"], headers={"content-length": "9"}, payload="UNSIGNED-PAYLOAD", silent=True
    )

    assert (silent.status, silent.code, silent.headers["connection"]) == (400, "RequestTimeout", "close")


@pytest.mark.parametrize(
    ("target", "headers", "signed", "code"),
    [
        ("/bucket/a", {}, False, "AccessDenied"),
        ("/nowhere/a", {}, True, "NoSuchBucket"),
        ("/bucket/a", {"x-amz-server-side-encryption": "AES256"}, True, "NotImplemented"),
        ("/bucket/a?acl", {}, True, "NotImplemented"),
        ("/bucket/" + "k" * 1025, {}, True, "KeyTooLongError"),
        ("/bucket/a", {"if-none-match": "*"}, True, "PreconditionFailed"),
        ("/bucket/a", {"content-md5": "nonsense"}, True, "InvalidDigest"),
        ("/bucket/a", {"content-length": str(6 * 1024**3)}, True, "EntityTooLarge"),
    ],
)
async def test_who_waits_for_100_continue_is_refused_before_the_body(client, target, headers, signed, code):
    """The server says 100 Continue when it is first asked for the body: a refusal must not ask."""
    await client.ask("PUT", "/bucket/a", b"there already")
    put = await client.ask(
        "PUT",
        target,
        b"hello",
        headers={"expect": "100-continue", **headers},
        signed=signed,
        payload="UNSIGNED-PAYLOAD",
    )

    assert (code, 0) == (put.code, put.receives)
    assert put.headers["connection"] == "close"


async def test_a_small_rest_is_read_so_that_the_connection_lives(client):
    put = await client.ask("PUT", "/nowhere/a", b"hello")

    assert put.code == "NoSuchBucket"
    assert "connection" not in put.headers


async def test_a_large_rest_is_not_worth_a_connection(client):
    pieces = [b"x" * asgi.LEFTOVER_BYTES] * 3
    size = sum(map(len, pieces))
    put = await client.ask(
        "PUT", "/nowhere/a", pieces, headers={"content-length": str(size)}, payload="UNSIGNED-PAYLOAD"
    )

    assert (put.code, put.headers["connection"]) == ("NoSuchBucket", "close")
    # Its answer stood there before the rest was read: the client finds it when it has finished sending.
    assert put.receives == len(pieces)


# Documents ---------------------------------------------------------------------------------------------------

DELETE = b"<Delete><Object><Key>a</Key></Object></Delete>"


async def test_deleting_many_needs_a_digest(client):
    assert (await client.ask("POST", "/bucket?delete", DELETE)).code == "InvalidRequest"

    digest = base64.b64encode(md5(DELETE)).decode()
    assert (await client.ask("POST", "/bucket?delete", DELETE, headers={"content-md5": digest})).status == 200


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"x-amz-checksum-crc32": crc32(b"other")}, "BadDigest"),
        ({"content-md5": base64.b64encode(md5(b"other")).decode()}, "BadDigest"),
        ({"x-amz-sdk-checksum-algorithm": "CRC32"}, "InvalidRequest"),
    ],
)
async def test_the_digests_of_a_document_are_verified(client, headers, code):
    assert (await client.ask("POST", "/bucket?delete", DELETE, headers=headers)).code == code


async def test_a_document_that_is_missing_is_said_to_be(client):
    assert (await client.ask("PUT", "/bucket?tagging", b"")).code == "MissingRequestBodyError"
    assert (await client.ask("PUT", "/bucket?policy", b"")).code == "MissingRequestBodyError"


async def test_a_document_has_a_bound(client):
    got = await client.ask(
        "PUT", "/bucket?tagging", [b""], headers={"content-length": str(xml.MAX_DOCUMENT_BYTES + 1)},
        payload="UNSIGNED-PAYLOAD",
    )  # fmt: skip

    assert got.code == "MaxMessageLengthExceeded"


# Streams -----------------------------------------------------------------------------------------------------


async def stream_of(*chunks, fault=None):
    for chunk in chunks:
        yield chunk
    if fault is not None:
        raise fault


class Sent(list):
    """What was sent."""

    async def __call__(self, event):
        self.append(event)


class _Head:
    method = "GET"


async def test_a_chunk_that_is_only_lent_is_copied():
    buffer, sent = bytearray(b"one"), Sent()

    async def reused():
        yield memoryview(buffer)
        buffer[:] = b"two"
        yield memoryview(buffer)

    await asgi._Outbox(sent, _Head, "ID").put(Answer(200, [(b"content-length", b"6")], Stream(reused(), size=6)))

    assert b"".join(event["body"] for event in sent[1:]) == b"onetwo"


async def test_an_answer_that_fails_in_its_middle_never_ends_well():
    sent = Sent()
    answer = Answer(200, [(b"content-length", b"9")], Stream(stream_of(b"one", fault=DamagedObject()), size=9))
    with pytest.raises(DamagedObject):
        await asgi._Outbox(sent, _Head, "ID").put(answer)

    assert all(event.get("more_body", True) for event in sent)


async def test_nothing_more_is_read_for_a_client_that_has_gone():
    read, sent = [], Sent()

    async def endless():
        while True:
            read.append(1)
            await asyncio.sleep(0)
            yield b"x"

    async def gone():
        await asyncio.sleep(0)

    with pytest.raises(codec.ClientGone):
        await asgi._Outbox(sent, _Head, "ID").put(Answer(200, [], Stream(endless())), gone=gone)

    assert len(read) < 5


# What the other protocol lets in -----------------------------------------------------------------------------


@pytest.mark.parametrize("character", ["\0", "\x01", "\r", "\n", "\x1f", "\x7f"])
def test_what_no_header_can_hold_is_never_stored_as_one(character):
    """One such object, put over gRPC, could not be read over REST at all."""
    with pytest.raises(InvalidArgument):
        of(PutObject).check(
            PutObject.Input(bucket="bucket", key="a", content_disposition=f"a{character}", body=Whole(b""))
        )

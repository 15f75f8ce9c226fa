"""
When the client asks again, for what, and how long it waits: over grpcio-testing's channel, with a time of its own.
"""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from random import Random
from typing import Any

import grpc
import grpc_testing
import multipart_pb2
import object_pb2
import pytest
import s3_pb2
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from rs3gw_client import errors
from rs3gw_client.core import Core, Ways, chunks_of, nobody
from rs3gw_client.retry import Retry
from rs3gw_client.wire import Threads, run, walk

OBJECTS = object_pb2.DESCRIPTOR.services_by_name["ObjectService"]
UPLOADS = multipart_pb2.DESCRIPTOR.services_by_name["MultipartService"]
GET, HEAD, PUT, DELETE = (OBJECTS.methods_by_name[f"{name}Object"] for name in ("Get", "Head", "Put", "Delete"))
RETRY = Retry(attempts=4, first_seconds=1.0, most_seconds=3.0)
SECONDS = 5.0
UNAVAILABLE, OK = grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.OK


class Server:
    """The other end of the channel, and the waits of the client."""

    def __init__(self) -> None:
        self.channel = grpc_testing.channel([OBJECTS, UPLOADS], grpc_testing.strict_real_time())
        self.waits: list[float] = []
        self.pieces: list[bytes] = []
        """What has been read."""
        wire = Threads(lambda: self.channel, None, sleep=self.waits.append)
        self.core = Core(wire, Ways(retry=RETRY), Random(7))  # noqa: S311  # a seed
        self._pool = ThreadPoolExecutor(1)

    def asks(self, act: Callable[[], Any]) -> Future[Any]:
        """Let the client do something, in a thread of its own."""
        return self._pool.submit(act)

    def sends(self, *messages: Any, code: grpc.StatusCode = OK, trailing: Any = ()) -> Any:
        """Answer the next read with these; the request that it was."""
        _, request, rpc = self.channel.take_unary_stream(GET)
        rpc.send_initial_metadata(())
        for message in messages:
            wanted = sum(map(len, self.pieces)) + len(message.data)
            rpc.send_response(message)
            # What has not been taken when a call breaks is dropped: it is to be taken.
            until = time.monotonic() + SECONDS
            while sum(map(len, self.pieces)) < wanted and time.monotonic() < until:
                time.sleep(0.001)
        rpc.terminate(trailing, code, "")
        return request

    def answers(self, method: Any, answer: Any, code: grpc.StatusCode = OK, trailing: Any = ()) -> Any:
        """Answer the next call of a method."""
        _, request, rpc = self.channel.take_unary_unary(method)
        rpc.send_initial_metadata((("x-amz-request-id", "REQUEST"),))
        rpc.terminate(answer, trailing, code, "")
        return request


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made._pool.shutdown(wait=False, cancel_futures=True)


def refusal(reason: str, seconds: int | None = None, domain: str = "rs3gw", **fields: str) -> Any:
    details = [ErrorInfo(reason=reason, domain=domain, metadata=fields)]
    if seconds is not None:
        details.append(RetryInfo(retry_delay=Duration(seconds=seconds)))
    packed = [Packed() for _ in details]
    for each, detail in zip(packed, details, strict=True):
        each.Pack(detail)
    return (("grpc-status-details-bin", Status(details=packed).SerializeToString()),)


def first(data: bytes, size: int, etag: str = '"e"') -> Any:
    return s3_pb2.GetObjectResponse(data=data, content_length=size, etag=etag)


def read(server: Server, **fields: Any) -> list[bytes]:
    _, chunks = run(server.core.get("b", "k", **fields))
    for chunk in walk(chunks):
        server.pieces.append(chunk)
    return server.pieces


def test_a_stream_that_broke_is_asked_for_from_the_byte_after_the_last_and_of_the_same_object(server: Server) -> None:
    reading = server.asks(lambda: read(server))
    asked = [
        server.sends(first(b"abc", 10), s3_pb2.GetObjectResponse(data=b"de"), code=UNAVAILABLE),
        server.sends(first(b"f", 5), code=UNAVAILABLE),
        server.sends(first(b"ghij", 4)),
    ]

    assert [b"abc", b"de", b"f", b"ghij"] == reading.result(SECONDS)
    assert [("", ""), ("bytes=5-9", '"e"'), ("bytes=6-9", '"e"')] == [(each.range, each.if_match) for each in asked]


def test_progress_begins_the_attempts_anew(server: Server) -> None:
    reading = server.asks(lambda: read(server))
    for size in range(8, 0, -1):
        server.sends(first(b"x", size), code=UNAVAILABLE)

    assert [b"x"] * 8 == reading.result(SECONDS)
    assert len(server.waits) == 7
    assert max(server.waits) <= RETRY.first_seconds


def test_nothing_at_all_ends_after_so_many_attempts_with_longer_waits_between(server: Server) -> None:
    reading = server.asks(lambda: read(server))
    for _ in range(RETRY.attempts):
        server.sends(code=UNAVAILABLE)

    with pytest.raises(errors.Unreachable):
        reading.result(SECONDS)
    assert len(server.waits) == RETRY.attempts - 1
    assert all(0 <= wait <= bound for wait, bound in zip(server.waits, (1.0, 2.0, 3.0), strict=True))


def test_a_stream_that_ends_early_without_a_word_is_one_that_broke(server: Server) -> None:
    reading = server.asks(lambda: read(server))
    server.sends(first(b"abc", 6))
    server.sends(first(b"def", 3))

    assert [b"abc", b"def"] == reading.result(SECONDS)


def test_a_stream_that_breaks_after_its_last_byte_is_whole(server: Server) -> None:
    reading = server.asks(lambda: read(server))
    server.sends(first(b"abc", 3), code=UNAVAILABLE)

    assert [b"abc"] == reading.result(SECONDS)


def test_another_object_under_the_key_is_said_and_never_mixed_in(server: Server) -> None:
    reading = server.asks(lambda: read(server))
    server.sends(first(b"abc", 6), code=UNAVAILABLE)
    server.sends(code=grpc.StatusCode.FAILED_PRECONDITION, trailing=refusal("PreconditionFailed"))

    with pytest.raises(errors.ObjectReplaced):
        reading.result(SECONDS)


def test_a_condition_of_the_callers_own_is_refused_as_such(server: Server) -> None:
    reading = server.asks(lambda: read(server, if_match='"other"'))
    server.sends(code=grpc.StatusCode.FAILED_PRECONDITION, trailing=refusal("PreconditionFailed"))

    with pytest.raises(errors.PreconditionFailed):
        reading.result(SECONDS)


def test_a_server_that_says_how_long_is_waited_for_so_long(server: Server) -> None:
    heading = server.asks(lambda: run(server.core.head("b", "k")))
    server.answers(
        HEAD, s3_pb2.HeadObjectResponse(), grpc.StatusCode.RESOURCE_EXHAUSTED, refusal("SlowDown", seconds=9)
    )
    server.answers(HEAD, s3_pb2.HeadObjectResponse(content_length=3))

    assert heading.result(SECONDS).size == 3
    assert server.waits == [9.0]


@pytest.mark.parametrize("reason", ["NoSuchKey", "AccessDenied", "InsufficientStorage", "InternalError", "Unheard"])
def test_a_refusal_is_not_asked_again(server: Server, reason: str) -> None:
    heading = server.asks(lambda: run(server.core.head("b", "k")))
    trailing = refusal(reason, Key="k")
    server.answers(HEAD, s3_pb2.HeadObjectResponse(), grpc.StatusCode.UNKNOWN, trailing)

    with pytest.raises(errors.S3Error) as caught:
        heading.result(SECONDS)
    assert (caught.value.code, caught.value.fields, caught.value.request_id) == (reason, {"Key": "k"}, "REQUEST")
    assert type(caught.value).__name__ == (reason if reason != "Unheard" else "S3Error")
    assert server.waits == []


def test_details_of_somebody_else_are_not_read_as_ours(server: Server) -> None:
    heading = server.asks(lambda: run(server.core.head("b", "k")))
    server.answers(HEAD, s3_pb2.HeadObjectResponse(), UNAVAILABLE, refusal("NoSuchKey", domain="proxy.example"))

    with pytest.raises(errors.Unreachable):
        heading.result(SECONDS)


def put(server: Server, **facts: Any) -> Any:
    return run(server.core.put("b", "k", chunks_of(b"data"), size=4, facts=facts, progress=nobody))


def take_put(server: Server, code: grpc.StatusCode, trailing: Any = ()) -> bytes:
    _, rpc = server.channel.take_stream_unary(PUT)
    rpc.send_initial_metadata(())
    data = rpc.take_request().data + rpc.take_request().data
    rpc.requests_closed()
    rpc.terminate(s3_pb2.PutObjectResponse(etag='"e"'), trailing, code, "")
    return data


def test_a_write_that_broke_is_sent_again_from_its_beginning(server: Server) -> None:
    putting = server.asks(lambda: put(server))

    assert [b"data", b"data"] == [take_put(server, UNAVAILABLE), take_put(server, OK)]
    assert putting.result(SECONDS).etag == '"e"'


def test_an_upload_claims_its_bytes_before_it_sends_them(server: Server) -> None:
    """A stream of which only the beginning arrives, and then an end, cannot be taken for the whole."""
    putting = server.asks(lambda: put(server))
    _, rpc = server.channel.take_stream_unary(PUT)
    opening = rpc.take_request()
    rpc.send_initial_metadata(())
    rpc.terminate(s3_pb2.PutObjectResponse(etag='"e"'), (), OK, "")
    putting.result(SECONDS)

    assert opening.content_md5 == base64.b64encode(hashlib.md5(b"data").digest()).decode()  # noqa: S324  # S3's own


def test_a_read_that_a_stopping_server_cancels_goes_on_with_another(server: Server) -> None:
    reading = server.asks(lambda: read(server))
    server.sends(first(b"abc", 6), code=grpc.StatusCode.CANCELLED)
    server.sends(first(b"def", 3))

    assert [b"abc", b"def"] == reading.result(SECONDS)


def test_a_write_that_insists_is_sent_again_only_where_it_was_not_begun(server: Server) -> None:
    putting = server.asks(lambda: put(server, if_none_match="*"))
    take_put(server, grpc.StatusCode.RESOURCE_EXHAUSTED, refusal("SlowDown"))
    take_put(server, UNAVAILABLE)

    with pytest.raises(errors.Unreachable):
        putting.result(SECONDS)


def test_the_waits_are_spread_over_all_of_their_bound() -> None:
    waits = [next(RETRY.waits(Random(seed))) for seed in range(500)]  # noqa: S311  # seeds

    assert min(waits) < 0.02
    assert max(waits) > 0.98

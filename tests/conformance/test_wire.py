"""A row over a socket: what is sent is what the row says, and every way in which a server can answer is read."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from conformance.targets import Place
from conformance.wire import Head, Raw, Written, judge, over_socket


@contextmanager
def server(*steps: bytes | int) -> Iterator[tuple[str, list[bytes]]]:
    """One connection: a number is how many bytes to wait for (0: until the head is whole), bytes are what to send."""
    got: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        held = b""
        with connection:
            for step in steps:
                if isinstance(step, bytes):
                    connection.sendall(step)
                    continue
                while (len(held) < step) if step else (b"\r\n\r\n" not in held):
                    data = connection.recv(65536)
                    if not data:
                        break
                    held += data
                end = step or held.find(b"\r\n\r\n") + 4
                got.append(held[:end])
                held = held[end:]

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", got
    finally:
        thread.join(5)
        listener.close()


def play(
    url: str, *, body: bytes = b"", method: str = "PUT", send_bytes: int | None = None, waits: bool = False
) -> Raw:
    head = f"{method} /a/../b HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    return over_socket(Place(url=url, identities={}), Written(head, body, method), send_bytes=send_bytes, waits=waits)


def test_a_request_goes_out_byte_for_byte():
    with server(0, 5, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nETag: x\r\n\r\nok") as (url, got):
        raw = play(url, body=b"hello")

    assert b"".join(got) == b"PUT /a/../b HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
    assert (raw.status, raw.body, raw.headers["etag"]) == (200, b"ok", "x")


def test_a_body_waits_for_its_continue():
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    with server(0, b"HTTP/1.1 100 Continue\r\n\r\n", 5, answer) as (url, got):
        raw = play(url, body=b"hello", waits=True)

    assert raw.continued
    assert got[1] == b"hello"


def test_a_body_is_not_sent_to_a_server_that_refuses_before_it():
    with server(0, b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", 5) as (url, got):
        raw = play(url, body=b"hello", waits=True)

    assert (raw.status, raw.continued, raw.closed) == (403, False, True)
    assert got[1] == b""


def test_a_chunked_answer_is_put_together():
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"
    with server(0, answer) as (url, _):
        assert play(url, method="GET").body == b"abcde"


def test_a_connection_that_closes_without_a_word_is_status_zero():
    with server(0) as (url, _):
        raw = play(url)

    assert raw.status == 0
    with pytest.raises(AssertionError, match="got 0"):
        judge({"status": 200}, raw)


def test_only_so_much_of_a_body_is_sent_as_the_row_says():
    with server(0, 100, b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n") as (url, got):
        raw = play(url, body=b"hello", send_bytes=3)

    assert got[1] == b"hel"
    assert raw.status == 400


def test_an_answer_that_is_shorter_than_promised_is_no_answer():
    with (
        server(0, b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc") as (url, _),
        pytest.raises(ConnectionError, match="10 bytes"),
    ):
        play(url)


ANSWERED = Raw(status=404, headers={"etag": '"abc"'}, body=b"<Error><Code>NoSuchKey</Code></Error>")


@pytest.mark.parametrize(
    "expected",
    [
        {"status": 404},
        {"status": [400, 404], "code": "NoSuchKey"},
        {"status": 404, "code": ["NoSuchBucket", "NoSuchKey"]},
        {"status": 404, "headers": {"ETag": '"[a-c]+"', "X-None": ""}, "contains": "NoSuch", "continued": False},
    ],
)
def test_an_answer_that_is_as_the_row_says_holds(expected):
    judge(expected, ANSWERED)


@pytest.mark.parametrize(
    "expected",
    [
        {},
        {"status": [200, 204]},
        {"status": 404, "code": "NoSuchBucket"},
        {"status": 404, "code": ["NoSuchBucket", "NoSuchUpload"]},
        {"status": 404, "headers": {"ETag": "abc"}},
        {"status": 404, "headers": {"ETag": ""}},
        {"status": 404, "headers": {"Date": ".*"}},
        {"status": 404, "body": ""},
        {"status": 404, "contains": "bucket"},
        {"status": 404, "continued": True},
        {"status": 404, "closes": True},
    ],
)
def test_an_answer_that_is_not_as_the_row_says_fails(expected):
    with pytest.raises(AssertionError):
        judge(expected, ANSWERED)


def test_a_target_with_spaces_is_sent_as_it_stands():
    head = Head.parse("GET /a b HTTP/1.1\nHost: x\n")

    assert head.text() == "GET /a b HTTP/1.1\r\nHost: x\r\n\r\n"

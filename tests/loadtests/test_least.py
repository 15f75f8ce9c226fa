"""The least server keeps what it is compared for: it verifies, and what it has answered is on the disk."""

from __future__ import annotations

import os
import socket

import apsw
import pytest
import uvloop

from loadtests import least
from loadtests.wire import Keys, request, send

BODY = os.urandom(1024)


@pytest.fixture
def port(tmp_path):
    with least.running(tmp_path) as port:
        yield port


def answer(port: int, wire: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(wire)
        return connection.recv(64 * 1024)


def test_what_was_put_is_got(port):
    uvloop.run(send(port, [request("PUT", port, f"/b/{number}", BODY) for number in range(100)], connections=8))
    uvloop.run(send(port, [request("PUT", port, "/b/7", b"later")] * 20, connections=8))

    assert answer(port, request("GET", port, "/b/6")).endswith(BODY)
    assert answer(port, request("GET", port, "/b/7")).endswith(b"\r\n\r\nlater")


def test_what_was_answered_outlives_the_process(tmp_path):
    with least.running(tmp_path) as port:
        uvloop.run(send(port, [request("PUT", port, f"/b/{number}", BODY) for number in range(100)], connections=8))

    with apsw.Connection(str(tmp_path / "least.db")) as connection:
        (kept,) = connection.execute(
            "SELECT count(*) FROM objects JOIN inlines ON id = inline WHERE content = ?", (BODY,)
        )
    assert kept == (100,)


@pytest.mark.parametrize("which", ["signature", "payload"])
def test_what_is_not_signed_is_refused(port, which):
    keys = Keys(secret_key="another") if which == "signature" else Keys()
    wire = request("PUT", port, "/b/1", BODY, keys=keys)
    if which == "payload":
        wire = wire[:-1] + bytes([wire[-1] ^ 1])

    assert answer(port, wire).startswith(b"HTTP/1.1 403 ")

"""
The least that keeps the promises of a small write: ``python -m loadtests.least DIRECTORY`` says its port and serves.

A PUT is verified (SigV4, its SHA-256), digested (MD5, CRC-64/NVME) and in SQLite's log on the disk before it is
answered, many at a time by one fdatasync; a GET is verified and its bytes compared with their digest.  The libraries
are the gateway's, and that is all of it: no bucket, no error of S3's, no condition, no metadata, no policy, no limit,
no metric, no second protocol, nothing large.  What the gateway takes beyond this is the price of everything else that
it does; what this takes is the price of Python.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gc
import hashlib
import hmac
import os
import sys
import threading
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, cast

import apsw
import httptools
import uvloop
from awscrt.checksums import crc64nvme

from loadtests.gateway import SECRET_KEY, announced

MOST = 512
"""The most writes in one transaction, as the gateway has it."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
    key TEXT PRIMARY KEY, size INTEGER, modified INTEGER, etag TEXT, checksum TEXT, inline INTEGER
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS inlines (id INTEGER PRIMARY KEY, digest BLOB, content BLOB);
"""


@contextlib.contextmanager
def running(directory: Path) -> Iterator[int]:
    """Start it in a process of its own, give its port, and end it."""
    with announced("loadtests.least", str(directory)) as (said, _):
        yield int(said)


class Written(NamedTuple):
    """What a connection wants to be durable before it answers."""

    connection: Connection
    key: str
    body: bytes
    digest: bytes
    etag: str


class Store:
    """One table for names, one for bytes, a connection for the loop and one for the thread that commits."""

    def __init__(self, directory: Path, loop: asyncio.AbstractEventLoop) -> None:
        self._path, self._loop = str(directory / "least.db"), loop
        self._writer = self._connect()
        self._writer.execute(SCHEMA)
        self._reader = self._connect()
        self._queue: SimpleQueue[Written] = SimpleQueue()
        self.put = self._queue.put
        threading.Thread(target=self._run, daemon=True).start()

    def _connect(self) -> apsw.Connection:
        connection = apsw.Connection(self._path)
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "wal_autocheckpoint = 4000"):
            connection.execute(f"PRAGMA {pragma}")
        return connection

    def get(self, key: str) -> tuple[Any, ...]:
        """(size, modified, etag, digest, content)."""
        return cast(
            "tuple[Any, ...]",
            self._reader.execute(
                "SELECT size, modified, etag, digest, content FROM objects JOIN inlines ON id = inline WHERE key = ?",
                (key,),
            ).fetchone(),
        )

    def _run(self) -> None:
        while True:
            batch = [self._queue.get()]
            with contextlib.suppress(Empty):
                while len(batch) < MOST:
                    batch.append(self._queue.get_nowait())
            self._commit(list({each.key: each for each in batch}.values()))
            self._loop.call_soon_threadsafe(_answer, batch)

    def _commit(self, batch: list[Written]) -> None:
        execute, count = self._writer.execute, len(batch)
        execute("BEGIN IMMEDIATE")
        keys = [each.key for each in batch]
        execute(f"DELETE FROM inlines WHERE id IN (SELECT inline FROM objects WHERE key IN {_row(count)})", keys)
        execute(
            f"INSERT INTO inlines (digest, content) VALUES {_rows(2, count)}",
            [value for each in batch for value in (each.digest, each.body)],
        )
        first, now = self._writer.last_insert_rowid() - count + 1, int(time.time() * 1000)
        values: list[str | int] = []
        for number, each in enumerate(batch, first):
            checksum = base64.b64encode(each.digest).decode()
            values += (each.key, len(each.body), now, each.etag, checksum, number)
        execute(f"INSERT OR REPLACE INTO objects VALUES {_rows(6, count)}", values)
        execute("COMMIT")


@cache
def _row(columns: int) -> str:
    return f"({', '.join('?' * columns)})"


@cache
def _rows(columns: int, rows: int) -> str:
    return ", ".join([_row(columns)] * rows)


def _answer(batch: list[Written]) -> None:
    for each in batch:
        each.connection.stored(each.etag)


@cache
def _keyed(scope: str) -> hmac.HMAC:
    key = f"AWS4{SECRET_KEY}".encode()
    for piece in scope.split("/"):
        key = hmac.digest(key, piece.encode(), "sha256")
    return hmac.new(key, digestmod="sha256")


class Connection(asyncio.Protocol):
    """One client, one request at a time."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._parser = httptools.HttpRequestParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self._headers: dict[str, str] = {}
        self._url = self._body = b""

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower().decode()] = value.decode()

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        method, path, body = self._parser.get_method().decode(), self._url.decode(), self._body
        payload = self._headers["x-amz-content-sha256"]
        if not self._is_signed(method, path, payload) or hashlib.sha256(body).hexdigest() != payload:
            self._transport.write(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")
        elif method == "PUT":
            digest, etag = crc64nvme(body).to_bytes(8, "big"), hashlib.md5(body, usedforsecurity=False).hexdigest()
            self._store.put(Written(self, path, body, digest, etag))
        else:
            size, modified, etag, digest, content = self._store.get(path)
            assert crc64nvme(content).to_bytes(8, "big") == digest
            said = f"last-modified: {modified}\r\ncontent-length: {size}"
            self._transport.write(_head(etag, said) + content)

    def _is_signed(self, method: str, path: str, payload: str) -> bool:
        headers = self._headers
        shown = dict(field.split("=", 1) for field in headers["authorization"].partition(" ")[2].split(", "))
        names, scope = shown["SignedHeaders"], shown["Credential"].partition("/")[2]
        signed = "".join([f"{name}:{headers[name]}\n" for name in names.split(";")])
        canonical = f"{method}\n{path}\n\n{signed}\n{names}\n{payload}"
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        keyed = _keyed(scope).copy()
        keyed.update(f"AWS4-HMAC-SHA256\n{headers['x-amz-date']}\n{scope}\n{digest}".encode())
        return hmac.compare_digest(keyed.hexdigest(), shown["Signature"])

    def stored(self, etag: str) -> None:
        """What was put is on the disk."""
        self._transport.write(_head(etag, "content-length: 0"))


def _head(etag: str, said: str) -> bytes:
    return f'HTTP/1.1 200 OK\r\netag: "{etag}"\r\nx-amz-request-id: {os.urandom(8).hex()}\r\n{said}\r\n\r\n'.encode()


async def serve(directory: Path) -> None:
    """Listen on a free loopback port, say which, and serve until the process ends."""
    loop = asyncio.get_running_loop()
    store = Store(directory, loop)
    server = await loop.create_server(lambda: Connection(store), "127.0.0.1", 0)
    # As the gateway does: what lives as long as the process is no collection's.
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(Path(sys.argv[1])))

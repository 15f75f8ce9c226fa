"""
The REST face of a gateway on memory, and a client that speaks ASGI to it and signs with botocore's signer.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import quote

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from rs3gw.auth.credentials import Authority, Credential
from rs3gw.engine.memory import Memory
from rs3gw.engine.world import SystemClock, SystemEntropy
from rs3gw.gateway import Gateway
from rs3gw.rest import messages
from rs3gw.rest.asgi import Application

OWNER = Credential(access_key="AKOWNER", secret_key="owner-secret", name="owner")
HOST = "127.0.0.1:9000"


@dataclass
class Answered:
    """What an application answered."""

    status: int
    headers: dict[str, str]
    body: bytes
    is_whole: bool
    receives: int
    """How often the application asked for more of the request."""

    @property
    def code(self) -> str:
        return self.body.partition(b"<Code>")[2].partition(b"</Code>")[0].decode()


class Client:
    """One client, one request at a time; a small body comes with its head, as by a listener, or is received."""

    def __init__(self, application: Application, *, comes_whole: bool = False) -> None:
        self.application = application
        self.comes_whole = comes_whole

    async def ask(
        self,
        method: str,
        target: str,
        body: bytes | Iterable[bytes] = b"",
        *,
        headers: dict[str, str] | None = None,
        signed: bool = True,
        payload: str | None = None,
        leaves_after: int | None = None,
        silent: bool = False,
    ) -> Answered:
        """
        Send a request; a body that is no bytes comes in those pieces and has no Content-Length of its own.

        ``payload`` is the x-amz-content-sha256 where it is not the digest of the body; ``leaves_after`` is the number
        of pieces after which the client closes the connection; a ``silent`` one promises more than it sends.
        """
        sent = {"host": HOST, **(headers or {})}
        pieces = [body] if isinstance(body, bytes) else list(body)
        if isinstance(body, bytes) and (body or method in ("PUT", "POST")):
            sent.setdefault("content-length", str(len(body)))
        if signed:
            sent["x-amz-content-sha256"] = payload or hashlib.sha256(b"".join(pieces)).hexdigest()
            sent = sign(method, target, sent)
        elif payload:
            sent["x-amz-content-sha256"] = payload
        path, _, query = target.partition("?")
        scope = {
            "type": "http",
            "method": method,
            "scheme": "http",
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(name.lower().encode(), value.encode()) for name, value in sent.items()],
            "client": ("127.0.0.1", 1),
        }
        connection = _Connection(pieces, leaves_after, silent)
        waits = "expect" in sent or silent or leaves_after is not None
        if self.comes_whole and isinstance(body, bytes) and body and not waits:
            request = messages.read(scope)
            request.whole = connection.take()
            answering = self.application.respond(request, connection.receive, connection.send)
        else:
            answering = self.application(scope, connection.receive, connection.send)
        try:
            await answering
        except ConnectionError:
            assert connection.status
        return Answered(
            connection.status,
            connection.headers,
            b"".join(connection.body),
            connection.is_whole,
            connection.receives,
        )


class _Connection:
    def __init__(self, pieces: list[bytes], leaves_after: int | None, silent: bool) -> None:
        self._events = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
        if leaves_after is None:
            self._events[-1]["more_body"] = silent
        else:
            self._events[leaves_after:] = [{"type": "http.disconnect"}]
        self._silent = silent
        self.status, self.headers, self.body, self.is_whole, self.receives = 0, {}, [], False, 0

    def take(self):
        return self._events.pop(0)["body"]

    async def receive(self):
        self.receives += 1
        if not self._events and self._silent:
            raise TimeoutError("the listener has waited long enough")
        if not self._events:
            await asyncio.get_running_loop().create_future()
        return self._events.pop(0)

    async def send(self, event):
        if event["type"] == "http.response.start":
            self.status = event["status"]
            self.headers = {name.decode(): value.decode() for name, value in event["headers"]}
        else:
            self.body.append(bytes(event.get("body", b"")))
            self.is_whole = not event.get("more_body", False)


class _Signer(S3SigV4Auth):
    """botocore's signer, which signs the payload's digest that is told and not its own."""

    def __init__(self, claimed: str) -> None:
        super().__init__(Credentials(OWNER.access_key, OWNER.secret_key), "s3", "us-east-1")
        self._claimed = claimed

    def payload(self, request: AWSRequest) -> str:
        return self._claimed


def sign(method: str, target: str, headers: dict[str, str]) -> dict[str, str]:
    """The headers with an Authorization beside them."""
    request = AWSRequest(method=method, url=f"http://{headers['host']}{target}", headers=dict(headers))
    _Signer(headers["x-amz-content-sha256"]).add_auth(request)
    return {name.lower(): value for name, value in request.headers.items()}


def path_of(key: str, bucket: str = "bucket") -> str:
    """The target of a key, percent-encoded."""
    return f"/{bucket}/{quote(key, safe='/-._~')}"


@asynccontextmanager
async def serving(*, comes_whole: bool = False) -> AsyncIterator[Client]:
    """A client of a fresh server that has the bucket ``bucket``."""
    clock, entropy = SystemClock(), SystemEntropy()
    engine = Memory(clock=clock)
    authority = Authority([OWNER], region="us-east-1", clock=clock)
    gateway = Gateway(engine, authority, clock=clock, entropy=entropy, region="us-east-1")
    page = (200, "text/plain", b"ok\n")
    application = Application(
        gateway,
        domains=("localhost", "s3.localhost"),
        internal={"/-/health": lambda: page},
    )
    client = Client(application, comes_whole=comes_whole)
    assert (await client.ask("PUT", "/bucket")).status == 200
    yield client
    await engine.close()


@pytest.fixture(params=[False, True], ids=["received", "whole"])
async def client(request) -> AsyncIterator[Client]:
    """A client of a fresh server that has the bucket ``bucket``."""
    async with serving(comes_whole=request.param) as client:
        yield client

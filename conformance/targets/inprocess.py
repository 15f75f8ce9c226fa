"""
rs3gw itself, in this process, without a socket: the one file of the suite that imports it.

The whole server is there but its listeners: transports, gateway, credentials, and the real engine on a temporary
directory with relaxed durability, on a loop in a thread of its own.  A REST request becomes an ASGI call; a gRPC call
goes through grpc_testing to the same coroutines that the real server awaits.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import grpc_testing
import httpx
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message

from conformance.drivers.grpc import ARRIVAL_SECONDS, MESSAGE_BYTES, Cut, Ended
from conformance.drivers.rest import TIMEOUT_SECONDS
from conformance.drivers.rest import Cut as ConnectionCut
from conformance.targets import REGION, Off, Place, fresh_identities
from rs3gw.auth.credentials import Authority, Credential
from rs3gw.engine.store import Durability, Store
from rs3gw.engine.world import SystemClock, SystemEntropy
from rs3gw.gateway import Gateway
from rs3gw.rest.asgi import Application, Neighbour

URL = "http://rs3gw.test"


class InProcess:
    """The target ``inprocess``."""

    name = "inprocess"

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="rs3gw", daemon=True)
        self._root: Path | None = None
        self._store: Store | None = None

    def start(self) -> Place:
        identities = fresh_identities()
        credentials = [
            Credential(
                name=name,
                access_key=keys.access_key,
                secret_key=keys.secret_key,
                grants="all" if name == "owner" else "policies",
            )
            for name, keys in identities.items()
        ]
        self._root = Path(tempfile.mkdtemp(prefix="rs3gw-conformance-"))
        self._thread.start()
        gateway = asyncio.run_coroutine_threadsafe(self._open(credentials), self._loop).result()
        application = Application(gateway, domains=("rs3gw.test",), neighbour=_web(gateway))
        return Place(
            url=URL,
            identities=identities,
            transport=lambda: ASGI(application, self._loop),
            wire=lambda: self._wire(gateway),
            version=version("rs3gw"),
        )

    async def _open(self, credentials: Sequence[Credential]) -> Gateway:
        assert self._root is not None
        clock, entropy = SystemClock(), SystemEntropy()
        self._store = Store.open(self._root / "data", clock=clock, entropy=entropy, durability=Durability.RELAXED)
        authority = Authority(credentials, region=REGION, clock=clock)
        return Gateway(self._store, authority, clock=clock, entropy=entropy, region=REGION)

    def _wire(self, gateway: Gateway) -> Testing:
        try:
            from rs3gw.rpc.inprocess import servicers
        except ImportError as fault:
            raise Off(f"rs3gw speaks no gRPC here: {fault}") from fault
        return Testing(servicers(gateway, self._loop))

    def stop(self) -> None:
        if self._store is not None:
            asyncio.run_coroutine_threadsafe(self._store.close(), self._loop).result()
            self._store = None
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
        if self._root is not None:
            shutil.rmtree(self._root, ignore_errors=True)
            self._root = None


def _web(gateway: Gateway) -> Neighbour | None:
    """The rpcs on the port of REST, where rs3gw speaks gRPC here."""
    try:
        from rs3gw.rpc.servicers import Servicer
        from rs3gw.rpc.web import Web
    except ImportError:
        return None
    return Web(Servicer(gateway=gateway), max_message_bytes=MESSAGE_BYTES)


class ASGI(httpx.BaseTransport):
    """An httpx transport onto an ASGI application on another thread's loop; bodies stream in both directions."""

    def __init__(self, application: Callable[..., Any], loop: asyncio.AbstractEventLoop) -> None:
        self._application = application
        self._loop = loop

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        target = request.extensions.get("target", request.url.raw_path)
        path, _, query = target.partition(b"?")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": request.method,
            "scheme": "http",
            "path": path.decode("ascii", "replace"),
            "raw_path": path,
            "query_string": query,
            "root_path": "",
            "headers": [(name.lower(), value) for name, value in request.headers.raw],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }
        assert isinstance(request.stream, httpx.SyncByteStream)
        exchange = _Exchange(iter(request.stream))
        done = asyncio.run_coroutine_threadsafe(exchange.run(self._application, scope), self._loop)
        try:
            status, headers = exchange.started()
        except ConnectionCut:
            done.result()
            raise
        return httpx.Response(status, headers=headers, stream=_Answered(exchange, done))


class _Exchange:
    """One request on its way in, and its answer on its way out."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._out: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._cut: ConnectionCut | None = None
        self._is_read = False
        self._ended = asyncio.Event()

    async def run(self, application: Callable[..., Any], scope: dict[str, Any]) -> None:
        try:
            await application(scope, self._receive, self._send)
            fault: BaseException | None = (
                None if self._ended.is_set() else httpx.RemoteProtocolError("the answer broke off")
            )
        except BaseException as raised:
            fault = httpx.RemoteProtocolError(f"the application raised {raised!r}")
        self._out.put(self._cut or fault)

    async def _receive(self) -> dict[str, Any]:
        if self._is_read:
            # Who has sent everything says nothing more until it leaves, and here it never leaves early.
            await self._ended.wait()
        if self._cut is not None or self._ended.is_set():
            return {"type": "http.disconnect"}
        try:
            chunk = next(self._chunks)
        except StopIteration:
            self._is_read = True
            return {"type": "http.request", "body": b"", "more_body": False}
        except ConnectionCut as cut:
            self._cut = cut
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": chunk, "more_body": True}

    async def _send(self, message: dict[str, Any]) -> None:
        if self._cut is not None:
            raise OSError("the client is gone")
        if message["type"] == "http.response.body":
            if not message.get("more_body", False):
                self._ended.set()
            # What is sent may be a view of a buffer that is used again: it is copied here, as a socket would.
            message = {**message, "body": bytes(message.get("body", b""))}
        self._out.put(message)

    def started(self) -> tuple[int, list[tuple[bytes, bytes]]]:
        """Wait for the head of the answer."""
        message = self._next()
        if not isinstance(message, dict):
            raise message or httpx.RemoteProtocolError("the application answered nothing")
        return message["status"], list(message.get("headers", ()))

    def _next(self) -> Any:
        try:
            return self._out.get(timeout=TIMEOUT_SECONDS)
        except queue.Empty:
            raise httpx.ReadTimeout(f"no answer within {TIMEOUT_SECONDS:.0f} s") from None

    def pieces(self) -> Iterator[bytes]:
        """The body of the answer as it comes."""
        while True:
            message = self._next()
            if message is None:
                return
            if not isinstance(message, dict):
                raise message
            yield message["body"]


class _Answered(httpx.SyncByteStream):
    def __init__(self, exchange: _Exchange, done: Any) -> None:
        self._exchange = exchange
        self._done = done

    def __iter__(self) -> Iterator[bytes]:
        return self._exchange.pieces()

    def close(self) -> None:
        self._done.result()


class Testing:
    """A Wire through grpc_testing, onto servicers with synchronous methods."""

    def __init__(self, servicers: Mapping[Any, object]) -> None:
        self._services = {descriptor.full_name: descriptor for descriptor in servicers}
        self._server = grpc_testing.server_from_dictionary(dict(servicers), grpc_testing.strict_real_time())

    def call(
        self,
        method: MethodDescriptor,
        metadata: Sequence[tuple[str, str]],
        requests: Iterable[Message],
        receive: Callable[[Any], None],
    ) -> Ended:
        found = self._services[method.containing_service.full_name].methods_by_name[method.name]
        if method.client_streaming:
            rpc = self._server.invoke_stream_unary(found, metadata, None)
            try:
                for request in requests:
                    rpc.send_request(request)
            except Cut:
                rpc.cancel()
                time.sleep(ARRIVAL_SECONDS)  # nobody tells when the servicer has seen it
                return Ended(code="CANCELLED")
            rpc.requests_closed()
            answer, trailing, code, details = rpc.termination()
        elif method.server_streaming:
            rpc = self._server.invoke_unary_stream(found, metadata, next(iter(requests)), None)
            trailing, code, details = rpc.termination()
            with contextlib.suppress(ValueError):
                while code.name == "OK":
                    receive(rpc.take_response())
            answer = None
        else:
            rpc = self._server.invoke_unary_unary(found, metadata, next(iter(requests)), None)
            answer, trailing, code, details = rpc.termination()
        if code.name == "OK" and answer is not None:
            receive(answer)
        return Ended(
            code=code.name,
            details=details or "",
            initial=tuple(rpc.initial_metadata() or ()),
            trailing=tuple(trailing or ()),
        )

    def close(self) -> None:
        """There is nothing to let go of."""

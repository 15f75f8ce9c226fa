"""
The composition root: engine, gateway, both listeners on one loop, and their orderly end.

``run`` builds everything that a process has, once, from Settings; nothing is looked up later and nothing is
global.  It starts in the order of the layers and stops in the reverse one: first it says that it leaves and serves on,
then nobody new is let in, then those inside finish, then whoever has not finished within the bound is cancelled, and
the engine is closed last.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import dataclasses
import functools
import gc
import signal
import socket
import ssl
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click
import uvloop

from rs3gw import __version__, descriptors, spans
from rs3gw.auth.credentials import Authority, Credential, CredentialsError, load, token_of
from rs3gw.engine.ports import EngineError
from rs3gw.engine.store import Board, Durability, Store
from rs3gw.engine.world import SystemClock, SystemEntropy
from rs3gw.extensions import ExtensionError, Extensions, Outbox
from rs3gw.extensions import load as load_extensions
from rs3gw.gateway import Gateway, digests
from rs3gw.rest.asgi import Application, Page
from rs3gw.rest.listener import Bounds, Listener
from rs3gw.scrubbing import Scrubber
from rs3gw.settings import (
    DEVELOPMENT_ACCESS_KEY,
    DEVELOPMENT_SECRET_KEY,
    Address,
    Settings,
    SettingsError,
    otlp_protocol,
)
from rs3gw.stepping import Cohorts
from rs3gw.telemetry import CONTENT_TYPE, Telemetry, configure_logging, logger

if TYPE_CHECKING:
    from rs3gw.rpc.server import Server as RpcServer
    from rs3gw.rpc.web import Web
    from rs3gw.tracing import Tracing

SWITCH_SECONDS = 0.0005
"""How long a thread keeps the interpreter.  The default of 5 ms makes small reads wait for big hashing (×1.25)."""

YOUNG_OBJECTS = 20_000
"""How many objects are made before the collector looks at them: a page of 1,000 keys makes about 5,000 by itself."""

WARM_SECONDS = 0.25
"""How long after the start what it did not need is loaded."""

KEPT_BLOCK_BYTES, KEPT_BYTES, ARENAS = 8 * 1024**2, 32 * 1024**2, 2
"""The largest block that is kept when it is freed, how much of the end of an arena, and how many arenas there are."""

OWNER = "owner"
"""The name of the access key that the environment gives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What a process among several is given: the claim on the root and the ports are its supervisor's."""

    board: Board
    place: int
    ready: Callable[[], None]
    """To be called once it serves."""


def run(settings: Settings, share: Share | None = None) -> int:
    """Serve until a signal says otherwise; the exit code of the process."""
    configure_logging(level=settings.log_level, form=settings.log_format)
    sys.setswitchinterval(SWITCH_SECONDS)
    keep_freed_memory()
    try:
        uvloop.run(serve(settings, share))
    except (CredentialsError, EngineError) as fault:
        raise SettingsError(str(fault)) from fault
    return 0


def keep_freed_memory() -> None:
    """
    Let glibc keep the memory of a chunk for the next one, but no more of it than a few chunks.

    A page that was given back costs a fault to have again: reads of 1 MiB over gRPC are ×2.9 with this.  Every
    thread's arena of its own would keep what it once held, so there are two for all of them.  Does nothing where
    there is no glibc.
    """
    trim_threshold, mmap_threshold, arena_max = -1, -3, -8
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(mmap_threshold, KEPT_BLOCK_BYTES)
        libc.mallopt(trim_threshold, KEPT_BYTES)
        libc.mallopt(arena_max, ARENAS)


def spare_the_collector() -> None:
    """
    Keep what lives as long as the process out of every garbage collection, and collect less often.

    Modules and plans are four fifths of all objects and never garbage; a request leaves hardly a cycle behind.
    Nothing is collected first: a start leaves no garbage, and to look for it takes as long as a tenth of a start.
    """
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, 50)


def credentials(settings: Settings) -> tuple[Credential, ...]:
    """
    Every access key that opens this server: the pair of the environment first, then those of the file.

    Raises CredentialsError.
    """
    found: list[Credential] = []
    if settings.access_key is not None and settings.secret_key is not None:
        found.append(Credential(access_key=settings.access_key, secret_key=settings.secret_key, name=OWNER))
    if settings.credentials_file is not None:
        found.extend(load(settings.credentials_file))
    if not found:
        found.append(Credential(access_key=DEVELOPMENT_ACCESS_KEY, secret_key=DEVELOPMENT_SECRET_KEY, name=OWNER))
    return tuple(found)


def extended(settings: Settings) -> Extensions:
    """The operator's own extensions.  Raises SettingsError."""
    if not settings.extensions:
        return Extensions()
    try:
        return load_extensions(settings.extensions)
    except ExtensionError as fault:
        raise SettingsError(str(fault)) from fault


def tracer(settings: Settings) -> Tracing | None:
    """
    What traces, where that is asked for: of this process, so made after a fork.  OpenTelemetry is imported here.

    Raises SettingsError.
    """
    if settings.tracing == "none":
        return None
    protocol = traceable(settings)
    from rs3gw import tracing

    try:
        return tracing.Tracing(tracing.exporter(protocol))
    except ValueError as fault:
        raise SettingsError(
            f"RS3GW_TRACING=otlp: one of the OTEL_… variables cannot be used: {str(fault).rstrip('.')}."
        ) from fault


def traceable(settings: Settings) -> str:
    """
    How traces would be sent, once it is known that they can be made; nothing is loaded for it.

    Raises SettingsError where they are asked for and cannot be.
    """
    if settings.tracing == "none":
        return ""
    try:
        for needed in ("sdk.trace", "exporter.otlp.proto.http", "exporter.otlp.proto.grpc"):
            if find_spec(f"opentelemetry.{needed}") is None:
                raise ModuleNotFoundError(name=f"opentelemetry.{needed}")
    except ModuleNotFoundError as fault:
        raise SettingsError(
            "RS3GW_TRACING=otlp needs OpenTelemetry, which is not installed here: pip install 'rs3gw[tracing]'."
        ) from fault
    return otlp_protocol()


def open_store(settings: Settings, share: Share | None, telemetry: Telemetry) -> Store:
    """The store, of this process alone or of several.  Raises EngineError."""
    clock, entropy, durability = SystemClock(), SystemEntropy(), Durability(settings.durability)
    if share is None:
        return Store.open(
            settings.storage_root,
            clock=clock,
            entropy=entropy,
            durability=durability,
            committed=telemetry.committed,
        )
    return Store(
        settings.storage_root,
        clock=clock,
        entropy=entropy,
        durability=durability,
        board=share.board,
        place=share.place,
        committed=telemetry.committed,
    )


async def serve(settings: Settings, share: Share | None = None) -> None:
    """Start everything, say where it is, wait for a signal, stop everything."""
    fitting = descriptors.connections(
        settings.max_connections, calls=settings.max_requests, protocols=1 + settings.grpc_enabled
    )
    settings = dataclasses.replace(settings, max_connections=fitting)
    stopping = asyncio.Event()
    with signals(stopping, insists=share is None):
        clock, entropy = SystemClock(), SystemEntropy()
        keys = credentials(settings)
        extensions = extended(settings)
        tracing = tracer(settings)
        trace = None if tracing is None else tracing.begin
        rest_socket = listen(settings.bind_addr, is_shared=share is not None)
        rpc_socket = None
        if settings.grpc_enabled:
            rpc_socket = listen(settings.grpc_addr, is_shared=share is not None, variable="RS3GW_GRPC_PORT")
        telemetry = Telemetry(log_requests=settings.log_requests, is_shared=share is not None)
        store = open_store(settings, share, telemetry)
        try:
            outbox = None
            if extensions.sinks:
                outbox = Outbox(extensions.sinks, now=clock.now, dropped=telemetry.events_dropped.inc)
            gateway = Gateway(
                store,
                Authority(keys, region=settings.region, clock=clock, authenticators=extensions.authenticators),
                clock=clock,
                entropy=entropy,
                region=settings.region,
                observe=telemetry.observe,
                max_requests=settings.max_requests,
                judges=extensions.judges,
                tell=None if outbox is None else outbox.tell,
            )
            inside = Inside(telemetry, store)
            # No more than have places, without a key too: who comes in a crowd is served as if he came alone.
            cohorts = Cohorts(settings.max_requests // 2)
            rest = rest_listener(settings, gateway, inside, telemetry, trace, cohorts)
            telemetry.watch_connections("rest", functools.partial(len, rest.connections))
            await rest.start(rest_socket)
            rpc = None
            if rpc_socket is not None:
                rpc = rpc_server(settings, gateway, telemetry, trace, cohorts)
                await rpc.start(rpc_socket)
                telemetry.watch_connections("grpc", functools.partial(len, rpc.connections))
            inside.is_serving = True
            if share is None:
                click.echo(banner(settings, rest_socket.getsockname()[1], rpc.port if rpc else None, keys))
            else:
                telemetry.pour_often()
                share.ready()
            spare_the_collector()
            warming = asyncio.create_task(warm())
            scrubber = scrubbing(settings, telemetry, share)
            await stopping.wait()
            warming.cancel()

            inside.is_serving = False
            rest.leave()
            if rpc is not None:
                rpc.leave()
            if settings.lame_duck_seconds:
                logger("server").info("leaving", lame_duck_seconds=settings.lame_duck_seconds)
                await asyncio.sleep(settings.lame_duck_seconds)

            logger("server").info("stopping", drain_seconds=settings.drain_seconds)
            drain = settings.drain_seconds
            await asyncio.gather(rest.stop(drain), *([rpc.stop(drain)] if rpc else []))
            if scrubber is not None:
                await scrubber.stop()
            if outbox is not None:
                await asyncio.to_thread(outbox.close)
        finally:
            await store.close()
            if tracing is not None:
                await asyncio.to_thread(tracing.close)
        logger("server").info("stopped")


async def warm() -> None:
    """
    Load what the first upload needs and a start need not wait for.

    A moment later, because a thread that loads modules keeps the interpreter from the first answers.
    """
    await asyncio.sleep(WARM_SECONDS)
    await asyncio.to_thread(digests.warm)


def scrubbing(settings: Settings, telemetry: Telemetry, share: Share | None) -> Scrubber | None:
    """The scrubber, begun, where one is asked for; of several processes the first one has it."""
    if not settings.scrub_rate or (share is not None and share.place != 0):
        return None
    return Scrubber(settings.storage_root, bytes_per_second=settings.scrub_rate, telemetry=telemetry)


@contextlib.contextmanager
def signals(stopping: asyncio.Event, *, insists: bool = True) -> Iterator[None]:
    """
    Turn the first SIGTERM or SIGINT into an orderly end; a second one ends the process at once.

    Unless nobody ``insists``: a worker hears of one stop twice, from its terminal and from its supervisor, which
    kills it where it is told to stop again.
    """
    loop = asyncio.get_running_loop()

    def stop(number: int) -> None:
        if stopping.is_set() and insists:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


def listen(address: Address, *, is_shared: bool = False, variable: str = "RS3GW_BIND_ADDR") -> socket.socket:
    """
    A socket to listen on, bound before anything else is begun: a port that is taken must not cost an open of the store.

    ``is_shared``: other processes bind the same port, and the kernel deals connections out.
    Raises SettingsError, which names the variable.
    """
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if is_shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(where)
        listener.setblocking(False)
    except OSError as fault:
        raise SettingsError(f"{variable}={address}: {fault.strerror or fault}.") from fault
    return listener


def rest_listener(
    settings: Settings,
    gateway: Gateway,
    inside: Inside,
    telemetry: Telemetry,
    trace: spans.Begin | None,
    cohorts: Cohorts,
) -> Listener:
    """The REST listener, not started.  Raises SettingsError."""
    application = Application(
        gateway,
        domains=settings.domains,
        internal=inside.pages(),
        neighbour=web(settings, gateway, trace) if settings.grpc_enabled else None,
        origins=settings.cors_origins,
        watch=telemetry.answered,
        trace=trace,
    )
    bounds = Bounds(
        connections=settings.max_connections,
        headers=settings.max_headers,
        header_bytes=settings.max_header_bytes,
        header_seconds=settings.header_seconds,
        keep_alive_seconds=settings.keep_alive_seconds,
        idle_seconds=settings.body_idle_seconds,
        idle_bytes=settings.body_idle_bytes,
    )
    tls = None
    if settings.tls_cert is not None and settings.tls_key is not None:
        tls = tls_context("RS3GW_TLS", settings.tls_cert, settings.tls_key, settings.tls_client_ca, speaks="http/1.1")
    return Listener(application, bounds, tls=tls, cohorts=cohorts)


def tls_context(
    names: str, certificate: Path, key: Path, client_authority: Path | None, *, speaks: str
) -> ssl.SSLContext:
    """
    TLS with a certificate chain and its key, PEM, and with who must have signed the certificates of clients, if any.

    Raises SettingsError, which names the variables.
    """
    try:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(certificate, key)
    except (ssl.SSLError, OSError) as fault:
        raise SettingsError(f"{names}_CERT and {names}_KEY: {fault}.") from fault
    if client_authority is not None:
        try:
            tls.load_verify_locations(client_authority)
        except (ssl.SSLError, OSError) as fault:
            raise SettingsError(f"{names}_CLIENT_CA: {fault}.") from fault
        tls.verify_mode = ssl.CERT_REQUIRED
    tls.minimum_version = ssl.TLSVersion.TLSv1_2
    tls.set_alpn_protocols([speaks])
    return tls


def web(settings: Settings, gateway: Gateway, trace: spans.Begin | None) -> Web:
    """gRPC-Web and Connect, on the port of REST.  Imported here, as grpc is."""
    from rs3gw.rpc.servicers import Servicer
    from rs3gw.rpc.web import Web

    servicer = Servicer(
        gateway=gateway,
        chunk_bytes=settings.grpc_chunk_size,
        idle_seconds=settings.body_idle_seconds,
        is_secure=settings.tls_cert is not None,
    )
    return Web(servicer, max_message_bytes=settings.grpc_max_message_size, trace=trace)


def rpc_server(
    settings: Settings, gateway: Gateway, telemetry: Telemetry, trace: spans.Begin | None, cohorts: Cohorts
) -> RpcServer:
    """
    The gRPC listener, not started.  Imported here: a server of REST alone starts without protobuf.

    Raises SettingsError.
    """
    from rs3gw.rpc.http2 import Bounds
    from rs3gw.rpc.server import Server

    bounds = Bounds(
        connections=settings.max_connections,
        header_seconds=settings.header_seconds,
        idle_seconds=settings.body_idle_seconds,
        idle_bytes=settings.body_idle_bytes,
    )
    tls = None
    if settings.grpc_tls_cert is not None and settings.grpc_tls_key is not None:
        certificate, key = settings.grpc_tls_cert, settings.grpc_tls_key
        tls = tls_context("RS3GW_GRPC_TLS", certificate, key, settings.grpc_tls_client_ca, speaks="h2")
    return Server(
        gateway,
        bounds=bounds,
        tls=tls,
        max_message_bytes=settings.grpc_max_message_size,
        chunk_bytes=settings.grpc_chunk_size,
        watch=telemetry.watch,
        trace=trace,
        cohorts=cohorts,
    )


class Inside:
    """What the server says of itself under ``/-/``, to anybody who asks."""

    def __init__(self, telemetry: Telemetry, store: Store) -> None:
        self._telemetry = telemetry
        self._store = store
        self.is_serving = False

    def health(self) -> tuple[int, str, bytes]:
        """Whether the process answers at all."""
        return 200, "text/plain; charset=utf-8", b"ok\n"

    def ready(self) -> tuple[int, str, bytes]:
        """Whether it takes requests: not before it has started, not while it stops, not without its disk."""
        if not self.is_serving:
            return 503, "text/plain; charset=utf-8", b"not serving\n"
        try:
            self._store.ready()
        except EngineError as fault:
            return 503, "text/plain; charset=utf-8", f"{type(fault).__name__}\n".encode()
        return 200, "text/plain; charset=utf-8", b"ready\n"

    def metrics(self) -> tuple[int, str, bytes]:
        """Prometheus's text format."""
        self._telemetry.ready.set(self.ready()[0] == 200)
        with contextlib.suppress(EngineError):
            self._telemetry.free_bytes.set(self._store.free_bytes())
        return 200, CONTENT_TYPE, self._telemetry.render()

    def pages(self) -> dict[str, Page]:
        """The pages by their paths."""
        return {"/-/health": self.health, "/-/ready": self.ready, "/-/metrics": self.metrics}


def banner(settings: Settings, rest_port: int, rpc_port: int | None, keys: tuple[Credential, ...]) -> str:
    """Where everything is, and with which credentials; a secret is shown only if it is the published one."""
    host = settings.bind_addr.host
    scheme = "https" if settings.tls_cert else "http"
    lines = [
        f"rs3gw {__version__}",
        f"  REST     {scheme}://{Address(host, rest_port)}   region {settings.region}",
    ]
    if rpc_port is not None:
        lines.append(f"  gRPC     {Address(host, rpc_port)}{' (TLS)' if settings.grpc_tls_cert else ''}")
    lines.append(f"  storage  {settings.storage_root.resolve()}   durability {settings.durability}")
    if settings.workers > 1:
        lines.append(f"  workers  {settings.workers}")
    if settings.uses_development_credentials:
        lines += [
            "  credentials for development, on loopback only:",
            f"    AWS_ACCESS_KEY_ID={keys[0].access_key}",
            f"    AWS_SECRET_ACCESS_KEY={keys[0].secret_key}",
            f"    gRPC: authorization: Bearer {token_of(keys[0])}",
        ]
    else:
        lines.append(f"  credentials  {', '.join(f'{key.name} ({key.access_key})' for key in keys)}")
    return "\n".join([*lines, "  stop with Ctrl-C"])

"""
A network between a client and a gateway that breaks, stalls and reorders, as it is told.

It knows nothing of gRPC: bytes go through, or do not.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

BLOCK_BYTES = 16 * 1024
"""So little at once that a connection is cut where it should be."""


@dataclass
class Weather:
    """What happens to connections.  Bytes are counted for each connection by itself."""

    cut_down_after: int | None = None
    """A connection ends when so many bytes came down it, to the client."""
    cut_up_after: int | None = None
    """The same of what went up."""
    cuts: int | None = None
    """How many connections end so; all of them, if it is not said."""
    stall_down_after: int | None = None
    """Nothing comes down a connection any more after so many bytes, and nothing says why; once."""
    hold_seconds: tuple[float, ...] = ()
    """How long the first connections are held before they are let through: the later ones overtake."""


@dataclass
class Proxy:
    """The address to connect to, and what went through."""

    weather: Weather
    port: int = 0
    connections: int = 0
    cut: int = 0
    stalled: int = 0
    down_bytes: int = 0
    up_bytes: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    def _may_cut(self) -> bool:
        with self._lock:
            if self.weather.cuts is not None and self.cut >= self.weather.cuts:
                return False
            self.cut += 1
            return True

    def _may_stall(self) -> bool:
        with self._lock:
            self.stalled += 1
            return self.stalled == 1


@contextmanager
def between(target: str, weather: Weather) -> Iterator[Proxy]:
    """A proxy in front of a target."""
    host, _, port = target.rpartition(":")
    listener = socket.create_server(("127.0.0.1", 0))
    proxy = Proxy(weather, port=listener.getsockname()[1])
    ended = threading.Event()
    opened: list[socket.socket] = []

    def accept() -> None:
        while not ended.is_set():
            try:
                client, _ = listener.accept()
            except OSError:
                return
            number, proxy.connections = proxy.connections, proxy.connections + 1
            threading.Thread(target=serve, args=(client, number), daemon=True).start()

    def serve(client: socket.socket, number: int) -> None:
        if number < len(weather.hold_seconds):
            time.sleep(weather.hold_seconds[number])
        with suppress(OSError):
            server = socket.create_connection((host, int(port)))
            opened.extend((client, server))
            upward = threading.Thread(target=pump, args=(client, server, True), daemon=True)
            upward.start()
            pump(server, client, False)

    def pump(source: socket.socket, sink: socket.socket, is_up: bool) -> None:
        passed, limit = 0, weather.cut_up_after if is_up else weather.cut_down_after
        stall = None if is_up else weather.stall_down_after
        with suppress(OSError):
            while block := source.recv(BLOCK_BYTES):
                if limit is not None and passed + len(block) > limit and proxy._may_cut():
                    break
                if stall is not None and passed + len(block) > stall and proxy._may_stall():
                    ended.wait()
                    break
                sink.sendall(block)
                passed += len(block)
                with proxy._lock:
                    if is_up:
                        proxy.up_bytes += len(block)
                    else:
                        proxy.down_bytes += len(block)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield proxy
    finally:
        ended.set()
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for each in opened:
            each.close()

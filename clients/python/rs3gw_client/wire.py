"""
How a client reaches a server: with threads, or on an event loop.  Everything else of it is written once, over this.

What is written once is written as coroutines.  With threads they are run by ``run``, which never suspends: everything
that they wait for has happened when it returns.  So nothing of a transfer, a retry or a page exists twice.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

import bucket_pb2
import grpc
import multipart_pb2
import object_pb2
from google.protobuf.message_factory import GetMessageClass
from rs3gw_auth import Credentials

from rs3gw_client.errors import TimedOut, understood

MOST_UPLOADS: Final = 32
"""How many uploads are under way at once on a loop; further ones wait."""

T = TypeVar("T")
Work = Callable[[], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class Method:
    """A method of the contract."""

    name: str
    path: str
    request: Any
    response: Any

    def on(self, kind: Callable[..., Any]) -> Any:
        """What calls it: ``kind`` is a channel's unary_unary, unary_stream or stream_unary."""
        return kind(self.path, self.request.SerializeToString, self.response.FromString)


def _methods() -> dict[str, Method]:
    found = {}
    for file in (bucket_pb2.DESCRIPTOR, object_pb2.DESCRIPTOR, multipart_pb2.DESCRIPTOR):
        for service in file.services_by_name.values():
            for method in service.methods:
                request, response = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
                found[method.name] = Method(method.name, f"/{service.full_name}/{method.name}", request, response)
    return found


METHODS = _methods()


class Wire(Protocol):
    """
    A channel and what it takes to use it.  Every method raises the errors of rs3gw_client.errors.

    A stream has no deadline but that something moves: ``stall_seconds`` is how long nothing may.
    """

    async def ask(self, method: Method, request: Any, *, seconds: float) -> Any:
        """One message for one message."""

    def read(self, method: Method, request: Any, *, stall_seconds: float) -> AsyncGenerator[Any, None]:
        """Many messages for one."""

    async def send(self, method: Method, messages: AsyncGenerator[Any, None], *, stall_seconds: float) -> Any:
        """One message for many."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""

    async def block(self, act: Callable[[], T]) -> T:
        """Do what a disk, or a digest of many bytes, may be slow at."""

    async def each(self, works: AsyncGenerator[Work, None], *, limit: int) -> None:
        """Do all of them, so many at once, each begun when there is room; the first failure ends it."""

    async def close(self) -> None:
        """Let go of the channel."""


# With threads --------------------------------------------------------------------------------------------------


def run(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine over a wire with threads."""
    try:
        work.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    work.close()
    raise RuntimeError("a coroutine over a wire with threads waited for a loop")


def walk(items: AsyncGenerator[T, None]) -> Iterator[T]:
    """What an asynchronous generator over a wire with threads yields."""
    try:
        while True:
            try:
                item = run(items.__anext__())
            except StopAsyncIteration:
                return
            yield item
    finally:
        run(items.aclose())


class Threads:
    """
    A wire over a channel of grpc.

    A channel on which nothing moved is left to those who still use it, and the next call has a new one: what stands
    between may have forgotten the connection, and gRPC would go on with it for minutes.
    """

    def __init__(
        self,
        open_channel: Callable[[], grpc.Channel],
        credentials: Credentials | None,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._open, self._credentials, self._sleep = open_channel, credentials, sleep
        self._channel = open_channel()
        self._opening = threading.Lock()
        self._watch = Watch()

    def _leave(self, channel: grpc.Channel) -> None:
        with self._opening:
            if self._channel is channel:
                self._channel = self._open()

    def _metadata(self, method: Method) -> Any:
        return () if self._credentials is None else self._credentials.metadata(method.path)

    async def ask(self, method: Method, request: Any, *, seconds: float) -> Any:
        channel = self._channel
        call = method.on(channel.unary_unary)
        try:
            return call(request, timeout=seconds, metadata=self._metadata(method))
        except grpc.RpcError as fault:
            error = understood(fault)
            if isinstance(error, TimedOut):
                self._leave(channel)
            raise error from fault

    async def read(self, method: Method, request: Any, *, stall_seconds: float) -> AsyncGenerator[Any, None]:
        channel = self._channel
        call = method.on(channel.unary_stream)(request, metadata=self._metadata(method))
        with self._watch.over(call.cancel, stall_seconds) as watched:
            try:
                for message in call:
                    watched.moved()
                    yield message
            except grpc.RpcError as fault:
                if watched.is_late:
                    self._leave(channel)
                raise watched.understood(fault) from fault
            finally:
                call.cancel()

    async def send(
        self,
        method: Method,
        messages: AsyncGenerator[Any, None],
        *,
        stall_seconds: float,
        begun: list[Any] | None = None,
    ) -> Any:
        channel = self._channel
        failed: list[Exception] = []
        started = threading.Event()

        def moving() -> Iterator[Any]:
            started.wait()
            try:
                for message in walk(messages):
                    watched.moved()
                    yield message
            except Exception as fault:
                # grpc would log it and say UNKNOWN: the caller is to hear what its own source raised.
                failed.append(fault)
                call.cancel()

        call = method.on(channel.stream_unary).future(moving(), metadata=self._metadata(method))
        if begun is not None:
            begun.append(call)
        with self._watch.over(call.cancel, stall_seconds) as watched:
            started.set()
            try:
                return call.result()
            except (grpc.RpcError, grpc.FutureCancelledError) as fault:
                if failed:
                    raise failed[0] from None
                if watched.is_late:
                    self._leave(channel)
                raise watched.understood(fault) from fault
            finally:
                call.cancel()

    async def sleep(self, seconds: float) -> None:
        self._sleep(seconds)

    async def block(self, act: Callable[[], T]) -> T:
        return act()

    async def each(self, works: AsyncGenerator[Work, None], *, limit: int) -> None:
        with ThreadPoolExecutor(limit) as pool:
            under_way: set[Future[None]] = set()
            for work in walk(works):
                if len(under_way) >= limit:
                    done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                    for each in done:
                        each.result()
                under_way.add(pool.submit(_carry, work))
            for each in under_way:
                each.result()

    async def close(self) -> None:
        self._channel.close()


def _carry(work: Work) -> None:
    run(work())


class Watched:
    """A stream that is watched."""

    def __init__(self, cancel: Callable[[], Any], seconds: float) -> None:
        self.cancel, self.seconds = cancel, seconds
        self.is_late = False
        self.moved()

    def moved(self) -> None:
        self.deadline = time.monotonic() + self.seconds

    def understood(self, fault: Exception) -> Exception:
        return TimedOut(f"nothing moved for {self.seconds:g} s") if self.is_late else understood(fault)


class Watch:
    """Cancels streams on which nothing moves; one thread for all of them, which ends when there are none."""

    LOOK_SECONDS = 0.05

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watched: set[Watched] = set()
        self._is_looking = False

    @contextmanager
    def over(self, cancel: Callable[[], Any], seconds: float) -> Iterator[Watched]:
        watched = Watched(cancel, seconds)
        with self._lock:
            self._watched.add(watched)
            if not self._is_looking:
                self._is_looking = True
                threading.Thread(target=self._look, name="rs3gw-watch", daemon=True).start()
        try:
            yield watched
        finally:
            with self._lock:
                self._watched.discard(watched)

    def _look(self) -> None:
        while True:
            time.sleep(self.LOOK_SECONDS)
            with self._lock:
                if not self._watched:
                    self._is_looking = False
                    return
                late = [each for each in self._watched if time.monotonic() > each.deadline]
            for each in late:
                each.is_late = True
                each.cancel()


# On a loop -----------------------------------------------------------------------------------------------------


class Loop:
    """
    A wire over a channel of grpc.aio, which is left where nothing moved on it, as that of Threads.

    Uploads go through threads all the same: where a refusal overtakes a message that is being sent, grpc.aio forgets
    the refusal and says "Internal error from Core", which was half of all refused uploads here.
    https://github.com/grpc/grpc/issues/36066
    """

    def __init__(
        self, open_channel: Callable[[], grpc.aio.Channel], uploads: Threads, credentials: Credentials | None
    ) -> None:
        self._open, self._uploads, self._credentials = open_channel, uploads, credentials
        self._channel = open_channel()
        self._left: list[grpc.aio.Channel] = []
        self._pool = ThreadPoolExecutor(MOST_UPLOADS, thread_name_prefix="rs3gw-upload")

    def _leave(self, channel: grpc.aio.Channel) -> None:
        if self._channel is channel:
            self._left.append(channel)
            self._channel = self._open()

    def _metadata(self, method: Method) -> Any:
        return () if self._credentials is None else self._credentials.metadata(method.path)

    async def ask(self, method: Method, request: Any, *, seconds: float) -> Any:
        channel = self._channel
        call = method.on(channel.unary_unary)
        try:
            return await call(request, timeout=seconds, metadata=self._metadata(method))
        except grpc.RpcError as fault:
            error = understood(fault)
            if isinstance(error, TimedOut):
                self._leave(channel)
            raise error from fault

    async def read(self, method: Method, request: Any, *, stall_seconds: float) -> AsyncGenerator[Any, None]:
        channel = self._channel
        call = method.on(channel.unary_stream)(request, metadata=self._metadata(method))
        stall = _Stall(call, stall_seconds)
        try:
            while True:
                stall.begin()
                message = await call.read()
                stall.end()
                if message is grpc.aio.EOF:  # type: ignore[attr-defined]  # its stubs forgot it
                    return
                yield message
        except asyncio.CancelledError as fault:
            if not stall.is_over:
                raise
            self._leave(channel)
            raise TimedOut(f"nothing moved for {stall_seconds:g} s") from fault
        except grpc.RpcError as fault:
            raise understood(fault) from fault
        finally:
            stall.close()
            call.cancel()

    async def send(self, method: Method, messages: AsyncGenerator[Any, None], *, stall_seconds: float) -> Any:
        begun: list[Any] = []
        sending = self._uploads.send(method, messages, stall_seconds=stall_seconds, begun=begun)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, run, sending)
        except asyncio.CancelledError:
            for call in begun:
                call.cancel()
            raise

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def block(self, act: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(None, act)

    async def each(self, works: AsyncGenerator[Work, None], *, limit: int) -> None:
        under_way: set[asyncio.Future[None]] = set()
        try:
            async for work in works:
                if len(under_way) >= limit:
                    done, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
                    for each in done:
                        each.result()
                under_way.add(asyncio.ensure_future(work()))
            while under_way:
                done, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
                for each in done:
                    each.result()
        finally:
            for each in under_way:
                each.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)

    async def close(self) -> None:
        for channel in (*self._left, self._channel):
            await channel.close(None)
        await self._uploads.close()
        self._pool.shutdown(wait=False)


class _Stall:
    """
    Cancels a call on which nothing moves while somebody waits for it to.

    There is one timer for all of a stream: a deadline around each message took as long as all else that is done for it.
    """

    __slots__ = ("_call", "_loop", "_seconds", "_since", "_timer", "is_over")

    def __init__(self, call: Any, seconds: float) -> None:
        self._call, self._seconds = call, seconds
        self._loop = asyncio.get_running_loop()
        self._since: float | None = None
        self._timer = self._loop.call_later(seconds, self._look)
        self.is_over = False
        """Whether it is this that cancelled the call."""

    def begin(self) -> None:
        """Somebody waits from now on."""
        self._since = self._loop.time()

    def end(self) -> None:
        """Something moved, and nobody waits."""
        self._since = None

    def close(self) -> None:
        self._timer.cancel()

    def _look(self) -> None:
        rest = self._seconds if self._since is None else self._since + self._seconds - self._loop.time()
        if rest <= 0:
            self.is_over = True
            self._call.cancel()
        else:
            self._timer = self._loop.call_later(rest, self._look)

"""
A gateway for a test: real listeners on ports of its own, in this process, up in milliseconds and gone without a trace.

It is the server, on a loop in a thread, without a command line: what a client meets is what it meets in production,
signatures and all.  What is stored is in memory, or under a directory where one is given.  All gateways of a process
share the thread, and nothing else.

    with rs3gw.testing.gateway() as s3:
        s3.boto3_client().create_bucket(Bucket="mine")
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

import uvloop

from rs3gw.auth.credentials import Authority, Credential, token_of
from rs3gw.engine.memory import Memory
from rs3gw.engine.store import Durability, Store
from rs3gw.engine.world import SystemClock, SystemEntropy
from rs3gw.gateway import Gateway
from rs3gw.rest.asgi import Application
from rs3gw.rest.listener import Bounds, Listener

if TYPE_CHECKING:
    import grpc

    from rs3gw.rpc.server import Server

ACCESS_KEY, SECRET_KEY, REGION = "rs3gwtesting", "rs3gw-testing-secret", "us-east-1"
"""What opens a gateway unless something else is said.  It listens on loopback alone."""

START_SECONDS: Final = 10.0
STOP_SECONDS: Final = 0.2
"""How long requests that are under way at its end may take: a test that ends has no use for them."""

BOUNDS: Final = Bounds(
    connections=1024, headers=200, header_bytes=32 * 1024, header_seconds=20, keep_alive_seconds=75, idle_seconds=60
)

T = TypeVar("T")


@cache
def _loop() -> asyncio.AbstractEventLoop:
    """The loop of all gateways of this process, in a thread that ends with it."""
    loop = uvloop.new_event_loop()
    threading.Thread(target=loop.run_forever, name="rs3gw-testing", daemon=True).start()
    return loop


def _do(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run_coroutine_threadsafe(work, _loop()).result(START_SECONDS)


class LocalGateway:
    """
    A gateway that listens.  Made by ``gateway``, or by hand and closed by hand.

    ``root`` is where it stores; in memory if there is none.  gRPC begins to listen when its address is asked for.
    """

    def __init__(
        self,
        *,
        root: Path | str | None = None,
        access_key: str = ACCESS_KEY,
        secret_key: str = SECRET_KEY,
        region: str = REGION,
    ) -> None:
        self.access_key, self.secret_key, self.region = access_key, secret_key, region
        self._credential = Credential(access_key=access_key, secret_key=secret_key, name="owner")
        self._rpc: Server | None = None
        self._is_closed = False
        self.port = _do(self._start(None if root is None else Path(root)))

    async def _start(self, root: Path | None) -> int:
        clock, entropy = SystemClock(), SystemEntropy()
        self._store = (
            None if root is None else Store.open(root, clock=clock, entropy=entropy, durability=Durability.RELAXED)
        )
        engine = Memory(clock=clock) if self._store is None else self._store
        authority = Authority([self._credential], region=self.region, clock=clock)
        self._gateway = Gateway(engine, authority, clock=clock, entropy=entropy, region=self.region)
        self._listener = Listener(Application(self._gateway, domains=("localhost",)), BOUNDS)
        listening = socket.create_server(("127.0.0.1", 0))
        await self._listener.start(listening)
        port: int = listening.getsockname()[1]
        return port

    # Where it is, and how to get in

    @property
    def url(self) -> str:
        """Its address on REST, for an S3 client's ``endpoint_url``."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def grpc_target(self) -> str:
        """Its address on gRPC, which listens from now on."""
        if self._rpc is None:
            self._rpc = _do(self._start_rpc())
        return f"127.0.0.1:{self._rpc.port}"

    async def _start_rpc(self) -> Server:
        from rs3gw.rpc.server import Server

        server = Server(self._gateway)
        await server.start(socket.create_server(("127.0.0.1", 0)))
        return server

    def environment(self) -> dict[str, str]:
        """What a program reads from its environment to find this gateway: those for AWS, and the gRPC client's."""
        return {
            "AWS_ENDPOINT_URL_S3": self.url,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_REGION": self.region,
            "AWS_EC2_METADATA_DISABLED": "true",
            "RS3GW_CLIENT_TARGET": self.grpc_target,
        }

    # Clients, where they are installed

    def _boto3_options(self) -> dict[str, Any]:
        from botocore.config import Config

        return {
            "endpoint_url": self.url,
            "aws_access_key_id": self.access_key,
            "aws_secret_access_key": self.secret_key,
            "region_name": self.region,
            "config": Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 2}),
        }

    def boto3_client(self, **more: Any) -> Any:
        """A client of boto3, which has to be installed; ``more`` is for it, and wins."""
        import boto3

        return boto3.client("s3", **{**self._boto3_options(), **more})

    def boto3_resource(self, **more: Any) -> Any:
        """The same, as boto3's resource."""
        import boto3

        return boto3.resource("s3", **{**self._boto3_options(), **more})

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What a call over gRPC shows: ``stub.ListBuckets(request, metadata=gateway.metadata)``."""
        return (("authorization", f"Bearer {token_of(self._credential)}"),)

    def grpc_channel(self) -> grpc.Channel:
        """A channel to it; whoever asks for it closes it."""
        import grpc

        return grpc.insecure_channel(self.grpc_target)

    # Its end

    def close(self) -> None:
        """Stop listening, and forget what was in memory; once is enough."""
        if not self._is_closed:
            self._is_closed = True
            _do(self._stop())

    async def _stop(self) -> None:
        await self._listener.stop(STOP_SECONDS)
        if self._rpc is not None:
            await self._rpc.stop(STOP_SECONDS)
        if self._store is not None:
            await self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@contextmanager
def gateway(**options: Any) -> Iterator[LocalGateway]:
    """A gateway for as long as a ``with`` lasts: for unittest, notebooks and scripts; options are LocalGateway's."""
    with LocalGateway(**options) as started:
        yield started

"""
A gRPC server on a port of its own over the engine in memory, and the published stubs to ask it with.
"""

from __future__ import annotations

import hashlib
import socket
import sys
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from rs3gw.auth.credentials import Authority, Credential, token_of
from rs3gw.engine.memory import Memory
from rs3gw.engine.world import SystemClock, SystemEntropy
from rs3gw.gateway import Gateway
from rs3gw.rpc.http2 import Bounds
from rs3gw.rpc.server import Server

sys.path.insert(0, str(Path(__file__).parents[2] / "clients" / "python"))

import s3_pb2
from s3_pb2_grpc import BucketServiceStub, MultipartServiceStub, ObjectServiceStub

OWNER = Credential(access_key="AKOWNER", secret_key="owner-secret", name="owner")
BEARER = (("authorization", f"Bearer {token_of(OWNER)}"),)


def gateway() -> Gateway:
    clock, entropy = SystemClock(), SystemEntropy()
    authority = Authority([OWNER], region="us-east-1", clock=clock)
    return Gateway(Memory(clock=clock), authority, clock=clock, entropy=entropy, region="us-east-1")


def listening() -> socket.socket:
    """A socket on a free port."""
    return socket.create_server(("127.0.0.1", 0))


def etag(data: bytes) -> str:
    """The ETag of an object that was put whole."""
    return f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'


def info_of(error: grpc.aio.AioRpcError) -> error_details_pb2.ErrorInfo:
    """The ErrorInfo in the details of a refusal."""
    trailing = dict(error.trailing_metadata() or ())
    status = status_pb2.Status.FromString(trailing["grpc-status-details-bin"])
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    return info


class Asking:
    """Stubs on a channel, with the owner's token."""

    def __init__(self, server: Server, channel: grpc.aio.Channel) -> None:
        self.server = server
        self.channel = channel
        self.buckets = BucketServiceStub(channel)
        self.objects = ObjectServiceStub(channel)
        self.uploads = MultipartServiceStub(channel)

    async def put(self, *messages: Any) -> Any:
        return await self.objects.PutObject(iter(messages), metadata=BEARER)

    async def put_object(self, key: str, data: bytes = b"", **fields: Any) -> Any:
        return await self.put(s3_pb2.PutObjectRequest(bucket="bucket", key=key, data=data, **fields))

    async def get(self, key: str, **fields: Any) -> list[Any]:
        asked = s3_pb2.GetObjectRequest(bucket="bucket", key=key, **fields)
        return [message async for message in self.objects.GetObject(asked, metadata=BEARER)]

    async def keys(self) -> list[str]:
        page = await self.objects.ListObjects(s3_pb2.ListObjectsRequest(bucket="bucket"), metadata=BEARER)
        return [entry.key for entry in page.contents]

    async def raw(self, path: str, wire: bytes, metadata: Iterable[tuple[str, str]] = BEARER) -> bytes:
        """Call a method with bytes instead of a message."""
        answer: bytes = await self.channel.unary_unary(path)(wire, metadata=tuple(metadata))
        return answer


@pytest.fixture
async def ask() -> AsyncIterator[Asking]:
    """A server that holds one empty bucket, named ``bucket``, and answers in chunks of 1 KiB."""
    server = Server(gateway(), bounds=Bounds(idle_seconds=0.3), chunk_bytes=1024, max_message_bytes=256 * 1024)
    await server.start(listening())
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        asking = Asking(server, channel)
        await asking.buckets.CreateBucket(s3_pb2.CreateBucketRequest(bucket="bucket"), metadata=BEARER)
        yield asking
    await server.stop(0)

"""
The servicers without a socket: a small synchronous face for grpc_testing, onto the coroutines of the real server.

grpc_testing calls servicers from threads of its own, awaits nothing and runs no interceptors.  Here each call runs
on the gateway's loop while its thread waits, so what is tested in process is what serves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message as Proto

from rs3gw.errors import S3Error
from rs3gw.gateway import Gateway
from rs3gw.operations.body import Buffer
from rs3gw.rpc import faults
from rs3gw.rpc.servicers import RPCS, SERVICES, Rpc, Servicer

CODES = {code.value[0]: code for code in grpc.StatusCode}


class Refused(Exception):
    """A call ended with a status."""

    def __init__(self, fault: S3Error) -> None:
        super().__init__(fault.code)
        self.fault = fault


class SyncCall:
    """A call of grpc_testing as the servicers see it."""

    def __init__(self, context: Any, asked: Iterator[Proto]) -> None:
        self._context = context
        self._asked = asked
        self.written: list[bytes] = []

    def metadata(self) -> Sequence[tuple[str, str | bytes]]:
        return tuple(self._context.invocation_metadata() or ())

    def peer(self) -> str:
        return "ipv4:127.0.0.1:1"

    async def begin(self, metadata: Sequence[tuple[str, str]]) -> None:
        if not self._context.is_active():
            raise asyncio.CancelledError
        self._context.send_initial_metadata(tuple(metadata))

    async def read(self) -> bytes | None:
        # In a thread, because the next one may be long in coming.
        try:
            message: Any = await asyncio.to_thread(next, self._asked, None)
        except grpc.RpcError:
            # What grpc_testing raises where the client cancelled; the real server cancels the coroutine.
            raise asyncio.CancelledError from None
        return None if message is None else message.SerializeToString()

    async def write(self, head: bytes, data: Buffer = b"") -> None:
        self.written.append(head + data)

    async def refuse(self, fault: S3Error) -> NoReturn:
        raise Refused(fault)


def servicers(
    gateway: Gateway, loop: asyncio.AbstractEventLoop, *, chunk_bytes: int = 64 * 1024
) -> Mapping[ServiceDescriptor, object]:
    """
    Service descriptor → servicer with synchronous methods, as ``grpc_testing.server_from_dictionary`` takes them.

    ``loop`` is the gateway's, and runs in another thread.
    """
    servicer = Servicer(gateway=gateway, chunk_bytes=chunk_bytes)
    return {
        service: type(
            service.name,
            (),
            {method.name: staticmethod(_method(servicer, RPCS[method.name], loop)) for method in service.methods},
        )()
        for service in SERVICES
    }


def _method(servicer: Servicer, rpc: Rpc, loop: asyncio.AbstractEventLoop) -> Callable[[Any, Any], Any]:
    def run(coroutine: Any, context: Any) -> Any:
        try:
            return asyncio.run_coroutine_threadsafe(coroutine, loop).result()
        except Refused as refused:
            fault = refused.fault
            context.set_trailing_metadata(faults.trailing(fault))
            context.set_code(CODES[fault.grpc])
            context.set_details(faults.sentence(fault))
            return None

    def answers(serve: Any, requests: Iterator[Proto], context: Any) -> list[Any]:
        call = SyncCall(context, requests)
        run(serve(rpc, call), context)
        return [rpc.response.FromString(wire) for wire in call.written]

    def one(found: list[Any]) -> Any:
        return found[0] if found else rpc.response()

    if rpc.descriptor.client_streaming:
        return lambda requests, context: one(answers(servicer.upload, requests, context))
    if rpc.descriptor.server_streaming:
        return lambda request, context: iter(answers(servicer.download, iter((request,)), context))
    return lambda request, context: one(answers(servicer.unary, iter((request,)), context))

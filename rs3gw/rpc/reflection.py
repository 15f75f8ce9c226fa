"""
grpc.reflection: what grpcurl and its like ask of a server that they have no protos of.

grpc's own servicer answers, a question at a time; it is loaded with the first one, because a start need not wait for
what few ever ask.  Its two versions say the same in the same bytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

from rs3gw.errors import InvalidRequest
from rs3gw.rpc.calls import Call

SERVICES = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")


class Reflection:
    """The protos of services, by their full names."""

    def __init__(self, services: Collection[str]) -> None:
        self._names = (*services, *SERVICES)
        self._servicer: Any = None
        self.methods = {f"/{service}/ServerReflectionInfo": self.info for service in SERVICES}

    async def info(self, call: Call) -> None:
        """An answer for each question."""
        if self._servicer is None:
            self._servicer = await asyncio.to_thread(self._load)
        from google.protobuf.message import DecodeError
        from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest

        while (wire := await call.read()) is not None:
            try:
                asked = ServerReflectionRequest.FromString(bytes(wire))
            except DecodeError as fault:
                raise InvalidRequest(message="The bytes of the request are no ServerReflectionRequest.") from fault
            answer = next(self._servicer.ServerReflectionInfo(iter((asked,)), None))
            await call.write(answer.SerializeToString())

    def _load(self) -> Any:
        from grpc_reflection.v1alpha import reflection

        return reflection.ReflectionServicer(self._names)

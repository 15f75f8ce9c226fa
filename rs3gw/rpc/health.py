"""
grpc.health.v1: what balancers and probes ask, and watch.

Everything is served until the server leaves, and then nothing is: that is one event, and each watcher waits for it
alone, so that one who takes nothing keeps the news from nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from rs3gw.errors import NOT_FOUND, UNAVAILABLE, InvalidRequest
from rs3gw.rpc import codec
from rs3gw.rpc.calls import Call, Ended

SERVICE: str = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name


class Health:
    """The health of services, all of them together: ``""`` is the server as a whole."""

    def __init__(self, services: Collection[str]) -> None:
        self._services = frozenset(("", *services))
        self._leaving, self._ended = asyncio.Event(), asyncio.Event()
        self.methods = {f"/{SERVICE}/Check": self.check, f"/{SERVICE}/Watch": self.watch}

    def leave(self) -> None:
        """Nothing is served any more, for who asks and for who watches."""
        self._leaving.set()

    def end(self) -> None:
        """Nobody watches any more: a watch has no end of its own, and a stop would wait for it."""
        self._leaving.set()
        self._ended.set()

    async def check(self, call: Call) -> None:
        service = await _asked(call)
        if service not in self._services:
            raise Ended(NOT_FOUND, f"There is no service {service!r} here.")
        await self._tell(call, service)

    async def watch(self, call: Call) -> None:
        """The status, and the other one when it changes; that of a service that is not here never does."""
        service = await _asked(call)
        told = await self._tell(call, service)
        if told == HealthCheckResponse.SERVING:
            await self._leaving.wait()
            await self._tell(call, service)
        await self._ended.wait()
        raise Ended(UNAVAILABLE, "The server stops.")

    async def _tell(self, call: Call, service: str) -> int:
        status: int = HealthCheckResponse.SERVICE_UNKNOWN
        if service in self._services:
            status = HealthCheckResponse.NOT_SERVING if self._leaving.is_set() else HealthCheckResponse.SERVING
        await call.write(HealthCheckResponse(status=status).SerializeToString())
        return status


async def _asked(call: Call) -> str:
    wire = await call.read()
    if wire is None:
        raise InvalidRequest(message="A call has a message: the one that says what is asked for.")
    service: str = codec.parse(HealthCheckRequest, wire).service  # type: ignore[attr-defined]
    return service

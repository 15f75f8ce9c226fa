"""
grpc.health.v1: what balancers and probes ask, and watch.

Everything is served until the server leaves, and then nothing is: that is one event, and each watcher waits for it
alone.  grpc's own servicer for asyncio holds a lock while it tells a watcher, so that one who takes nothing keeps the
news from all others, and from the server that wants to stop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection

import grpc
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

Context = grpc.aio.ServicerContext[HealthCheckRequest, HealthCheckResponse]


class Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # what protoc wrote has no types
    """The health of services, all of them together: ``""`` is the server as a whole."""

    def __init__(self, services: Collection[str]) -> None:
        self._services = frozenset(("", *services))
        self._leaving, self._ended = asyncio.Event(), asyncio.Event()

    def leave(self) -> None:
        """Nothing is served any more, for who asks and for who watches."""
        self._leaving.set()

    def end(self) -> None:
        """Nobody watches any more: a watch has no end of its own, and a stop would wait for it."""
        self._leaving.set()
        self._ended.set()

    async def Check(self, request: HealthCheckRequest, context: Context) -> HealthCheckResponse:
        if request.service not in self._services:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"There is no service {request.service!r} here.")
        return self._told(request)

    async def Watch(self, request: HealthCheckRequest, context: Context) -> None:
        """The status, and the other one when it changes; that of a service that is not here never does."""
        told = self._told(request)
        await context.write(told)
        if told.status == HealthCheckResponse.SERVING:
            await self._leaving.wait()
            await context.write(self._told(request))
        await self._ended.wait()
        await context.abort(grpc.StatusCode.UNAVAILABLE, "The server stops.")

    def _told(self, request: HealthCheckRequest) -> HealthCheckResponse:
        if request.service not in self._services:
            return HealthCheckResponse(status=HealthCheckResponse.SERVICE_UNKNOWN)
        return HealthCheckResponse(
            status=HealthCheckResponse.NOT_SERVING if self._leaving.is_set() else HealthCheckResponse.SERVING
        )

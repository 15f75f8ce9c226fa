"""
Credentials for the calls of a channel: a bearer token, or SigV4 in the metadata.

It needs grpc and the standard library alone, and may be copied into any project.  A token is as good as the secret
that made it until the secret changes: send it over TLS.  A signature is good for one method and fifteen minutes.

    from rs3gw_auth import Bearer, SigV4, intercepted, interceptors

    channel = intercepted(grpc.insecure_channel("localhost:50051"), Bearer(access_key, secret_key))
    channel = grpc.aio.insecure_channel("localhost:50051", interceptors=interceptors(SigV4(access_key, secret_key)))
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Protocol

import grpc

Metadata = tuple[tuple[str, str], ...]


class Credentials(Protocol):
    """What gives the metadata that proves who calls a method: ``/s3.ObjectService/PutObject``."""

    def metadata(self, path: str) -> Metadata: ...


@dataclass(frozen=True)
class Bearer:
    """The token of an access key, as ``rs3gw token`` prints it."""

    access_key: str
    secret_key: str = field(repr=False)

    def metadata(self, path: str) -> Metadata:
        digest = hmac.new(self.secret_key.encode(), b"rs3gw bearer token v1", "sha256").hexdigest()
        return (("authorization", f"Bearer {self.access_key}.{digest}"),)


@dataclass(frozen=True)
class SigV4:
    """
    A signature of each call: of ``POST`` to the method's path, with no query and an UNSIGNED-PAYLOAD.

    The headers that are signed are metadata: x-amz-content-sha256 and x-amz-date.
    """

    access_key: str
    secret_key: str = field(repr=False)
    region: str = "us-east-1"

    def metadata(self, path: str) -> Metadata:
        moment = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%SZ")  # noqa: UP017 - clients may be older
        scope = f"{moment[:8]}/{self.region}/s3/aws4_request"
        names = "x-amz-content-sha256;x-amz-date"
        request = (
            f"POST\n{path}\n\nx-amz-content-sha256:UNSIGNED-PAYLOAD\nx-amz-date:{moment}\n\n{names}\nUNSIGNED-PAYLOAD"
        )
        signed = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
        key = b"AWS4" + self.secret_key.encode()
        for piece in (*scope.split("/"), signed):
            key = hmac.new(key, piece.encode(), "sha256").digest()
        authorization = f"Credential={self.access_key}/{scope}, SignedHeaders={names}, Signature={key.hex()}"
        return (
            ("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
            ("x-amz-date", moment),
            ("authorization", f"AWS4-HMAC-SHA256 {authorization}"),
        )


def intercepted(channel: grpc.Channel, credentials: Credentials) -> grpc.Channel:
    """A channel whose calls all carry the credentials."""
    return grpc.intercept_channel(channel, _Sync(credentials))


def interceptors(credentials: Credentials) -> Sequence[grpc.aio.ClientInterceptor]:
    """What to give to ``grpc.aio.insecure_channel`` or ``secure_channel`` for the same."""
    # grpc.aio takes an interceptor for the first kind of call that it fits, hence one for each kind.
    return (_UnaryUnary(credentials), _UnaryStream(credentials), _StreamUnary(credentials))


class _Sync(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor, grpc.StreamUnaryClientInterceptor):
    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    def _call(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        shown = self._credentials.metadata(details.method)
        return continuation(_Details(details, (*(details.metadata or ()), *shown)), request)

    intercept_unary_unary = _call
    intercept_unary_stream = _call
    intercept_stream_unary = _call


class _Details(grpc.ClientCallDetails):
    """The details of a call with other metadata."""

    def __init__(self, details: Any, metadata: Metadata) -> None:
        self.method = details.method
        self.timeout = details.timeout
        self.metadata = metadata
        self.credentials = details.credentials
        self.wait_for_ready = getattr(details, "wait_for_ready", None)
        self.compression = getattr(details, "compression", None)


class _Async:
    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    async def _call(self, continuation: Callable[..., Awaitable[Any]], details: Any, request: Any) -> Any:
        method = details.method
        shown = self._credentials.metadata(method if isinstance(method, str) else method.decode())
        metadata = grpc.aio.Metadata(*(details.metadata or ()), *shown)
        return await continuation(details._replace(metadata=metadata), request)


class _UnaryUnary(_Async, grpc.aio.UnaryUnaryClientInterceptor):
    intercept_unary_unary = _Async._call


class _UnaryStream(_Async, grpc.aio.UnaryStreamClientInterceptor):
    intercept_unary_stream = _Async._call


class _StreamUnary(_Async, grpc.aio.StreamUnaryClientInterceptor):
    intercept_stream_unary = _Async._call

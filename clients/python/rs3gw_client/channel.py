"""
A channel as a client wants it: where to, over TLS or not, spread over addresses, with health asked for.

The service config asks calls of one message again where they broke before an answer began (UNAVAILABLE), which gRPC
does by itself; streams are the client's.  https://github.com/grpc/grpc/blob/master/doc/service_config.md
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
from rs3gw_auth import Bearer, Credentials, SigV4

from rs3gw_client.core import SAFE
from rs3gw_client.wire import METHODS

TARGET: Final = "localhost:50051"
MOST_MESSAGE_BYTES: Final = 64 * 1024**2
"""The largest message that is taken: a server's own limit, unless that was changed."""

ENVIRONMENT: Final = {
    "target": "RS3GW_CLIENT_TARGET",
    "ca": "RS3GW_CLIENT_TLS_CA",
    "cert": "RS3GW_CLIENT_TLS_CERT",
    "key": "RS3GW_CLIENT_TLS_KEY",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TLS:
    """
    Files in PEM: who signed the server's certificate (the system's authorities where none is named), and the client's
    own certificate and key where the server asks for one.
    """

    ca: Path | str | None = None
    cert: Path | str | None = None
    key: Path | str | None = None

    def credentials(self) -> grpc.ChannelCredentials:
        ca, cert, key = (None if path is None else Path(path).read_bytes() for path in (self.ca, self.cert, self.key))
        return grpc.ssl_channel_credentials(root_certificates=ca, private_key=key, certificate_chain=cert)


def service_config(*, checks_health: bool) -> str:
    """What gRPC does by itself on this channel."""
    safe = [dict(zip(("service", "method"), METHODS[name].path[1:].split("/"), strict=True)) for name in sorted(SAFE)]
    retry = {
        "maxAttempts": 5,
        "initialBackoff": "0.2s",
        "maxBackoff": "2s",
        "backoffMultiplier": 2,
        # A server that is stopping cancels what arrives as it begins to.
        "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
    }
    config: dict[str, Any] = {
        "methodConfig": [{"name": safe, "retryPolicy": retry}],
        "loadBalancingConfig": [{"round_robin": {}}],
    }
    if checks_health:
        config["healthCheckConfig"] = {"serviceName": "s3.ObjectService"}
    return json.dumps(config)


def options(*, checks_health: bool, more: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The options of a channel; ``more`` wins."""
    chosen = {
        "grpc.service_config": service_config(checks_health=checks_health),
        "grpc.max_receive_message_length": MOST_MESSAGE_BYTES,
        "grpc.max_send_message_length": MOST_MESSAGE_BYTES,
        # A new channel is a new connection (rs3gw_client.wire).
        "grpc.use_local_subchannel_pool": 1,
        # A peer that is gone is found out although nothing is sent to it.
        "grpc.keepalive_time_ms": 20_000,
        "grpc.keepalive_timeout_ms": 10_000,
        **more,
    }
    return list(chosen.items())


def open_channel(target: str, tls: TLS | None, *, checks_health: bool, more: Mapping[str, Any]) -> grpc.Channel:
    """A channel for threads."""
    chosen = options(checks_health=checks_health, more=more)
    if tls is None:
        return grpc.insecure_channel(target, chosen)
    return grpc.secure_channel(target, tls.credentials(), chosen)


def open_aio_channel(target: str, tls: TLS | None, *, checks_health: bool, more: Mapping[str, Any]) -> grpc.aio.Channel:
    """A channel for a loop."""
    chosen = options(checks_health=checks_health, more=more)
    if tls is None:
        return grpc.aio.insecure_channel(target, chosen)
    return grpc.aio.secure_channel(target, tls.credentials(), chosen)


def from_environment(given: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """
    The target, the credentials and TLS as the environment names them.

    RS3GW_CLIENT_TARGET; RS3GW_ACCESS_KEY and RS3GW_SECRET_KEY, or else AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY;
    RS3GW_CLIENT_TLS_CA, …_CERT and …_KEY, any of which turns TLS on.  Over TLS the token of the key is sent, and
    without it a signature of each call: whoever listens learns nothing that lasts.
    """
    tls = {name: given[variable] for name, variable in ENVIRONMENT.items() if name != "target" and given.get(variable)}
    credentials: Credentials | None = None
    for access, secret in (("RS3GW_ACCESS_KEY", "RS3GW_SECRET_KEY"), ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")):
        if given.get(access) and given.get(secret):
            region = given.get("RS3GW_REGION") or given.get("AWS_REGION") or "us-east-1"
            credentials = Bearer(given[access], given[secret]) if tls else SigV4(given[access], given[secret], region)
            break
    return {
        "target": given.get(ENVIRONMENT["target"]) or TARGET,
        "credentials": credentials,
        "tls": TLS(**tls) if tls else None,
    }

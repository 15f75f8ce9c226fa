"""
Where a client connects to: over TLS, to several addresses, and not to one that says that it does not serve.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
import trustme
from grpc_health.v1 import health, health_pb2_grpc
from grpc_health.v1.health_pb2 import HealthCheckResponse
from rs3gw_client import AsyncClient, Bearer, Client, Retry, SigV4, Ways, errors
from rs3gw_client.channel import from_environment

from loadtests.gateway import free_port
from proof.gateway import Gateway

from .conftest import BUCKET

CALLS = 20
HASTY = Ways(retry=Retry(attempts=1), call_seconds=5.0)
START_SECONDS = 15.0


# TLS -----------------------------------------------------------------------------------------------------------


def await_start(client: Client) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            client.buckets()
            return
        except errors.Unreachable:
            assert time.monotonic() < deadline, "the gateway did not start"


@pytest.fixture(scope="module")
def over_tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a client whose gateway hears only who has a certificate of an authority."""
    place, authority = tmp_path_factory.mktemp("tls"), trustme.CA()
    for name, issued in {
        "server": authority.issue_cert("127.0.0.1"),
        "client": authority.issue_cert("client@example.com"),
    }.items():
        issued.cert_chain_pems[0].write_to_path(place / f"{name}.pem")
        issued.private_key_pem.write_to_path(place / f"{name}-key.pem")
    authority.cert_pem.write_to_path(place / "authority.pem")
    port = free_port()
    server = {
        "RS3GW_BIND_ADDR": f"127.0.0.1:{free_port()}",
        "RS3GW_GRPC_ENABLED": "true",
        "RS3GW_GRPC_PORT": str(port),
        "RS3GW_STORAGE_ROOT": str(place / "root"),
        "RS3GW_GRPC_TLS_CERT": str(place / "server.pem"),
        "RS3GW_GRPC_TLS_KEY": str(place / "server-key.pem"),
        "RS3GW_GRPC_TLS_CLIENT_CA": str(place / "authority.pem"),
        "RS3GW_ACCESS_KEY": "access-key-of-tests",
        "RS3GW_SECRET_KEY": "secret-key-of-tests",
        "RS3GW_LOG_LEVEL": "warning",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "rs3gw", "serve"], env={"PATH": os.environ["PATH"], **server}, stdout=subprocess.DEVNULL
    )
    environment = {
        "RS3GW_CLIENT_TARGET": f"127.0.0.1:{port}",
        "RS3GW_CLIENT_TLS_CA": str(place / "authority.pem"),
        "RS3GW_CLIENT_TLS_CERT": str(place / "client.pem"),
        "RS3GW_CLIENT_TLS_KEY": str(place / "client-key.pem"),
        "AWS_ACCESS_KEY_ID": server["RS3GW_ACCESS_KEY"],
        "AWS_SECRET_ACCESS_KEY": server["RS3GW_SECRET_KEY"],
    }
    try:
        with Client(**from_environment(environment)) as client:
            await_start(client)
            client.create_bucket(BUCKET)
        yield environment
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(START_SECONDS)


def test_what_the_environment_names_is_shown_to_a_gateway_that_asks_for_a_certificate(
    over_tls: Mapping[str, str],
) -> None:
    async def on_a_loop() -> bytes:
        async with AsyncClient(**from_environment(over_tls)) as client:
            return await client.read(BUCKET, "key")

    with Client(**from_environment(over_tls)) as client:
        client.put(BUCKET, "key", b"over TLS")

    assert asyncio.run(on_a_loop()) == b"over TLS"


@pytest.mark.parametrize("left_out", ["CA", "CERT and KEY", "all of it"])
def test_who_cannot_trust_or_is_not_trusted_is_not_heard(over_tls: Mapping[str, str], left_out: str) -> None:
    names = {"CA": ["CA"], "CERT and KEY": ["CERT", "KEY"], "all of it": ["CA", "CERT", "KEY"]}[left_out]
    environment = {name: value for name, value in over_tls.items() if name.rpartition("_")[2] not in names}

    with Client(**from_environment(environment), ways=HASTY) as client, pytest.raises(errors.Unreachable):
        client.buckets()


def test_a_key_goes_as_a_token_where_nobody_listens_and_as_a_signature_elsewhere(over_tls: Mapping[str, str]) -> None:
    plain = {name: value for name, value in over_tls.items() if "TLS" not in name}

    assert isinstance(from_environment(over_tls)["credentials"], Bearer)
    assert isinstance(from_environment(plain)["credentials"], SigV4)
    assert from_environment({})["credentials"] is None


# Several addresses ---------------------------------------------------------------------------------------------


@contextmanager
def unwell() -> Iterator[str]:
    """The address of a server that answers, says that it does not serve, and has nothing to offer."""
    server = grpc.server(ThreadPoolExecutor(4))
    port = server.add_insecure_port("127.0.0.1:0")
    servicer = health.HealthServicer()
    servicer.set("s3.ObjectService", HealthCheckResponse.NOT_SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(0)


def among(gateway: Gateway, other: str, **options: Any) -> Client:
    credentials = Bearer(gateway.access_key, gateway.secret_key)
    return Client(f"ipv4:{other},{gateway.target}", credentials=credentials, **options)


def failures(client: Client) -> int:
    failed = 0
    for _ in range(CALLS):
        try:
            client.buckets()
        except errors.S3Error as fault:
            if fault.code != "UNIMPLEMENTED":
                raise
            failed += 1
    return failed


def until_both_are_connected(client: Client) -> None:
    """Calls go to the first address alone until there is a connection to the other."""
    deadline = time.monotonic() + HASTY.call_seconds
    while failures(client) in (0, CALLS):
        assert time.monotonic() < deadline, "all calls went to one address"


def test_an_address_that_does_not_serve_is_left_out(gateway: Gateway) -> None:
    with unwell() as other, among(gateway, other, ways=HASTY) as client:
        assert failures(client) == 0


def test_calls_go_to_each_address_in_turn_and_to_all_of_them_where_health_is_not_asked(gateway: Gateway) -> None:
    with unwell() as other, among(gateway, other, ways=HASTY, checks_health=False) as client:
        until_both_are_connected(client)

        assert failures(client) == CALLS // 2


def test_an_address_where_nobody_listens_costs_nothing(gateway: Gateway) -> None:
    with among(gateway, "127.0.0.1:1", ways=HASTY) as client:
        assert failures(client) == 0

"""How a server ends, as an operator and a balancer see it: a real server, real signals, both protocols."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import boto3
import grpc
import pytest
from botocore.config import Config
from grpc_health.v1 import health_pb2, health_pb2_grpc

from proof.gateway import Gateway

sys.path.insert(0, str(Path(__file__).parents[1] / "clients" / "python"))

from rs3gw_auth import Bearer, intercepted
from s3_pb2 import HeadObjectRequest, PutObjectRequest
from s3_pb2_grpc import ObjectServiceStub

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
LAME_DUCK_SECONDS = 1.5
SOON_SECONDS = 10.0


@pytest.fixture(params=[1, 2], ids=["one process", "two workers"])
def gateway(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Gateway]:
    settings = {"RS3GW_WORKERS": str(request.param), "RS3GW_LAME_DUCK_SECONDS": str(LAME_DUCK_SECONDS)}
    with Gateway(tmp_path / "root", settings=settings) as running:
        s3(running).create_bucket(Bucket="bucket")
        s3(running).put_object(Bucket="bucket", Key="key", Body=b"kept")
        yield running


def s3(gateway: Gateway):
    return boto3.client(
        "s3",
        endpoint_url=gateway.url,
        region_name=gateway.region,
        aws_access_key_id=gateway.access_key,
        aws_secret_access_key=gateway.secret_key,
        config=Config(retries={"total_max_attempts": 1}, proxies={}),
    )


def channel(gateway: Gateway) -> grpc.Channel:
    options = [("grpc.enable_http_proxy", 0), ("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1)]
    return intercepted(grpc.insecure_channel(gateway.target, options), Bearer(gateway.access_key, gateway.secret_key))


def ready(gateway: Gateway) -> tuple[int, str | None]:
    """The status of /-/ready, and what it says of its connection."""
    with closing(http.client.HTTPConnection("127.0.0.1", gateway.rest_port, timeout=SOON_SECONDS)) as connection:
        connection.request("GET", "/-/ready")
        answer = connection.getresponse()
        return answer.status, answer.getheader("connection")


def comes_true(claim: Callable[[], bool]) -> bool:
    until = time.monotonic() + SOON_SECONDS
    while not claim():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


def ended(gateway: Gateway) -> int:
    process = gateway._process
    assert process is not None
    return process.wait(SOON_SECONDS)


def test_a_server_says_that_it_leaves_and_serves_on_and_ends_then(gateway):
    with closing(channel(gateway)) as known:
        watch = health_pb2_grpc.HealthStub(known).Watch(health_pb2.HealthCheckRequest(), timeout=SOON_SECONDS)
        before = ready(gateway), next(watch).status
        began = time.monotonic()
        os.kill(gateway.pid, signal.SIGTERM)
        # Every worker has a signal of its own, and hears it when it hears it.
        told = comes_true(lambda: all(ready(gateway)[0] == 503 for _ in range(8)))
        after = ready(gateway), next(watch).status
        read = s3(gateway).get_object(Bucket="bucket", Key="key")["Body"].read()
        s3(gateway).put_object(Bucket="bucket", Key="late", Body=b"stored")
        with closing(channel(gateway)) as new:
            for each in (known, new):
                ObjectServiceStub(each).HeadObject(HeadObjectRequest(bucket="bucket", key="late"), timeout=SOON_SECONDS)
        code = ended(gateway)
        seconds = time.monotonic() - began

    assert before == ((200, None), SERVING)
    assert told
    assert after == ((503, "close"), NOT_SERVING)
    assert read == b"kept"
    assert code == 0
    assert LAME_DUCK_SECONDS <= seconds < SOON_SECONDS


def test_a_second_signal_ends_it_at_once(gateway):
    os.kill(gateway.pid, signal.SIGTERM)
    assert comes_true(lambda: ready(gateway)[0] == 503)
    os.kill(gateway.pid, signal.SIGINT)

    assert ended(gateway) != 0
    assert comes_true(lambda: not listens(gateway))


def listens(gateway: Gateway) -> bool:
    try:
        socket.create_connection(("127.0.0.1", gateway.rest_port), timeout=1).close()
    except OSError:
        return False
    return True


def test_a_terminal_that_tells_all_processes_to_stop_has_told_them_once(gateway):
    """Ctrl-C reaches the supervisor and the workers, and the supervisor tells them once more."""
    proceed = threading.Event()

    def messages() -> Iterator[PutObjectRequest]:
        yield PutObjectRequest(bucket="bucket", key="slow", data=b"a")
        proceed.wait(SOON_SECONDS)
        yield PutObjectRequest(data=b"b")

    with closing(channel(gateway)) as known:
        upload = ObjectServiceStub(known).PutObject.future(messages(), timeout=SOON_SECONDS)
        assert comes_true(lambda: "PutObject" in under_way(gateway))
        os.killpg(gateway.pid, signal.SIGINT)
        time.sleep(0.5)
        proceed.set()
        stored = upload.result(SOON_SECONDS)

    assert stored.etag == '"187ef4436122d1cc2f40dc2b92f0eba0"'
    assert ended(gateway) == 0


def under_way(gateway: Gateway) -> set[str]:
    """The operations that metrics say are under way."""
    with closing(http.client.HTTPConnection("127.0.0.1", gateway.rest_port, timeout=SOON_SECONDS)) as connection:
        connection.request("GET", "/-/metrics")
        lines = connection.getresponse().read().decode().splitlines()
    found = [line for line in lines if line.startswith(("rs3gw_requests_in_flight", "grpc_server_started"))]
    return {"PutObject" for line in found if "PutObject" in line and not line.endswith(" 0.0")}

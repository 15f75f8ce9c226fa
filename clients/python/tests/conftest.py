"""
A gateway in a process of its own, and clients of it in both faces.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from rs3gw_client import Bearer, Client, Retry, Ways

from proof.gateway import Gateway

BUCKET = "bucket"
MIB = 1024**2
QUICK = Ways(retry=Retry(attempts=8, first_seconds=0.01, most_seconds=0.2), part_bytes=5 * MIB, stall_seconds=5.0)
"""Parts as small as S3 has them, and hardly a wait: networks here are bad on purpose."""


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Gateway(tmp_path_factory.mktemp("gateway") / "root") as started:
        with connect(started) as client:
            client.create_bucket(BUCKET)
        yield started


def connect(gateway: Gateway, target: str = "", ways: Ways = QUICK, **options: Any) -> Client:
    """A client of a gateway, through ``target`` where one is named."""
    credentials = Bearer(gateway.access_key, gateway.secret_key)
    return Client(target or gateway.target, credentials=credentials, ways=ways, checks_health=False, **options)


@pytest.fixture
def client(gateway: Gateway) -> Iterator[Client]:
    with connect(gateway) as connected:
        yield connected

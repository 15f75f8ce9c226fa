"""
Fixtures that give a test an S3 of its own: ``rs3gw`` for one test, ``rs3gw_session`` for all of them.

pytest loads this in every run on a machine where rs3gw is installed, so it imports nothing that a test has not asked
for.  With xdist every worker is a process and has its own gateways.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from rs3gw.testing import LocalGateway

STORAGES = ("memory", "disk")


def pytest_addoption(parser: pytest.Parser) -> None:
    """How a run says where its gateways store."""
    meaning = (
        "Where gateways of rs3gw's fixtures store: memory (the default), or disk, under pytest's temporary directory."
    )
    parser.getgroup("rs3gw").addoption("--rs3gw-storage", choices=STORAGES, help=meaning)
    parser.addini("rs3gw_storage", meaning, default="memory")


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known, and refuse a setting that means nothing."""
    config.addinivalue_line("markers", "rs3gw(storage): where the gateway of this test stores, memory or disk")
    if config.getini("rs3gw_storage") not in STORAGES:
        raise pytest.UsageError(f"rs3gw_storage is one of {', '.join(STORAGES)}")


def _started(config: pytest.Config, factory: pytest.TempPathFactory, storage: str | None) -> LocalGateway:
    from rs3gw.testing import LocalGateway

    chosen = storage or config.getoption("--rs3gw-storage") or config.getini("rs3gw_storage")
    if chosen not in STORAGES:
        raise pytest.UsageError(f"the marker rs3gw has storage={chosen!r}: it is one of {', '.join(STORAGES)}")
    return LocalGateway(root=factory.mktemp("rs3gw") / "root" if chosen == "disk" else None)


@pytest.fixture
def rs3gw(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalGateway]:
    """
    A gateway that is empty and belongs to this test alone (rs3gw.testing.LocalGateway).

    ``rs3gw.url``, ``.access_key``, ``.secret_key``, ``.region``, ``.boto3_client()``, ``.grpc_target``,
    ``.grpc_channel()``, ``.environment()``.  ``@pytest.mark.rs3gw(storage="disk")`` puts it on the disk.
    """
    marker = request.node.get_closest_marker("rs3gw")
    storage = None if marker is None else marker.kwargs.get("storage")
    with _started(request.config, tmp_path_factory, storage) as started:
        yield started


@pytest.fixture(scope="session")
def rs3gw_session(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalGateway]:
    """One gateway for all tests of a run (of a worker, with xdist): they share what is stored."""
    with _started(request.config, tmp_path_factory, None) as started:
        yield started

"""A bucket of its own for each test, and how a library is told where it is; scripts/data starts the gateway."""

from __future__ import annotations

import os
import secrets

import fsspec
import pytest


@pytest.fixture(scope="session")
def options():
    """What a library is given as storage_options."""
    return {
        "target": os.environ["RS3GW_TEST_GRPC"],
        "key": os.environ["RS3GW_TEST_ACCESS_KEY"],
        "secret": os.environ["RS3GW_TEST_SECRET_KEY"],
    }


@pytest.fixture
def bucket(options):
    """The ``rs3gw://`` address of a bucket, which goes away with all that is in it."""
    files = fsspec.filesystem("rs3gw", **options)
    name = f"data-{secrets.token_hex(4)}"
    files.mkdir(name)
    yield f"rs3gw://{name}"
    files.rm(name, recursive=True)


@pytest.fixture
def s3fs_options():
    """The same place, by the file system that they have for S3."""
    return {
        "key": os.environ["RS3GW_TEST_ACCESS_KEY"],
        "secret": os.environ["RS3GW_TEST_SECRET_KEY"],
        "endpoint_url": os.environ["RS3GW_TEST_URL"],
        "client_kwargs": {"region_name": os.environ["RS3GW_TEST_REGION"]},
    }

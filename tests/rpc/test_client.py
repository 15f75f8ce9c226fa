"""
What clients/python gives to somebody who has a channel and an access key, against the server that starts.
"""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

import grpc
import pytest
import s3_pb2
from rs3gw_auth import Bearer, SigV4, intercepted, interceptors
from s3_pb2_grpc import BucketServiceStub, ObjectServiceStub

from rs3gw.auth.credentials import token_of

from .conftest import OWNER

README = Path(__file__).parents[2] / "clients" / "python" / "README.md"

KEYS = (OWNER.access_key, OWNER.secret_key)
BOTH = pytest.mark.parametrize("credentials", [Bearer(*KEYS), SigV4(*KEYS)], ids=["token", "signature"])


def messages(data):
    yield s3_pb2.PutObjectRequest(bucket="bucket", key="key")
    yield s3_pb2.PutObjectRequest(data=data)


def test_the_token_is_the_one_that_the_server_makes():
    assert Bearer(*KEYS).metadata("") == (("authorization", f"Bearer {token_of(OWNER)}"),)


@BOTH
async def test_every_kind_of_call_shows_the_credentials(ask, credentials):
    address = f"127.0.0.1:{ask.server.port}"
    async with grpc.aio.insecure_channel(address, interceptors=interceptors(credentials)) as channel:
        await BucketServiceStub(channel).HeadBucket(s3_pb2.HeadBucketRequest(bucket="bucket"))
        objects = ObjectServiceStub(channel)
        await objects.PutObject(messages(b"hello"))
        got = [message.data async for message in objects.GetObject(s3_pb2.GetObjectRequest(bucket="bucket", key="key"))]

    assert got == [b"hello"]


@BOTH
async def test_a_synchronous_channel_shows_them_too(ask, credentials):
    def talk():
        with grpc.insecure_channel(f"127.0.0.1:{ask.server.port}") as plain:
            channel = intercepted(plain, credentials)
            BucketServiceStub(channel).HeadBucket(s3_pb2.HeadBucketRequest(bucket="bucket"))
            objects = ObjectServiceStub(channel)
            objects.PutObject(messages(b"hello"))
            asked = s3_pb2.GetObjectRequest(bucket="bucket", key="key")
            return [message.data for message in objects.GetObject(asked)]

    assert await asyncio.to_thread(talk) == [b"hello"]


@pytest.mark.parametrize("number", range(len(re.findall("```python", README.read_text()))))
async def test_the_examples_do_what_they_say(ask, number):
    """What is pasted out of the README runs as it stands, but for the address and the keys."""
    code = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)[number]
    for published, here in (
        ("localhost:50051", f"127.0.0.1:{ask.server.port}"),
        ("rs3gwdevelopment", OWNER.access_key),
        ("rs3gw-development-secret", OWNER.secret_key),
    ):
        code = code.replace(published, here)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, cwd=README.parent, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    said, failed = await process.communicate()

    assert not process.returncode, failed.decode()
    assert said.decode().strip().splitlines()[-1] == "hello, world"

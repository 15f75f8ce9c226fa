"""
The operator's own code in a real server: the example extensions, installed as anybody installs them, on both protocols.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import grpc
import httpx
import pytest
import s3_pb2
from botocore.exceptions import ClientError
from s3_pb2_grpc import ObjectServiceStub

from loadtests.stubs import Client
from proof.gateway import Gateway
from rs3gw.auth.credentials import Identity
from rs3gw.extensions import MOST_WAITING, Event, Outbox
from rs3gw.operations import OPERATIONS

EXAMPLE = Path(__file__).parents[2] / "examples" / "extensions"
SECONDS = 20.0
POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"AWS": "arn:aws:iam::000000000000:user/reader"},
            "Action": "s3:GetObject",
            "Resource": "arn:aws:s3:::bucket/*",
        }
    ],
}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the example's wheel in it."""
    place = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*pip, "--no-build-isolation", "--target", str(place), str(EXAMPLE)], check=True)
    return place


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("journal") / "events.jsonl"


@pytest.fixture(scope="module")
def gateway(installed: Path, journal: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    place = tmp_path_factory.mktemp("extended")
    (place / "keys").write_text("key-of-the-reader reader\n")
    settings = {
        "RS3GW_EXTENSIONS": "api-keys,write-once,journal",
        "EXAMPLE_API_KEYS": str(place / "keys"),
        "EXAMPLE_JOURNAL": str(journal),
        "PYTHONPATH": str(installed),
    }
    with Gateway(place / "root", settings=settings) as started:
        s3(started).create_bucket(Bucket="bucket")
        s3(started).put_bucket_policy(Bucket="bucket", Policy=json.dumps(POLICY))
        s3(started).put_object(Bucket="bucket", Key="key", Body=b"hello")
        yield started


def s3(gateway: Gateway) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=gateway.url,
        aws_access_key_id=gateway.access_key,
        aws_secret_access_key=gateway.secret_key,
        region_name=gateway.region,
    )


def read_by_rest(gateway: Gateway, authorization: str) -> tuple[int, str]:
    answer = httpx.get(f"{gateway.url}/bucket/key", headers={"authorization": authorization}, trust_env=False)
    return answer.status_code, answer.text


def read_by_grpc(gateway: Gateway, authorization: str) -> tuple[str, bytes]:
    with grpc.insecure_channel(gateway.target) as channel:
        asked = s3_pb2.GetObjectRequest(bucket="bucket", key="key")
        try:
            got = list(ObjectServiceStub(channel).GetObject(asked, metadata=(("authorization", authorization),)))
        except grpc.RpcError as fault:
            return fault.code().name, b""
        return "OK", b"".join(each.data for each in got)


def test_an_authenticator_knows_callers_that_access_keys_do_not(gateway: Gateway) -> None:
    assert read_by_rest(gateway, "ApiKey key-of-the-reader") == (200, "hello")
    assert read_by_grpc(gateway, "ApiKey key-of-the-reader") == ("OK", b"hello")


def test_whom_it_refuses_is_refused_and_whom_it_does_not_know_is_asked_for_a_key(gateway: Gateway) -> None:
    assert "InvalidToken" in read_by_rest(gateway, "ApiKey another")[1]
    assert read_by_grpc(gateway, "ApiKey another") == ("UNAUTHENTICATED", b"")
    assert "Unsupported Authorization Type" in read_by_rest(gateway, "Basic dXNlcjpwYXNz")[1]
    assert read_by_grpc(gateway, "Basic dXNlcjpwYXNz") == ("INVALID_ARGUMENT", b"")


def test_whom_it_knows_may_what_policies_allow_and_no_more(gateway: Gateway) -> None:
    url, key = f"{gateway.url}/bucket/key", {"authorization": "ApiKey key-of-the-reader"}

    assert httpx.put(url, headers=key, content=b"x", trust_env=False).status_code == 403


def test_an_authoriser_denies_on_both_protocols_what_policies_allow(gateway: Gateway) -> None:
    client = s3(gateway)
    client.put_object(Bucket="bucket", Key="archive/kept", Body=b"kept")
    client.put_object(Bucket="bucket", Key="elsewhere", Body=b"")
    over_grpc = Client(grpc.insecure_channel(gateway.target), gateway.access_key, gateway.secret_key)

    with pytest.raises(ClientError, match="AccessDenied"):
        client.delete_object(Bucket="bucket", Key="archive/kept")
    with pytest.raises(grpc.RpcError, match="PERMISSION_DENIED"):
        over_grpc.delete("bucket", "archive/kept")
    answer = client.delete_objects(Bucket="bucket", Delete={"Objects": [{"Key": "archive/kept"}, {"Key": "elsewhere"}]})

    assert [each["Key"] for each in answer["Deleted"]] == ["elsewhere"]
    assert [(each["Key"], each["Code"]) for each in answer["Errors"]] == [("archive/kept", "AccessDenied")]
    assert client.get_object(Bucket="bucket", Key="archive/kept")["Body"].read() == b"kept"


def test_a_sink_is_told_what_was_done_over_either_and_nothing_of_what_was_not(gateway: Gateway, journal: Path) -> None:
    client, over_grpc = (
        s3(gateway),
        Client(grpc.insecure_channel(gateway.target), gateway.access_key, gateway.secret_key),
    )
    client.put_object(Bucket="bucket", Key="told/rest", Body=b"hello")
    over_grpc.put("bucket", "told/grpc", b"hello")
    client.get_object(Bucket="bucket", Key="told/rest")["Body"].read()
    with pytest.raises(ClientError):
        client.put_object(Bucket="bucket", Key="told/rest", Body=b"other", IfNoneMatch="*")
    client.delete_objects(Bucket="bucket", Delete={"Objects": [{"Key": "told/rest"}, {"Key": "told/grpc"}]})
    until = time.monotonic() + SECONDS
    told: list[dict[str, Any]] = []
    while len(told) < 4 and time.monotonic() < until:
        lines = [json.loads(line) for line in journal.read_text().splitlines()]
        told = [line for line in lines if (line["key"] or "").startswith("told/")]

    assert [(each["operation"], each["key"]) for each in told] == [
        ("PutObject", "told/rest"),
        ("PutObject", "told/grpc"),
        ("DeleteObjects", "told/rest"),
        ("DeleteObjects", "told/grpc"),
    ]
    assert {each["caller"] for each in told} == {"owner"}
    assert told[0]["etag"] == told[1]["etag"] == '"5d41402abc4b2a76b9719d911017c592"'
    assert all(each["request_id"] for each in told)


def started(**settings: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RS3GW_")}
    given = {"RS3GW_BIND_ADDR": "127.0.0.1:0", **settings}
    command = [sys.executable, "-m", "rs3gw", "serve"]
    return subprocess.run(command, env=clean | given, capture_output=True, text=True, timeout=SECONDS, check=False)


def test_a_name_that_is_none_stops_the_start_with_a_line(installed: Path, tmp_path: Path) -> None:
    root = str(tmp_path / "root")
    ended = started(RS3GW_EXTENSIONS="api-kyes", RS3GW_STORAGE_ROOT=root, PYTHONPATH=str(installed))

    assert ended.returncode == 2
    assert "there is no extension 'api-kyes' (there are: api-keys, journal, write-once)." in ended.stderr
    assert not (tmp_path / "root").exists()


def test_one_that_cannot_be_made_stops_the_start_with_a_line(installed: Path, tmp_path: Path) -> None:
    ended = started(RS3GW_EXTENSIONS="journal", RS3GW_STORAGE_ROOT=str(tmp_path / "root"), PYTHONPATH=str(installed))

    assert ended.returncode == 2
    assert "journal (rs3gw_examples.journal:Journal) cannot be made: KeyError('EXAMPLE_JOURNAL')." in ended.stderr


class Slow:
    """A sink that takes its first event and then nothing, until it may."""

    def __init__(self) -> None:
        self.may, self.told = threading.Event(), 0

    def tell(self, event: Event) -> None:
        self.may.wait(SECONDS)
        self.told += 1
        if self.told == 2:
            raise RuntimeError("this one fails")


def test_a_slow_sink_keeps_nobody_waiting_and_what_it_misses_is_counted() -> None:
    sink, dropped = Slow(), []
    outbox = Outbox([sink], now=lambda: datetime.now(UTC), dropped=lambda: dropped.append(1))
    operation = OPERATIONS["DeleteBucket"]
    asked, output = operation.input.of({"bucket": "b"}), operation.output.of({})
    caller = Identity(name="owner", access_key="key", grants="all")
    began = time.monotonic()
    for _ in range(MOST_WAITING + 500):
        outbox.tell(operation, caller, "request", asked, output)
    seconds = time.monotonic() - began
    sink.may.set()
    outbox.close()

    assert seconds < 5
    assert 499 <= len(dropped) <= 500
    assert sink.told == MOST_WAITING + 500 - len(dropped)

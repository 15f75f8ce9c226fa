"""Several processes behind one pair of ports, as an operator sees them: a real server, real signals."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import boto3
import httpx
import pytest

WORKERS = 3


@contextlib.contextmanager
def serving(root: Path, *, workers: int = WORKERS) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A gateway of several processes, and its URL."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RS3GW_")} | {
        "RS3GW_BIND_ADDR": "127.0.0.1:0",
        "RS3GW_STORAGE_ROOT": str(root),
        "RS3GW_WORKERS": str(workers),
        "RS3GW_GRPC_ENABLED": "true",
        "RS3GW_GRPC_PORT": "0",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "rs3gw", "serve"], env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        said = ""
        while "Ctrl-C" not in said:
            line = process.stdout.readline()
            assert line, f"it ended with {process.wait()} after saying {said!r}"
            said += line
        found = re.search(r"http://\S+", said)
        assert found
        yield process, found.group()
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def client(url: str):
    return boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="rs3gwdevelopment",
        aws_secret_access_key="rs3gw-development-secret",
    )


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("workers") / "root") as found:
        yield found


def test_what_one_connection_wrote_every_other_reads(server):
    """A new connection goes to whichever worker the kernel picks."""
    _, url = server
    writer = client(url)
    writer.create_bucket(Bucket="shared")
    for number in range(12):
        writer.put_object(Bucket="shared", Key=f"key{number}", Body=b"x" * number * 10_000)

    for number in range(12):
        answer = client(url).get_object(Bucket="shared", Key=f"key{number}")
        assert len(answer["Body"].read()) == number * 10_000


def test_the_figures_are_those_of_all_of_them(server):
    _, url = server
    counted = re.compile(r'rs3gw_requests_total\{code="OK",operation="ListBuckets",protocol="rest"\} (\S+)')

    def count() -> float:
        found = counted.search(httpx.get(f"{url}/-/metrics", trust_env=False).text)
        return float(found[1]) if found else 0

    time.sleep(1)
    before = count()
    for _ in range(8):
        client(url).list_buckets()
    # What the others did is known to the one that is asked a moment later.
    deadline = time.monotonic() + 10
    while count() - before < 8 and time.monotonic() < deadline:
        time.sleep(0.02)

    assert count() - before == 8


def test_that_no_pass_of_a_scrub_has_ended_is_told_too(server):
    """An alert on passes that are missing needs the 0."""
    _, url = server

    assert "\nrs3gw_scrub_last_pass_timestamp_seconds 0.0\n" in httpx.get(f"{url}/-/metrics", trust_env=False).text


def test_a_worker_that_dies_is_replaced_and_the_rest_serve_on(server):
    process, url = server
    client(url).create_bucket(Bucket="kept")
    before = workers_of(process)
    os.kill(before[0], signal.SIGKILL)
    deadline = time.monotonic() + 10
    while len(set(workers_of(process)) - set(before)) == 0 and time.monotonic() < deadline:
        time.sleep(0.02)

    assert len(workers_of(process)) == WORKERS
    assert "kept" in [bucket["Name"] for bucket in client(url).list_buckets()["Buckets"]]


def test_a_second_group_is_told_that_the_root_is_taken(server, tmp_path):
    process, _ = server
    environ = Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
    root = Path(next(line for line in environ if line.startswith(b"RS3GW_STORAGE_ROOT=")).decode().partition("=")[2])
    second = subprocess.run(
        [sys.executable, "-m", "rs3gw", "serve", "--bind-addr", "127.0.0.1:0", "--storage-root", str(root)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert second.returncode != 0
    assert f"is in use by process {process.pid}" in second.stderr


def test_an_orderly_end_ends_all_of_them(tmp_path):
    with serving(tmp_path / "root", workers=2) as (process, url):
        client(url).create_bucket(Bucket="bucket")
        workers = workers_of(process)
        process.send_signal(signal.SIGTERM)

        assert process.wait(20) == 0
        assert len(workers) == 2
        assert not any(Path(f"/proc/{pid}").exists() for pid in workers)


def test_workers_do_not_outlive_their_supervisor(tmp_path):
    with serving(tmp_path / "root", workers=2) as (process, _):
        workers = workers_of(process)
        process.kill()
        process.wait()
        deadline = time.monotonic() + 15
        while any(Path(f"/proc/{pid}").exists() for pid in workers) and time.monotonic() < deadline:
            time.sleep(0.05)

    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)


def test_what_a_group_that_was_killed_has_left_is_removed_by_the_next(tmp_path, monkeypatch):
    """Every one of them left some 0.7 MiB in the system's directory for temporary files, for ever."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    with serving(tmp_path / "killed", workers=2) as (process, _):
        (left,) = temporary.iterdir()
        workers = workers_of(process)
    assert left.exists()
    while any(Path(f"/proc/{pid}").exists() for pid in workers):
        time.sleep(0.05)

    with serving(tmp_path / "first", workers=2) as (first, url):
        (its,) = temporary.iterdir()
        with serving(tmp_path / "second", workers=2) as (second, _):
            assert its in temporary.iterdir()
            assert len(list(temporary.iterdir())) == 2
            second.send_signal(signal.SIGTERM)
            assert second.wait(20) == 0
        assert list(temporary.iterdir()) == [its]
        assert httpx.get(f"{url}/-/metrics").status_code == 200
        first.send_signal(signal.SIGTERM)
        assert first.wait(20) == 0

    assert left != its
    assert list(temporary.iterdir()) == []

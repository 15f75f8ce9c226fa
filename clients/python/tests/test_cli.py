"""
The commands as a script uses them: what is printed, which exit code, and what is stored or on the disk afterwards.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rs3gw_client import Client, Entry

from proof.gateway import Gateway

from .conftest import MIB
from .proxy import Weather, between

Shell = Callable[..., subprocess.CompletedProcess[bytes]]
SECONDS = 60
GUIDE = Path(__file__).parents[3] / "docs" / "clients" / "python.md"


@pytest.fixture
def bucket(client: Client, request: pytest.FixtureRequest) -> str:
    name = f"cli-{abs(hash(request.node.name)):x}"[:40]
    client.create_bucket(name)
    return name


@pytest.fixture
def environment(gateway: Gateway, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(("RS3GW_", "AWS_"))},
        "RS3GW_CLIENT_TARGET": gateway.target,
        "AWS_ACCESS_KEY_ID": gateway.access_key,
        "AWS_SECRET_ACCESS_KEY": gateway.secret_key,
        "XDG_CACHE_HOME": str(tmp_path_factory.mktemp("cache")),
    }


@pytest.fixture
def shell(environment: dict[str, str], tmp_path: Path) -> Shell:
    def run(*arguments: str, code: int = 0, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-m", "rs3gw_client.cli", *arguments]
        done = subprocess.run(command, env=environment, cwd=tmp_path, input=stdin, capture_output=True, timeout=SECONDS)
        assert code == done.returncode, done.stderr.decode()
        return done

    return run


def test_a_file_goes_there_and_comes_back(shell: Shell, bucket: str, client: Client, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_bytes(b"hello")
    said = shell("cp", "--metadata", "colour=blue", "notes.txt", f"rs3gw://{bucket}/in/").stdout.decode()
    shell("cp", f"s3://{bucket}/in/notes.txt", "back.txt")
    info = client.head(bucket, "in/notes.txt")

    assert said == f"notes.txt -> rs3gw://{bucket}/in/notes.txt\n"
    assert (tmp_path / "back.txt").read_bytes() == b"hello"
    assert (info.content_type, info.metadata) == ("text/plain", {"colour": "blue"})


def test_standard_input_and_output_are_objects_too(shell: Shell, bucket: str) -> None:
    data = random.Random(2).randbytes(20 * MIB)  # noqa: S311  # the same in every run
    shell("cp", "--part-size", "5", "-", f"rs3gw://{bucket}/piped", stdin=data)

    assert shell("cp", f"rs3gw://{bucket}/piped", "-").stdout == data
    assert shell("cat", "--range", "7-9", f"rs3gw://{bucket}/piped").stdout == data[7:10]
    assert shell("cat", f"rs3gw://{bucket}/piped", f"rs3gw://{bucket}/piped").stdout == data + data


def test_objects_are_copied_where_they_are(shell: Shell, bucket: str, client: Client) -> None:
    client.put(bucket, "a", b"hello")
    shell("cp", f"rs3gw://{bucket}/a", f"rs3gw://{bucket}/b")

    assert client.read(bucket, "b") == b"hello"


def test_a_listing_shows_a_level_or_every_key_for_people_or_programs(shell: Shell, bucket: str, client: Client) -> None:
    for key in ("a", "b/c", "b/d"):
        client.put(bucket, key, b"12345")
    level = shell("ls", f"rs3gw://{bucket}/").stdout.decode().splitlines()
    rows = [json.loads(line) for line in shell("ls", "-r", "--json", f"rs3gw://{bucket}/").stdout.splitlines()]

    assert [line.split()[-1] for line in level] == [f"rs3gw://{bucket}/a", f"rs3gw://{bucket}/b/"]
    assert [(row["key"], row["size"]) for row in rows] == [("a", 5), ("b/c", 5), ("b/d", 5)]
    assert f"rs3gw://{bucket}/" in shell("ls").stdout.decode()


def test_a_directory_is_kept_the_same_both_ways(shell: Shell, bucket: str, client: Client, tmp_path: Path) -> None:
    for name in ("a", "deep/b", "deep/er/c"):
        (tmp_path / "up" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "up" / name).write_text(name)
    shell("sync", "up", f"rs3gw://{bucket}/tree")
    assert shell("sync", "up", f"rs3gw://{bucket}/tree").stdout == b""

    shell("sync", f"rs3gw://{bucket}/tree", "down")
    assert shell("sync", f"rs3gw://{bucket}/tree", "down").stdout == b""
    assert {path.relative_to(tmp_path / "down").as_posix() for path in (tmp_path / "down").rglob("*.*")} == set()
    assert (tmp_path / "down" / "deep" / "er" / "c").read_text() == "deep/er/c"

    (tmp_path / "up" / "a").unlink()
    (tmp_path / "up" / "deep" / "b").write_text("longer than it was")
    would = shell("sync", "--delete", "--dry-run", "up", f"rs3gw://{bucket}/tree").stdout.decode().splitlines()
    shell("sync", "--delete", "up", f"rs3gw://{bucket}/tree")

    assert would == [
        f"would copy up/deep/b -> rs3gw://{bucket}/tree/deep/b",
        f"would delete rs3gw://{bucket}/tree/a",
    ]
    assert client.read(bucket, "tree/deep/b") == b"longer than it was"
    assert [entry.key for entry in client.list(bucket)] == ["tree/deep/b", "tree/deep/er/c"]


def test_what_fails_is_said_and_the_rest_is_done(shell: Shell, bucket: str, client: Client) -> None:
    client.put(bucket, "there", b"")
    done = shell("rm", f"rs3gw://{bucket}/missing", f"rs3gw://{bucket}/there", code=1)

    assert f"rs3gw: rs3gw://{bucket}/missing: NoSuchKey" in done.stderr.decode()
    assert list(client.list(bucket)) == []


def test_everything_under_a_prefix_is_removed_and_nothing_else(shell: Shell, bucket: str, client: Client) -> None:
    for key in ("a/1", "a/2", "b"):
        client.put(bucket, key, b"")
    shell("rm", "-r", f"rs3gw://{bucket}/a/")

    assert [entry.key for entry in client.list(bucket)] == ["b"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("cp", "a", "b"), "one of the two has to be an object"),
        (("cp", "rs3gw:///key", "b"), "names no bucket"),
        (("cp", "-", "rs3gw://bucket/"), "needs a key"),
        (("cp", ".", "rs3gw://bucket/"), "-r copies what is in it"),
        (("rm", "rs3gw://bucket"), "rm -r empties it"),
        (("cat", "file"), "cat is for objects"),
        (("cat", "--range", "x", "rs3gw://bucket/key"), "is not FIRST-LAST"),
        (("cp", "--part-size", "4", "a", "rs3gw://bucket/key"), "from 5 to 5120"),
    ],
)
def test_what_makes_no_sense_is_a_sentence_and_exit_code_2(
    shell: Shell, arguments: tuple[str, ...], sentence: str
) -> None:
    assert sentence in shell(*arguments, code=2).stderr.decode()


def test_a_key_cannot_lead_out_of_the_directory_that_was_named(
    shell: Shell, bucket: str, client: Client, tmp_path: Path
) -> None:
    client.put(bucket, "tree/../../outside", b"x")
    done = shell("cp", "-r", f"rs3gw://{bucket}/tree", "inside", code=2)

    assert "would be written outside of inside" in done.stderr.decode()
    assert not (tmp_path / "outside").exists()
    assert not (tmp_path.parent / "outside").exists()


def test_a_reader_that_has_enough_ends_it_without_a_word(
    environment: dict[str, str], bucket: str, client: Client, tmp_path: Path
) -> None:
    client.put(bucket, "large", bytes(8 * MIB))
    command = f"{sys.executable} -m rs3gw_client.cli cat rs3gw://{bucket}/large | head -c 3"
    done = subprocess.run(["sh", "-c", command], env=environment, cwd=tmp_path, capture_output=True, timeout=SECONDS)

    assert (done.returncode, done.stdout, done.stderr) == (0, bytes(3), b"")


def test_nobody_there_is_an_exit_code(shell: Shell, environment: dict[str, str]) -> None:
    environment["RS3GW_CLIENT_TARGET"] = "127.0.0.1:1"

    assert "Connection refused" in shell("ls", code=1).stderr.decode()


def test_what_was_interrupted_is_continued_by_the_same_command(
    gateway: Gateway, environment: dict[str, str], shell: Shell, bucket: str, client: Client, tmp_path: Path
) -> None:
    data = random.Random(3).randbytes(160 * MIB)  # noqa: S311  # the same in every run
    (tmp_path / "large").write_bytes(data)
    command = [sys.executable, "-m", "rs3gw_client.cli", "cp", "--part-size", "5", "large", f"rs3gw://{bucket}/large"]
    first = subprocess.Popen(command, env=environment, cwd=tmp_path, stderr=subprocess.PIPE)
    until = time.monotonic() + SECONDS
    while parts_of(client, bucket) < 3 and time.monotonic() < until:
        time.sleep(0.01)
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=SECONDS)
    there = parts_of(client, bucket)
    with between(gateway.target, Weather()) as proxy:
        environment["RS3GW_CLIENT_TARGET"] = proxy.target
        shell("cp", "--part-size", "5", "large", f"rs3gw://{bucket}/large")

    assert there >= 3
    assert client.read(bucket, "large") == data
    assert proxy.up_bytes < len(data) - (there - 1) * 5 * MIB
    assert not client.call("ListMultipartUploads", bucket=bucket).uploads


def parts_of(client: Client, bucket: str) -> int:
    """How many parts are stored of the upload that is under way."""
    for upload in client.call("ListMultipartUploads", bucket=bucket).uploads:
        return len(client.parts(bucket, "large", upload.upload_id))
    return 0


def test_the_servers_own_command_has_the_same_ones(environment: dict[str, str], bucket: str, client: Client) -> None:
    client.put(bucket, "key", b"hello")
    command = [sys.executable, "-m", "rs3gw", "cat", "--range", "1-3", f"s3://{bucket}/key"]
    done = subprocess.run(command, env=environment, capture_output=True, timeout=SECONDS)

    assert (done.returncode, done.stdout) == (0, b"ell")


def test_the_servers_own_command_says_what_to_install_where_there_is_no_client(environment: dict[str, str]) -> None:
    # An entry of None is how Python says of a module that it is not there.
    program = "import sys; sys.modules['rs3gw_client'] = None; from rs3gw.cli import main; main(['ls'])"
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, timeout=SECONDS)

    assert done.returncode == 1
    assert done.stderr.decode().strip() == "Error: `rs3gw ls` is of the client: pip install rs3gw-client"


def test_what_the_guide_shows_of_the_command_line_runs(
    environment: dict[str, str], client: Client, tmp_path: Path
) -> None:
    client.create_bucket("photos")
    client.put("photos", "2026/cat.txt", b"meow, said the cat")
    (tmp_path / "cats.bin").write_bytes(bytes(20 * MIB))
    (tmp_path / "holiday").mkdir()
    (tmp_path / "holiday" / "beach.txt").write_text("sand")
    (shown,) = re.findall(r"```sh\n(rs3gw cp.*?)```", GUIDE.read_text(), re.DOTALL)
    path = f"{Path(sys.executable).parent}:{environment['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", shown],
        env={**environment, "PATH": path},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )

    assert done.returncode == 0, done.stderr
    assert "meow" in done.stdout
    assert "said" not in done.stdout
    assert ["2026/cat.txt", "cats.bin", "holiday.tar", "holiday/beach.txt"] == [
        entry.key for entry in client.list("photos") if isinstance(entry, Entry)
    ]

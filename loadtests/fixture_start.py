"""
How long a test waits for its S3, beside moto: ``python -m loadtests.fixture_start --moto PYTHON``.

Each subject runs in interpreters of its own.  The first one pays for the imports, boto3's for all alike left out; each
later one is what every further test pays, from nothing to an answered CreateBucket and to nothing again.  PYTHON is an
interpreter that has ``moto[server]`` and boto3.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Final

import click

TURNS: Final = 50
STARTS: Final = 5
"""How many interpreters each subject is started in."""

OURS: Final = """
    from rs3gw.testing import gateway
    with gateway({options}) as s3:
        client = boto3.client("s3", endpoint_url=s3.url, aws_access_key_id=s3.access_key,
                              aws_secret_access_key=s3.secret_key, region_name="us-east-1", config=config)
        client.create_bucket(Bucket="mine")
"""
SUBJECTS: Final = {
    "rs3gw, in memory": OURS.format(options=""),
    "rs3gw, on the disk": OURS.format(options="root=tempfile.mkdtemp() + '/root'"),
    "rs3gw, in memory, over gRPC": """
    import grpc
    from s3_pb2 import CreateBucketRequest
    from s3_pb2_grpc import BucketServiceStub
    from rs3gw.testing import gateway
    with gateway() as s3, s3.grpc_channel() as channel:
        BucketServiceStub(channel).CreateBucket(CreateBucketRequest(bucket="mine"), metadata=s3.metadata)
""",
    "moto, mock_aws: no server, boto3 patched": """
    from moto import mock_aws
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
        client.create_bucket(Bucket="mine")
""",
    "moto, ThreadedMotoServer": """
    from moto.server import ThreadedMotoServer
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    client = boto3.client("s3", endpoint_url="http://127.0.0.1:%d" % server.get_host_and_port()[1],
                          aws_access_key_id="a", aws_secret_access_key="b", region_name="us-east-1", config=config)
    client.create_bucket(Bucket="mine")
    client.delete_bucket(Bucket="mine")
    server.stop()
""",
}
FRAME: Final = """
import json, logging, sys, tempfile, time
logging.disable(logging.CRITICAL)
sys.path[:0] = {paths!r}
import boto3
from botocore.config import Config
config = Config(s3={{"addressing_style": "path"}})
boto3.client("s3", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
def turn():
{body}
times = []
for _ in range({turns}):
    began = time.perf_counter()
    turn()
    times.append((time.perf_counter() - began) * 1000)
print(json.dumps(times))
"""
ROOT: Final = Path(__file__).parents[1]


def times(python: str, body: str) -> list[float]:
    """Milliseconds of every turn in one interpreter, the first one's imports included."""
    paths = [str(ROOT), str(ROOT / "clients" / "python")] if python == sys.executable else []
    script = FRAME.format(paths=paths, body=body, turns=TURNS)
    done = subprocess.run([python, "-c", script], capture_output=True, text=True, check=True)
    found: list[float] = json.loads(done.stdout.splitlines()[-1])
    return found


@click.command()
@click.option("--moto", metavar="PYTHON", help="An interpreter that has moto[server] and boto3.")
def main(moto: str | None) -> None:
    """Print the table of docs/testing.md."""
    print("| fixture | the first test waits, ms | every other, ms (p50) |")
    print("| --- | ---: | ---: |")
    for name, body in SUBJECTS.items():
        python = moto if name.startswith("moto") else sys.executable
        if python is None:
            continue
        runs = [times(python, body) for _ in range(STARTS)]
        first = statistics.median(run[0] for run in runs)
        later = statistics.median(each for run in runs for each in run[1:])
        print(f"| {name} | {first:.0f} | {later:.1f} |")


if __name__ == "__main__":
    main()

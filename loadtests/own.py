"""Run a command beside a gateway of its own: ``python -m loadtests.own locust …`` gets its address and its keys."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from loadtests.gateway import ACCESS_KEY, REGION, SECRET_KEY, running


def main(command: Sequence[str]) -> int:
    """Run it with ``--host`` and ``--grpc`` added; its exit code."""
    with tempfile.TemporaryDirectory(prefix="rs3gw-load-") as place, running(Path(place) / "root") as gateway:
        keys = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY, "AWS_REGION": REGION}
        where = ["--host", gateway.url, "--grpc", gateway.target]
        return subprocess.run([*command, *where], env=os.environ | keys, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

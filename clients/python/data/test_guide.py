"""The guide's code runs as it stands, but for the address and the keys: all of the page, in its order."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[3] / "docs" / "clients" / "fsspec.md"
SECONDS = 120.0


def test_what_the_guide_shows_runs(options, tmp_path):
    code = "\n".join(re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL))
    for shown, here in {
        "localhost:50051": options["target"],
        "rs3gwdevelopment": options["key"],
        "rs3gw-development-secret": options["secret"],
    }.items():
        assert shown in code
        code = code.replace(shown, here)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("RS3GW_", "AWS_"))}
    done = subprocess.run(
        [sys.executable, "-c", code], env=clean, cwd=tmp_path, capture_output=True, text=True, timeout=SECONDS
    )

    assert done.returncode == 0, done.stderr
    for line in ("cats of dask: 7", "heat of xarray: 21.0", "meow", "['meow', 'woof']"):
        assert line in done.stdout.splitlines()

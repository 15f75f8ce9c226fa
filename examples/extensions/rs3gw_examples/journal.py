"""
A line of JSON for everything that was done, in the file that EXAMPLE_JOURNAL names.
"""

from __future__ import annotations

import dataclasses
import json
import os

from rs3gw.extensions import Event


class Journal:
    """A file that is only added to."""

    def __init__(self) -> None:
        self._file = open(os.environ["EXAMPLE_JOURNAL"], "a", buffering=1)  # noqa: SIM115  # as long as the server lives

    def tell(self, event: Event) -> None:
        self._file.write(json.dumps(dataclasses.asdict(event), default=str) + "\n")

"""
Callers by an API key of their own, on both protocols: ``authorization: ApiKey …``.

EXAMPLE_API_KEYS names a file of lines ``KEY NAME``; a bucket's policy grants to the name.
"""

from __future__ import annotations

import hmac
import os
from pathlib import Path

from rs3gw.auth.credentials import Identity
from rs3gw.auth.evidence import Evidence
from rs3gw.errors import InvalidToken


class ApiKeys:
    """The keys of a file, read once."""

    def __init__(self) -> None:
        lines = Path(os.environ["EXAMPLE_API_KEYS"]).read_text().splitlines()
        self._names = dict(line.split(maxsplit=1) for line in lines if line.strip())

    def identify(self, evidence: Evidence) -> Identity | None:
        scheme, _, shown = evidence.headers.get("authorization", "").partition(" ")
        if scheme != "ApiKey":
            return None
        # Every key is compared, so that the time tells nothing about any of them.
        found = [name for key, name in self._names.items() if hmac.compare_digest(key.encode(), shown.encode())]
        if not found:
            raise InvalidToken()
        return Identity(name=found[0], access_key=f"api-key of {found[0]}", grants="policies")

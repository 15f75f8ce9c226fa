"""
Anybody's S3: an address that is given, with keys that are given.

Nothing is started and nothing stopped.  The owner's keys come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, as
every S3 client reads them; a second pair, STRANGER_ACCESS_KEY_ID and STRANGER_SECRET_ACCESS_KEY, stands for somebody
without rights of its own.
"""

from __future__ import annotations

from collections.abc import Mapping

import httpx

from conformance.targets import REGION, Keys, Off, Place


class Endpoint:
    """The target ``endpoint``."""

    name = "endpoint"

    def __init__(self, url: str, *, grpc: str = "", environment: Mapping[str, str], version: str = "") -> None:
        self._url = url.rstrip("/")
        self._grpc = grpc
        self._environment = environment
        self._version = version

    def start(self) -> Place:
        if not self._url:
            raise Off("no --endpoint is given")
        identities = {}
        for name, prefix in (("owner", "AWS_"), ("stranger", "STRANGER_")):
            pair = [self._environment.get(prefix + part, "") for part in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY")]
            if all(pair):
                identities[name] = Keys(*pair)
        if "owner" not in identities:
            raise Off("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set")
        try:
            answer = httpx.get(self._url, trust_env=False, timeout=10)
        except httpx.HTTPError as fault:
            raise Off(f"{self._url}: {fault}") from fault
        return Place(
            url=self._url,
            grpc=self._grpc,
            identities=identities,
            region=self._environment.get("AWS_REGION", REGION),
            version=self._version or answer.headers.get("server", ""),
        )

    def stop(self) -> None:
        """It was not ours to start."""

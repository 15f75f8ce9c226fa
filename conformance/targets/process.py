"""
``rs3gw serve`` as anybody starts it: a process of its own, on ports of its own, over a directory of its own.

It is started through its command and its environment, and judged through its sockets; nothing of it is imported.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
import trustme

from conformance.targets import REGION, Off, Place, fresh_identities, trust, write_credentials

START_SECONDS = 15.0
STOP_SECONDS = 15.0
COMMAND = (sys.executable, "-m", "rs3gw", "serve")


class Process:
    """The target ``process``: both protocols in the clear."""

    name = "process"

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._root: Path | None = None

    def start(self) -> Place:
        identities = fresh_identities()
        self._root = Path(tempfile.mkdtemp(prefix="rs3gw-conformance-"))
        authority, certificates = self._certificates(self._root)
        write_credentials(self._root / "credentials.toml", identities)
        rest, rpc = free_port(), free_port()
        settings = {
            "BIND_ADDR": f"127.0.0.1:{rest}",
            "GRPC_ENABLED": "true",
            "GRPC_PORT": str(rpc),
            "STORAGE_ROOT": str(self._root / "data"),
            "CREDENTIALS_FILE": str(self._root / "credentials.toml"),
            "REGION": REGION,
            "DURABILITY": "relaxed",
            "LOG_LEVEL": "warning",
            **certificates,
        }
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("RS3GW_")}
        with (self._root / "log").open("wb") as log:
            self._process = subprocess.Popen(
                COMMAND,
                env=inherited | {f"RS3GW_{name}": value for name, value in settings.items()},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        url = f"{'https' if authority else 'http'}://127.0.0.1:{rest}"
        self._wait(url, authority)
        return Place(url=url, grpc=f"127.0.0.1:{rpc}", identities=identities, version=_version(), authority=authority)

    def _certificates(self, directory: Path) -> tuple[Path | None, dict[str, str]]:
        """The authority that clients shall trust, and the settings that go with it; here none."""
        return None, {}

    def _wait(self, url: str, authority: Path | None) -> None:
        assert self._process is not None
        assert self._root is not None
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            if self._process.poll() is not None:
                said = (self._root / "log").read_text(errors="replace").strip().splitlines()
                raise Off(f"it ended with {self._process.returncode}: {said[-1] if said else 'no word'}")
            if is_ready(url, authority):
                return
            time.sleep(0.02)
        raise Off(f"it was not ready within {START_SECONDS:.0f} s")

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        if self._root is not None:
            shutil.rmtree(self._root, ignore_errors=True)
            self._root = None


class Tls(Process):
    """The target ``tls``: the same with TLS on both listeners, under an authority made for the run."""

    name = "tls"

    def _certificates(self, directory: Path) -> tuple[Path | None, dict[str, str]]:
        made = trustme.CA()
        server = made.issue_cert("localhost", "127.0.0.1")
        authority, chain, key = (directory / name for name in ("authority.pem", "chain.pem", "key.pem"))
        made.cert_pem.write_to_path(authority)
        for blob in server.cert_chain_pems:
            blob.write_to_path(chain, append=True)
        server.private_key_pem.write_to_path(key)
        return authority, {
            "TLS_CERT": str(chain),
            "TLS_KEY": str(key),
            "GRPC_TLS_CERT": str(chain),
            "GRPC_TLS_KEY": str(key),
        }


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def is_ready(url: str, authority: Path | None = None) -> bool:
    """Whether the server at this address says that it takes requests."""
    try:
        verify = trust(authority)
        return httpx.get(f"{url}/-/ready", trust_env=False, timeout=2, verify=verify).status_code == 200
    except httpx.HTTPError:
        return False


def _version() -> str:
    said = subprocess.run([*COMMAND[:-1], "--version"], capture_output=True, text=True, check=False)
    return said.stdout.strip().rpartition(" ")[2]

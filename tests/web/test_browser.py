"""
The page of examples/browser in a real browser: it lists and reads by rpcs, stores by a URL that it presigns itself, and
is of another origin than the gateway.

Where no Chromium is installed it is said, and nothing is shown; CHROMIUM=required makes that a failure.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from html import unescape
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlencode

import grpc
import httpx
import pytest

from loadtests.stubs import Client
from proof.gateway import Gateway

PAGE = Path(__file__).parents[2] / "examples" / "browser"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SECONDS = 60.0
MADE = bytes(at * 7 % 256 for at in range(300_000))
"""What the page stores."""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def site() -> Iterator[str]:
    """The address of the page."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(PAGE)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@contextmanager
def browsing(address: str, profile: Path) -> Iterator[Callable[[], str]]:
    """What gives the title of a page in Chromium, which is at the address."""
    assert CHROMIUM is not None
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
    command += ["--remote-debugging-port=0", f"--user-data-dir={profile}", address]
    browser = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def title() -> str:
        try:
            port = (profile / "DevToolsActivePort").read_text().splitlines()[0]
            pages = httpx.get(f"http://127.0.0.1:{port}/json", trust_env=False).json()
        except (OSError, httpx.HTTPError):
            return ""
        return unescape(
            next((page["title"] for page in pages if page["url"].startswith(address.partition("#")[0])), "")
        )

    try:
        yield title
    finally:
        browser.kill()
        browser.wait()


def test_a_page_lists_stores_and_reads(site: str, tmp_path: Path) -> None:
    if CHROMIUM is None:
        if os.environ.get("CHROMIUM") == "required":
            pytest.fail("no Chromium is installed: apt-get install chromium")
        pytest.skip("no Chromium is installed")
    with Gateway(tmp_path / "root", settings={"RS3GW_CORS_ORIGINS": site}) as gateway:
        given = {
            "endpoint": gateway.url,
            "access": gateway.access_key,
            "secret": gateway.secret_key,
            "bucket": "pages",
        }
        until, said = time.monotonic() + SECONDS, ""
        with browsing(f"{site}/index.html#{urlencode(given)}", tmp_path / "profile") as title:
            while "SHA-256" not in said and time.monotonic() < until:
                time.sleep(0.1)
                said = title()
        stored = Client(grpc.insecure_channel(gateway.target), gateway.access_key, gateway.secret_key)

        assert stored.get("pages", "from a page/made.bin") == MADE
    assert f'stored with ETag "{hashlib.md5(MADE, usedforsecurity=False).hexdigest()}"' in said
    assert f"300000 bytes in 5 messages, SHA-256 {hashlib.sha256(MADE).hexdigest()}" in said

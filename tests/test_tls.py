"""What the settings of TLS mean, as somebody sees it who starts a server with them and connects to REST."""

from __future__ import annotations

import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import trustme

from conformance.targets.process import free_port
from rs3gw.settings import Settings, SettingsError

START_SECONDS = 15.0


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def server(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a gateway that hears only who has a certificate of the authority."""
    place, port = tmp_path_factory.mktemp("tls"), free_port()
    issued = authority.issue_cert("127.0.0.1")
    issued.cert_chain_pems[0].write_to_path(place / "chain.pem")
    issued.private_key_pem.write_to_path(place / "key.pem")
    authority.cert_pem.write_to_path(place / "clients.pem")
    settings = {
        "BIND_ADDR": f"127.0.0.1:{port}",
        "STORAGE_ROOT": str(place / "root"),
        "TLS_CERT": str(place / "chain.pem"),
        "TLS_KEY": str(place / "key.pem"),
        "TLS_CLIENT_CA": str(place / "clients.pem"),
    }
    environment = {f"RS3GW_{name}": value for name, value in settings.items()}
    process = subprocess.Popen([sys.executable, "-m", "rs3gw", "serve"], env=environment, stdout=subprocess.DEVNULL)
    address, deadline = f"https://127.0.0.1:{port}/-/ready", time.monotonic() + START_SECONDS
    try:
        while not is_heard(address, context(authority, shown=authority)):
            assert time.monotonic() < deadline, "the gateway did not start"
            time.sleep(0.05)
        yield address
    finally:
        process.terminate()
        process.wait(START_SECONDS)


def context(trusted: trustme.CA, *, shown: trustme.CA | None) -> ssl.SSLContext:
    """A client that trusts an authority, and shows a certificate of one."""
    made = ssl.create_default_context()
    trusted.configure_trust(made)
    if shown is not None:
        shown.issue_cert("client@example.com").configure_cert(made)
    return made


def is_heard(address: str, client: ssl.SSLContext) -> bool:
    try:
        return httpx.get(address, verify=client, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def test_only_who_has_a_certificate_of_the_authority_is_heard(authority: trustme.CA, server: str) -> None:
    assert is_heard(server, context(authority, shown=authority))
    assert not is_heard(server, context(authority, shown=trustme.CA()))
    assert not is_heard(server, context(authority, shown=None))


@pytest.mark.parametrize("prefix", ["tls", "grpc_tls"])
@pytest.mark.parametrize("given", ["cert", "key", "client_ca"])
def test_half_of_tls_is_refused_by_name(prefix: str, given: str) -> None:
    """A server that was meant to be closed and is open would be found out too late."""
    name = f"{prefix}_{given}"

    with pytest.raises(SettingsError, match=f"^RS3GW_{name.upper()} is set and RS3GW_"):
        Settings(**{name: Path("file.pem")})

"""
What a target is: something that stores objects, and everything that a driver needs to reach it.

A target that cannot start says why and its cells are *off*: that is for the report, and no failure unless somebody
promised the target (``--promise``).
"""

from __future__ import annotations

import secrets
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import httpx

    from conformance.drivers.grpc import Wire

REGION = "us-east-1"


class Off(Exception):
    """The target, or this driver onto it, is not to be had here; the sentence says why."""


@dataclass(frozen=True, slots=True)
class Keys:
    """An access key and its secret."""

    access_key: str
    secret_key: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """
    A target that has started.

    ``identities`` holds the owner, and the stranger where the target knows one.  ``transport`` is how REST is sent
    where there is no socket, ``wire`` the same for gRPC; ``grpc`` is host:port, empty where gRPC is not spoken.
    ``authority`` is a file of the certificates to trust, where they are nobody else's; both protocols are then
    spoken over TLS.
    """

    url: str
    identities: Mapping[str, Keys]
    region: str = REGION
    grpc: str = ""
    transport: Callable[[], httpx.BaseTransport] | None = None
    wire: Callable[[], Wire] | None = None
    version: str = ""
    authority: Path | None = None

    @property
    def is_encrypted(self) -> bool:
        """Whether clients reach it over TLS."""
        return self.url.startswith("https:")

    @property
    def has_socket(self) -> bool:
        """Whether a client that knows nothing of the suite can reach it."""
        return self.transport is None


class Target(Protocol):
    """Something to speak to."""

    name: str

    def start(self) -> Place:
        """Bring it up and wait until it answers.  Raises Off."""

    def stop(self) -> None:
        """Take it down; safe to call at any time."""


def trust(authority: Path | None) -> ssl.SSLContext | bool:
    """What httpx takes as its ``verify``: this authority, or those that everybody trusts."""
    return True if authority is None else ssl.create_default_context(cafile=str(authority))


def fresh_identities() -> dict[str, Keys]:
    """An owner and a stranger that nobody has met before."""
    return {name: Keys(f"CONFORMANCE{name.upper()}", secrets.token_hex(20)) for name in ("owner", "stranger")}


def write_credentials(path: Path, identities: Mapping[str, Keys]) -> None:
    """Write the file that RS3GW_CREDENTIALS_FILE names; only its owner can read it, else the server refuses it."""
    path.touch(mode=0o600)
    path.write_text(
        "\n".join(
            f'[[credential]]\nname = "{name}"\naccess_key = "{keys.access_key}"\nsecret_key = "{keys.secret_key}"\n'
            f'grants = "{"all" if name == "owner" else "policies"}"\n'
            for name, keys in identities.items()
        )
    )


def keys_of(place: Place, identity: str) -> Keys | None:
    """
    The credentials of one of drivers.IDENTITIES; None for nobody.

    Raises LookupError where the place does not know a stranger.
    """
    if identity == "anonymous":
        return None
    if identity == "impostor":
        return Keys(place.identities["owner"].access_key, "not-the-secret-of-anybody-here")
    if identity == "unknown":
        return Keys("CONFORMANCENOBODY", "a-secret-that-goes-with-no-key")
    return place.identities[identity]

"""
Every setting, once: RS3GW_* in the environment, a flag of ``rs3gw serve``, a row of docs/settings.md.

``Settings`` is read once at the start and never changes.  This module is the only one that looks at the
environment (through click, which knows for each value where it came from).  A name that nobody declared, or a
value that cannot be, stops the start with one line: a misspelt RS3GW_SECRET_KEY must not leave a server open.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from rs3gw.auth.credentials import MIN_SECRET_LENGTH

PREFIX = "RS3GW_"
CLIENTS = "RS3GW_CLIENT_"

DEVELOPMENT_ACCESS_KEY = "rs3gwdevelopment"
DEVELOPMENT_SECRET_KEY = "rs3gw-development-secret"
"""The pair that serves on loopback when none is given.  Anybody can read it here: it never leaves loopback."""

KIB, MIB = 1024, 1024**2

OTLP_PROTOCOLS = ("http/protobuf", "grpc")
"""What speaks OTLP here, the default first, as its specification has it."""


class SettingsError(click.ClickException):
    """A combination of settings that the server does not start with; the sentence says what to set."""

    exit_code = 2


@dataclasses.dataclass(frozen=True, slots=True)
class Address:
    """A host and a port to listen on; port 0 lets the system choose."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


class _AddressType(click.ParamType[Address]):
    name = "host:port"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Address:
        if isinstance(value, Address):
            return value
        host, colon, port = str(value).rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if not colon or not host or not port.isdecimal() or int(port) > 65535:
            self.fail(f"{value!r} is not host:port, as 127.0.0.1:9000 is", param, ctx)
        return Address(host, int(port))


class _ListType(click.ParamType[tuple[str, ...]]):
    name = "a,b,…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        return tuple(item.strip().lower() for item in str(value).split(",") if item.strip())


class SizeType(click.ParamType[int]):
    """A number of bytes: 52428800, 50MiB."""

    name = "bytes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        number, unit = re.fullmatch(r"(\d*)(\D*)", str(value)).groups()  # type: ignore[union-attr]  # it matches anything
        if not number or unit not in _UNITS:
            self.fail(f"{value!r} is no number of bytes, as 50MiB is", param, ctx)
        return int(number) * _UNITS[unit]


_UNITS = {"": 1, "KiB": KIB, "MiB": MIB, "GiB": 1024 * MIB}

_READABLE = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)


def _setting(default: Any, kind: Any, meaning: str, *, secret: bool = False) -> Any:
    return dataclasses.field(default=default, metadata={"kind": kind, "help": meaning, "secret": secret})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What one server runs with.  Sizes are in bytes, times in seconds."""

    bind_addr: Address = _setting(Address("127.0.0.1", 9000), _AddressType(), "Where REST listens.")
    storage_root: Path = _setting(
        Path("rs3gw-data"), click.Path(file_okay=False, path_type=Path), "The directory that holds everything stored."
    )
    access_key: str | None = _setting(None, str, "The access key of the owner.")
    secret_key: str | None = _setting(None, str, "Its secret.", secret=True)
    credentials_file: Path | None = _setting(
        None, _READABLE, "A TOML file with further access keys; see docs/authentication.md."
    )
    region: str = _setting("us-east-1", str, "The region that signatures are made for and buckets are in.")
    domains: tuple[str, ...] = _setting(
        ("localhost",), _ListType(), "Host names under which bucket.<name> addresses a bucket (virtual-host style)."
    )
    durability: str = _setting(
        "strict",
        click.Choice(["strict", "relaxed"]),
        "strict: on the disk before the answer. relaxed: a loss of power may lose the last seconds.",
    )
    workers: int = _setting(
        1, click.IntRange(1, 64), "How many processes share the ports and the root; one a core answers the most."
    )
    extensions: tuple[str, ...] = _setting(
        (), _ListType(), "Which installed extensions are used, by name; see docs/extending.md."
    )
    tls_cert: Path | None = _setting(None, _READABLE, "The certificate chain of REST, PEM.")
    tls_key: Path | None = _setting(None, _READABLE, "Its private key, PEM.")
    tls_client_ca: Path | None = _setting(
        None, _READABLE, "Who signs the certificates that clients of REST must then have, PEM."
    )

    grpc_enabled: bool = _setting(False, bool, "Whether gRPC listens too, on the host of RS3GW_BIND_ADDR.")
    grpc_port: int = _setting(50051, click.IntRange(0, 65535), "The port of gRPC.")
    grpc_max_message_size: int = _setting(
        64 * MIB, click.IntRange(64 * KIB, 2**31 - 1), "The largest gRPC message, both ways."
    )
    grpc_chunk_size: int = _setting(
        64 * KIB, click.IntRange(KIB, 4 * MIB), "How many bytes of an object one message of a download carries."
    )
    grpc_tls_cert: Path | None = _setting(None, _READABLE, "The certificate chain of gRPC, PEM.")
    grpc_tls_key: Path | None = _setting(None, _READABLE, "Its private key, PEM.")
    grpc_tls_client_ca: Path | None = _setting(
        None, _READABLE, "Who signs the certificates that clients of gRPC must then have, PEM."
    )

    cors_origins: tuple[str, ...] = _setting(
        (), _ListType(), "Whose pages a browser lets speak to REST's port: https://page.example, or * for all."
    )
    max_connections: int = _setting(
        4096,
        click.IntRange(1),
        "Connections at once, on each protocol; one more is told to slow down, or closed by gRPC.",
    )
    max_requests: int = _setting(
        512, click.IntRange(1), "Calls at once, on both protocols together; one more is told to slow down."
    )
    max_header_bytes: int = _setting(32 * KIB, click.IntRange(KIB), "The most that the headers of a request may take.")
    max_headers: int = _setting(200, click.IntRange(8), "The most headers that a request may have.")
    header_seconds: float = _setting(
        20.0, click.FloatRange(0.1), "How long the headers of a request may take to arrive."
    )
    body_idle_seconds: float = _setting(
        60.0,
        click.FloatRange(0.1),
        "How long a client may send nothing of a body that is waited for, or take too little of its answer.",
    )
    body_idle_bytes: int = _setting(
        64 * KIB,
        SizeType(),
        "How much of its answer a client has to take in that time, for as long as it is waited for; less is nothing.",
    )
    keep_alive_seconds: int = _setting(75, click.IntRange(1), "How long an idle connection is kept.")
    lame_duck_seconds: float = _setting(
        0.0,
        click.FloatRange(0),
        "How long a stopping server serves on after it has said that it leaves, for balancers to hear of it.",
    )
    drain_seconds: float = _setting(
        20.0, click.FloatRange(0), "How long a stopping server lets requests finish before it cancels them."
    )
    scrub_rate: int = _setting(
        0, SizeType(), "How many bytes a second the server reads to find what a disk has damaged; 0: it does not look."
    )
    tracing: str = _setting(
        "none",
        click.Choice(["none", "otlp"]),
        "otlp: calls are traced and exported as OpenTelemetry's variables say; see docs/observability.md.",
    )
    log_level: str = _setting("info", click.Choice(["debug", "info", "warning", "error"]), "What is logged.")
    log_format: str = _setting(
        "console", click.Choice(["console", "json"]), "How a log line looks: for a person, or for a collector."
    )
    log_requests: str = _setting(
        "failures", click.Choice(["all", "failures", "none"]), "Which calls get a log line; failures are those of ours."
    )

    def __post_init__(self) -> None:
        for cert, key, client_ca, prefix in (
            (self.tls_cert, self.tls_key, self.tls_client_ca, "RS3GW_TLS"),
            (self.grpc_tls_cert, self.grpc_tls_key, self.grpc_tls_client_ca, "RS3GW_GRPC_TLS"),
        ):
            names = (f"{prefix}_CERT", f"{prefix}_KEY")
            if (cert is None) != (key is None):
                given, other = names if cert is not None else names[::-1]
                raise SettingsError(f"{given} is set and {other} is not: TLS needs both, or neither.")
            if client_ca is not None and cert is None:
                raise SettingsError(f"{prefix}_CLIENT_CA is set and {names[0]} is not: without TLS nobody is asked.")
        if (self.access_key is None) != (self.secret_key is None):
            given, other = ("RS3GW_ACCESS_KEY", "RS3GW_SECRET_KEY")
            given, other = (given, other) if self.access_key is not None else (other, given)
            raise SettingsError(f"{given} is set and {other} is not: set both.")
        if self.secret_key is not None and len(self.secret_key) < MIN_SECRET_LENGTH:
            raise SettingsError(f"RS3GW_SECRET_KEY has fewer than {MIN_SECRET_LENGTH} characters.")
        if not self.bind_addr.is_loopback and self.uses_development_credentials:
            raise SettingsError(
                f"RS3GW_BIND_ADDR={self.bind_addr} can be reached from other machines, and the credentials are the "
                "development ones: set RS3GW_ACCESS_KEY and RS3GW_SECRET_KEY, or RS3GW_CREDENTIALS_FILE."
            )

    @property
    def uses_development_credentials(self) -> bool:
        """Whether a key that anybody can read in the source opens this server."""
        if self.access_key is None:
            return self.credentials_file is None
        return self.secret_key == DEVELOPMENT_SECRET_KEY

    @property
    def grpc_addr(self) -> Address:
        """Where gRPC listens."""
        return Address(self.bind_addr.host, self.grpc_port)


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """A setting as the tables show it."""

    name: str
    variable: str
    flag: str
    default: str
    meaning: str
    kind: Any
    secret: bool


def rows() -> Iterator[Row]:
    """Every setting, in the order of declaration."""
    for each in dataclasses.fields(Settings):
        yield Row(
            name=each.name,
            variable=PREFIX + each.name.upper(),
            flag="--" + each.name.replace("_", "-"),
            default=spell(each.default),
            meaning=each.metadata["help"],
            kind=each.metadata["kind"],
            secret=each.metadata["secret"],
        )


def spell(value: Any) -> str:
    """A value as one would write it into the environment."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(value)
    return str(value)


def options() -> list[click.Option]:
    """Every setting as an option of a command, with its variable behind it."""
    return [
        click.Option(
            [row.flag] if row.kind is not bool else [f"{row.flag}/--no-{row.flag[2:]}"],
            envvar=row.variable,
            type=row.kind,
            default=field.default,
            show_default=row.default or False,
            help=f"{row.meaning}  [{row.variable}]",
        )
        for row, field in zip(rows(), dataclasses.fields(Settings), strict=True)
    ]


def otlp_protocol(environment: Mapping[str, str] | None = None) -> str:
    """
    How traces are to be sent, by OpenTelemetry's own variables: grpc or http/protobuf.

    The library leaves this one to who picks the exporter, and reads the others itself.  Raises SettingsError.
    """
    names = os.environ if environment is None else environment
    for name in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        said = names.get(name, "").strip()
        if said:
            if said not in OTLP_PROTOCOLS:
                raise SettingsError(f"{name}={said}: it is one of {', '.join(OTLP_PROTOCOLS)}.")
            return said
    return OTLP_PROTOCOLS[0]


def share_metrics(directory: Path) -> None:
    """Tell prometheus-client where the processes of a group leave their figures for each other."""
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(directory)


def refuse_unknown(environment: Mapping[str, str] | None = None) -> None:
    """Raises SettingsError for an RS3GW_* variable that no setting has; RS3GW_CLIENT_* are the clients' own."""
    names = os.environ if environment is None else environment
    known = {row.variable for row in rows()}
    unknown = sorted(
        name for name in names if name.startswith(PREFIX) and name not in known and not name.startswith(CLIENTS)
    )
    if unknown:
        raise SettingsError(f"{', '.join(unknown)}: no such setting. `rs3gw settings` prints those that exist.")

"""
The command ``rs3gw``: arguments in, a server or a table out.

Nothing is decided here; ``settings`` says what there is to set and ``server`` runs it.  What a table needs is
imported by the table alone, so that ``rs3gw serve`` starts at once.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from rs3gw import __version__
from rs3gw.settings import Settings, SettingsError, SizeType, options, refuse_unknown, rows, spell


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, prog_name="rs3gw")
def main() -> None:
    """An S3-compatible object gateway: REST and gRPC over one engine."""


def _read(values: dict[str, Any]) -> Settings:
    """The settings that click found; one that is set to nothing counts as not set."""
    refuse_unknown()
    return Settings(**{name: value for name, value in values.items() if value != ""})


@main.command(params=list(options()))
def serve(**values: Any) -> None:
    """Serve REST, and gRPC where it is enabled, until SIGTERM or SIGINT."""
    settings = _read(values)
    from rs3gw import workers

    sys.exit(workers.run(settings))


def _client_command(name: str) -> None:
    """A command of the client, which is a distribution of its own and may not be there."""

    @main.command(
        name,
        short_help=_CLIENT_COMMANDS[name],
        add_help_option=False,
        context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    )
    @click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
    def command(arguments: tuple[str, ...]) -> None:
        try:
            from rs3gw_client import cli as client
        except ModuleNotFoundError as fault:
            if fault.name != "rs3gw_client":
                raise
            raise click.ClickException(f"`rs3gw {name}` is of the client: pip install rs3gw-client") from fault
        sys.exit(client.main([name, *arguments], program="rs3gw"))


_CLIENT_COMMANDS = {
    "cp": "Copy a file or an object, over gRPC.",
    "ls": "List buckets, or what a bucket has.",
    "cat": "Write objects to standard output.",
    "rm": "Remove objects.",
    "sync": "Make a directory or a prefix have what another has.",
}
for _name in _CLIENT_COMMANDS:
    _client_command(_name)


@main.command("settings", params=list(options()))
@click.option("--markdown", is_flag=True, help="As docs/settings.md has it.")
@click.pass_context
def show_settings(context: click.Context, /, markdown: bool, **values: Any) -> None:
    """Print every setting, its value and where the value came from."""
    if markdown:
        from rs3gw import tables

        click.echo(tables.settings(), nl=False)
        return
    settings = _read(values)
    wide = max(len(row.variable) for row in rows())
    for row in rows():
        source = context.get_parameter_source(row.name)
        value = getattr(settings, row.name)
        shown = "********" if row.secret and value is not None else spell(value) or "-"
        click.echo(f"{row.variable:{wide}}  {shown:24}  {source.name.lower() if source else 'default'}")


@main.command("operations")
@click.option("--markdown", is_flag=True, help="As docs/operations.md has it.")
def show_operations(markdown: bool) -> None:
    """Print every operation, its route on REST, its rpc and the permission that it needs."""
    from rs3gw import tables

    click.echo(tables.operations() if markdown else tables.plain(tables.operation_rows()), nl=not markdown)


@main.command("errors")
@click.option("--markdown", is_flag=True, help="As docs/errors.md has it.")
def show_errors(markdown: bool) -> None:
    """Print every error, its HTTP status and its gRPC code."""
    from rs3gw import tables

    click.echo(tables.errors() if markdown else tables.plain(tables.error_rows()), nl=not markdown)


@main.command(params=[option for option in options() if option.name == "storage_root"])
@click.option("--rate", type=SizeType(), default="50MiB", show_default=True, help="Bytes a second; 0 for no bound.")
@click.option("--json", "as_json", is_flag=True, help="The report as JSON.")
def scrub(storage_root: Path, rate: int, as_json: bool) -> None:
    """
    Read everything that is stored and compare it with what it was.

    It runs beside a server as well as without one, and writes nothing.  The exit code is 0 where all is well, 1 where
    something is damaged, and 2 where it could not look.
    """
    from rs3gw import scrubbing

    sys.exit(scrubbing.report(storage_root, bytes_per_second=rate, as_json=as_json))


@main.command(params=list(options()))
@click.argument("access_key_of", metavar="[ACCESS_KEY]", required=False)
def token(access_key_of: str | None, **values: Any) -> None:
    """Print the bearer token of an access key (the owner's by default), for gRPC."""
    from rs3gw import server
    from rs3gw.auth.credentials import token_of

    known = {credential.access_key: credential for credential in server.credentials(_read(values))}
    wanted = access_key_of or next(iter(known))
    if wanted not in known:
        raise SettingsError(f"{wanted}: no such access key here.")
    click.echo(token_of(known[wanted]))


__all__ = ["main"]

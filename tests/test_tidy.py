"""
The rules of the house that no linter states.

A rule stands here only if breaking it has a price that a reader of the change could miss.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from rs3gw.errors import TABLE
from rs3gw.gateway import HANDLERS
from rs3gw.operations import OPERATIONS
from rs3gw.pb import s3_pb2  # noqa: F401
from rs3gw.rpc import servicers

ROOT = Path(__file__).parents[1]
SOURCES = sorted(path for path in (ROOT / "rs3gw").rglob("*.py") if "pb" not in path.relative_to(ROOT).parts)


def calls(tree: ast.AST) -> Iterator[str]:
    """Every dotted name that a module mentions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield ast.unparse(node)


def test_every_operation_has_one_handler_and_no_handler_is_without_an_operation():
    assert set(HANDLERS) == set(OPERATIONS)


def test_every_rpc_is_an_operation_and_every_operation_an_rpc():
    declared = {operation.rpc for operation in OPERATIONS.values() if operation.rpc}

    assert declared == set(servicers.RPCS)


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_opens_with_its_invariant(source):
    tree = ast.parse(source.read_text())

    assert ast.get_docstring(tree)


PORTS = {
    "os.environ": {"rs3gw/settings.py"},
    "os.getenv": set(),
    "time.time": set(),
    "datetime.now": {"rs3gw/engine/world.py"},
    "os.urandom": {"rs3gw/engine/world.py"},
}


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_world_is_reached_through_its_ports(source):
    """A simulation that replays a seed has to own the clock, the dice and the environment."""
    name = str(source.relative_to(ROOT))
    mentioned = set(calls(ast.parse(source.read_text())))

    for what, allowed in PORTS.items():
        assert what not in mentioned or name in allowed


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nobody_draws_from_the_dice_of_the_standard_library(source):
    imported = {
        alias.name
        for node in ast.walk(ast.parse(source.read_text()))
        if isinstance(node, ast.Import)
        for alias in node.names
    }

    assert not imported & {"random", "secrets", "uuid"}


def test_an_error_has_a_sentence_and_a_reason():
    for error in TABLE.values():
        assert error.message
        assert (error.__doc__ or "").strip().endswith((".", ":"))
        assert 300 <= error.http < 600


def test_every_settled_name_of_a_limit_is_a_number_somewhere_once():
    """A limit that is spelled twice drifts."""
    limits = re.compile(r"^(MAX|MIN)_[A-Z_0-9]+(?:, \w+)* = ", re.MULTILINE)
    found: dict[str, str] = {}
    for source in SOURCES:
        for line in source.read_text().splitlines():
            if limits.match(line):
                for name in line.partition(" = ")[0].split(", "):
                    assert name not in found, f"{name} in {source.name} and {found[name]}"
                    found[name] = source.name

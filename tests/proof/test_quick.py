"""
The proofs hold at their quick scale, with a seed of every day.

A proof takes seconds here and minutes under ``make proof``; what is claimed is the same.
"""

from __future__ import annotations

import importlib
import time

import pytest

from proof.run import Run

PROOFS = ["overload", "power", "kill", "histories", "rot", "full", "space"]
"""Those that are run here; the simulation and the fuzzers have tests of their own."""


@pytest.mark.parametrize("name", PROOFS)
def test_a_proof_holds_at_its_quick_scale(name):
    seed = int(time.time()) // 86_400
    run = Run(name, "quick", seed)

    importlib.import_module(f"proof.{name}").prove(run)

    assert run.figures

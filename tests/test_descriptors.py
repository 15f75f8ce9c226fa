"""Descriptors, which are what connections are made of."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

from rs3gw.descriptors import CALL_DESCRIPTORS, SPARE, fit


@pytest.mark.parametrize(
    ("descriptors", "fits"),
    [
        (2 * 4096 + CALL_DESCRIPTORS * 512 + SPARE, 4096),
        (100_000, 4096),
        (4096, (4096 - SPARE - CALL_DESCRIPTORS * 512) // 2),
        (1024, (1024 - SPARE) // 4),
        (SPARE, 1),
        (0, 1),
    ],
    ids=["exactly enough", "more than enough", "fewer connections", "half for calls", "nearly none", "none"],
)
def test_connections_leave_descriptors_for_calls(descriptors, fits):
    assert fits == fit(descriptors, 4096, calls=512, protocols=2)


def test_a_process_takes_the_descriptors_that_it_needs():
    """systemd starts a service with 1,024 unless its unit says otherwise."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    asked = (hard - SPARE - CALL_DESCRIPTORS * 8) // 2
    begun = subprocess.run(
        [
            sys.executable,
            "-c",
            "import resource, rs3gw.descriptors as d\n"
            f"resource.setrlimit(resource.RLIMIT_NOFILE, (64, {hard}))\n"
            f"print(d.connections({asked}, calls=8, protocols=2), *resource.getrlimit(resource.RLIMIT_NOFILE))",
        ],
        capture_output=True,
        text=True,
        check=True,
    )

    assert begun.stdout.split() == [str(asked), str(2 * asked + CALL_DESCRIPTORS * 8 + SPARE), str(hard)]

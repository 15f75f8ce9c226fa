"""
How many connections there are descriptors for.

A connection that is accepted with the last descriptor leaves none to open a blob with: every call fails then, those
of old connections too.  So a process takes the descriptors that its bounds need, and where the system gives it fewer,
lets fewer in.
"""

from __future__ import annotations

import resource
from typing import Final

from rs3gw.telemetry import logger

SPARE: Final = 128
"""What a process opens besides: the index and its log, listeners, modules that are imported late."""

CALL_DESCRIPTORS: Final = 2
"""What a call opens besides its connection: a blob that it reads or writes, and one that it copies from."""


def connections(asked: int, *, calls: int, protocols: int) -> int:
    """
    Of the connections that were asked for on each protocol, those that there are descriptors for.

    The soft limit of this process is raised as far as that takes; systemd's is 1,024 unless a unit says otherwise.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = protocols * asked + CALL_DESCRIPTORS * calls + SPARE
    if soft < wanted:
        soft = min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    fitting = fit(soft, asked, calls=calls, protocols=protocols)
    if fitting < asked:
        logger("server").warning("few descriptors: fewer connections", descriptors=soft, connections=fitting)
    return fitting


def fit(descriptors: int, asked: int, *, calls: int, protocols: int) -> int:
    """How many connections on each protocol so many descriptors are enough for: one at least."""
    free = max(0, descriptors - SPARE)
    # A call needs a connection (of gRPC's, many share one): where there is little, half is for each.
    return max(1, min(asked, max(free - CALL_DESCRIPTORS * calls, free // 2) // protocols))

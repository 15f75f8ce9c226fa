"""
How the number of users goes over time: up (ramp), up and down at once (spike), and on and on (soak).

A shape is a pure function of the seconds since the start, so that it can be read and tested without a run; it ends
by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

Users = Callable[[float, float, int], int]
"""(seconds since the start, seconds in all, users at the peak) → users now."""


def ramp(now: float, seconds: float, peak: int) -> int:
    """From one user to the peak, evenly."""
    return max(1, round(peak * min(1.0, now / seconds)))


def spike(now: float, seconds: float, peak: int) -> int:
    """A tenth of the peak, all of it at once for the middle fifth, and a tenth again: what recovers is seen."""
    return peak if 0.4 <= now / seconds < 0.6 else max(1, peak // 10)


def soak(now: float, seconds: float, peak: int) -> int:
    """The peak, from the first second to the last."""
    return peak


SHAPES: Mapping[str, Users] = {"ramp": ramp, "spike": spike, "soak": soak}

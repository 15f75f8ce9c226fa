"""
When a call is made again, and after how long.

What was refused with SlowDown was not begun, and is asked again whatever it was.  What broke may have been done: it is
asked again only where doing it twice is doing it once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from rs3gw_client.errors import SlowDown, TimedOut, Unreachable


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """
    So many attempts in all, the wait before each the double of the last one's bound, and a random share of its bound.

    The random share (full jitter) keeps many clients that failed together from coming back together.
    """

    attempts: int = 6
    first_seconds: float = 0.1
    most_seconds: float = 5.0

    def waits(self, random: Random) -> Iterator[float]:
        """The seconds to wait before each attempt but the first."""
        for attempt in range(self.attempts - 1):
            yield random.uniform(0, min(self.first_seconds * 2**attempt, self.most_seconds))

    @staticmethod
    def covers(fault: Exception, *, is_safe: bool) -> bool:
        """Whether to try again after this; ``is_safe``: it may be done twice."""
        return isinstance(fault, SlowDown) or (is_safe and isinstance(fault, (Unreachable, TimedOut)))


NEVER = Retry(attempts=1)

"""
What a product does not offer, and what it is known to get wrong.

A profile is a TOML file beside this one.  ``[capabilities]`` turns off what the product does not offer, each with the
reason.  ``[[known]]`` is a failure that is known: a pattern of its name (``*`` stands for anything), optionally the
driver that shows it, why it is one, and since when.  Known failures are run all the same.

    product = "Example 1.2"

    [capabilities]
    policies = "Example has no bucket policies."

    [[known]]
    scenario = "Listing objects › * › A page never repeats an entry*"
    driver = "rest"
    reason = "The token is the last key, percent-decoded twice.  S3's reference, ListObjectsV2: …"
    since = 2026-01-31
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from fnmatch import fnmatchcase
from pathlib import Path

from conformance import capabilities
from conformance.results import Result, Status

HERE = Path(__file__).parent


class ProfileError(ValueError):
    """The profile says something that cannot be meant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A failure that is known."""

    scenario: str
    reason: str
    since: date
    driver: str = "*"

    def covers(self, driver: str, result: Result) -> bool:
        """Whether this line speaks of that result."""
        pattern = self.scenario.replace("[", "[[]")
        return fnmatchcase(driver, self.driver) and (
            fnmatchcase(result.full_name, pattern) or fnmatchcase(result.name, pattern)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What is known of a product beforehand."""

    name: str
    product: str
    lacks: Mapping[str, str] = field(default_factory=dict)
    known: tuple[Known, ...] = ()

    def judge(self, driver: str, result: Result) -> Result:
        """The result in the light of what is known."""
        line = next((line for line in self.known if line.covers(driver, result)), None)
        if line is None:
            return result
        if result.status in (Status.FAIL, Status.ERROR):
            said = f"known since {line.since}: {line.reason}  It says: {result.reason}"
            return dataclasses.replace(result, status=Status.KNOWN, reason=said)
        if result.status is Status.PASS:
            said = f"passes, and the profile {self.name} says that it fails: delete {line.scenario!r}"
            return dataclasses.replace(result, status=Status.FIXED, reason=said)
        return result

    def stale(self, results: Iterable[tuple[str, Result]]) -> list[str]:
        """The patterns that none of these (driver, result) is covered by, of those that speak of such a driver."""
        seen = list(results)
        drivers = {driver for driver, _ in seen}
        return [
            line.scenario
            for line in self.known
            if any(fnmatchcase(driver, line.driver) for driver in drivers)
            and not any(line.covers(driver, result) for driver, result in seen)
        ]


EMPTY = Profile(name="none", product="")


def load(name: str) -> Profile:
    """
    A profile by its name, or by the path of its file.

    Raises ProfileError.
    """
    path = Path(name) if name.endswith(".toml") else HERE / f"{name}.toml"
    try:
        said = tomllib.loads(path.read_text())
    except OSError as fault:
        raise ProfileError(f"{path}: {fault.strerror}") from fault
    except tomllib.TOMLDecodeError as fault:
        raise ProfileError(f"{path}: {fault}") from fault
    unknown = said.keys() - {"product", "capabilities", "known"}
    if unknown or "product" not in said:
        raise ProfileError(f"{path}: {', '.join(sorted(unknown)) or 'no product'}")
    lacks = said.get("capabilities", {})
    try:
        capabilities.check(set(lacks), str(path))
        known = tuple(Known(**line) for line in said.get("known", ()))
    except (ValueError, TypeError) as fault:
        raise ProfileError(f"{path}: {fault}") from fault
    for line in known:
        if not line.reason.strip() or not isinstance(line.since, date):
            raise ProfileError(f"{path}: {line.scenario!r} needs a reason and a date")
    for capability, reason in lacks.items():
        if not isinstance(reason, str) or not reason.strip():
            raise ProfileError(f"{path}: {capability} needs the reason why it is off")
    return Profile(name=path.stem, product=said["product"], lacks=lacks, known=known)

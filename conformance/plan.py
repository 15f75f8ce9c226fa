"""
Which cells there are, and how one is played.

Drivers × targets, in the order in which they were asked for.  A target is started once and all its drivers are put to
it one after the other; what cannot be had is *off*, with the reason.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from conformance import behave, wire
from conformance.drivers import Driver
from conformance.profiles import EMPTY, Profile
from conformance.results import Outcome
from conformance.targets import Off, Place, Target

DRIVERS = ("rest", "boto3", "grpc", "connect", "grpcweb")
TARGETS = ("inprocess", "process", "tls", "container", "endpoint")

OTHER = {"rest": "grpc", "boto3": "grpc", "grpc": "rest", "connect": "grpc", "grpcweb": "grpc"}
"""Who reads what a driver wrote, where a scenario is about both protocols."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What was asked for."""

    drivers: Sequence[str] = ("rest", "grpc")
    targets: Sequence[str] = ("inprocess",)
    names: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    profile: Profile = EMPTY
    endpoint: str = ""
    grpc: str = ""
    image: str = ""
    version: str = ""
    shows: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether every scenario and every row is asked for, so that what was not seen does not exist."""
        return not self.names and not self.tags and "rest" in self.drivers


def make_target(name: str, choice: Choice) -> Target:
    """A target by its name, not started.  Raises Off where it cannot even be imported."""
    if name == "inprocess":
        try:
            from conformance.targets.inprocess import InProcess
        except ImportError as fault:
            raise Off(f"rs3gw cannot be imported: {fault}") from fault
        return InProcess()
    if name == "process":
        from conformance.targets.process import Process

        return Process()
    if name == "tls":
        from conformance.targets.process import Tls

        return Tls()
    if name == "container":
        from conformance.targets.container import IMAGE, Container

        return Container(choice.image or IMAGE)
    if name == "endpoint":
        from conformance.targets.endpoint import Endpoint

        return Endpoint(choice.endpoint, grpc=choice.grpc, environment=os.environ, version=choice.version)
    raise ValueError(f"{name}: no such target; there are {', '.join(TARGETS)}")


def make_driver(name: str, place: Place) -> Driver:
    """The owner's driver by its name.  Raises Off where the place cannot be spoken to like that."""
    if name == "rest":
        from conformance.drivers import rest

        return rest.make(place)
    if name == "grpc":
        from conformance.drivers import grpc

        return grpc.make(place)
    if name in ("connect", "grpcweb"):
        from conformance.drivers import web

        return web.make(place, web.Connect() if name == "connect" else web.GrpcWeb())
    if name == "boto3":
        from conformance.drivers import boto3

        return boto3.make(place)
    raise ValueError(f"{name}: no such driver; there are {', '.join(DRIVERS)}")


def make_cell(driver: str, place: Place, profile: Profile = EMPTY) -> behave.Cell:
    """A cell, with the driver of the other protocol where there is one.  Raises Off."""
    try:
        other = make_driver(OTHER[driver], place)
    except Off:
        other = None
    return behave.Cell(driver=make_driver(driver, place), other=other, region=place.region, profile=profile)


def applies(driver: str, target: str) -> bool:
    """Whether these two make a cell: an unmodified SDK needs a socket, and in process there is none."""
    return (driver, target) != ("boto3", "inprocess")


def play(choice: Choice, *, began: Callable[[str], None] = lambda name: None) -> Iterator[Outcome]:
    """Play every cell; an Outcome as each one ends."""
    for name in choice.targets:
        drivers = [driver for driver in choice.drivers if applies(driver, name)]
        target: Target | None = None
        try:
            target = make_target(name, choice)
            place = target.start()
        except Off as off:
            yield from (Outcome(driver=driver, target=name, reason=str(off)) for driver in drivers)
        else:
            for driver in drivers:
                began(f"{driver} × {name}")
                yield _play(driver, name, place, choice)
        finally:
            if target is not None:
                target.stop()


def _play(driver: str, target: str, place: Place, choice: Choice) -> Outcome:
    outcome = Outcome(driver=driver, target=target, version=place.version)
    started = time.perf_counter()
    try:
        cell = make_cell(driver, place, choice.profile)
    except Off as off:
        outcome.reason = str(off)
        return outcome
    try:
        outcome.results += behave.run(cell, names=choice.names, tags=choice.tags, shows=choice.shows)
        if driver == "rest" and not choice.tags:
            outcome.results += wire.run(cell, names=choice.names)
    finally:
        cell.driver.close()
        if cell.other is not None:
            cell.other.close()
    outcome.seconds = round(time.perf_counter() - started, 3)
    return outcome


def by_hand(driver: str) -> tuple[behave.Cell, Callable[[], None]]:
    """A cell in process for ``behave`` started by hand, and how to end it."""
    target = make_target("inprocess", Choice())
    return make_cell(driver, target.start()), target.stop

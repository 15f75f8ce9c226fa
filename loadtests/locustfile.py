"""
locust's way in: options, users of both protocols, a shape, and an exit code that says whether the bounds were kept.

    locust -f loadtests/locustfile.py --host http://127.0.0.1:9000 --grpc 127.0.0.1:50051 --mix listing --headless

The keys are AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.  ``scripts/load`` does all of it for a gateway of its own.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import grpc.experimental.gevent  # type: ignore[import-not-found]
from locust import LoadTestShape, events
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment

from conformance.plan import make_driver
from conformance.targets import REGION, Keys, Place
from loadtests import thresholds
from loadtests.shapes import SHAPES
from loadtests.users import MIXES, prepare, user_class

# locust's users are greenlets: gRPC has to wait in their way.
grpc.experimental.gevent.init_gevent()

MAX_PEAK, MAX_SECONDS = 1_000, 24 * 3600.0

# Which users there are has to be known as the file is read, before locust has parsed what it was asked.
_MIX = os.environ.get("LOAD_MIX", "small-objects")

RestUser = user_class("rest", _MIX)
GrpcUser = user_class("grpc", _MIX)


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def _options(parser: LocustArgumentParser, **_: Any) -> None:
    add = parser.add_argument
    add("--mix", choices=sorted(MIXES), default="small-objects", env_var="LOAD_MIX", help="What users do")
    add("--shape", choices=sorted(SHAPES), default="ramp", env_var="LOAD_SHAPE", help="How their number goes")
    add("--seconds", type=float, default=60.0, env_var="LOAD_SECONDS", help="How long it takes in all")
    add("--least", type=int, default=0, env_var="LOAD_LEAST", help="End once each protocol was asked so often")
    add("--peak", type=int, default=16, env_var="LOAD_PEAK", help="How many users there are at most")
    add("--grpc", default="", env_var="LOAD_GRPC", help="host:port of gRPC; without it all users speak REST")
    add("--bucket", default="loadtest", env_var="LOAD_BUCKET", help="The bucket to work in; it is made")
    add("--thresholds", default="", env_var="LOAD_THRESHOLDS", help="A TOML file of bounds; one missed: exit code 1")


def asked(environment: Environment) -> Any:
    """What the command line says."""
    assert environment.parsed_options is not None
    return environment.parsed_options


class Shape(LoadTestShape):
    """The shape that was asked for, bounded in users and time."""

    def tick(self) -> tuple[int, float] | tuple[int, float, list[type]] | None:
        assert self.runner is not None
        options = asked(self.runner.environment)
        seconds, peak = min(options.seconds, MAX_SECONDS), min(options.peak, MAX_PEAK)
        now = self.get_run_time()  # type: ignore[no-untyped-call]
        if now >= seconds or (options.least and self._asked(options) >= options.least):
            return None
        users = SHAPES[options.shape](now, seconds, peak)
        return users, float(peak), [RestUser, GrpcUser] if options.grpc else [RestUser]

    def _asked(self, options: Any) -> int:
        """How often the protocol was asked that was asked least."""
        assert self.runner is not None
        counts = {"REST": 0, "gRPC": 0} if options.grpc else {"REST": 0}
        for (_, protocol), entry in self.runner.stats.entries.items():
            counts[protocol] += entry.num_requests - entry.num_failures
        return min(counts.values())


@events.init.add_listener  # type: ignore[untyped-decorator]
def _prepare(environment: Environment, **_: Any) -> None:
    # Not at the start of the test: a shape's second step would break it off.
    options = asked(environment)
    keys = Keys(os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
    place = Place(url=environment.host or "", identities={"owner": keys}, region=os.environ.get("AWS_REGION", REGION))
    s3 = make_driver("rest", place)
    try:
        prepare(s3, options.bucket, options.mix)
    finally:
        s3.close()


@events.quitting.add_listener  # type: ignore[untyped-decorator]
def _judge(environment: Environment, **_: Any) -> None:
    options = asked(environment)
    if not options.thresholds:
        return
    bounds = thresholds.load(Path(options.thresholds), options.mix)
    verdicts = list(thresholds.judge(bounds, environment.stats.entries))
    if not options.grpc:
        verdicts = [verdict for verdict in verdicts if verdict.threshold.protocol != "gRPC"]
    for verdict in verdicts:
        print(verdict)
    environment.process_exit_code = 0 if verdicts and all(verdict.is_kept for verdict in verdicts) else 1

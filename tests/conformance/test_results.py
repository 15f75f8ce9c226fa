"""How statuses add up, and what a known failure may hide."""

from __future__ import annotations

from datetime import date

import pytest

from conformance import profiles
from conformance.profiles import Known, Profile, ProfileError
from conformance.results import Outcome, Result, Run, Status, worst


def result(status: Status = Status.PASS, name: str = "A scenario", **more: object) -> Result:
    said = {"feature": "Feature", "rule": "Rule", "name": name, "where": "f.feature:1", "status": status, **more}
    return Result(**said)


def run_of(*statuses: Status, target: str = "inprocess") -> Run:
    outcome = Outcome(driver="rest", target=target, results=[result(status) for status in statuses])
    return Run(product="rs3gw", profile="rs3gw", date="2026-01-31", outcomes=[outcome])


KNOWN = Known(scenario="Feature › Rule › A scen*", reason="It never did.", since=date(2026, 1, 31))
PROFILE = Profile(name="example", product="Example", known=(KNOWN,))


def test_whatever_holds_others_has_the_worst_of_theirs():
    order = [Status.OFF, Status.UNSUPPORTED, Status.PASS, Status.KNOWN, Status.FIXED, Status.FAIL, Status.ERROR]

    assert sorted(order) == order
    for index, status in enumerate(order):
        assert worst(order[: index + 1]) is status


@pytest.mark.parametrize("status", [Status.FAIL, Status.ERROR, Status.FIXED])
def test_one_bad_result_among_good_ones_fails_the_run(status):
    assert run_of(Status.PASS, status, Status.PASS).failed()


@pytest.mark.parametrize("status", [Status.UNSUPPORTED, Status.KNOWN])
def test_what_is_not_promised_fails_nothing(status):
    assert not run_of(Status.PASS, status).failed()


@pytest.mark.parametrize("statuses", [(), (Status.UNSUPPORTED,), (Status.KNOWN,)])
def test_a_run_that_showed_nothing_is_no_success(statuses):
    assert run_of(*statuses).failed()


def test_a_target_that_is_off_fails_the_run_only_where_it_was_promised():
    run = run_of(Status.PASS)
    run.outcomes.append(Outcome(driver="rest", target="container", reason="no daemon"))

    assert not run.failed()
    assert run.failed(promised=["container"])


def test_a_line_of_the_profile_that_speaks_of_nothing_fails_the_run():
    run = run_of(Status.PASS)
    run.stale = ["A promise that was reworded"]

    assert run.failed()


@pytest.mark.parametrize("status", [Status.FAIL, Status.ERROR])
def test_a_known_failure_is_known_and_keeps_both_reasons(status):
    judged = PROFILE.judge("rest", result(status, reason="412 came"))

    assert judged.status is Status.KNOWN
    assert "It never did." in judged.reason
    assert "412 came" in judged.reason


def test_a_known_failure_that_passes_is_fixed():
    assert PROFILE.judge("rest", result()).status is Status.FIXED


def test_a_known_failure_that_is_unsupported_stays_so():
    assert PROFILE.judge("rest", result(Status.UNSUPPORTED)).status is Status.UNSUPPORTED


def test_a_line_for_one_driver_speaks_of_no_other():
    profile = Profile(name="e", product="E", known=(Known(scenario="*", reason="r", since=date.min, driver="grpc"),))

    assert profile.judge("grpc", result(Status.FAIL)).status is Status.KNOWN
    assert profile.judge("rest", result(Status.FAIL)).status is Status.FAIL


def test_brackets_in_a_pattern_stand_for_themselves():
    line = Known(scenario="The key [a]", reason="r", since=date.min)

    assert line.covers("rest", result(name="The key [a]"))
    assert not line.covers("rest", result(name="The key a"))


def test_a_pattern_that_no_scenario_has_is_stale():
    assert PROFILE.stale([("rest", result(name="Another"))]) == ["Feature › Rule › A scen*"]
    assert PROFILE.stale([("rest", result(Status.FAIL))]) == []


def test_a_line_about_a_driver_that_was_not_played_is_not_stale():
    profile = Profile(name="e", product="E", known=(Known(scenario="x", reason="r", since=date.min, driver="boto3"),))

    assert profile.stale([("rest", result())]) == []
    assert profile.stale([("boto3", result())]) == ["x"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no product"),
        ('product = "E"\nsurprise = 1', "surprise"),
        ('product = "E"\n[capabilities]\nteleportation = "No."', "no such capability"),
        ('product = "E"\n[capabilities]\npolicies = ""', "needs the reason"),
        ('product = "E"\n[[known]]\nscenario = "*"\nsince = 2026-01-31', "reason"),
        ('product = "E"\n[[known]]\nscenario = "*"\nreason = "r"\nsince = "lately"', "date"),
        ('product = "E"\n[[known]]\nscenario = "*"\nreason = "r"\nsince = 2026-01-31\nmood = "bad"', "mood"),
        ("product = ", "Invalid value"),
    ],
)
def test_a_profile_that_cannot_be_meant_is_refused(tmp_path, text, said):
    path = tmp_path / "example.toml"
    path.write_text(text)

    with pytest.raises(ProfileError, match=said):
        profiles.load(str(path))


@pytest.mark.parametrize("path", sorted(profiles.HERE.glob("*.toml")), ids=lambda path: path.stem)
def test_every_profile_can_be_read(path):
    assert profiles.load(path.stem).product

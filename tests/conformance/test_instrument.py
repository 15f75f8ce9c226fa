"""
The instrument can fail: a suite that passes whatever it is put to measures nothing.

A small feature with steps of its own is put to drivers that lie, break and refuse.
"""

from __future__ import annotations

import pytest

from conformance import behave
from conformance.behave import Cell
from conformance.drivers import Answer, Broken, Refusal, Unsupported
from conformance.profiles import Profile
from conformance.results import Status

FEATURE = """
Feature: Small things
  Rule: What is put can be had

    Scenario: It comes back
      Given a small bucket
      Then the small thing is "put"

    @needs.policies
    Scenario: It needs what is not there
      Then nobody knows this step

    Scenario Outline: It is one of many
      Then the small thing is "<thing>"

      Examples:
        | thing |
        | put   |

    @wip
    Scenario: It is not ready
      Then nobody knows this step
"""

STEPS = """
from behave import given, then

@given("a small bucket")
def given_bucket(context):
    context.world.make_bucket()

@then('the small thing is "{expected}"')
def then_is(context, expected):
    assert context.world.ask("GetObject", bucket="b", key="k")["body_text"] == expected, "it is another"
"""


class Small:
    """A driver onto a store of one answer."""

    name = protocol = "rest"
    identity = "owner"

    def __init__(self, answer: str | Exception = "put", *, capabilities: tuple[str, ...] = ()) -> None:
        self.answer = answer
        self.capabilities = capabilities
        self.asked: list[str] = []

    def supports(self, capability: str) -> bool:
        return capability in self.capabilities

    def perform(self, operation: str, **fields: object) -> Answer:
        self.asked.append(operation)
        if operation != "GetObject":
            return Answer(operation=operation)
        if isinstance(self.answer, Exception):
            raise self.answer
        if self.answer == "refused":
            return Answer(operation=operation, refusal=Refusal(code="NoSuchKey", message="", status=404))
        return Answer(operation=operation, fields={"body_text": self.answer})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    (folder / "steps").mkdir()
    (folder / "environment.py").write_text("from conformance.behave import *\n")
    (folder / "steps" / "small.py").write_text(STEPS)
    (folder / "small.feature").write_text(FEATURE)
    return folder


def play(folder, driver, profile=None):
    cell = Cell(driver=driver, profile=profile or Profile(name="none", product=""))
    return {result.name.partition(" --")[0]: result for result in behave.run(cell, folder=folder)}


def test_a_promise_that_holds_passes_in_every_form(folder):
    results = play(folder, Small())

    assert {name: result.status for name, result in results.items()} == {
        "It comes back": Status.PASS,
        "It needs what is not there": Status.UNSUPPORTED,
        "It is one of many": Status.PASS,
    }
    assert results["It comes back"].full_name == "Small things › What is put can be had › It comes back"
    assert results["It is one of many"].rule == "What is put can be had"


def test_a_server_that_lies_is_found_out_and_the_step_is_named(folder):
    found = play(folder, Small("something else"))["It comes back"]

    assert found.status is Status.FAIL
    assert found.where.endswith("small.feature:7")
    assert "it is another" in found.reason


def test_a_refusal_where_none_was_expected_is_a_failure(folder):
    found = play(folder, Small("refused"))["It comes back"]

    assert found.status is Status.FAIL
    assert "NoSuchKey" in found.reason


@pytest.mark.parametrize("fault", [Broken("the connection was lost"), ZeroDivisionError("a step is wrong")])
def test_what_breaks_is_an_error_and_no_failure(folder, fault):
    assert play(folder, Small(fault))["It comes back"].status is Status.ERROR


def test_what_cannot_be_asked_is_unsupported(folder):
    assert play(folder, Small(Unsupported("no such words")))["It comes back"].status is Status.UNSUPPORTED


def test_a_step_that_nobody_wrote_is_an_error(folder):
    found = play(folder, Small(capabilities=("policies",)))["It needs what is not there"]

    assert found.status is Status.ERROR
    assert "no such step" in found.reason


def test_a_profile_turns_a_need_off_with_its_reason(folder):
    profile = Profile(name="small", product="Small", lacks={"policies": "Small has none."})
    found = play(folder, Small(capabilities=("policies",)), profile)["It needs what is not there"]

    assert found.status is Status.UNSUPPORTED
    assert found.reason == "Small has none."


def test_every_scenario_sweeps_up_its_buckets(folder):
    driver = Small()
    play(folder, driver)

    assert driver.asked.count("CreateBucket") == driver.asked.count("DeleteBucket") == 1


def test_a_need_that_is_misspelt_is_an_error_and_never_unsupported(folder, tmp_path):
    (tmp_path / "steps").mkdir()
    (tmp_path / "environment.py").write_text("from conformance.behave import *\n")
    (tmp_path / "steps" / "none.py").write_text("")
    (tmp_path / "a.feature").write_text("Feature: F\n  @needs.polices\n  Scenario: S\n    Then nothing\n")

    assert play(tmp_path, Small())["S"].status is Status.ERROR

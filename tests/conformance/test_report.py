"""Reports say what the run says, whoever reads them."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree

import pytest

from conformance import __main__ as command
from conformance import plan, report
from conformance.results import Outcome, Result, Run, Status
from conformance.targets import Off


def result(status: Status, name: str, reason: str = "") -> Result:
    return Result(
        feature="Keys", rule="Odd ones", name=name, where="features/k.feature:3", status=status, reason=reason
    )


@pytest.fixture
def run() -> Run:
    rest = Outcome(
        driver="rest",
        target="process",
        version="1.0",
        results=[
            result(Status.PASS, "plain"),
            result(Status.FAIL, "a\x01b | <i>", "got <b>\x00</b>"),
            result(Status.KNOWN, "tilde", "known since 2026-01-31: never did.  It says: 12345"),
            result(Status.UNSUPPORTED, "policies", "It has none."),
        ],
    )
    return Run(
        product="Example",
        profile="example",
        date="2026-01-31",
        outcomes=[rest, Outcome(driver="grpc", target="process", reason="it speaks no gRPC")],
    )


def test_results_json_has_everything(run, tmp_path):
    paths = list(report.write(run, tmp_path / "out"))
    said = json.loads((tmp_path / "out" / "results.json").read_text())

    assert [path.name for path in paths] == ["results.json", "matrix.md", "junit.xml", "index.html"]
    assert said["status"] == "fail"
    assert [row["status"] for row in said["outcomes"][0]["results"]] == ["pass", "fail", "known", "unsupported"]
    assert said["outcomes"][1]["status"] == "off"


def test_the_matrix_tells_what_does_not_hold_and_why(run):
    text = report.matrix(run)

    assert "| Keys | 1 FAIL, 1 known, 1 pass |  |" in text
    assert "it speaks no gRPC" in text
    assert "never did." in text


def test_the_matrix_of_two_equal_runs_is_the_same(run):
    """It is committed: what a server said by chance must not make a difference."""
    again = Run(product=run.product, profile=run.profile, date=run.date, outcomes=[*run.outcomes])
    first = report.matrix(run)
    again.outcomes[0].results[2] = result(Status.KNOWN, "tilde", "known since 2026-01-31: never did.  It says: 67890")
    again.outcomes[0].seconds = 99.0

    assert report.matrix(again) == first


def test_junit_is_xml_whatever_names_and_reasons_hold(run):
    root = ElementTree.fromstring(report.junit(run))  # noqa: S314 - it is our own

    assert len(root.findall(".//failure")) == 1
    assert len(root.findall(".//skipped")) == 3
    assert {case.get("name") for case in root.iter("testcase")} >= {"Odd ones: plain", "start"}


def test_the_page_escapes_what_servers_say(run):
    text = report.page(run)

    assert "<b>\x00</b>" not in text
    assert "got &lt;b&gt;" in text
    assert "<script src" not in text
    assert "http" not in text


class Nowhere:
    """A target that never starts, and remembers whether it was stopped."""

    name = "inprocess"
    stopped = False

    def start(self):
        raise Off("the disk is elsewhere")

    def stop(self):
        Nowhere.stopped = True


def test_a_target_that_cannot_start_is_off_for_every_driver_and_is_stopped(monkeypatch):
    monkeypatch.setattr(plan, "make_target", lambda name, choice: Nowhere())
    outcomes = list(plan.play(plan.Choice(drivers=("rest", "grpc"), targets=("inprocess",))))

    assert [(outcome.status, outcome.reason) for outcome in outcomes] == [(Status.OFF, "the disk is elsewhere")] * 2
    assert Nowhere.stopped


def test_a_run_in_which_everything_is_off_does_not_exit_well(monkeypatch, capsys):
    monkeypatch.setattr(plan, "make_target", lambda name, choice: Nowhere())

    assert command.main(["--target", "inprocess"]) == 1
    assert "off: the disk is elsewhere" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments", [["--driver", "telepathy"], ["--target", ""], ["--profile", "nobody"]], ids=lambda a: a[0]
)
def test_a_question_that_is_wrong_exits_with_two(arguments):
    assert command.main(arguments) == 2

"""The one policy: what is said of a run, and that everything which says it says the same."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from rnn_conformance.api import Results
from rnn_conformance.errors import Fault, Sort
from rnn_conformance.report import merge, render, terminal
from rnn_conformance.report.wording import PLURALS, TONES
from rnn_conformance.results.document import document
from rnn_conformance.results.records import Failure, Outcome
from rnn_conformance.results.verdict import (
    Exit,
    Judgement,
    Verdict,
    exit_code,
    green,
    judge,
    judgements,
    required,
)
from tests.support.made_results import COMPLETE, entry, record, results
from tests.support.pages import Parsed

ENDS = {
    Verdict.CONFORMS: Outcome.PASSED,
    Verdict.FAILS: Outcome.FAILED,
    Verdict.ERROR: Outcome.ERROR,
}

J = Judgement

POLICY: list[tuple[Verdict, bool, bool, bool, Judgement, bool]] = [
    # verdict, fails on purpose, complete, selected: what is said, and whether the run is green
    (Verdict.CONFORMS, False, True, False, J.CONFORMS, True),
    (Verdict.CONFORMS, False, True, True, J.SELECTED, True),
    (Verdict.CONFORMS, False, False, False, J.UNDECIDED, False),
    (Verdict.CONFORMS, False, False, True, J.UNDECIDED, False),
    (Verdict.CONFORMS, True, True, False, J.UNINTENDED, False),
    (Verdict.CONFORMS, True, True, True, J.UNINTENDED, False),
    (Verdict.CONFORMS, True, False, False, J.UNDECIDED, False),
    (Verdict.CONFORMS, True, False, True, J.UNDECIDED, False),
    (Verdict.FAILS, False, True, False, J.FAILS, False),
    (Verdict.FAILS, False, True, True, J.FAILS, False),
    (Verdict.FAILS, False, False, False, J.FAILS, False),
    (Verdict.FAILS, False, False, True, J.FAILS, False),
    (Verdict.FAILS, True, True, False, J.INTENDED, True),
    (Verdict.FAILS, True, True, True, J.INTENDED, True),
    (Verdict.FAILS, True, False, False, J.INTENDED, False),
    (Verdict.FAILS, True, False, True, J.INTENDED, False),
    (Verdict.ERROR, False, True, False, J.ERROR, False),
    (Verdict.ERROR, False, True, True, J.ERROR, False),
    (Verdict.ERROR, False, False, False, J.ERROR, False),
    (Verdict.ERROR, False, False, True, J.ERROR, False),
    (Verdict.ERROR, True, True, False, J.ERROR, False),
    (Verdict.ERROR, True, True, True, J.ERROR, False),
    (Verdict.ERROR, True, False, False, J.ERROR, False),
    (Verdict.ERROR, True, False, True, J.ERROR, False),
]


def run_of(verdict: Verdict, purpose: bool, complete: bool, selected: bool) -> dict[str, Any]:
    """A document of one implementation that ended so."""
    run = dataclasses.replace(COMPLETE, complete=complete, select=("EQ",) if selected else ())
    subject = entry(fails_on_purpose="the gates are in another order" if purpose else "")
    return results(subject, run=run, EQ_2=ENDS[verdict])


def printed(whole: dict[str, Any]) -> str:
    """What the command prints of a document."""
    stream = io.StringIO()
    terminal.summary(Console(width=200, file=stream), whole, Path("index.html"))
    return stream.getvalue()


def test_the_policy_speaks_of_every_combination() -> None:
    assert len({row[:4] for row in POLICY}) == len(POLICY) == 3 * 2 * 2 * 2


@pytest.mark.parametrize(
    ("verdict", "purpose", "complete", "selected", "judgement", "is_green"), POLICY
)
def test_everything_that_tells_how_a_run_went_tells_the_same(
    verdict: Verdict,
    purpose: bool,
    complete: bool,
    selected: bool,
    judgement: Judgement,
    is_green: bool,
) -> None:
    whole = run_of(verdict, purpose, complete, selected)
    (implementation,) = whole["implementations"]
    assert implementation["verdict"] == verdict
    assert judge(implementation, whole["run"]) is judgement
    assert judgements(whole) == [judgement]
    assert green(whole) is is_green
    assert exit_code(whole) is (Exit.GREEN if is_green else Exit.NOT_GREEN)

    page = Parsed(render(whole))
    badge = page.all("span", "verdict")[0]
    assert (badge.text, TONES[judgement] in badge.classes) == (judgement, True)
    assert ("conforms" in page.one("header").classes) is is_green

    _, row, *_ = printed(whole).splitlines()
    assert f" {judgement} " in row

    summary = Results(whole)
    assert summary.conforms is bool(summary) is is_green
    assert summary.verdicts == {"loop[LSTM]": judgement}
    failing = " ".join(["", *summary.failing["loop[LSTM]"]])
    assert repr(summary) == f"<Results: loop[LSTM] {judgement}{failing}>"


def test_a_judgement_has_a_tone_a_plural_and_no_other_ones_colour() -> None:
    for judgement in Judgement:
        assert judgement in PLURALS
        style = terminal.STYLES[TONES[judgement]]
        assert (style != "red") is judgement.green


def test_one_that_is_not_as_it_should_be_is_enough() -> None:
    correct, wrong = entry(), entry("wrong", fails_on_purpose="its gates")
    both = [record(correct, ["EQ-2"]), record(wrong, ["EQ-2"], Outcome.FAILED)]
    assert green(document(COMPLETE, [correct, wrong], both))
    assert not green(document(COMPLETE, [correct, wrong], [record(correct, ["EQ-2"])]))


def test_a_run_of_nothing_is_not_green() -> None:
    nothing = document(COMPLETE, [], [])
    assert not green(nothing)
    assert exit_code(nothing) is Exit.NOT_GREEN
    assert not Results(nothing)


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault.IMPLEMENTATION, Exit.NOT_GREEN),
        (Fault.ADAPTER, Exit.NOT_GREEN),
        (Fault.SUITE, Exit.FAULT),
    ],
)
def test_a_fault_of_the_suite_has_a_code_of_its_own(fault: Fault, code: Exit) -> None:
    loop = entry()
    failing = record(loop, ["EQ-2"], Outcome.ERROR, Failure(fault, Sort.BROKEN, "it broke"))
    assert exit_code(document(COMPLETE, [loop], [failing])) is code


def test_of_merged_runs_each_is_judged_by_its_own() -> None:
    selected = dataclasses.replace(COMPLETE, select=("EQ",))
    short = dataclasses.replace(COMPLETE, complete=False)
    whole = merge(
        [results(entry(name), run=run) for name, run in
         (("a", COMPLETE), ("b", selected), ("c", short))]
    )  # fmt: skip
    assert judgements(whole) == [J.CONFORMS, J.SELECTED, J.UNDECIDED]
    assert not green(whole)


def test_a_check_counts_unless_all_that_it_tests_is_optional() -> None:
    assert required(["EQ-2"])
    assert required(["EQ-2", "DEP-3"])
    assert not required(["DEP-3"])
    assert required(["DEP-3", "EQ-99"]), "a clause of a later version counts"


def test_what_a_name_holds_is_no_markup() -> None:
    assert "[red]loop" in printed(results(entry("[red]loop")))

"""A clause may be excluded with a reason: it is not checked, shown, and never passed."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from torch import nn

from rnn_conformance import implementation
from rnn_conformance.checking.checks import checks
from rnn_conformance.checking.examining import examine
from rnn_conformance.checking.subject import Profile, Subject
from rnn_conformance.errors import UsageError
from rnn_conformance.implementations.torch_module import drop_in
from rnn_conformance.report import render, terminal
from rnn_conformance.results.document import clause_outcomes
from rnn_conformance.results.records import Outcome
from rnn_conformance.results.verdict import Exit, Judgement, Verdict, exit_code, judgements
from rnn_conformance.spec.config import Feature, Kind
from tests.support.made_results import entry, record, records, results

WHY = "the kernel keeps a packed copy of the weights"
FEW = Profile("a few", 2, 0)


class KeepsItsWeights(nn.GRU):
    """It says itself what it does not do."""

    rnn_conformance = {"excluded": {"PAR-4": WHY}}  # noqa: RUF012


def test_a_check_of_an_excluded_clause_is_not_run_and_gives_the_reason() -> None:
    due = [check for check in checks() if "PAR-4" in check.clauses and Kind.GRU in check.kinds]
    assert due
    for check in due:
        told = examine(check, Subject(drop_in(KeepsItsWeights), Kind.GRU, FEW))
        assert (told.outcome, told.cases) == (Outcome.EXCLUDED, 0)
        assert WHY in (told.reason or "")


def test_other_clauses_are_checked_all_the_same() -> None:
    (check,) = (check for check in checks() if check.clauses == ("SHP-2",))
    told = examine(check, Subject(drop_in(KeepsItsWeights), Kind.GRU, FEW))
    assert told.outcome is Outcome.PASSED


def test_an_excluded_clause_is_neither_passed_nor_failed_whatever_its_checks_gave() -> None:
    excluding = entry(excluded={"EQ-2": WHY})
    for outcome in Outcome:
        outcomes = clause_outcomes(excluding, [record(excluding, ["EQ-2"], outcome)])
        assert outcomes["EQ-2"] is Outcome.EXCLUDED


def test_a_check_left_out_for_one_clause_says_nothing_of_its_others() -> None:
    excluding = entry(excluded={"PCK-5": WHY}, level="training")
    both = record(excluding, ["PCK-5", "GRD-1"], Outcome.EXCLUDED)
    assert clause_outcomes(excluding, [both])["GRD-1"] is Outcome.UNTESTED
    beside = record(excluding, ["GRD-1"])
    assert clause_outcomes(excluding, [both, beside])["GRD-1"] is Outcome.PASSED


def test_who_excludes_a_clause_does_not_reach_its_level() -> None:
    drop_in_level = entry(level="drop-in", excluded={"GRD-2": WHY})
    (whole,) = results(drop_in_level)["implementations"]
    assert (whole["verdict"], whole["level"]) == (Verdict.CONFORMS, "inference")
    assert whole["excluded"] == {"GRD-2": WHY}


def test_what_is_excluded_is_said_wherever_the_run_is_told() -> None:
    document = results(entry(excluded={"EQ-2": WHY}))
    assert judgements(document) == [Judgement.EXCLUDING]
    assert exit_code(document) is Exit.GREEN
    stream = io.StringIO()
    terminal.summary(Console(width=200, file=stream), document, Path("index.html"))
    assert f"excludes EQ-2: {WHY}" in stream.getvalue()
    assert "conforms but for what it excludes" in stream.getvalue()
    assert f"Excludes EQ-2: {WHY}" in render(document)


def test_who_excludes_everything_conforms_to_nothing() -> None:
    claims: dict[str, Any] = {"level": "drop-in", "features": tuple(Feature.of(Kind.LSTM))}
    every = records(entry(**claims))
    excluding = entry(**claims, excluded={id: WHY for check in every for id in check["clauses"]})
    (whole,) = results(excluding)["implementations"]
    assert (whole["verdict"], whole["level"]) == (Verdict.ERROR, None)


@pytest.mark.parametrize("excluded", [{"EQ-99": WHY}, {"EQ-2": ""}, {"EQ-2": None}])
def test_an_exclusion_names_a_clause_and_a_reason(excluded: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="EQ"):
        implementation(kinds=["LSTM"], excluded=excluded)
    with pytest.raises(UsageError, match="EQ"):
        drop_in(type("MyLSTM", (nn.LSTM,), {"rnn_conformance": {"excluded": excluded}}))

"""Several results documents as one, or side by side."""

import dataclasses

import pytest

from rnn_conformance.report import merge
from rnn_conformance.results.json_files import validator
from rnn_conformance.results.records import Outcome
from tests.support.made_results import COMPLETE, CUT_SHORT, GRU, LOOP, WRONG, results
from tests.support.pages import page


def test_merging_concatenates_and_keeps_what_ran_before() -> None:
    old = results(LOOP, WRONG, EQ_2=Outcome.FAILED)
    new = results(LOOP, GRU, run=dataclasses.replace(COMPLETE, started="2026-03-02T08:00:00+00:00"))
    whole = merge([old, new])
    assert [
        (one["name"], one["kind"], one.get("same_as"), one["verdict"], one["source"])
        for one in whole["implementations"]
    ] == [
        ("loop, 2026-03-01T12:30:00+00:00", "LSTM", "loop", "fails", 0),
        ("wrong", "LSTM", None, "fails", 0),
        ("loop", "LSTM", None, "conforms", 1),
        ("scan", "GRU", None, "conforms", 1),
    ]
    assert list(validator("results").iter_errors(whole)) == []
    assert "loop, 2026-03-01T12:30:00+00:00" in page(whole).one("body").text


def test_merging_keeps_each_run_and_tells_what_they_share() -> None:
    later = dataclasses.replace(
        COMPLETE,
        seed=7,
        started="2026-03-02T08:00:00+00:00",
        versions={**COMPLETE.versions, "torch": "2.12.0"},
        complete=False,
        device="cuda",
    )
    whole = merge([results(LOOP), results(GRU, run=later)])
    assert [run["seed"] for run in whole["sources"]] == [0, 7]
    assert whole["run"] == {
        "seed": None,
        "profile": "quick",
        "select": [],
        "versions": {"rnn-conformance": "0.1.0", "torch": None},
        "started": "2026-03-01T12:30:00+00:00",
        "seconds": 25.0,
        "complete": False,
        "device": None,
        "kinds": [],
        "level": "",
        "without": [],
        "shard": None,
        "missing": [],
    }
    assert list(validator("results").iter_errors(whole)) == []


def test_merging_is_associative() -> None:
    one, two, three = results(LOOP), results(GRU), results(LOOP, WRONG, EQ_2=Outcome.FAILED)
    assert merge([merge([one, two]), three]) == merge([one, two, three])
    assert merge([one, merge([two, three])]) == merge([one, two, three])


def test_an_incomplete_run_leaves_only_its_own_undecided() -> None:
    shown = page(merge([results(LOOP), results(GRU, run=CUT_SHORT)]))
    rows = [row.text for row in shown.inside(shown.one("section", id="summary")) if row.tag == "tr"]
    assert [("undecided" in row, "conforms" in row) for row in rows[1:]] == [
        (True, False),
        (False, True),
    ]
    assert "incomplete" in shown.one("body").classes
    assert "At least one of these runs was cut short" in shown.one("header").text
    (runs,) = shown.all("section", id="runs")
    assert "scan (GRU)" in runs.text


def test_there_is_no_merging_nothing() -> None:
    with pytest.raises(ValueError, match="no results to merge"):
        merge([])

"""The same implementations in several runs, side by side."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from rnn_conformance.cli import main
from rnn_conformance.report import beside, render
from rnn_conformance.results.json_files import validator
from rnn_conformance.results.records import Outcome
from rnn_conformance.results.verdict import Exit
from tests.support.made_results import COMPLETE, GRU, LOOP, results
from tests.support.pages import page

EARLIER = dataclasses.replace(
    COMPLETE,
    started="2026-02-01T12:30:00+00:00",
    versions={**COMPLETE.versions, "torch": "2.12.0"},
)


def compared() -> dict[str, Any]:
    new = results(LOOP, GRU)
    old = results(LOOP, run=EARLIER, EQ_2=Outcome.FAILED, STA_4=Outcome.FAILED)
    return beside([new, old])


def test_the_same_implementation_of_two_runs_is_kept_twice_in_the_order_of_dates() -> None:
    whole = compared()
    assert [(one["name"], one["source"]) for one in whole["implementations"]] == [
        ("loop", 0),
        ("loop", 1),
        ("scan", 1),
    ]
    assert [run["versions"]["torch"] for run in whole["sources"]] == ["2.12.0", "2.13.0"]
    assert list(validator("results").iter_errors(whole)) == []


def test_what_changed_stands_in_the_later_run_with_what_differs_between_them() -> None:
    parsed = page(compared())
    section = parsed.one("section", id="comparison")
    changes = [e.text for e in parsed.inside(section) if "change" in e.classes]
    assert changes == ["failed → passed: STA-4 EQ-2"]
    assert "torch 2.12.0" in section.text
    assert "scan" not in section.text, "what is in one run alone is not compared"
    (trend,) = (e for e in parsed.inside(section) if "trend" in e.classes)
    share = 1 - 2 / len(compared()["implementations"][0]["clauses"])
    assert f"2026-02-01: {share:.0%}; 2026-03-01: 100%" in trend.attributes["aria-label"]


def test_what_is_worse_is_marked() -> None:
    parsed = page(beside([results(LOOP, run=EARLIER), results(LOOP, EQ_2=Outcome.FAILED)]))
    (change,) = (e for e in parsed.elements if "change" in e.classes)
    assert "worse" in change.classes


def test_each_has_an_address_of_its_own() -> None:
    parsed = page(compared())
    addresses = [column["address"] for column in parsed.data["columns"]]
    assert addresses == ["LSTM/loop@1", "LSTM/loop@2", "GRU/scan"]


def test_one_run_is_not_compared() -> None:
    assert 'id="comparison"' not in render(results(LOOP, GRU))


def test_the_command_compares_two_files_and_refuses_one(tmp_path: Path) -> None:
    for name, whole in (("a", results(LOOP, run=EARLIER)), ("b", results(LOOP))):
        (tmp_path / f"{name}.json").write_text(json.dumps(whole))
    files = [str(tmp_path / "a.json"), str(tmp_path / "b.json")]
    out = ["--compare", "-o", str(tmp_path / "out")]
    runner = CliRunner()
    assert runner.invoke(main, ["report", *files, *out]).exit_code == Exit.GREEN
    assert 'id="comparison"' in (tmp_path / "out/index.html").read_text("utf-8")
    refused = runner.invoke(main, ["report", files[0], *out])
    assert refused.exit_code == Exit.USAGE
    assert "two results files or more" in refused.output

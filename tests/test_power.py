"""How power is measured: what counts as a kill, what survives, and what a run writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rnn_conformance import mutants
from rnn_conformance.checking.checks import Check, checks
from rnn_conformance.errors import Fault, Sort, UsageError
from rnn_conformance.implementations.interface import Implementation
from rnn_conformance.mutants import CATALOGUE
from rnn_conformance.report import render
from rnn_conformance.results import kill_matrix
from rnn_conformance.results.formats import POWER
from rnn_conformance.results.json_files import validator
from rnn_conformance.results.kill_matrix import Attempt, Power, Trial
from rnn_conformance.results.reading import read
from rnn_conformance.results.records import Failure, Outcome, Record
from rnn_conformance.running.power import measure
from rnn_conformance.running.trials import Choice, kills, try_out
from rnn_conformance.spec.clauses import CLAUSES
from rnn_conformance.spec.config import Kind
from tests.support.deadly_mutants import DEADLY, SWAPPED
from tests.support.made_results import HOSTILE, entry, results
from tests.support.pages import Parsed

CRASHING = next(mutant for mutant in CATALOGUE if mutant.name == "no bfloat16")
RUN = Power(0, False, 10, (), (), "", {"torch": "2.13.0"}, "2026-03-01T12:30:00+00:00", 2.5, True)


def check_of(clause: str, kind: Kind) -> Check:
    return next(check for check in checks() if clause in check.clauses and kind in check.kinds)


def record(
    check: Check, outcome: Outcome, sort: Sort | None = None, message: str = "it differs"
) -> dict[str, Any]:
    failure = None if sort is None else Failure(Fault.IMPLEMENTATION, sort, message)
    return Record("mutant", "GRU", check.id, check.clauses, outcome, failure=failure).to_record()


# What counts as a kill.


def test_a_failure_of_a_clause_that_is_broken_is_a_kill() -> None:
    check = check_of("EQ-3", Kind.GRU)
    assert kills(SWAPPED, record(check, Outcome.FAILED, Sort.VALUE))


@pytest.mark.parametrize(
    ("clause", "outcome", "sort"),
    [
        pytest.param("PAR-2", Outcome.FAILED, Sort.VALUE, id="of another clause"),
        pytest.param("EQ-3", Outcome.FAILED, Sort.RAISED, id="by an exception"),
        pytest.param("EQ-3", Outcome.ERROR, Sort.BROKEN, id="by the suite's own fault"),
        pytest.param("EQ-3", Outcome.CRASHED, Sort.CRASHED, id="by the death of its process"),
        pytest.param("EQ-3", Outcome.TIMEOUT, Sort.TIMEOUT, id="by its hanging"),
        pytest.param("EQ-3", Outcome.PASSED, None, id="by a check that passes"),
    ],
)
def test_no_kill_is_a_failure(clause: str, outcome: Outcome, sort: Sort | None) -> None:
    check = check_of(clause, Kind.GRU)
    assert not kills(SWAPPED, record(check, outcome, sort))


def test_whatever_came_back_wrong_is_a_kill() -> None:
    check = check_of("EQ-3", Kind.GRU)
    unrun = {Sort.RAISED, Sort.CRASHED, Sort.TIMEOUT, Sort.BROKEN}
    for sort in set(Sort) - unrun:
        assert kills(SWAPPED, record(check, Outcome.FAILED, sort)), sort


def test_an_exception_is_a_kill_where_it_is_the_defect_or_a_fault_met_on_the_way() -> None:
    (typed, refused) = check_of("TYP-1", Kind.GRU), check_of("ERR-1", Kind.GRU)
    assert kills(CRASHING, record(typed, Outcome.FAILED, Sort.RAISED))
    stumbling = next(mutant for mutant in CATALOGUE if mutant.name.startswith("a misspelt name"))
    assert kills(stumbling, record(refused, Outcome.FAILED, Sort.ACCIDENT))
    assert not kills(stumbling, record(refused, Outcome.FAILED, Sort.RAISED))


def test_a_right_layer_that_is_called_a_mutant_survives() -> None:
    """So a mutant is not killed by being one."""
    known = next(mutant for mutant in CATALOGUE if mutant.name == "the gradient of input cut")
    survivor = replace(known, make=lambda kind: _right(kind))
    trial = try_out(survivor, Kind.GRU_CELL)
    assert not trial.killed
    assert {attempt.outcome for attempt in trial.attempts} <= {"passed", "unsupported"}
    assert len(trial.attempts) > 10


def _right(kind: Kind) -> Implementation:
    from rnn_conformance.mutants.equations import differentiated

    return differentiated("right", kind)


def test_a_trial_ends_with_its_first_kill_unless_the_whole_matrix_is_asked_for() -> None:
    first = try_out(SWAPPED, Kind.GRU_CELL, Choice(clauses=("CEL",)))
    assert [attempt.kill for attempt in first.attempts][-1]
    assert sum(attempt.kill for attempt in first.attempts) == 1
    whole = try_out(SWAPPED, Kind.GRU_CELL, Choice(clauses=("CEL",), full=True))
    applicable = [check for check in checks() if Kind.GRU_CELL in check.kinds]
    broken = {clause for clause in SWAPPED.breaks if CLAUSES[clause].chapter == "CEL"}
    due = [check.id for check in applicable if broken.intersection(check.clauses)]
    assert sorted(attempt.check for attempt in whole.attempts) == sorted(due)
    assert sum(attempt.kill for attempt in whole.attempts) > 1


def test_the_same_seed_gives_the_same_result_in_this_process_and_in_others() -> None:
    choice = Choice(kinds=("GRUCell",), mutant="b_hh", seed=3)

    def first_kills(whole: dict[str, Any]) -> list[tuple[Any, ...]]:
        return [
            (trial["mutant"], trial["first"], trial["cases"])
            for mutant in whole["mutants"]
            for trial in mutant["trials"]
        ]

    seen: list[tuple[int, int, int]] = []
    here = measure(choice, progress=lambda *done: seen.append(done))
    assert first_kills(here) == first_kills(measure(choice, workers=2))
    assert seen[-1] == (here["summary"]["trials"], here["summary"]["trials"], 0)
    assert list(validator("power").iter_errors(here)) == []


# Mutants that hang, or kill their process.


def test_a_mutant_that_hangs_or_dies_does_not_end_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mutants, "CATALOGUE", DEADLY)
    choice = Choice(kinds=("GRUCell",), clauses=("CEL-2",))
    family = "tests.support.deadly_mutants:DEADLY"
    whole = measure(choice, workers=2, timeout=2.0, family=family)
    trials = {trial["mutant"]: trial for mutant in whole["mutants"] for trial in mutant["trials"]}
    outcomes = {name: {a["outcome"] for a in t["attempts"]} for name, t in trials.items()}
    assert outcomes["a layer that hangs"] <= {"timeout", "not run"}
    assert outcomes["a layer that dies"] <= {"crashed", "not run"}
    assert {name: trial["killed"] for name, trial in trials.items()} == {
        "a layer that hangs": False,
        "a layer that dies": False,
        SWAPPED.name: True,
    }


# What follows from the records.


def attempt(check: str, *, kill: bool = False) -> Attempt:
    return Attempt(check, Outcome.FAILED if kill else Outcome.PASSED, kill, 10, 0.25)


def mutant(name: str, *breaks: str, chapter: str = "Gates") -> dict[str, Any]:
    return {
        "name": name,
        "chapter": chapter,
        "breaks": list(breaks),
        "kinds": ["GRU"],
        "needs": [],
        "source": "common mistake",
        "crashes": False,
    }


CHECKS = {
    "c::test_a": ["EQ-3"],
    "c::test_b": ["EQ-3"],
    "c::test_c": ["EQ-4"],
    "c::test_d": ["BF-1"],
}


def document(*trials: Trial, full: bool = True, **fields: Any) -> dict[str, Any]:
    named = {trial.mutant: trial for trial in trials}
    tried = [mutant(name, *trial.clauses) for name, trial in named.items()]
    return kill_matrix.document(replace(RUN, full=full, **fields), tried, CHECKS, trials)


def trial(name: str, clauses: tuple[str, ...], *killing: str) -> Trial:
    every = tuple(attempt(check, kill=check in killing) for check in CHECKS)
    return Trial(name, "GRU", clauses, every)


BOTH = trial("two checks that see it", ("EQ-3",), "c::test_a", "c::test_b")
ONE = trial("one check that sees it", ("EQ-3", "EQ-4"), "c::test_b")
ALONE = trial("a clause with one check", ("EQ-4",), "c::test_c")
ALIVE = trial("no check that sees it", ("EQ-4",))


def test_the_summary_names_survivors_and_checks_that_others_make_superfluous() -> None:
    summary = document(BOTH, ONE, ALONE, ALIVE)["summary"]
    assert summary["survivors"] == [{"mutant": "no check that sees it", "kind": "GRU"}]
    assert (summary["mutants"], summary["trials"], summary["killed"]) == (4, 4, 3)
    assert summary["redundant"] == ["c::test_a"]
    assert summary["silent"] == ["c::test_d"]
    assert summary["alone"] == {"EQ-4": "c::test_c"}
    assert "EQ-3" not in summary["unbroken"]
    assert "BF-1" in summary["unbroken"]


def test_a_check_that_did_not_run_is_not_silent() -> None:
    idle = [replace(attempt, outcome=Outcome.UNSUPPORTED) for attempt in ALIVE.attempts]
    assert document(BOTH, replace(ALIVE, attempts=tuple(idle)))["summary"]["silent"] == [
        "c::test_c",
        "c::test_d",
    ]
    assert document(replace(ALIVE, attempts=tuple(idle)))["summary"]["silent"] == []


def test_what_only_the_whole_matrix_tells_is_not_told_without_it() -> None:
    summary = document(BOTH, full=False)["summary"]
    assert summary["redundant"] is summary["silent"] is summary["alone"] is None
    assert document(BOTH, select=("EQ",))["summary"]["unbroken"] is None


def test_cases_and_seconds_are_those_up_to_the_first_kill() -> None:
    (only,) = document(ONE)["mutants"][0]["trials"]
    assert (only["first"], only["cases"], only["seconds"]) == ("c::test_b", 20, 0.5)
    (alive,) = document(ALIVE)["mutants"][0]["trials"]
    assert (alive["first"], alive["cases"]) == (None, 40)


def test_a_document_is_read_back_and_validated(tmp_path: Path) -> None:
    file = tmp_path / "power.json"
    whole = document(BOTH, ALIVE)
    file.write_text(json.dumps(whole), "utf-8")
    assert (read(file).format, read(file).content) == (POWER, whole)
    for broken, said in (
        ({**whole, "schema_version": 0}, "schema version 0"),
        ({**whole, "mutants": [{}]}, "is not a power file: at"),
    ):
        file.write_text(json.dumps(broken), "utf-8")
        with pytest.raises(UsageError, match=said):
            read(file)
    file.write_text("{", "utf-8")
    with pytest.raises(UsageError, match="cut short"):
        read(file)
    with pytest.raises(UsageError, match="cannot read"):
        read(tmp_path / "none.json")


# The command.


def command(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "rnn_conformance", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env={**os.environ, "COLUMNS": "200"},
    )


def test_the_command_measures_and_the_report_shows_it(tmp_path: Path) -> None:
    done = command(
        "power", "--kind", "GRUCell", "--mutant", "BIASES, BUT NOT WEIGHTS, IN THE ORDER Z",
        "--full", "-n", "0", "--output", "out", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    whole = read(tmp_path / "out/power.json").content
    count = whole["summary"]["trials"]
    assert count == 2
    assert f"{count} of {count} killed: {count} mutants" in done.stdout
    assert "0 survived" in done.stdout
    assert "held by one check alone" in done.stdout
    (tmp_path / "results.json").write_text(json.dumps(results(entry())), "utf-8")
    done = command("report", "results.json", "out/power.json", "-o", "both", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    page = Parsed((tmp_path / "both/index.html").read_text("utf-8"))
    name = "biases, but not weights, in the order z, r, n"
    assert name in page.one("section", id="power").text
    alone = command("report", "out/power.json", cwd=tmp_path)
    assert alone.returncode == 2
    assert "is no results.json" in alone.stderr


def test_a_survivor_is_named_and_makes_the_command_fail(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from click.testing import CliRunner

    from rnn_conformance.cli import main

    survivor = replace(SWAPPED, make=_right, name="nothing wrong")
    monkeypatch.setattr(mutants, "CATALOGUE", (survivor,))
    arguments = ["power", "-n", "0", "--select", "CEL-2", "--output", str(tmp_path)]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 1, done.output
    assert "survives: a GRUCell with nothing wrong" in done.output
    assert "One step is what the equations say: passed" in done.output
    assert "0 of 1 killed" in done.output


MISTAKES = {
    "a kind that is none": (["--kind", "QRNN"], "there is no kind 'QRNN'; choose RNN, LSTM"),
    "a clause that is none": (["--select", "EQ-99"], "there is no clause or chapter 'EQ-99'"),
    "a name that none has": (["--mutant", "xyzzy"], "no mutant has 'xyzzy' in its name"),
    "a seed that is none": (["--seed", "many"], "neither a number nor 'random'"),
    "workers that are none": (["--workers", "-1"], "cannot be negative"),
    "no mutant of the kind": (
        ["--kind", "GRUCell", "--select", "DIR"], "no mutant breaks DIR in GRUCell",
    ),
    "a name that is not of the kind": (
        ["--kind", "GRU", "--mutant", "gates in the order i"], "is tried in GRU",
    ),
    "an output that cannot be": (["--output", "file/out"], "choose another --output"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_and_exit_code_2(
    mistake: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from click.testing import CliRunner

    from rnn_conformance.cli import main

    arguments, said = MISTAKES[mistake]
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["power", *arguments])
    assert done.exit_code == 2, done.output
    assert said in done.output


# The report.


def page(whole: dict[str, Any]) -> Parsed:
    return Parsed(render(results(entry()), whole))


def texts(parsed: Parsed, tag: str, *classes: str) -> list[str]:
    inside = parsed.inside(parsed.one("section", id="power"))
    return [e.text for e in inside if e.tag == tag and e.classes.issuperset(classes)]


def test_the_report_shows_survivors_first() -> None:
    parsed = page(document(BOTH, ONE, ALIVE))
    section = parsed.one("section", id="power").text
    assert "A layer with no check that sees it survives as GRU; it breaks EQ-4" in section
    rows = [text for text in texts(parsed, "th") if "see" in text]
    assert rows[0].startswith("no check that sees it")
    headings = texts(parsed, "h3")
    assert headings.index("Survivors") < headings.index("Kill matrix")
    first, *_ = parsed.all("details", "kills")
    assert "open" in first.attributes


def test_the_report_says_that_nothing_survived() -> None:
    assert "Nothing survived." in page(document(BOTH)).one("section", id="power").text


def test_the_report_tells_how_each_clause_ended_in_words_and_symbols() -> None:
    parsed = page(document(ONE))
    keys = {
        element.text: element.classes
        for element in parsed.inside(parsed.one("section", id="power"))
        if "key" in element.classes and element.parent is not None and element.parent.tag == "td"
    }
    assert keys == {"killed": {"key", "killed"}, "open": {"key", "open"}}
    (cell,) = (e for e in parsed.all("td") if "killed EQ-3" in e.text)
    assert "open EQ-4" in cell.text


def test_the_report_shows_cases_time_and_the_killing_checks() -> None:
    section = page(document(BOTH, ONE, ALONE)).one("section", id="power").text
    assert "1 clause held by one check alone EQ-4: C" in section
    assert "1 check killing nothing that others do not kill A" in section
    assert "20 500 ms" in section


def test_a_report_without_power_has_no_such_section() -> None:
    text = render(results(entry()))
    assert 'id="power"' not in text
    assert "#power" not in text


def hostile_documents() -> Iterator[dict[str, Any]]:
    whole = document(BOTH, ALIVE)
    yield {**whole, "mutants": [{**whole["mutants"][0], "name": HOSTILE, "source": HOSTILE}]}
    yield {**whole, "mutants": [{**whole["mutants"][0], "chapter": HOSTILE}]}
    yield {**whole, "run": {**whole["run"], "mutant": HOSTILE, "started": HOSTILE}}
    yield {
        **whole,
        "summary": {**whole["summary"], "redundant": [HOSTILE], "alone": {"EQ-3": HOSTILE}},
    }


@pytest.mark.parametrize(
    "whole", tuple(hostile_documents()), ids=["names", "chapter", "run", "summary"]
)
def test_nothing_that_a_file_holds_becomes_markup(whole: dict[str, Any]) -> None:
    text = render(results(entry()), whole)
    assert "<img src=x" not in text
    assert '<script>alert("x")' not in text
    assert "49" not in [e.text for e in Parsed(text).elements]


def test_what_scrolls_can_be_reached_by_keyboard_and_has_a_name() -> None:
    parsed = page(document(BOTH, ONE))
    inside = parsed.inside(parsed.one("section", id="power"))
    regions = [element for element in inside if "scroll" in element.classes]
    assert regions
    ids = {element.attributes.get("id") for element in parsed.elements}
    for region in regions:
        assert region.attributes["tabindex"] == "0"
        assert region.attributes.get("aria-label") or region.attributes["aria-labelledby"] in ids
    every = [element.attributes["id"] for element in parsed.elements if "id" in element.attributes]
    assert len(every) == len(set(every))

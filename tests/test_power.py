"""How power is measured: what counts as a kill, what survives, and what a run writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from made_results import entry, results
from test_report import Parsed

from rnn_conformance import matrix, power
from rnn_conformance.clauses import CLAUSES
from rnn_conformance.errors import UsageError
from rnn_conformance.interface import Implementation
from rnn_conformance.matrix import Attempt, Power, Trial
from rnn_conformance.mutants import CATALOGUE, Mutant
from rnn_conformance.power import Choice, kills, measure, try_out
from rnn_conformance.report import render
from rnn_conformance.results import Failure, Outcome, Record
from rnn_conformance.spec import Kind
from rnn_conformance.suite import Check, checks

SWAPPED = next(each for each in CATALOGUE if each.name == "gates in the order z, r, n")
CRASHING = next(each for each in CATALOGUE if each.name == "no bfloat16")
RUN = Power(0, False, 10, (), (), "", {"torch": "2.13.0"}, "2026-03-01T12:30:00+00:00", 2.5, True)
HOSTILE = """<script>alert("x")</script>'"><img src=x onerror=alert(1)>{{ 7 * 7 }}"""


def check_of(clause: str, kind: Kind) -> Check:
    return next(each for each in checks() if clause in each.clauses and kind in each.kinds)


def record(check: Check, outcome: Outcome, message: str = "", traceback: str = "") -> Record:
    failure = Failure("implementation", message, traceback=traceback or None) if message else None
    return Record("mutant", "GRU", check.id, check.clauses, outcome, failure=failure)


# What counts as a kill.


def test_a_failure_of_a_clause_that_is_broken_is_a_kill() -> None:
    check = check_of("EQ-3", Kind.GRU)
    assert kills(SWAPPED, check, record(check, Outcome.FAILED, "it differs"))


@pytest.mark.parametrize(
    ("clause", "outcome", "message", "traceback"),
    [
        pytest.param("PAR-2", Outcome.FAILED, "it differs", "", id="of another clause"),
        pytest.param("EQ-3", Outcome.FAILED, "it raised", "Traceback", id="by an exception"),
        pytest.param("EQ-3", Outcome.ERROR, "it differs", "", id="by the suite's own fault"),
        pytest.param("EQ-3", Outcome.CRASHED, "it died", "", id="by the death of its process"),
        pytest.param("EQ-3", Outcome.TIMEOUT, "it hung", "", id="by its hanging"),
        pytest.param("EQ-3", Outcome.PASSED, "", "", id="by a check that passes"),
    ],
)
def test_no_kill_is_a_failure(clause: str, outcome: Outcome, message: str, traceback: str) -> None:
    check = check_of(clause, Kind.GRU)
    assert not kills(SWAPPED, check, record(check, outcome, message, traceback))


def test_an_exception_is_a_kill_where_it_is_the_defect_or_a_fault_met_on_the_way() -> None:
    (typed, refused) = check_of("TYP-1", Kind.GRU), check_of("ERR-1", Kind.GRU)
    assert kills(CRASHING, typed, record(typed, Outcome.FAILED, "it raised", "Traceback"))
    stumbling = next(each for each in CATALOGUE if each.name.startswith("a misspelt name"))
    said = "it must be refused; NameError (sizes) is a fault met on the way, not a refusal"
    assert kills(stumbling, refused, record(refused, Outcome.FAILED, said, "Traceback"))
    assert not kills(stumbling, refused, record(refused, Outcome.FAILED, "else", "Traceback"))


def test_a_right_layer_that_is_called_a_mutant_survives() -> None:
    """So a mutant is not killed by being one."""
    right = next(each for each in CATALOGUE if each.name == "the gradient of input cut")
    survivor = replace(right, make=lambda kind: _right(kind))
    trial = try_out(survivor, Kind.GRU_CELL)
    assert not trial.killed
    assert {each.outcome for each in trial.attempts} <= {"passed", "unsupported"}
    assert len(trial.attempts) > 10


def _right(kind: Kind) -> Implementation:
    from rnn_conformance.mutants.equations import differentiated

    return differentiated("right", kind)


def test_a_trial_ends_with_its_first_kill_unless_the_whole_matrix_is_asked_for() -> None:
    first = try_out(SWAPPED, Kind.GRU_CELL, Choice(clauses=("CEL",)))
    assert [each.kill for each in first.attempts][-1]
    assert sum(each.kill for each in first.attempts) == 1
    whole = try_out(SWAPPED, Kind.GRU_CELL, Choice(clauses=("CEL",), full=True))
    own = [each for each in checks() if Kind.GRU_CELL in each.kinds]
    broken = {each for each in SWAPPED.breaks if CLAUSES[each].chapter == "CEL"}
    due = [each.id for each in own if broken.intersection(each.clauses)]
    assert sorted(each.check for each in whole.attempts) == sorted(due)
    assert sum(each.kill for each in whole.attempts) > 1


def test_the_same_seed_gives_the_same_result_in_this_process_and_in_others() -> None:
    choice = Choice(kinds=("GRUCell",), mutant="b_hh", seed=3)

    def told(whole: dict[str, Any]) -> list[tuple[Any, ...]]:
        return [
            (trial["mutant"], trial["first"], trial["cases"])
            for mutant in whole["mutants"]
            for trial in mutant["trials"]
        ]

    seen: list[tuple[int, int, int]] = []
    here = measure(choice, progress=lambda *done: seen.append(done))
    assert told(here) == told(measure(choice, workers=2))
    assert seen[-1] == (here["summary"]["trials"], here["summary"]["trials"], 0)
    jsonschema.validate(here, matrix.POWER.schema())


# Mutants that hang, or kill their process, found under their names by the processes.


def ending(name: str, how: Any) -> Mutant:
    def make(kind: Kind) -> Implementation:
        how()
        raise AssertionError("it is still alive")

    return replace(SWAPPED, name=name, make=make)


def hang() -> None:
    while True:
        time.sleep(0.1)


def die() -> None:
    os._exit(1)


SAVED = """
import os, sys
sys.path[:0] = {path!r}
from rnn_conformance import power
from test_power import die, ending, hang, SWAPPED

power.CATALOGUE = (ending("a layer that hangs", hang), ending("a layer that dies", die), SWAPPED)

if __name__ == "__main__":
    import json
    choice = power.Choice(kinds=("GRUCell",), clauses=("CEL-2",))
    whole = power.measure(choice, workers=2, timeout=2.0)
    print(json.dumps([t for m in whole["mutants"] for t in m["trials"]]))
"""


def test_a_mutant_that_hangs_or_dies_does_not_end_the_run(tmp_path: Path) -> None:
    script = tmp_path / "ends.py"
    script.write_text(SAVED.format(path=[str(Path(__file__).parent)]), "utf-8")
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    trials = {each["mutant"]: each for each in json.loads(done.stdout)}
    outcomes = {name: {a["outcome"] for a in t["attempts"]} for name, t in trials.items()}
    assert outcomes["a layer that hangs"] == {"timeout"}
    assert outcomes["a layer that dies"] == {"crashed"}
    assert [trials[name]["killed"] for name in outcomes] == [False, False, True]


# What follows from the records.


def attempt(check: str, *, kill: bool = False) -> Attempt:
    return Attempt(check, "failed" if kill else "passed", kill, 10, 0.25, None)


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
    named = {each.mutant: each for each in trials}
    mutants = [mutant(name, *each.clauses) for name, each in named.items()]
    return matrix.document(replace(RUN, full=full, **fields), mutants, CHECKS, trials)


def trial(name: str, clauses: tuple[str, ...], *killing: str) -> Trial:
    every = tuple(attempt(check, kill=check in killing) for check in CHECKS)
    return Trial(name, "GRU", clauses, every)


BOTH = trial("two checks that see it", ("EQ-3",), "c::test_a", "c::test_b")
ONE = trial("one check that sees it", ("EQ-3", "EQ-4"), "c::test_b")
ALONE = trial("a clause with one check", ("EQ-4",), "c::test_c")
ALIVE = trial("no check that sees it", ("EQ-4",))


def test_the_summary_names_survivors_and_checks_that_others_make_superfluous() -> None:
    found = document(BOTH, ONE, ALONE, ALIVE)["summary"]
    assert found["survivors"] == [{"mutant": "no check that sees it", "kind": "GRU"}]
    assert (found["mutants"], found["trials"], found["killed"]) == (4, 4, 3)
    assert found["redundant"] == ["c::test_a"]
    assert found["silent"] == ["c::test_d"]
    assert found["alone"] == {"EQ-4": "c::test_c"}
    assert "EQ-3" not in found["unbroken"]
    assert "BF-1" in found["unbroken"]


def test_a_check_that_did_not_run_is_not_silent() -> None:
    idle = [replace(each, outcome="unsupported") for each in ALIVE.attempts]
    assert document(BOTH, replace(ALIVE, attempts=tuple(idle)))["summary"]["silent"] == [
        "c::test_c",
        "c::test_d",
    ]
    assert document(replace(ALIVE, attempts=tuple(idle)))["summary"]["silent"] == []


def test_what_only_the_whole_matrix_tells_is_not_told_without_it() -> None:
    found = document(BOTH, full=False)["summary"]
    assert found["redundant"] is found["silent"] is found["alone"] is None
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
    assert matrix.POWER.read(file) == whole
    for broken, said in (
        ({**whole, "schema_version": 0}, "schema version 0"),
        ({**whole, "mutants": [{}]}, "is not a power file: at"),
    ):
        file.write_text(json.dumps(broken), "utf-8")
        with pytest.raises(UsageError, match=said):
            matrix.POWER.read(file)
    file.write_text("{", "utf-8")
    with pytest.raises(UsageError, match="cut short"):
        matrix.POWER.read(file)
    with pytest.raises(UsageError, match="cannot read"):
        matrix.POWER.read(tmp_path / "none.json")


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
        "power", "--kind", "GRUCell", "--mutant", "ORDER Z", "--full", "-n", "0",
        "--output", "out", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    whole = matrix.POWER.read(tmp_path / "out/power.json")
    count = whole["summary"]["trials"]
    assert count == 4
    assert f"{count} of {count} killed: {count} mutants" in done.stdout
    assert "0 survived" in done.stdout
    assert "held by one check alone" in done.stdout
    (tmp_path / "results.json").write_text(json.dumps(results(entry())), "utf-8")
    done = command("report", "results.json", "out/power.json", "-o", "both", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    page = Parsed((tmp_path / "both/index.html").read_text("utf-8"))
    assert "gates in the order z, r, n" in page.one("section", id="power").text
    alone = command("report", "out/power.json", cwd=tmp_path)
    assert alone.returncode == 2
    assert "is no results.json" in alone.stderr


def test_a_survivor_is_named_and_makes_the_command_fail(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from click.testing import CliRunner

    from rnn_conformance.cli import main

    survivor = replace(SWAPPED, make=_right, name="nothing wrong")
    monkeypatch.setattr(power, "CATALOGUE", (survivor,))
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


def texts(found: Parsed, tag: str, *classes: str) -> list[str]:
    inside = found.inside(found.one("section", id="power"))
    return [e.text for e in inside if e.tag == tag and e.classes.issuperset(classes)]


def test_the_report_shows_survivors_first() -> None:
    found = page(document(BOTH, ONE, ALIVE))
    section = found.one("section", id="power").text
    assert "A layer with no check that sees it survives as GRU; it breaks EQ-4" in section
    rows = [text for text in texts(found, "th") if "see" in text]
    assert rows[0].startswith("no check that sees it")
    headings = texts(found, "h3")
    assert headings.index("Survivors") < headings.index("Kill matrix")
    first, *_ = found.all("details", "kills")
    assert "open" in first.attributes


def test_the_report_says_that_nothing_survived() -> None:
    assert "Nothing survived." in page(document(BOTH)).one("section", id="power").text


def test_the_report_tells_how_each_clause_ended_in_words_and_symbols() -> None:
    found = page(document(ONE))
    keys = {
        each.attributes["title"]: each
        for each in found.inside(found.one("section", id="power"))
        if each.tag == "span" and "title" in each.attributes
    }
    assert set(keys) == {"EQ-3: killed", "EQ-4: open"}
    for said, key in keys.items():
        inner = found.inside(key)
        labels = {each.attributes.get("aria-label") for each in inner}
        assert said.partition(": ")[2] in labels


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
    found = page(document(BOTH, ONE))
    inside = found.inside(found.one("section", id="power"))
    regions = [each for each in inside if "scroll" in each.classes]
    assert regions
    ids = {each.attributes.get("id") for each in found.elements}
    for region in regions:
        assert region.attributes["tabindex"] == "0"
        assert region.attributes.get("aria-label") or region.attributes["aria-labelledby"] in ids
    every = [each.attributes["id"] for each in found.elements if "id" in each.attributes]
    assert len(every) == len(set(every))

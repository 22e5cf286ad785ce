"""What failed is remembered, tried first, and let go of when it is mended; and can be replayed."""

import dataclasses
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result

from rnn_conformance.checking.checks import checks
from rnn_conformance.checking.examining import examine, recalled
from rnn_conformance.checking.subject import PROFILES, Subject
from rnn_conformance.cli import main
from rnn_conformance.errors import Sort, UsageError
from rnn_conformance.implementations.torch_module import drop_in
from rnn_conformance.mutants import CATALOGUE
from rnn_conformance.results.document import document
from rnn_conformance.results.json_files import validate
from rnn_conformance.results.reading import read
from rnn_conformance.results.records import Memory, Outcome, Recipe
from rnn_conformance.results.store import PLACE, Store, opened
from rnn_conformance.results.verdict import Exit
from rnn_conformance.running.isolation import Death
from rnn_conformance.running.jobs import (
    Candidate,
    Due,
    Errand,
    Found,
    Job,
    Limits,
    Source,
    Trying,
)
from rnn_conformance.running.performing import perform
from rnn_conformance.running.replaying import CaseName, replay
from rnn_conformance.running.run import remembering
from rnn_conformance.spec.config import Kind
from tests.support.made_results import COMPLETE, DIFFERS, LOOP, entry, record
from tests.support.run_results import layers

RECIPE = Recipe(7, "quick", "QQA=#0123456789abcdef")
HERE = ("loop", "LSTM", "conformance/test_clauses.py::test_EQ-2_holds")


def after(store: Store, outcome: Outcome, recipe: Recipe | None = RECIPE) -> Store:
    """The store after a run in which EQ-2 came to this."""
    failed = dataclasses.replace(DIFFERS, recipe=recipe) if outcome is Outcome.FAILED else None
    return store.after(document(COMPLETE, [LOOP], [record(LOOP, ["EQ-2"], outcome, failed)]))


# The file


def test_what_fails_is_remembered_and_what_passes_is_forgotten() -> None:
    remembering = after(Store(), Outcome.FAILED)
    assert remembering == Store({HERE: RECIPE})
    assert after(remembering, Outcome.PASSED) == Store()


@pytest.mark.parametrize("outcome", [Outcome.NOT_RUN, Outcome.UNTESTED])
def test_what_was_not_run_stays_remembered(outcome: Outcome) -> None:
    assert after(Store({HERE: RECIPE}), outcome) == Store({HERE: RECIPE})


def test_a_store_is_read_as_it_was_written(tmp_path: Path) -> None:
    file, store = tmp_path / "kept" / "failures.json", Store({HERE: RECIPE})
    store.write(file)
    validate(store.to_record(), "store", "")
    assert opened(file) == (store, "")


def test_nothing_to_remember_is_no_file(tmp_path: Path) -> None:
    Store().write(tmp_path / "failures.json")
    assert not (tmp_path / "failures.json").exists()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"schema_version": 0, "remembered": []}',
        '{"schema_version": 1, "remembered": [{"check": "x"}]}',
        '{"schema_version": 1, "mutants": []}',
    ],
)
def test_a_store_that_is_none_is_ignored_with_one_line(text: str, tmp_path: Path) -> None:
    file = tmp_path / "failures.json"
    file.write_text(text, "utf-8")
    store, complaint = opened(file)
    assert store == Store()
    assert complaint.startswith("nothing is remembered from earlier runs")
    assert "\n" not in complaint


# Checks

BY_NAME = {check.id.rpartition("::")[2]: check for check in checks()}
MUTANTS = {mutant.name: mutant for mutant in CATALOGUE}

FAILING = [
    ("parameters rounded to bfloat16", "test_results_in_float32_are_accurate"),
    (
        "the input's gradient left in the order steps, samples",
        "test_gradients_in_every_layer_and_direction",
    ),
    (
        "the answer of the first call to every call of its shape",
        "test_whatever_was_done_before_a_call_answers_by_its_own_arguments",
    ),
    ("the units beyond the 128th left at zero", "test_so_many_units"),
    (
        "the zero state of the first packed batch for all later packed ones",
        "test_a_call_of_any_kind_is_answered_as_if_there_had_been_no_other",
    ),
]
"""Defects and checks that find them: a case, gradients, a program, what is listed, a part of it."""


def subject_of(mutant: str, seed: int) -> Subject:
    return Subject(MUTANTS[mutant].implementation(Kind.LSTM), Kind.LSTM, PROFILES["quick"], seed)


@pytest.mark.parametrize(("mutant", "check"), FAILING)
def test_a_failure_is_had_again_from_another_seed_without_a_search(mutant: str, check: str) -> None:
    found = examine(BY_NAME[check], subject_of(mutant, 0))
    assert found.failure is not None
    assert found.failure.recipe is not None
    again, _ = recalled(BY_NAME[check], subject_of(mutant, 3), found.failure.recipe)
    assert again.failure is not None
    assert (again.failure.message, again.failure.case) == (
        found.failure.message,
        found.failure.case,
    )
    assert again.remembered is Memory.FAILS
    assert again.cases < found.cases
    assert again.failure.recipe == found.failure.recipe


EVEN = "test_one_step_is_what_the_equations_say"


def right(seed: int = 0) -> Subject:
    """``torch.nn``'s own cell."""
    return Subject(drop_in(torch.nn.GRUCell), Kind.GRU_CELL, PROFILES["quick"], seed)


@pytest.mark.parametrize(
    "draw", ["", "QQA=#0123456789abcdef", "no base64 #x", "AAAA", "99999.0#0", "\0#\0"]
)
def test_a_draw_that_leads_nowhere_leaves_the_check_to_be_run(draw: str) -> None:
    check = BY_NAME[EVEN]
    found, _ = recalled(check, right(), Recipe(0, "no such profile", draw))
    assert (found.outcome, found.cases) == (Outcome.PASSED, examine(check, right()).cases)
    assert found.remembered is (Memory.FORGOTTEN if draw else Memory.PASSES)


def test_a_draw_that_leads_nowhere_alone_is_no_pass() -> None:
    found, _ = recalled(BY_NAME[EVEN], right(), Recipe(0, "quick", "QQA=#0"), alone=True)
    assert (found.outcome, found.remembered) == (Outcome.UNTESTED, Memory.FORGOTTEN)


class Dying:
    """A process that does not survive anything."""

    def __init__(self) -> None:
        self.asked: list[Mapping[str, Any]] = []

    def hold(self, source: Source) -> dict[str, Any]:
        return {}

    def ask(self, request: Mapping[str, Any], seconds: float) -> Death:
        self.asked.append(request)
        return Death(Sort.CRASHED, "it died", {"cases": 3}, "")


def test_what_its_process_died_of_is_remembered_as_the_whole_check() -> None:
    cell = entry("mine", Kind.GRU_CELL)
    candidate = Candidate(cell, Source("mine.py"), (Due(HERE[2], ("CEL-2",)),))
    trying = Trying(PROFILES["quick"], 4)
    holder = Dying()

    def died(candidate: Candidate) -> dict[str, Any]:
        job = Job(candidate, Errand.EXAMINE, trying, Limits(), candidate.due)
        (found,) = [event for event in perform(holder, job) if isinstance(event, Found)]
        return document(COMPLETE, [cell], [found.record or {}])

    store = Store().after(died(candidate))
    assert store.recipes == {("mine", "GRUCell", HERE[2]): Recipe(4, "quick")}
    again = died(remembering(candidate, store))
    assert holder.asked[1]["recipe"] == {"seed": 4, "profile": "quick", "draw": ""}
    (check,) = again["implementations"][0]["checks"]
    assert check["remembered"] == "fails again"


# Runs


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RNN_CONFORMANCE_STORE")
    layers(tmp_path)
    return tmp_path


def called(*arguments: str) -> Result:
    # A file is loaded once in a process; another command would find it as it is by then.
    for name in [name for name in sys.modules if name.startswith("rnn_conformance_target_")]:
        del sys.modules[name]
    return CliRunner().invoke(main, [*arguments, "-n", "0"])


def ran(*options: str) -> tuple[Result, dict[str, Any]]:
    """A short run, and its checks by name."""
    chosen = ("--select", "CEL-2", "--kind", "GRUCell", "--no-diagnosis")
    done = called("run", "layers.py:Wrong", *chosen, *options)
    (implementation,) = read(Path("reports/latest/results.json")).content["implementations"]
    return done, {check["check"].rpartition("::")[2]: check for check in implementation["checks"]}


def mend(folder: Path) -> None:
    """Have the wrong class be right."""
    text = (folder / "layers.py").read_text("utf-8")
    mended = text.replace("torch.cat([update, reset, new])", "p")
    assert mended != text
    (folder / "layers.py").write_text(mended, "utf-8")


def test_a_failure_is_remembered_tried_first_replayed_and_told_when_it_is_mended(
    folder: Path,
) -> None:
    first, found = ran()
    assert first.exit_code == Exit.NOT_GREEN
    failed = {name for name, check in found.items() if check["failure"]}
    assert {check.rpartition("::")[2] for _, _, check in Store.read(PLACE).recipes} == failed
    assert EVEN in failed

    second, again = ran("--seed", "5")
    assert again[EVEN]["cases"] == 1
    assert again[EVEN]["failure"]["message"] == found[EVEN]["failure"]["message"]
    assert f"{len(failed)} remembered failures tried first: none mended" in second.stdout

    still = called("replay", "layers.py:Wrong", f"reports/latest#GRUCell/layers.py:Wrong/{EVEN}")
    assert still.exit_code == Exit.NOT_GREEN
    assert still.stdout.startswith("still fails: layers.py:Wrong (GRUCell) CEL-2")

    mend(folder)
    done = called("replay", "layers.py", EVEN)
    assert (done.exit_code, done.stdout.splitlines()) == (
        Exit.GREEN,
        ["mended: layers.py:Wrong (GRUCell) CEL-2 One step is what the equations say"],
    )
    third, _ = ran()
    assert third.exit_code == Exit.GREEN
    assert f"tried first: {len(failed)} mended" in third.stdout
    assert re.search(r"mended: layers.py:Wrong \(GRUCell\) CEL-2 One step", third.stdout)
    assert Store.read(PLACE) == Store()


def test_a_run_goes_through_known_baseline_regression_and_improvement(folder: Path) -> None:
    assert ran("--store", "none", "--baseline", "b.json", "--update-baseline")[0].exit_code == 0
    assert not PLACE.exists()
    green, _ = ran("--baseline", "b.json")
    assert (green.exit_code, "Nothing is other than it was" in green.stdout) == (0, True)

    known = (
        "[[known_failures]]\nimplementation = 'layers.py:*'\nclause = 'cel-2'\nreason = 'gates'\n"
    )
    Path("known.toml").write_text(known, "utf-8")
    excused, found = ran("--known", "known.toml")
    assert (excused.exit_code, "fails as known (gates)" in excused.stdout) == (0, True)
    # It was remembered, so that nothing was searched for it.
    assert found[EVEN]["cases"] == 1

    Path("known.toml").write_text(known + "expires = 2020-01-31\n", "utf-8")
    expired, _ = ran("--known", "known.toml")
    assert (expired.exit_code, "expired after 2020-01-31" in expired.stdout) == (1, True)

    mend(folder)
    better, _ = ran("--baseline", "b.json")
    assert (better.exit_code, "nothing worse" in better.stdout) == (0, True)
    Path("known.toml").write_text(known, "utf-8")
    strict, _ = ran("--known", "known.toml")
    assert (strict.exit_code, "passes now" in strict.stdout) == (1, True)

    assert ran("--baseline", "b.json", "--update-baseline")[0].exit_code == 0
    layers(folder)
    worse, _ = ran("--baseline", "b.json")
    assert (worse.exit_code, "Broken: it did not fail before" in worse.stdout) == (1, True)


@pytest.mark.parametrize(
    ("case", "why"),
    [
        ("EQ-2", "no failure of 'EQ-2' is recorded; those that are, are of CEL-2"),
        ("nowhere#EQ-2", "cannot read nowhere"),
    ],
)
def test_a_case_that_is_not_recorded_is_one_line(case: str, why: str, folder: Path) -> None:
    Path("reports/latest").mkdir(parents=True)
    cell = entry("layers.py:Wrong", Kind.GRU_CELL)
    made = document(COMPLETE, [cell], [record(cell, ["CEL-2"], Outcome.FAILED)])
    Path("reports/latest/results.json").write_text(json.dumps(made), "utf-8")
    done = called("replay", "layers.py:Wrong", case)
    assert done.exit_code == Exit.USAGE
    assert why in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_failure_of_an_older_file_says_that_it_cannot_be_had_again(folder: Path) -> None:
    cell = entry("layers.py:Wrong", Kind.GRU_CELL)
    made = document(COMPLETE, [cell], [record(cell, ["CEL-2"], Outcome.FAILED)])
    with pytest.raises(UsageError, match="not recorded, by an older version"):
        replay("layers.py:Wrong", CaseName("CEL-2"), made, 0)


@pytest.mark.parametrize(
    ("text", "case"),
    [
        ("EQ-2", CaseName("EQ-2")),
        ("lstm/a/b.py:C/EQ-2", CaseName("EQ-2", "LSTM", "a/b.py:C")),
        ("GRU/x/conformance/t.py::test_y", CaseName("conformance/t.py::test_y", "GRU", "x")),
        ("conformance/t.py::test_y", CaseName("conformance/t.py::test_y")),
    ],
)
def test_a_case_is_named_by_kind_implementation_and_clause_or_check(
    text: str, case: CaseName
) -> None:
    assert CaseName.of(text) == case

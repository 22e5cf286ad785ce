"""Failures keep their identity, and beside a baseline only what is worse counts."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from rnn_conformance.cli import main
from rnn_conformance.errors import Sort, UsageError
from rnn_conformance.report.difference import markdown, text
from rnn_conformance.results.baseline import Baseline, read_baseline
from rnn_conformance.results.difference import Change, Difference, differences
from rnn_conformance.results.document import document
from rnn_conformance.results.identity import Identity
from rnn_conformance.results.json_files import validate, validator
from rnn_conformance.results.records import Failure, Outcome
from rnn_conformance.results.verdict import Exit, exit_code
from rnn_conformance.running.gate import Gate
from rnn_conformance.running.run import Options
from rnn_conformance.running.selection import Selection
from tests.support.made_results import COMPLETE, DIFFERS, LOOP, entry, record, records, results

GRU = entry("scan")
RAISES = dataclasses.replace(DIFFERS, sort=Sort.RAISED, diagnosis=None)
UNDIAGNOSED = dataclasses.replace(DIFFERS, diagnosis=None)


def failing(failure: Any = DIFFERS, **outcomes: Outcome) -> dict[str, Any]:
    """A loop in which EQ-2 fails so, and the other clauses are as told."""
    by_clause = {clause.replace("_", "-"): outcome for clause, outcome in outcomes.items()}
    made = [one for one in records(LOOP, by_clause) if one["clauses"] != ["EQ-2"]]
    return document(COMPLETE, [LOOP], [*made, record(LOOP, ["EQ-2"], Outcome.FAILED, failure)])


def between(old: dict[str, Any], new: dict[str, Any]) -> list[Difference]:
    return [*differences(Baseline.of(old), Baseline.of(new))]


def named(found: list[Difference]) -> list[tuple[Change, str, tuple[str, ...], bool]]:
    return [(one.change, one.implementation, one.clauses, one.worse) for one in found]


def diagnosed(name: str, *same: str) -> dict[str, Any]:
    """The failure's record with another diagnosis."""
    made = record(LOOP, ["EQ-2"], Outcome.FAILED)
    known = made["failure"]["diagnosis"]["known"][0]
    made["failure"]["diagnosis"]["known"] = [{**known, "name": name, "same": [*same]}]
    return made


# Identity


def test_a_failure_is_the_same_with_another_message_case_and_number() -> None:
    other = dataclasses.replace(DIFFERS, message="h_n is off by 0.3", case=None, error=0.3)
    one, two = (record(LOOP, ["EQ-2"], Outcome.FAILED, failure) for failure in (DIFFERS, other))
    assert Identity.of(one).same(Identity.of(two))


def test_a_failure_of_another_sort_is_another() -> None:
    one, two = (record(LOOP, ["EQ-2"], Outcome.FAILED, failure) for failure in (DIFFERS, RAISES))
    assert not Identity.of(one).same(Identity.of(two))


def test_a_failure_with_another_cause_is_another() -> None:
    assert not Identity.of(diagnosed("no biases")).same(Identity.of(diagnosed("no peephole")))


def test_deviations_that_gave_the_same_are_one_cause_whichever_is_named() -> None:
    assert Identity.of(diagnosed("a", "b")).same(Identity.of(diagnosed("b", "c")))


def test_what_was_not_diagnosed_may_be_what_was() -> None:
    undiagnosed = record(LOOP, ["EQ-2"], Outcome.FAILED, UNDIAGNOSED)
    assert Identity.of(undiagnosed).same(Identity.of(diagnosed("a")))


# Differences


def test_a_run_is_no_other_than_itself() -> None:
    assert between(failing(), failing()) == []


def test_a_clause_that_passed_and_fails_is_broken_and_worse() -> None:
    found = between(results(LOOP), failing())
    assert named(found) == [(Change.BROKEN, "loop", ("EQ-2",), True)]


def test_another_failure_in_a_failed_clause_is_changed_and_worse() -> None:
    found = between(failing(), failing(RAISES))
    assert named(found) == [(Change.CHANGED, "loop", ("EQ-2",), True)]
    assert "raised on a legal call" in found[0].text


@pytest.mark.parametrize(("failure", "worse"), [(RAISES, True), (DIFFERS, False)])
def test_another_check_of_a_failed_clause_is_worse_unless_its_cause_was_known(
    failure: Failure, worse: bool
) -> None:
    others = [one for one in records(LOOP) if one["clauses"] != ["EQ-2"]]
    made = [*others, record(LOOP, ["EQ-2"], Outcome.FAILED)]
    check = "conformance/a.py::test_b"
    passing = record(LOOP, ["EQ-2"], check=check)
    failed = record(LOOP, ["EQ-2"], Outcome.FAILED, failure, check=check)
    found = between(
        document(COMPLETE, [LOOP], [*made, passing]), document(COMPLETE, [LOOP], [*made, failed])
    )
    assert [(one.change, one.check, one.worse) for one in found] == [(Change.CHANGED, check, worse)]


def test_a_conforming_implementation_that_is_gone_is_worse() -> None:
    assert named(between(results(LOOP, GRU), results(LOOP))) == [(Change.GONE, "scan", (), True)]


def test_a_failing_implementation_that_is_gone_is_not_worse() -> None:
    old = document(COMPLETE, [LOOP, GRU], [*failing()["implementations"][0]["checks"]])
    assert (Change.GONE, "loop", (), False) in named(between(old, results(GRU)))


def test_fewer_checks_and_a_clause_that_is_tested_no_more_are_worse() -> None:
    found = between(results(LOOP), results(LOOP, EQ_2=Outcome.UNTESTED))
    assert named(found) == [
        (Change.GONE, "loop", ("EQ-2",), True),
        (Change.GONE, "loop", (), True),
    ]


def test_what_is_mended_is_fixed_and_not_worse() -> None:
    assert named(between(failing(), results(LOOP))) == [(Change.FIXED, "loop", ("EQ-2",), False)]


def test_what_a_baseline_does_not_know_is_worse_unless_it_conforms() -> None:
    assert named(between(results(GRU), results(GRU, LOOP))) == [(Change.ADDED, "loop", (), False)]
    new = document(COMPLETE, [LOOP, GRU], [*records(GRU), *records(LOOP, {"EQ-2": Outcome.FAILED})])
    assert named(between(results(GRU), new)) == [(Change.ADDED, "loop", (), True)]


def test_an_example_that_should_fail_and_conforms_is_worse() -> None:
    example = entry(fails_on_purpose="it is wrong")
    found = between(results(example, EQ_2=Outcome.FAILED), results(example))
    assert (Change.BROKEN, "loop", (), True) in named(found)


# Files


def test_a_baseline_is_read_as_it_was_written_and_says_what_the_results_say(
    tmp_path: Path,
) -> None:
    baseline, file = Baseline.of(failing()), tmp_path / "baseline.json"
    file.write_text(json.dumps(baseline.to_record()), "utf-8")
    validate(baseline.to_record(), "baseline", "")
    assert read_baseline(file) == baseline
    assert not differences(read_baseline(file), baseline)


def test_a_baseline_of_other_choices_is_refused_before_a_run(tmp_path: Path) -> None:
    file = tmp_path / "baseline.json"
    file.write_text(json.dumps(Baseline.of(results(LOOP)).to_record()), "utf-8")
    with pytest.raises(UsageError, match="another selection: profile quick, not thorough"):
        Gate(file).prepared(Selection(profile="thorough"))
    with pytest.raises(UsageError, match="kinds of everything, not GRU"):
        Gate(file).prepared(Selection(kinds=("GRU",)))
    assert Gate(file).prepared(Selection()) is not None


def test_a_baseline_that_is_not_there_says_how_it_is_made(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--update-baseline makes it"):
        Gate(tmp_path / "none.json").prepared(Selection())


def test_an_update_without_a_baseline_and_a_shard_with_one_are_refused() -> None:
    with pytest.raises(UsageError, match="name that too"):
        Gate(update=True)
    with pytest.raises(UsageError, match="run without --shard"):
        Options(Selection(), shard=(1, 2), gate=Gate(Path("baseline.json")))


def test_a_baseline_is_no_report() -> None:
    Path("baseline.json").write_text(json.dumps(Baseline.of(failing()).to_record()), "utf-8")
    done = CliRunner().invoke(main, ["report", "baseline.json"])
    assert (done.exit_code, "which is not rendered" in done.stderr) == (Exit.USAGE, True)


# What a run comes to


def gated(old: dict[str, Any], new: dict[str, Any], *, update: bool = False) -> dict[str, Any]:
    file = Path("baseline.json")
    file.write_text(json.dumps(old), "utf-8")
    gate = Gate(file, update)
    return gate.applied(new, gate.prepared(Selection()))


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        (failing(), failing(), Exit.GREEN),
        (failing(), results(LOOP), Exit.GREEN),
        (results(LOOP), failing(), Exit.NOT_GREEN),
        (failing(), failing(RAISES), Exit.NOT_GREEN),
    ],
)
def test_beside_a_baseline_only_what_is_worse_counts(
    old: dict[str, Any], new: dict[str, Any], code: Exit
) -> None:
    whole = gated(old, new)
    assert exit_code(whole) is code
    assert list(validator("results").iter_errors(whole)) == []


def test_a_run_that_was_cut_short_is_not_green_beside_any_baseline() -> None:
    short = document(dataclasses.replace(COMPLETE, complete=False), [LOOP], records(LOOP))
    assert exit_code(gated(results(LOOP), short)) is Exit.NOT_GREEN


def test_an_update_makes_what_is_worse_the_baseline() -> None:
    whole = gated(results(LOOP), failing(), update=True)
    assert [change["change"] for change in whole["baseline"]["changes"]] == ["broken"]
    assert exit_code(whole) is Exit.GREEN
    assert read_baseline(Path("baseline.json")) == Baseline.of(failing())


def test_a_run_that_was_cut_short_updates_no_baseline() -> None:
    short = document(dataclasses.replace(COMPLETE, complete=False), [LOOP], records(LOOP))
    assert exit_code(gated(failing(), short, update=True)) is Exit.NOT_GREEN
    assert read_baseline(Path("baseline.json")) == Baseline.of(failing())


# The command


def diff(*options: str) -> tuple[int, str]:
    Path("old.json").write_text(json.dumps(failing(EQ_4=Outcome.FAILED)), "utf-8")
    Path("new.json").write_text(json.dumps(failing(RAISES)), "utf-8")
    done = CliRunner().invoke(main, ["diff", "old.json", "new.json", *options])
    return done.exit_code, done.stdout


def test_diff_tells_what_is_worse_and_better_in_words() -> None:
    code, told = diff()
    assert code == Exit.NOT_GREEN
    assert told.splitlines()[0] == "2 differences: 1 worse, 1 better"
    assert "! loop (LSTM) EQ-2" in told
    assert "  loop (LSTM) EQ-4" in told


def test_diff_tells_it_in_markdown_that_nobodys_name_can_break() -> None:
    assert "### Fixed: it failed before" in diff("--format", "markdown")[1]
    hostile = Difference(Change.GONE, "<b>`x`|", "GRU", "was", True)
    assert "\\<b\\>\\`x\\`\\|" in markdown([hostile.to_record()])
    assert text([hostile.to_record()]).count("\n") == 2


def test_diff_tells_it_in_json_that_its_schema_describes() -> None:
    code, told = diff("--format", "json")
    changes = json.loads(told)
    for change in changes:
        validate(change, "difference", "")
    assert (code, [change["change"] for change in changes]) == (1, ["changed", "fixed"])


def test_diff_of_a_power_file_is_refused() -> None:
    Path("power.json").write_text('{"schema_version": 1, "mutants": []}', "utf-8")
    done = CliRunner().invoke(main, ["diff", "power.json", "power.json"])
    assert done.exit_code == Exit.USAGE

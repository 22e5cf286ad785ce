"""Known failures are held strictly: to their way, to failing at all, and to their date."""

import dataclasses
import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from rnn_conformance.errors import UsageError
from rnn_conformance.report import render
from rnn_conformance.results.baseline import Baseline
from rnn_conformance.results.difference import differences
from rnn_conformance.results.document import document
from rnn_conformance.results.json_files import validator
from rnn_conformance.results.known import KnownFailure, held, read_known
from rnn_conformance.results.records import Outcome
from rnn_conformance.results.shards import united
from rnn_conformance.results.verdict import Exit, Judgement, exit_code, judgements
from tests.support.made_results import COMPLETE, LOOP, entry, records, results

SCAN = entry("scan")
TODAY = date(2026, 3, 1)
FAILING = results(LOOP, EQ_2=Outcome.FAILED)


def known(**keys: Any) -> KnownFailure:
    return KnownFailure.of_table(
        {"implementation": "loop", "clause": "EQ-2", "reason": "gates are not in order", **keys}
    )


def judged(whole: dict[str, Any], *entries: KnownFailure) -> tuple[str, Judgement, Exit]:
    """What came of the first entry, what is said of the loop, and the exit code."""
    held_to = held(whole, entries, TODAY)
    assert list(validator("results").iter_errors(held_to)) == []
    render(held_to)
    standing = held_to["implementations"][0].get("known", [{"standing": ""}])[0]["standing"]
    return standing, judgements(held_to)[0], exit_code(held_to)


def test_what_fails_as_known_is_green() -> None:
    assert judged(FAILING, known()) == ("fails as known", Judgement.KNOWN, Exit.GREEN)


def test_what_passes_though_known_to_fail_is_not_green() -> None:
    assert judged(results(LOOP), known()) == ("passes now", Judgement.OUTDATED, Exit.NOT_GREEN)


@pytest.mark.parametrize("way", [{"sort": "wrong shape"}, {"diagnosis": "no biases"}])
def test_what_fails_otherwise_is_not_green(way: dict[str, str]) -> None:
    assert judged(FAILING, known(**way)) == ("fails otherwise", Judgement.FAILS, Exit.NOT_GREEN)


@pytest.mark.parametrize(
    "way", [{"sort": "wrong value"}, {"diagnosis": "gates o and g swapped"}, {"kind": "lstm"}]
)
def test_what_fails_in_the_way_that_is_told_is_green(way: dict[str, str]) -> None:
    assert judged(FAILING, known(**way))[0] == "fails as known"


def test_what_has_expired_is_not_green_and_was_known_on_its_last_day() -> None:
    expired = known(expires=date(2026, 2, 28))
    assert judged(FAILING, expired) == ("expired", Judgement.FAILS, Exit.NOT_GREEN)
    assert judged(results(LOOP), expired) == ("expired", Judgement.OUTDATED, Exit.NOT_GREEN)
    assert judged(FAILING, known(expires="2026-03-01"))[2] is Exit.GREEN


def test_another_failure_beside_what_is_known_is_not_green() -> None:
    more = results(LOOP, EQ_2=Outcome.FAILED, EQ_4=Outcome.FAILED)
    assert judged(more, known()) == ("fails as known", Judgement.FAILS, Exit.NOT_GREEN)


def test_what_was_not_run_may_still_fail() -> None:
    untested = document(
        COMPLETE, [LOOP], [one for one in records(LOOP) if one["clauses"] != ["EQ-2"]]
    )
    assert judged(untested, known()) == ("not run", Judgement.CONFORMS, Exit.GREEN)


@pytest.mark.parametrize(
    "check", ["test_EQ-2_holds", "conformance/test_clauses.py::test_EQ-2_holds"]
)
def test_a_check_is_known_by_its_name_or_its_place(check: str) -> None:
    assert judged(FAILING, known(clause="", check=check))[2] is Exit.GREEN


@pytest.mark.parametrize(("pattern", "of"), [("l*p", True), ("*", True), ("loop?", False)])
def test_an_implementation_is_named_by_a_pattern(pattern: str, of: bool) -> None:
    assert (judged(FAILING, known(implementation=pattern))[2] is Exit.GREEN) is of


def test_what_is_known_is_not_worse_than_a_baseline() -> None:
    now = held(FAILING, [known()], TODAY)
    assert not any(one.worse for one in differences(Baseline.of(results(LOOP)), Baseline.of(now)))


def test_what_is_known_in_the_shards_of_a_run_is_known_in_all_of_it() -> None:
    shards = [
        document(dataclasses.replace(COMPLETE, shard=(number, 2)), [one], made)
        for number, one, made in (
            (1, LOOP, records(LOOP, {"EQ-2": Outcome.FAILED})),
            (2, SCAN, records(SCAN)),
        )
    ]
    whole = united([held(shard, [known()], TODAY) for shard in shards])
    assert judgements(whole) == [Judgement.KNOWN, Judgement.CONFORMS]
    assert exit_code(whole) is Exit.GREEN


# Files

WRONG = {
    "a key that is none": ("caluse = 'EQ-2'", "no key 'caluse'.*; did you mean 'clause'?"),
    "a clause that is none": ("clause = 'EQ-22'", "'EQ-22', which there is not; did you mean"),
    "a sort that is none": ("clause = 'EQ-2'\nsort = 'wrong valu'", "did you mean 'wrong value'"),
    "neither clause nor check": ("", "needs a clause or a check"),
    "both": ("clause = 'EQ-2'\ncheck = 'test_x'", "needs a clause or a check"),
    "no day": ("clause = 'EQ-2'\nexpires = 'soon'", "is a day, as 2027-01-31, not soon"),
    "a number": ("clause = 2", "is a text, not 2"),
    "no TOML": ("clause =", "not valid TOML"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_in_a_file_is_one_line_that_names_it(name: str, tmp_path: Path) -> None:
    lines, why = WRONG[name]
    file = tmp_path / "known.toml"
    file.write_text(f"[[known_failures]]\nimplementation = 'x'\nreason = 'y'\n{lines}\n", "utf-8")
    with pytest.raises(UsageError, match=why) as refused:
        read_known(file)
    assert str(refused.value).startswith(f"{file}")


def test_no_reason_is_none() -> None:
    with pytest.raises(UsageError, match="has no reason"):
        known(reason=" ")


def test_the_project_has_them_in_its_table(tmp_path: Path) -> None:
    file = tmp_path / "pyproject.toml"
    file.write_text(
        "[tool.other]\nx = 1\n[[tool.rnn-conformance.known_failures]]\nimplementation = 'loop'\n"
        "clause = 'eq-2'\nreason = 'later'\nlink = 'https://example.org/1'\nexpires = 2026-05-01\n",
        "utf-8",
    )
    (one,) = read_known(file)
    assert (one.clause, one.expires) == ("EQ-2", date(2026, 5, 1))
    assert json.dumps(held(FAILING, [one], TODAY)["implementations"][0]["known"])
    file.write_text("[project]\nname = 'x'\n", "utf-8")
    assert read_known(file) == ()


def test_a_setting_that_is_none_is_suggested(tmp_path: Path) -> None:
    file = tmp_path / "pyproject.toml"
    file.write_text("[tool.rnn-conformance]\nknown_failure = []\n", "utf-8")
    with pytest.raises(UsageError, match="did you mean 'known_failures'"):
        read_known(file)

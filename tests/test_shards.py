"""The shards of a run: together the run itself, without all of them not green."""

import random
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from rnn_conformance.errors import Fault, Refusal, Sort, UsageError
from rnn_conformance.report import merge, render
from rnn_conformance.report.terminal import summary
from rnn_conformance.results.document import document
from rnn_conformance.results.json_files import validator
from rnn_conformance.results.records import Entry, Failure, Outcome, Run
from rnn_conformance.results.shards import united, words
from rnn_conformance.results.verdict import (
    Exit,
    Judgement,
    Verdict,
    exit_code,
    green,
    judgements,
)
from rnn_conformance.spec.config import Kind
from tests.support.made_results import COMPLETE, entry, record, records, untimed
from tests.support.pages import Parsed

ENTRIES = [
    entry(),
    entry(kind=Kind.GRU),
    entry("wrong", fails_on_purpose="the gates are in another order"),
]
OUTCOMES = {"EQ-2": Outcome.FAILED, "PCK-1": Outcome.UNSUPPORTED}
RECORDS = [
    *records(ENTRIES[0]),
    *records(ENTRIES[1]),
    *records(ENTRIES[2], OUTCOMES),
]
WHOLE = document(COMPLETE, ENTRIES, RECORDS)


def divided(
    of: int,
    made: list[dict[str, Any]] = RECORDS,
    entries: list[Entry] = ENTRIES,
    run: Run = COMPLETE,
) -> list[dict[str, Any]]:
    """The documents of the shards, whose checks are dealt out at random."""
    deal = random.Random(of)
    shares: list[list[dict[str, Any]]] = [[] for _ in range(of)]
    for line in made:
        deal.choice(shares).append(line)
    return [
        document(
            replace(run, shard=(number, of), seconds=2.0, started=f"2026-03-01T12:3{number % 9}"),
            [entry for entry in entries if any(_is_of(line, entry) for line in share)],
            share,
        )
        for number, share in enumerate(shares, 1)
    ]


def _is_of(line: dict[str, Any], entry: Entry) -> bool:
    return (line["implementation"], line["kind"]) == (entry.name, entry.kind)


@pytest.mark.parametrize("of", [1, 2, 3, 7, 300])
def test_all_shards_together_in_any_order_are_the_run_itself(of: int) -> None:
    shards = divided(of)
    for shard in shards:
        assert list(validator("results").iter_errors(shard)) == []
    random.Random(0).shuffle(shards)
    assert untimed(united(shards)) == untimed(WHOLE)
    assert untimed(merge(shards)) == untimed(WHOLE)
    assert green(merge(shards)) is green(WHOLE) is True
    assert exit_code(merge(shards)) is Exit.GREEN


def test_their_times_are_added_up() -> None:
    run = united(divided(3))["run"]
    assert (run["seconds"], run["started"]) == (6.0, "2026-03-01T12:31")


def test_without_a_shard_the_run_is_not_complete_and_says_which_it_lacks() -> None:
    one, _, three, _ = divided(4)
    whole = merge([three, one])
    assert whole["run"]["missing"] == [[2, 4], [4, 4]]
    assert whole["run"]["shard"] is None
    assert not whole["run"]["complete"]
    assert not green(whole)
    assert exit_code(whole) is Exit.NOT_GREEN
    assert list(validator("results").iter_errors(whole)) == []
    assert {*judgements(whole)} <= {Judgement.UNDECIDED, Judgement.INTENDED}


def test_a_shard_that_was_cut_short_leaves_the_whole_cut_short() -> None:
    one, two = divided(2)
    two["run"]["complete"] = False
    whole = merge([one, two])
    assert (whole["run"]["complete"], whole["run"]["missing"]) == (False, [])
    assert not green(whole)


def test_a_failure_in_any_shard_is_one_of_the_whole() -> None:
    failing = [*RECORDS, record(ENTRIES[0], ["STA-4"], Outcome.FAILED, check="test_other")]
    for given in (divided(5, failing), divided(5, failing)[::-1]):
        loop = next(
            i for i in merge(given)["implementations"] if (i["name"], i["kind"]) == ("loop", "LSTM")
        )
        assert (loop["verdict"], loop["clauses"]["STA-4"]) == ("fails", "failed")


# One shard by itself


def test_a_shard_in_which_nothing_fails_ends_well_but_is_not_green() -> None:
    for shard in divided(300):
        for implementation in shard["implementations"]:
            if implementation["verdict"] != Verdict.FAILS:
                assert judgements({**shard, "implementations": [implementation]}) == [
                    Judgement.SHARD
                ]
        assert exit_code(shard) is Exit.GREEN
        assert not green(shard)
        assert not green(merge([shard]))
        assert exit_code(merge([shard])) is Exit.NOT_GREEN


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (Outcome.FAILED, Exit.NOT_GREEN),
        (Outcome.CRASHED, Exit.NOT_GREEN),
        (Outcome.ERROR, Exit.NOT_GREEN),
        (Outcome.UNTESTED, Exit.GREEN),
    ],
)
def test_a_shard_in_which_something_fails_does_not_end_well(outcome: Outcome, code: Exit) -> None:
    failure = Failure(Fault.ADAPTER, Sort.BROKEN, "it broke") if code else None
    line = record(ENTRIES[0], ["EQ-2"], outcome, failure)
    (shard,) = divided(1, [line], ENTRIES[:1])
    assert exit_code({**shard, "run": {**shard["run"], "shard": [1, 2]}}) is code


def test_a_shard_that_was_cut_short_does_not_end_well() -> None:
    shard, _ = divided(2, run=replace(COMPLETE, complete=False))
    assert exit_code(shard) is Exit.NOT_GREEN


# What is refused


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("seed", 1),
        ("profile", "standard"),
        ("select", ["EQ"]),
        ("kinds", ["LSTM"]),
        ("level", "training"),
        ("without", ["packed"]),
        ("device", "cuda"),
        ("versions", {"torch": "2.12.0"}),
        ("shard", [2, 3]),
    ],
)
def test_shards_of_different_runs_are_refused(field: str, value: object) -> None:
    one, two = divided(2)
    two["run"][field] = value
    for order in ([one, two], [two, one]):
        with pytest.raises(UsageError, match="are not of the same run") as refused:
            merge(order)
        assert refused.value.refusal is Refusal.FILE
        assert "\n" not in str(refused.value)
        assert field in str(refused.value) or field == "shard"


def _other_claims(shard: dict[str, Any]) -> None:
    shard["implementations"][0]["claims"]["level"] = "drop-in"


def _other_clauses(shard: dict[str, Any]) -> None:
    shard["clauses"] = shard["clauses"][1:]


def _no_such_shard(shard: dict[str, Any]) -> None:
    shard["run"]["shard"] = [3, 2]


def _same_number(shard: dict[str, Any]) -> None:
    shard["run"]["shard"] = [1, 2]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_other_claims, "is not the same in all of the shards"),
        (_other_clauses, "another version"),
        (_no_such_shard, "no shard 3 of 2"),
        (_same_number, "given more than once"),
    ],
)
def test_shards_that_do_not_go_together_are_refused(
    change: Callable[[dict[str, Any]], None], said: str
) -> None:
    one, two = divided(2)
    change(two)
    with pytest.raises(UsageError, match=said):
        merge([one, two])


def test_a_check_in_two_shards_is_refused() -> None:
    one, two = divided(2, RECORDS[:1], ENTRIES[:1]), divided(2, RECORDS[:1], ENTRIES[:1])
    given = [*one, *two]
    with_checks = [shard for shard in given if shard["implementations"]]
    for number, shard in enumerate(with_checks, 1):
        shard["run"]["shard"] = [number, 2]
    with pytest.raises(UsageError, match="in more than one of the shards"):
        merge(with_checks)


# Beside other results


def test_shards_count_as_one_run_beside_others() -> None:
    other = document(replace(COMPLETE, seed=3), [entry("other")], records(entry("other")))
    one, two = divided(2)
    whole = merge([one, other, two])
    assert [source["seed"] for source in whole["sources"]] == [0, 3]
    assert green(whole)
    lacking = merge([one, other])
    assert lacking["run"]["missing"] == [[2, 2]]
    assert not green(lacking)
    assert list(validator("results").iter_errors(lacking)) == []


# What is said


def said(whole: dict[str, Any]) -> list[str]:
    """What the page and the terminal say, without colours and line breaks."""
    console = Console(width=400, file=StringIO())
    summary(console, whole, Path("index.html"))
    assert isinstance(console.file, StringIO)
    return [Parsed(render(whole)).one("body").text, console.file.getvalue()]


def test_the_report_and_the_terminal_name_what_is_missing() -> None:
    shards = divided(4)
    for text in said(merge([shards[0], shards[2]])):
        assert "The shards 2/4 and 4/4 are missing" in text
    for text in said(merge(shards[:3])):
        assert "The shard 4/4 is missing" in text
    for text in said(shards[0]):
        assert "This is the shard 1/4 alone" in text
    for text in said(merge(shards)):
        assert "shard" not in text


def test_very_many_shards_are_not_named_one_by_one() -> None:
    assert words([(number, 900) for number in range(1, 901)]).endswith("8/900 and 892 more")

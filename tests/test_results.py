"""Records folded into a document: each rule, its schema, and what is refused."""

import copy
import dataclasses
import json
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from rnn_conformance.errors import Fault, Nature, Refusal, Sort, UsageError
from rnn_conformance.results.document import Cause, clause_outcomes, document, reached
from rnn_conformance.results.formats import POWER, RESULTS, DocumentFormat
from rnn_conformance.results.json_files import validator
from rnn_conformance.results.reading import read
from rnn_conformance.results.records import Failure, Outcome
from rnn_conformance.results.verdict import Verdict
from rnn_conformance.spec.clauses import CLAUSES
from rnn_conformance.spec.config import Kind, Level
from tests.support.made_results import COMPLETE, DIFFERS, LOOP, entry, record, records, results

CLASS = entry("class", level="drop-in")


def problems(whole: dict[str, Any]) -> list[str]:
    """What the schema finds wrong with a document."""
    return [
        f"{error.json_path}: {error.message}" for error in validator("results").iter_errors(whole)
    ]


def schema(name: str) -> Any:
    """A schema, as the plain values that it is."""
    return validator(name).schema


def outcomes(**changed: Outcome) -> dict[str, Outcome]:
    """Everything that applies to ``CLASS`` passes, but for ``changed`` (``EQ_2=…``)."""
    given = {clause.replace("_", "-"): outcome for clause, outcome in changed.items()}
    return clause_outcomes(CLASS, records(CLASS, given))


# Clauses


@pytest.mark.parametrize(
    ("of_checks", "of_clause"),
    [
        (["passed", "passed"], "passed"),
        (["passed", "unsupported"], "passed"),
        (["unsupported", "unsupported"], "unsupported"),
        (["passed", "untested"], "untested"),
        (["passed", "error"], "error"),
        (["error", "failed"], "failed"),
        (["failed", "timeout"], "timeout"),
        (["timeout", "crashed"], "crashed"),
    ],
)
def test_a_clause_is_as_good_as_the_worst_of_its_checks(
    of_checks: list[str], of_clause: str
) -> None:
    for order in (of_checks, of_checks[::-1]):
        checks = [
            record(LOOP, ["EQ-2"], Outcome(outcome), check=f"test_{n}")
            for n, outcome in enumerate(order)
        ]
        assert clause_outcomes(LOOP, checks)["EQ-2"] == of_clause


def test_a_check_counts_for_each_of_its_clauses() -> None:
    by_clause = clause_outcomes(LOOP, [record(LOOP, ["EQ-2", "STA-4"], Outcome.FAILED)])
    assert (by_clause["EQ-2"], by_clause["STA-4"]) == (Outcome.FAILED, Outcome.FAILED)


def test_a_clause_without_a_check_is_untested() -> None:
    assert clause_outcomes(LOOP, [])["EQ-2"] is Outcome.UNTESTED


def test_a_clause_above_the_level_claimed_is_unsupported() -> None:
    assert clause_outcomes(LOOP, [])["GRD-1"] is Outcome.UNSUPPORTED
    assert clause_outcomes(CLASS, [])["GRD-1"] is Outcome.UNTESTED


@pytest.mark.parametrize("kind", Kind)
def test_a_clause_of_another_kind_is_left_out(kind: Kind) -> None:
    by_clause = clause_outcomes(entry(kind=kind), [])
    assert set(by_clause) == {clause.id for clause in CLAUSES.values() if kind in clause.kinds}


# Levels


def test_who_passes_everything_reaches_the_level_claimed_and_no_higher() -> None:
    for level in Level:
        claiming = entry(level=str(level))
        assert reached(claiming, clause_outcomes(claiming, records(claiming))) is level


@pytest.mark.parametrize(
    ("clause", "level"), [("EQ_2", None), ("GRD_1", Level.INFERENCE), ("PAR_1", Level.TRAINING)]
)
@pytest.mark.parametrize("outcome", ["failed", "crashed", "timeout", "error", "untested"])
def test_a_level_is_reached_if_all_below_and_in_it_pass(
    clause: str, level: Level | None, outcome: str
) -> None:
    assert reached(CLASS, outcomes(**{clause: Outcome(outcome)})) is level


def test_what_is_unsupported_does_not_lower_the_level() -> None:
    assert reached(CLASS, outcomes(PCK_1=Outcome.UNSUPPORTED)) is Level.DROP_IN


def test_optional_clauses_count_for_no_level() -> None:
    assert reached(CLASS, outcomes(DEP_5=Outcome.FAILED)) is Level.DROP_IN


# Verdicts


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        ("passed", Verdict.CONFORMS),
        ("unsupported", Verdict.CONFORMS),
        ("untested", Verdict.CONFORMS),
        ("error", Verdict.ERROR),
        ("failed", Verdict.FAILS),
        ("timeout", Verdict.FAILS),
        ("crashed", Verdict.FAILS),
    ],
)
def test_one_clause_decides_the_verdict(outcome: str, expected: Verdict) -> None:
    assert Verdict.of(outcomes(EQ_2=Outcome(outcome))) is expected


def test_a_failure_outweighs_a_check_that_could_not_run() -> None:
    assert Verdict.of(outcomes(EQ_2=Outcome.FAILED, BF_1=Outcome.ERROR)) is Verdict.FAILS


def test_who_passes_nothing_does_not_conform() -> None:
    assert Verdict.of(clause_outcomes(CLASS, [])) is Verdict.ERROR
    unsupported = dict.fromkeys(CLAUSES, Outcome.UNSUPPORTED)
    assert Verdict.of(clause_outcomes(CLASS, records(CLASS, unsupported))) is Verdict.ERROR


def test_optional_clauses_count_for_no_verdict() -> None:
    assert Verdict.of(outcomes(DEP_5=Outcome.FAILED)) is Verdict.CONFORMS
    only_optional = clause_outcomes(CLASS, [record(CLASS, ["DEP-1"])])
    assert Verdict.of(only_optional) is Verdict.ERROR


# The document


@pytest.mark.parametrize("outcome", Outcome)
def test_a_document_of_any_outcome_is_valid(outcome: Outcome) -> None:
    assert problems(results(LOOP, CLASS, EQ_2=outcome)) == []


def test_a_document_of_nothing_is_valid() -> None:
    assert problems(document(COMPLETE, [], [])) == []


def test_numbers_that_json_cannot_write_are_texts() -> None:
    whole = results(LOOP, EQ_2=Outcome.FAILED)
    (failure,) = (
        check["failure"] for check in whole["implementations"][0]["checks"] if check["failure"]
    )
    assert (failure["got"], failure["error"]) == ("nan", "inf")
    assert failure["excerpt"][0][1:4] == [0.25, "nan", "inf"]
    assert problems(whole) == []
    json.dumps(whole, allow_nan=False)


def test_minus_infinity_keeps_its_sign() -> None:
    failure = dataclasses.replace(DIFFERS, expected=float("-inf"), got=[1.0, float("-inf")])
    whole = document(COMPLETE, [LOOP], [record(LOOP, ["EQ-2"], Outcome.FAILED, failure)])
    (check,) = whole["implementations"][0]["checks"]
    assert check["failure"]["expected"] == "-inf"
    assert check["failure"]["got"] == [1.0, "-inf"]


def test_a_crash_needs_no_more_than_a_message() -> None:
    crash = Failure(Fault.IMPLEMENTATION, Sort.CRASHED, "the process died")
    whole = document(COMPLETE, [LOOP], [record(LOOP, ["EQ-2"], Outcome.CRASHED, crash)])
    assert problems(whole) == []
    assert whole["implementations"][0]["verdict"] == "fails"


def test_records_go_to_their_implementation_and_kind_whatever_their_order() -> None:
    gru = entry(kind=Kind.GRU)
    checks = [record(gru, ["EQ-3"], Outcome.FAILED), record(LOOP, ["EQ-2"])]
    checks += [record(LOOP, ["BF-1"])]
    for order in (checks, checks[::-1]):
        other, lstm = document(COMPLETE, [LOOP, gru], order)["implementations"]
        assert [check["clauses"] for check in lstm["checks"]] == [["BF-1"], ["EQ-2"]]
        assert [check["clauses"] for check in other["checks"]] == [["EQ-3"]]
        assert (lstm["verdict"], other["verdict"]) == ("conforms", "fails")


# The schema


def _no_failure(whole: dict[str, Any]) -> None:
    whole["implementations"][0]["checks"][0].update(outcome="failed", failure=None)


def _set(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(whole: dict[str, Any]) -> None:
        *way, last = path.split(".")
        at: Any = whole
        for step in way:
            at = at[int(step)] if isinstance(at, list) else at[step]
        at[last] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        lambda whole: whole.pop("clauses"),
        lambda whole: whole["run"].pop("complete"),
        lambda whole: whole["implementations"][0].pop("verdict"),
        lambda whole: whole["implementations"][0]["checks"][0].pop("cases"),
        _no_failure,
        _set("extra", 1),
        _set("run.extra", 1),
        _set("run.complete", "yes"),
        _set("run.seconds", -1.0),
        _set("implementations.0.verdict", "fine"),
        _set("implementations.0.kind", "Transformer"),
        _set("implementations.0.clauses.EQ-2", "okay"),
        _set("implementations.0.clauses.equations", "passed"),
        _set("implementations.0.checks.0.cases", 1.5),
        _set("implementations.0.checks.0.outcome", "skipped"),
    ],
)
def test_the_schema_is_strict(change: Callable[[dict[str, Any]], None]) -> None:
    whole = copy.deepcopy(results(LOOP))
    assert problems(whole) == []
    change(whole)
    assert problems(whole) != []


def test_an_error_is_a_number_or_the_name_of_one() -> None:
    whole = results(LOOP, EQ_2=Outcome.FAILED)
    (failed,) = (check for check in whole["implementations"][0]["checks"] if check["failure"])
    failed["failure"]["error"] = "large"
    assert problems(whole) != []


@pytest.mark.parametrize("name", ["record", "results", "power"])
def test_the_schema_is_a_schema(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schema(name))


@pytest.mark.parametrize(
    ("name", "enumeration"),
    [("kind", Kind), ("level", Level), ("outcome", Outcome), ("sort", Sort)],
)
def test_the_schemas_know_the_words_of_the_code(name: str, enumeration: type[StrEnum]) -> None:
    definitions = schema("record")["$defs"]
    assert set(definitions[name]["enum"]) == {word.value for word in enumeration}


def test_the_schemas_know_whose_fault_it_is_and_what_was_raised() -> None:
    fields = schema("record")["$defs"]["failure"]["properties"]
    assert set(fields["fault"]["enum"]) == set(Fault)
    assert set(fields["nature"]["enum"]) == {*Nature, None}
    implementation = schema("results")["$defs"]["implementation"]
    assert set(implementation["properties"]["verdict"]["enum"]) == set(Verdict)


def test_a_document_from_before_failures_had_a_sort_is_valid() -> None:
    whole = results(LOOP, EQ_2=Outcome.FAILED)
    (failed,) = (check for check in whole["implementations"][0]["checks"] if check["failure"])
    del failed["failure"]["sort"], failed["failure"]["nature"]
    assert problems(whole) == []


# Reading


@pytest.mark.parametrize(("name", "form"), [("results", RESULTS), ("power", POWER)])
def test_what_is_published_is_read_as_what_it_is(name: str, form: DocumentFormat) -> None:
    published = Path(__file__).resolve().parents[1] / "reports/published" / f"{name}.json"
    if not published.exists():
        pytest.skip("nothing is published beside these tests")
    assert read(published).format is form


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    whole = results(LOOP, CLASS, EQ_2=Outcome.FAILED)
    path = tmp_path / "results.json"
    path.write_text(json.dumps(whole), "utf-8")
    document = read(path)
    assert (document.path, document.format, document.content) == (path, RESULTS, whole)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (json.dumps(results(LOOP))[:-100], "cut short"),
        ("", "cut short"),
        ('{"schema_version": NaN}', "NaN is not JSON"),
        ("[]", "says no schema_version"),
        (json.dumps({**results(LOOP), "schema_version": 2}), "schema version 2"),
        (json.dumps({**results(LOOP), "implementations": [{}]}), "not a results file"),
    ],
)
def test_what_is_no_results_file_is_refused_with_the_reason(
    text: str, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "results.json"
    path.write_text(text, "utf-8")
    with pytest.raises(UsageError, match=said) as refusal:
        read(path)
    assert refusal.value.refusal is Refusal.FILE
    assert str(path) in str(refusal.value)


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read .*results\.json"):
        read(tmp_path / "results.json")


def test_of_a_cause_the_smallest_case_comes_first_however_long_its_seed_is() -> None:
    def failing(hidden_size: int, seed: int) -> dict[str, Any]:
        config = {"kind": "LSTM", "hidden_size": hidden_size, "bias": True}
        case = {"config": config, "length": 1, "batch": 1, "seed": seed}
        return {"clauses": ["EQ-2"], "failure": {"case": case}}

    small, large = failing(1, 65_535), failing(2, 7)
    assert Cause(None, (large, small)).simplest_first == [small, large]

"""What the report tells of failures: causes, counterexamples, who is at fault."""

import dataclasses
from typing import Any

from rnn_conformance.diagnosis.diagnosis import Diagnosis, Known
from rnn_conformance.errors import Fault, Sort
from rnn_conformance.report import render
from rnn_conformance.results.document import document
from rnn_conformance.results.records import Failure, Outcome
from rnn_conformance.spec.cases import Case
from rnn_conformance.spec.config import Config, Dtype, Kind
from rnn_conformance.spec.result import Quantity
from tests.support.made_results import COMPLETE, DIFFERS, GRU, LOOP, WRONG, record, results
from tests.support.pages import Parsed, cells, page


def test_a_failing_cell_leads_to_the_counterexample() -> None:
    parsed = page(results(LOOP, EQ_2=Outcome.FAILED))
    (cell,) = cells(parsed, "EQ-2")
    (link,) = (element for element in parsed.inside(cell) if element.tag == "a")
    (target,) = (
        element
        for element in parsed.elements
        if "#" + element.attributes.get("id", "") == link.attributes["href"]
    )
    after = parsed.elements[parsed.elements.index(target) + 1]
    assert DIFFERS.message in after.text
    (finding,) = parsed.findings
    text = finding.whole
    for shown in (
        DIFFERS.message,
        "Diagnosis Gates in the order i, f, o, g.",
        DIFFERS.calls[0],
        "where output: time 1, sample 0, unit 2",
        "expected 0.25",
        "got nan",
        "error inf",
        "allowed 1.5e-07",
        "input_size 3",
        "bidirectional yes",
        "output: time 1, sample 1, unit 2 0.125 0.5 0.375 1.5e-07",
        "print(torch.nn.LSTM(3, 4))",
        "AssertionError",
    ):
        assert shown in text, f"{shown!r} is missing"


def test_what_is_wrong_is_told_once_above_the_failures_and_in_the_summary() -> None:
    parsed = page(results(LOOP, EQ_2=Outcome.FAILED, STA_4=Outcome.FAILED))
    diagnosis, *_ = parsed.all("div", "diagnosis")
    for shown in (
        "behind 2 of 2 failures",
        "Gates in the order i, f, o, g",
        "Reorder the blocks of rows when they are loaded.",
        "In every case tried the same as: gates o and g swapped.",
        "Seen in: Core ML and Caffe order",
        "the same results in 12 of 12 failing cases, and in the 7 that are right.",
    ):
        assert shown in diagnosis.text, f"{shown!r} is missing in {diagnosis.text!r}"
    (row,) = parsed.all("tr", "has-failures")
    assert "Diagnosis: gates in the order i, f, o, g" in row.text


def test_failures_stand_under_their_own_cause_named_ones_first() -> None:
    def failing(check: str, clause: str, diagnosis: Diagnosis | None) -> dict[str, Any]:
        told = None if diagnosis is None else diagnosis.to_record()
        failure = dataclasses.replace(DIFFERS, diagnosis=told)
        return record(LOOP, [clause], Outcome.FAILED, failure, check=f"test_{check}")

    ignored = Known("c_0 ignored", "Start from it.", ("STA-4",), "common mistake")
    named = Diagnosis(Quantity.RESULTS, "", (ignored,), 3, 3, 4)
    symptoms = Diagnosis(Quantity.RESULTS, "", (), 0, 5, 7, ("it goes away with one step",))
    checks = [
        failing("a", "SHP-1", None),
        failing("b", "EQ-2", symptoms),
        failing("c", "EQ-4", symptoms),
        failing("d", "STA-4", named),
    ]
    parsed = page(document(COMPLETE, [LOOP], checks))
    told = [
        [
            element.attributes["data-clauses"]
            for element in parsed.inside(section)
            if "finding" in element.attributes.get("class", "").split()
        ]
        for section in parsed.all("section", "cause")
    ]
    assert told == [["STA-4"], ["EQ-2", "EQ-4"], ["SHP-1"]]
    first, second, last = parsed.all("section", "cause")
    assert "c_0 ignored behind 1 of 4 failures: STA-4" in first.text
    assert "No known cause: it goes away with one step behind 2 of 4 failures" in second.text
    assert "Without a diagnosis 1 of 4 failures" in last.text


def test_the_case_shown_first_is_the_smallest_however_long_its_seed_is() -> None:
    def failing(check: str, hidden_size: int, seed: int) -> dict[str, Any]:
        case = Case(Config(Kind.LSTM, 1, hidden_size), 1, 1, Dtype.FLOAT32, seed=seed)
        failure = dataclasses.replace(DIFFERS, case=case.to_record())
        return record(LOOP, ["EQ-2"], Outcome.FAILED, failure, check=f"test_{check}")

    checks = [failing("larger", 2, 7), failing("smaller", 1, 65_535)]
    (heading,) = (
        element
        for element in page(document(COMPLETE, [LOOP], checks)).elements
        if element.attributes.get("id") == "smallest"
    )
    assert heading.text == "Smaller EQ-2"


def test_what_is_not_known_is_told_by_its_symptoms() -> None:
    symptom = "it goes away with one step (5 of 5 cases)"
    unknown = Diagnosis(Quantity.GRADIENTS, "", (), 0, 5, 7, (symptom,))
    failure = dataclasses.replace(DIFFERS, diagnosis=unknown.to_record())
    failing = record(LOOP, ["EQ-2"], Outcome.FAILED, failure)
    parsed = page(document(COMPLETE, [LOOP], [failing]))
    diagnosis, *_ = parsed.all("div", "diagnosis")
    for shown in (
        "No known deviation, and no two of them, give these gradients.",
        symptom,
        "5 of 12 cases tried fail.",
    ):
        assert shown in diagnosis.text, f"{shown!r} is missing in {diagnosis.text!r}"


def test_every_link_within_the_page_leads_somewhere_and_no_id_is_twice() -> None:
    parsed = page(results(LOOP, GRU, WRONG, EQ_2=Outcome.FAILED, STA_4=Outcome.CRASHED))
    ids = [element.attributes["id"] for element in parsed.elements if "id" in element.attributes]
    assert ids
    assert len(set(ids)) == len(ids)
    for element in parsed.elements:
        href = element.attributes.get("href", "")
        if href.startswith("#"):
            assert href[1:] in ids, f"{href} leads nowhere"
        for reference in element.attributes.get("aria-labelledby", "").split():
            assert reference in ids, f"aria-labelledby={reference} names nothing"


def test_a_failure_of_several_clauses_is_shown_once_and_reached_from_each() -> None:
    whole = document(COMPLETE, [LOOP], [record(LOOP, ["EQ-2", "STA-4"], Outcome.FAILED)])
    text = render(whole)
    parsed = Parsed(text)
    assert len(parsed.all("details", "finding")) == 1
    assert len(parsed.findings) == 1
    for clause in ("EQ-2", "STA-4"):
        (cell,) = cells(parsed, clause)
        assert any(element.tag == "a" for element in parsed.inside(cell))


def test_counterexamples_are_in_the_order_of_the_clauses() -> None:
    checks = [
        record(LOOP, [clause], Outcome.FAILED, check=f"test_{check}")
        for check, clause in (("a", "PCK-1"), ("b", "EQ-2"), ("c", "SHP-1"))
    ]
    shown = page(document(COMPLETE, [LOOP], checks)).all("details", "finding")
    assert [element.attributes["data-clauses"] for element in shown] == ["SHP-1", "EQ-2", "PCK-1"]


def test_a_check_that_could_not_run_names_who_is_at_fault() -> None:
    failure = Failure(Fault.ADAPTER, Sort.BROKEN, "build returned None", traceback="Traceback: …")
    whole = document(COMPLETE, [LOOP], [record(LOOP, ["EQ-2"], Outcome.ERROR, failure)])
    assert "The fault lies with the adapter" in page(whole).one("details", "finding").text


def test_a_timeout_without_a_failure_shows_its_reason() -> None:
    late = record(LOOP, ["EQ-2"], Outcome.TIMEOUT, reason="no end within 60 s")
    parsed = page(document(COMPLETE, [LOOP], [late]))
    assert "no end within 60 s" in parsed.one("details", "finding").text

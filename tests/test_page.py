"""The report as a whole: verdicts, the first screen, that it loads and trusts nothing."""

import dataclasses
import re
from typing import Any

import pytest

from rnn_conformance.diagnosis.diagnosis import Diagnosis, Known
from rnn_conformance.errors import Sort
from rnn_conformance.report import render
from rnn_conformance.results.document import document
from rnn_conformance.results.records import Outcome
from rnn_conformance.spec.clauses import CLAUSES
from rnn_conformance.spec.result import Quantity
from tests.support.made_results import (
    COMPLETE,
    CUT_SHORT,
    DIFFERS,
    GRU,
    HOSTILE,
    LOOP,
    WRONG,
    entry,
    record,
    records,
    results,
)
from tests.support.pages import Parsed, page


@pytest.mark.parametrize(
    ("of", "outcome", "run", "tone", "text", "page_tone"),
    [
        (LOOP, "passed", COMPLETE, "conforms", "conforms", "conforms"),
        (LOOP, "failed", COMPLETE, "fails", "fails", "fails"),
        (LOOP, "error", COMPLETE, "error", "error", "error"),
        (WRONG, "failed", COMPLETE, "intended", "fails as intended", "conforms"),
        (WRONG, "passed", COMPLETE, "fails", "conforms, should fail", "fails"),
        (LOOP, "passed", CUT_SHORT, "open", "undecided", "open"),
        (WRONG, "passed", CUT_SHORT, "open", "undecided", "open"),
        (LOOP, "failed", CUT_SHORT, "fails", "fails", "fails"),
        (WRONG, "failed", CUT_SHORT, "intended", "fails as intended", "open"),
    ],
)
def test_a_verdict_is_shown_for_what_it_means(
    of: Any, outcome: str, run: Any, tone: str, text: str, page_tone: str
) -> None:
    shown = page(results(of, run=run, EQ_2=Outcome(outcome)))
    assert shown.all("span", "verdict", tone)[0].text == text
    assert page_tone in shown.one("header").classes


def test_a_selection_is_said_and_conforms_to_no_more() -> None:
    run = dataclasses.replace(COMPLETE, select=("EQ", "BF-1"))
    shown = page(document(run, [LOOP], [record(LOOP, ["EQ-2"])]))
    assert "Only EQ, BF-1 ran" in shown.one("header").text
    assert shown.all("span", "verdict")[0].text == "conforms as selected"


def test_a_run_that_was_cut_short_cannot_be_overlooked() -> None:
    whole = results(LOOP, run=CUT_SHORT)
    shown = page(whole)
    assert shown.one("title").text.startswith("Incomplete")
    assert "cut short" in shown.one("p", "alert").text
    assert "incomplete" in shown.one("body").classes
    assert shown.all("span", "conforms") == []
    assert not page(results(LOOP)).all("p", "alert")


def test_a_report_of_nothing_is_not_green() -> None:
    shown = page(document(COMPLETE, [], []))
    assert "open" in shown.one("header").classes
    assert "No implementation was tested." in shown.one("header").text


def test_the_summary_gives_level_counts_and_time() -> None:
    checks = records(LOOP, {"EQ-2": Outcome.FAILED})
    (row,) = page(document(COMPLETE, [LOOP], checks)).all("tr", "has-failures")
    assert "none of inference" in row.text
    assert "1 failed" in row.text
    assert f"{len(checks)} {20 * len(checks):,}".replace(",", " ") in row.text


def test_the_page_loads_nothing() -> None:
    text = render(results(LOOP, WRONG, EQ_2=Outcome.FAILED))
    parsed = Parsed(text)
    for element in parsed.elements:
        assert "src" not in element.attributes, element
        href = element.attributes.get("href", "#")
        assert element.tag == "a" or href.startswith(("#", "data:,")), element
        assert not [name for name in element.attributes if name.startswith("on")], element
    style = parsed.one("style").text
    assert re.findall(r"url\((?!\"data:image/svg)", style) == []
    assert "@import" not in style
    policy = parsed.one("meta", **{"http-equiv": "Content-Security-Policy"})
    assert policy.attributes["content"].startswith("default-src 'none'")
    assert "unsafe" not in policy.attributes["content"]
    assert not [element for element in parsed.elements if "style" in element.attributes]


def test_text_from_outside_stays_text() -> None:
    hostile = entry(HOSTILE, target=HOSTILE, fails_on_purpose=HOSTILE)
    failure = dataclasses.replace(
        DIFFERS,
        message=HOSTILE,
        calls=(HOSTILE,),
        case={HOSTILE: HOSTILE},
        where={"array": HOSTILE, HOSTILE: HOSTILE},
        expected=HOSTILE,
        got=HOSTILE,
        excerpt=((HOSTILE,) * 5,),
        diagnosis={
            **Diagnosis(
                Quantity.RESULTS,
                HOSTILE,
                (Known(HOSTILE, HOSTILE, (HOSTILE,), HOSTILE, (HOSTILE,)),),
                1,
                2,
                3,
                (HOSTILE,),
            ).to_record(),
            "of": HOSTILE,
        },
        script=HOSTILE,
        traceback=HOSTILE,
    )
    failing = record(hostile, ["EQ-2"], Outcome.FAILED, failure, check=HOSTILE)
    odd = record(hostile, ["BF-1"], Outcome.UNSUPPORTED, reason=HOSTILE)
    run = dataclasses.replace(COMPLETE, profile=HOSTILE, versions={HOSTILE: HOSTILE})
    whole = document(run, [hostile], [failing, odd])
    whole["clauses"][0].update(title=HOSTILE, advice=HOSTILE, source="javascript:alert(1)")
    text = render(whole)
    parsed = Parsed(text)
    assert len(parsed.all("script")) == 2
    assert parsed.all("img") == []
    assert not [element for element in parsed.elements if "onerror" in element.attributes]
    assert "javascript:" not in text
    assert "{{ 7 * 7 }}" in parsed.one("details", "finding").text
    (finding,) = parsed.findings
    assert "{{ 7 * 7 }}" in finding.whole
    assert not [element for element in finding.elements if element.tag in ("script", "img")]
    bounds = [e.text for e in parsed.elements if e.tag == "bdi"]
    assert HOSTILE in bounds, "a name is kept apart from the text around it"
    assert parsed.one("th", "name").text == HOSTILE


# The first screen


def test_of_one_implementation_what_mends_it_and_the_smallest_case_come_first() -> None:
    parsed = page(results(LOOP, EQ_2=Outcome.FAILED, STA_4=Outcome.FAILED))
    head = parsed.one("header")
    told = head.text
    order = [
        "loop LSTM fails",
        "Fails 2 clauses of",
        "Gates in the order i, f, o, g behind 2 of 2 failures",
        "Reorder the blocks of rows",
        DIFFERS.message,
        "print(torch.nn.LSTM(3, 4))",
        "About this run",
        "torch 2.13.0",
    ]
    places = [told.index(text) for text in order]
    assert places == sorted(places)
    assert parsed.one("title").text == "loop (LSTM) fails: 2 clauses"
    versions = next(element for element in parsed.inside(head) if "about" in element.classes)
    assert "open" not in versions.attributes


def test_of_several_those_that_fail_come_first_with_a_sentence_each() -> None:
    worse = entry("worse")
    checks = [
        *records(LOOP, {"EQ-2": Outcome.FAILED}),
        *records(GRU),
        *records(worse, {"EQ-2": Outcome.FAILED, "STA-4": Outcome.FAILED}),
    ]
    parsed = page(document(COMPLETE, [LOOP, GRU, worse], checks))
    ranked = [e.text for e in parsed.inside(parsed.one("ol", "ranked")) if e.tag == "li"]
    assert ranked == [
        "worse LSTM fails 2 clauses. Gates in the order i, f, o, g: behind 2 of 2 failures",
        "loop LSTM fails 1 clause. Gates in the order i, f, o, g: behind 1 of 1 failure",
    ]
    assert "scan GRU" in parsed.one("p", "well").text
    assert parsed.one("title").text == "Conformance of recurrent layers: 2 fail, 1 conforms"


def test_cases_that_a_diagnosis_does_not_explain_are_said_to_be_others() -> None:
    diagnosis = {**(DIFFERS.diagnosis or {}), "explained": 8}
    failure = dataclasses.replace(DIFFERS, diagnosis=diagnosis)
    failing = record(LOOP, ["EQ-2"], Outcome.FAILED, failure)
    told = page(document(COMPLETE, [LOOP], [failing])).one("header").text
    assert "in 8 of 12 failing cases" in told
    assert "It does not explain the other 4: mend this first, and run again." in told


def test_a_diagnosis_that_is_not_about_a_finding_is_not_said_to_be_its_cause() -> None:
    refused = dataclasses.replace(DIFFERS, sort=Sort.NOT_REFUSED)
    of_another = record(LOOP, ["ERR-1"], Outcome.FAILED, refused, check="test_a")
    its_own = record(LOOP, ["EQ-2"], Outcome.FAILED, DIFFERS, check="test_b")
    parsed = page(document(COMPLETE, [LOOP], [of_another, its_own]))
    said = "That alone is not known to break ERR-1"
    assert [said in finding.whole for finding in parsed.findings] == [False, True]


def test_an_implementation_has_a_place_with_what_its_entry_says() -> None:
    whole = results(LOOP, EQ_2=Outcome.FAILED)
    whole["implementations"][0] |= {"versions": {"jax": "0.9"}, "notes": ["Needs a GPU."]}
    place = page(whole).one("section", id="LSTM/loop").text
    for told in ("Claims inference", "loop.py", "jax 0.9", "Needs a GPU.", "no level"):
        assert told in place


def test_a_message_of_a_megabyte_makes_no_page_of_megabytes() -> None:
    failure = dataclasses.replace(DIFFERS, message="<&x" * 400_000)
    failing = record(LOOP, ["EQ-2"], Outcome.FAILED, failure)
    assert len(render(document(COMPLETE, [LOOP], [failing]))) < 200_000


def test_twenty_implementations_make_a_page_of_a_size_that_is_quick() -> None:
    entries = [entry(f"layer {number}") for number in range(20)]
    failing = dict.fromkeys([*CLAUSES][:60], Outcome.FAILED)
    made = [
        check
        for number, each in enumerate(entries)
        for check in records(each, failing if number < 10 else {})
    ]
    text = render(document(COMPLETE, entries, made))
    assert len(text.encode()) < 2_000_000
    assert len(Parsed(text).elements) < 20_000

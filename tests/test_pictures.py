"""What the report draws: accuracy, arrays that are off, outcomes."""

import dataclasses
from typing import Any

import pytest

from rnn_conformance.report import render
from rnn_conformance.results.document import document
from rnn_conformance.results.json_files import validator
from rnn_conformance.results.records import Outcome
from tests.support.made_results import ACCURATE, COMPLETE, DIFFERS, LOOP, record, results
from tests.support.pages import Parsed, page


def test_accuracy_is_added_up_over_the_checks_by_dtype_and_drawn() -> None:
    gradients = ACCURATE | {"of": "gradients", "dtype": "float64", "worst": 0.25}
    checks = [
        record(LOOP, ["EQ-2"], accuracy=(ACCURATE,)),
        record(LOOP, ["EQ-5"], accuracy=(ACCURATE | {"worst": 0.5}, gradients)),
    ]
    page = Parsed(render(document(COMPLETE, [LOOP], checks)))
    kinds = ("results float32", "gradients float64")
    rows = [e.text for e in page.elements if e.tag == "tr" and any(k in e.text for k in kinds)]
    first, second = rows
    assert "results float32" in first
    assert "0.75" in first, "the worst of both checks"
    assert "2 of 40" in first, "hits and cases of both checks"
    assert "gradients float64" in second
    pictures = [e for e in page.elements if "sparkline" in e.classes]
    assert len(pictures) == 4
    assert (
        pictures[0].attributes["aria-label"].startswith("Error by tolerance: 100 elements; 0: 10")
    )
    (charts, _) = (Parsed(fragment) for fragment in page.data["fragments"])
    labels = [e.text for e in charts.elements if e.tag == "text"]
    assert {"error by tolerance, up to", "error in ulp, up to", "2⁻⁴", "1024", "more"} <= {*labels}
    bars = [e for e in charts.elements if "inside" in e.classes]
    drawn = [sum(count > 0 for count in ACCURATE[of]) for of in ("shares", "ulps")]
    assert [bar.attributes["d"].count("M") for bar in bars] == drawn, "one bar a class"


def test_without_a_comparison_there_is_no_accuracy() -> None:
    assert "accuracy-title" not in render(results(LOOP))


def elements(shape: list[int], axes: list[str], error: list[Any]) -> dict[str, Any]:
    count = len(error)
    return {
        "array": "output",
        "axes": axes,
        "shape": shape,
        "start": [0] * len(shape),
        "size": shape,
        "expected": [0.5] * count,
        "got": [0.5, *[-0.25] * (count - 1)],
        "error": error,
    }


def drawn(record_of: dict[str, Any]) -> Parsed:
    failure = dataclasses.replace(DIFFERS, elements=record_of)
    whole = document(COMPLETE, [LOOP], [record(LOOP, ["EQ-2"], Outcome.FAILED, failure)])
    assert list(validator("results").iter_errors(whole)) == []
    (finding,) = page(whole).findings
    return finding


def test_an_array_that_is_off_is_drawn_beside_what_was_expected() -> None:
    finding = drawn(elements([2, 2, 3], ["time", "sample", "unit"], [0.1, 0.5, 3, *["inf"] * 9]))
    pictures = [e for e in finding.elements if e.tag == "svg"]
    titles = [e.text for e in finding.elements if e.tag == "text" and "title" in e.classes]
    assert titles == ["error by tolerance", "expected", "got"]
    assert "10 of 12 elements are off" in finding.one("figcaption").text
    errors, expected, got = (
        {
            next(iter(e.classes)): e.attributes["d"].count("M")
            for e in finding.inside(picture)
            if e.tag == "path"
        }
        for picture in pictures
    )
    assert errors == {"e0": 1, "e1": 1, "e2": 1, "e4": 9}
    assert expected == {"v4": 12}
    assert got == {"v4": 1, "n2": 11}
    assert "time →" in [e.text for e in finding.inside(pictures[0])]


@pytest.mark.parametrize(("shape", "axes"), [([4], ["row"]), ([2, 2], ["row", "column"])])
def test_a_parameters_gradient_is_drawn_too(shape: list[int], axes: list[str]) -> None:
    finding = drawn(elements(shape, axes, [2.0] * 4))
    assert len([e for e in finding.elements if e.tag == "svg"]) == 3


def test_of_a_large_array_it_is_said_which_part_is_drawn() -> None:
    part = elements([3, 1, 2], ["time", "sample", "unit"], [2.0] * 6) | {"shape": [100, 1, 2]}
    assert "time 0 to 2 of 0 to 99" in drawn(part).one("figcaption").text


def test_without_elements_nothing_is_drawn() -> None:
    (finding,) = page(results(LOOP, EQ_2=Outcome.FAILED)).findings
    assert [e for e in finding.elements if e.tag == "svg"] == []

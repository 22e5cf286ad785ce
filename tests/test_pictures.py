"""What the report draws: accuracy, arrays that are off, outcomes."""

import dataclasses
from typing import Any

from rnn_conformance.report import render
from rnn_conformance.results.document import document
from rnn_conformance.spec.config import Kind
from tests.support.made_results import ACCURATE, COMPLETE, entry, record, results
from tests.support.pages import Parsed

CUT_SHORT = dataclasses.replace(COMPLETE, complete=False)
LOOP = entry()
GRU = entry("scan", Kind.GRU)
WRONG = entry("wrong", fails_on_purpose="the gates are in another order")
HOSTILE = """<script>alert("x")</script>'"><img src=x onerror=alert(1)>{{ 7 * 7 }}"""


def page(whole: dict[str, Any]) -> Parsed:
    return Parsed(render(whole))


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

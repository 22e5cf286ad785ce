"""The matrix of the report: clauses by implementations."""

import dataclasses
import re

import pytest

from rnn_conformance.report import render
from rnn_conformance.report.columns import LEGEND
from rnn_conformance.results.document import document
from rnn_conformance.results.records import Outcome
from rnn_conformance.spec.clauses import CHAPTERS, CLAUSES
from tests.support.made_results import COMPLETE, GRU, LOOP, WRONG, entry, record, results
from tests.support.pages import Parsed, cells, page


def test_every_clause_of_the_document_has_a_row_whether_checked_or_not() -> None:
    parsed = page(document(COMPLETE, [LOOP], []))
    assert [element.text for element in parsed.all("a", "id")] == list(CLAUSES)
    headings = [element.text for element in parsed.all("th", scope="rowgroup")]
    assert headings == list(CHAPTERS.values())
    sources = {clause.source for clause in CLAUSES.values()}
    links = {element.attributes["href"] for element in parsed.all("a", rel="noreferrer")}
    assert links == sources


@pytest.mark.parametrize("outcome", Outcome)
def test_a_cell_shows_its_outcome_without_colour(outcome: Outcome) -> None:
    # A clause is excluded by who claims it, and not by what came of a check.
    excluded = {"EQ-2": "it is known"} if outcome is Outcome.EXCLUDED else {}
    text = render(results(dataclasses.replace(LOOP, excluded=excluded), EQ_2=outcome))
    (cell,) = cells(Parsed(text), "EQ-2")
    name = outcome.replace(" ", "-")
    assert name in cell.classes
    assert cell.text == outcome
    assert symbols(text)[name]


def test_a_clause_about_another_kind_is_a_dot() -> None:
    (cell,) = cells(page(results(LOOP)), "EQ-3")
    assert "not-applicable" in cell.classes


def symbols(text: str) -> dict[str, str]:
    """The drawing of each outcome, by its class."""
    return {
        name: drawing
        for names, drawing in re.findall(r"^(.*) { --symbol: url\((.*)\); }", text, re.MULTILINE)
        for name in re.findall(r"\.([\w-]+)", names)
    }


def test_every_outcome_is_in_the_legend_and_has_a_symbol_and_a_pattern_of_its_own() -> None:
    text = render(results(LOOP))
    parsed = Parsed(text)
    legend = parsed.one("ul", "legend").text
    assert set(LEGEND) >= {str(outcome) for outcome in Outcome}
    names = [outcome.replace(" ", "-") for outcome in LEGEND]
    assert all(outcome in legend for outcome in LEGEND)
    assert len({symbols(text)[name] for name in names}) == len(LEGEND)
    patterns = [parsed.one("pattern", id=f"p-{outcome.replace(' ', '-')}") for outcome in Outcome]
    drawn = [
        tuple(element.attributes.get("d") for element in parsed.inside(pattern))
        for pattern in patterns
    ]
    assert len(set(drawn)) == len(patterns)


def test_a_passing_cell_opens_on_its_checks_and_cases() -> None:
    checks = [record(LOOP, ["EQ-2"], check="c/test_a.py::test_the_gates_are_ordered", cases=7)]
    parsed = page(document(COMPLETE, [LOOP], checks))
    assert parsed.checks("EQ-2") == [("The gates are ordered", "passed", 7, "")]


@pytest.mark.parametrize("outcome", [Outcome.UNSUPPORTED, Outcome.PASSED])
def test_a_cell_opens_on_the_reason(outcome: Outcome) -> None:
    why = "a wrong size: TypeError where torch.nn raises ValueError"
    checks = [record(LOOP, ["PCK-1"], outcome, reason=why, check="test_it")]
    parsed = page(document(COMPLETE, [LOOP], checks))
    assert parsed.checks("PCK-1") == [("It", outcome, 20, why)]


def test_how_many_fail_a_clause_stands_beside_it() -> None:
    parsed = page(results(LOOP, GRU, WRONG, STA_4=Outcome.FAILED))
    row = parsed.one("tr", id="STA-4")
    assert f"{len(cells(parsed, 'STA-4'))} of 3 fail" in row.text


def test_an_address_is_of_kind_name_and_clause_whatever_the_name() -> None:
    parsed = page(results(entry("dir/a b?#%.py:L"), EQ_2=Outcome.FAILED))
    (column,) = parsed.data["columns"]
    assert column["address"] == "LSTM/dir/a%20b%3F%23%25.py:L"
    (cell,) = cells(parsed, "EQ-2")
    (link,) = (element for element in parsed.inside(cell) if element.tag == "a")
    assert link.attributes["href"] == f"#{column['address']}/EQ-2"


def test_columns_are_grouped_by_kind_and_what_is_wrong_on_purpose_comes_last() -> None:
    correct = entry("zz")
    shown = page(results(GRU, WRONG, correct))
    assert [element.text for element in shown.all("th", "kind")] == ["LSTM", "GRU"]
    assert [element.text for element in shown.all("th", "name")] == ["zz", "wrong", "scan"]

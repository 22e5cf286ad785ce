"""The report: what it says, that it needs nothing else, and that it works in a browser."""

import dataclasses
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rnn_conformance.diagnosis.diagnosis import Diagnosis, Known
from rnn_conformance.errors import Fault, Sort
from rnn_conformance.report import merge, render
from rnn_conformance.report.html import LEGEND, duration, number
from rnn_conformance.report.wording import sentence
from rnn_conformance.results.document import document
from rnn_conformance.results.json_files import validator
from rnn_conformance.results.records import Failure, Outcome
from rnn_conformance.spec.clauses import CHAPTERS, CLAUSES
from rnn_conformance.spec.config import Kind
from rnn_conformance.spec.result import Quantity
from tests.support.made_results import ACCURATE, COMPLETE, DIFFERS, entry, record, records, results
from tests.support.pages import Element, Parsed

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CUT_SHORT = dataclasses.replace(COMPLETE, complete=False)
LOOP = entry()
GRU = entry("scan", Kind.GRU)
WRONG = entry("wrong", fails_on_purpose="the gates are in another order")
HOSTILE = """<script>alert("x")</script>'"><img src=x onerror=alert(1)>{{ 7 * 7 }}"""


def page(whole: dict[str, Any]) -> Parsed:
    return Parsed(render(whole))


def cells(of: Parsed, clause: str) -> list[Element]:
    """The matrix's cells of a clause."""
    (row,) = (
        element
        for element in of.all("tr")
        if any(part.text == clause for part in of.inside(element) if "id" in part.classes)
    )
    return [element for element in of.inside(row) if element.tag == "td"]


# What it says


def test_every_clause_of_the_document_has_a_row_whether_checked_or_not() -> None:
    parsed = page(document(COMPLETE, [LOOP], []))
    assert [element.text for element in parsed.all("span", "id")] == list(CLAUSES)
    headings = [element.text for element in parsed.all("th", scope="rowgroup")]
    assert headings == list(CHAPTERS.values())
    sources = {clause.source for clause in CLAUSES.values()}
    links = {element.attributes["href"] for element in parsed.all("a", rel="noreferrer")}
    assert links == sources


@pytest.mark.parametrize("outcome", Outcome)
def test_a_cell_shows_its_outcome_without_colour(outcome: Outcome) -> None:
    # A clause is excluded by who claims it, and not by what came of a check.
    excluded = {"EQ-2": "it is known"} if outcome is Outcome.EXCLUDED else {}
    parsed = page(results(dataclasses.replace(LOOP, excluded=excluded), EQ_2=outcome))
    (cell,) = cells(parsed, "EQ-2")
    name = outcome.replace(" ", "-")
    assert name in cell.classes
    assert f"EQ-2, loop (LSTM): {outcome}" in cell.attributes["title"]
    inner = parsed.inside(cell)
    assert any(element.attributes.get("href") == f"#s-{name}" for element in inner)
    assert any(str(outcome) in element.attributes.get("aria-label", "") for element in inner)


def test_a_clause_about_another_kind_is_a_dot() -> None:
    (cell,) = cells(page(results(LOOP)), "EQ-3")
    assert "not-applicable" in cell.classes


def test_every_outcome_is_in_the_legend_and_has_a_symbol_of_its_own() -> None:
    text = render(results(LOOP))
    legend = Parsed(text).one("ul", "legend").text
    symbols = dict(re.findall(r'<symbol id="s-([\w-]+)"[^>]*>(.*?)</symbol>', text))
    assert set(LEGEND) >= {str(outcome) for outcome in Outcome}
    for outcome in LEGEND:
        assert outcome in legend
        assert outcome.replace(" ", "-") in symbols
    assert len(set(symbols.values())) == len(LEGEND)


def test_a_passing_cell_tells_its_checks_and_cases_in_its_tooltip() -> None:
    checks = [record(LOOP, ["EQ-2"], check="c/test_a.py::test_the_gates_are_ordered", cases=7)]
    (cell,) = cells(page(document(COMPLETE, [LOOP], checks)), "EQ-2")
    assert cell.attributes["title"].endswith("passed; 7 cases: The gates are ordered")


def test_an_unsupported_cell_tells_why() -> None:
    why = "needs packed, which is not declared"
    checks = [record(LOOP, ["PCK-1"], Outcome.UNSUPPORTED, reason=why)]
    (cell,) = cells(page(document(COMPLETE, [LOOP], checks)), "PCK-1")
    assert cell.attributes["title"].endswith(why)


def test_a_remark_about_what_passed_is_in_its_cell() -> None:
    why = "a wrong size: TypeError where torch.nn raises ValueError"
    checks = [record(LOOP, ["EQ-2"], Outcome.PASSED, reason=why)]
    (cell,) = cells(page(document(COMPLETE, [LOOP], checks)), "EQ-2")
    assert cell.attributes["title"].endswith(why)


def test_a_failing_cell_leads_to_the_counterexample() -> None:
    parsed = page(results(LOOP, EQ_2=Outcome.FAILED))
    (cell,) = cells(parsed, "EQ-2")
    (link,) = (element for element in parsed.inside(cell) if element.tag == "a")
    (target,) = (
        element
        for element in parsed.elements
        if "#" + element.attributes.get("id", "") == link.attributes["href"]
    )
    assert target.parent is not None
    text = target.parent.text
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
    (diagnosis,) = parsed.all("div", "diagnosis")
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


def test_what_is_not_known_is_told_by_its_symptoms() -> None:
    symptom = "it goes away with one step (5 of 5 cases)"
    unknown = Diagnosis(Quantity.GRADIENTS, "", (), 0, 5, 7, (symptom,))
    failure = dataclasses.replace(DIFFERS, diagnosis=unknown.to_record())
    failing = record(LOOP, ["EQ-2"], Outcome.FAILED, failure)
    parsed = page(document(COMPLETE, [LOOP], [failing]))
    (diagnosis,) = parsed.all("div", "diagnosis")
    for shown in (
        "No known deviation, and no two of them, give these gradients.",
        symptom,
        "5 of 12 cases tried fail.",
    ):
        assert shown in diagnosis.text, f"{shown!r} is missing in {diagnosis.text!r}"


def test_every_link_within_the_page_leads_somewhere_and_no_id_is_twice() -> None:
    parsed = page(results(LOOP, GRU, WRONG, EQ_2=Outcome.FAILED, STA_4=Outcome.CRASHED))
    ids = [element.attributes["id"] for element in parsed.elements if "id" in element.attributes]
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
    assert text.count("print(torch.nn.LSTM(3, 4))") == 1
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


# Verdicts and the whole


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
    assert shown.one("span", "verdict").text == "conforms as selected"


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
    pictures = [e for e in page.elements if "histogram" in e.classes]
    assert len(pictures) == 4
    assert (
        pictures[0].attributes["aria-label"].startswith("Error by tolerance: 100 elements; 0: 10")
    )
    bars = [e for e in page.elements if e.tag == "rect" and e.parent is pictures[0]]
    assert len(bars) == len(ACCURATE["shares"]), "one bar a class"


def test_without_a_comparison_there_is_no_accuracy() -> None:
    assert "accuracy-title" not in render(results(LOOP))


def test_columns_are_grouped_by_kind_and_what_is_wrong_on_purpose_comes_last() -> None:
    correct = entry("zz")
    shown = page(results(GRU, WRONG, correct))
    assert [element.text for element in shown.all("th", "kind")] == ["LSTM", "GRU"]
    assert [element.text for element in shown.all("th", "name")] == ["zz", "wrong", "scan"]


# That it needs nothing else, and trusts nothing


def test_the_page_loads_nothing() -> None:
    text = render(results(LOOP, WRONG, EQ_2=Outcome.FAILED))
    parsed = Parsed(text)
    for element in parsed.elements:
        assert "src" not in element.attributes, element
        href = element.attributes.get("href", "#")
        assert element.tag == "a" or href.startswith(("#", "data:,")), element
        assert not [name for name in element.attributes if name.startswith("on")], element
    style = parsed.one("style").text
    assert "url(" not in style
    assert "@import" not in style
    policy = parsed.one("meta", **{"http-equiv": "Content-Security-Policy"})
    assert policy.attributes["content"].startswith("default-src 'none'")


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
    assert len(parsed.all("script")) == 1
    assert parsed.all("img") == []
    assert not [element for element in parsed.elements if "onerror" in element.attributes]
    assert "javascript:" not in text
    assert "{{ 7 * 7 }}" in parsed.one("details", "finding").text
    assert parsed.one("th", "name").text == HOSTILE


# Words


@pytest.mark.parametrize(
    ("check", "expected"),
    [
        ("conformance/test_state.py::test_zeros_are_the_default", "Zeros are the default"),
        ("test_zeros", "Zeros"),
        ("anything", "Anything"),
        ("a.py::test_c_n_of_an_lstm_is_no_h_0", "c_n of an LSTM is no h_0"),
        ("a.py::test_states_with_batch_first", "States with batch_first"),
    ],
)
def test_a_check_is_called_by_its_sentence(check: str, expected: str) -> None:
    assert sentence(check) == expected


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0 ms"), (0.0854, "85 ms"), (2.44, "2.4 s"), (200.0, "3 min 20 s")],
)
def test_a_duration_is_in_the_unit_that_fits(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.1, "0.1"), (1 / 3, "0.333333333"), (None, "–"), ("nan", "nan"), ([1, 2.5], "(1, 2.5)")],
)
def test_a_number_has_the_digits_that_matter(value: Any, text: str) -> None:
    assert number(value) == text


# Several results as one


def test_merging_concatenates_and_keeps_what_ran_before() -> None:
    old = results(LOOP, WRONG, EQ_2=Outcome.FAILED)
    new = results(LOOP, GRU, run=dataclasses.replace(COMPLETE, started="2026-03-02T08:00:00+00:00"))
    whole = merge([old, new])
    assert [
        (one["name"], one["kind"], one.get("same_as"), one["verdict"], one["source"])
        for one in whole["implementations"]
    ] == [
        ("loop, 2026-03-01T12:30:00+00:00", "LSTM", "loop", "fails", 0),
        ("wrong", "LSTM", None, "fails", 0),
        ("loop", "LSTM", None, "conforms", 1),
        ("scan", "GRU", None, "conforms", 1),
    ]
    assert list(validator("results").iter_errors(whole)) == []
    assert "loop, 2026-03-01T12:30:00+00:00" in page(whole).one("body").text


def test_merging_keeps_each_run_and_tells_what_they_share() -> None:
    later = dataclasses.replace(
        COMPLETE,
        seed=7,
        started="2026-03-02T08:00:00+00:00",
        versions={**COMPLETE.versions, "torch": "2.12.0"},
        complete=False,
        device="cuda",
    )
    whole = merge([results(LOOP), results(GRU, run=later)])
    assert [run["seed"] for run in whole["sources"]] == [0, 7]
    assert whole["run"] == {
        "seed": None,
        "profile": "quick",
        "select": [],
        "versions": {"rnn-conformance": "0.1.0", "torch": None},
        "started": "2026-03-01T12:30:00+00:00",
        "seconds": 25.0,
        "complete": False,
        "device": None,
        "kinds": [],
        "level": "",
        "without": [],
        "shard": None,
        "missing": [],
    }
    assert list(validator("results").iter_errors(whole)) == []


def test_merging_is_associative() -> None:
    one, two, three = results(LOOP), results(GRU), results(LOOP, WRONG, EQ_2=Outcome.FAILED)
    assert merge([merge([one, two]), three]) == merge([one, two, three])
    assert merge([one, merge([two, three])]) == merge([one, two, three])


def test_an_incomplete_run_leaves_only_its_own_undecided() -> None:
    shown = page(merge([results(LOOP), results(GRU, run=CUT_SHORT)]))
    assert [element.text for element in shown.all("span", "verdict")] == ["conforms", "undecided"]
    assert "incomplete" in shown.one("body").classes
    assert "At least one of these runs was cut short" in shown.one("header").text
    (runs,) = shown.all("section", id="runs")
    assert "scan (GRU)" in runs.text


def test_there_is_no_merging_nothing() -> None:
    with pytest.raises(ValueError, match="no results to merge"):
        merge([])


# In a browser


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("Chromium is not installed")
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    with playwright.sync_playwright() as driver:
        launched = driver.chromium.launch(
            executable_path=chromium,
            args=[
                "--no-sandbox",
                "--disable-gpu",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
            ],
        )
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    both = record(LOOP, ["EQ-2", "STA-4"], Outcome.FAILED, check="c/test_c.py::test_both_at_once")
    checks = [
        *records(LOOP, {"EQ-2": Outcome.FAILED}),
        both,
        *records(GRU),
        *records(WRONG, {"BF-1": Outcome.FAILED}),
    ]
    path = tmp_path_factory.mktemp("report") / "index.html"
    path.write_text(render(document(COMPLETE, [LOOP, GRU, WRONG], checks)), "utf-8")
    return path


@pytest.fixture
def opened(browser: "Browser", file: Path) -> "Iterator[Page]":
    """The report in a new tab; what it asks the network for or complains of fails."""
    tab = browser.new_page(viewport={"width": 1280, "height": 800})
    events: list[str] = []
    tab.on("console", lambda message: events.append(f"console: {message.text}"))
    tab.on("pageerror", lambda error: events.append(f"error: {error}"))
    tab.on("request", lambda request: events.append(f"request: {request.url}"))
    tab.goto(file.as_uri())
    yield tab
    tab.close()
    assert events == [f"request: {file.as_uri()}"]


def test_a_failing_cell_opens_its_counterexamples_beside_the_matrix(opened: "Page") -> None:
    panel = opened.locator("dialog")
    assert not panel.is_visible()
    opened.locator("td.failed a[data-clause='EQ-2']").click()
    assert panel.is_visible()
    assert panel.locator("h2").inner_text() == "EQ-2 · loop (LSTM)"
    findings = panel.locator(".finding")
    assert findings.count() == 2
    assert findings.first.locator(".message").is_visible()
    assert "Both at once" in panel.inner_text()
    opened.keyboard.press("Escape")
    assert not panel.is_visible()
    opened.locator("td.failed a[data-clause='STA-4']").click()
    assert findings.count() == 1


def test_the_filter_leaves_what_is_asked_for(opened: "Page") -> None:
    rows = opened.locator("table.matrix tbody tr:not(.chapter):visible")
    names = opened.locator("th.name:visible")
    assert (rows.count(), names.count()) == (len(CLAUSES), 3)

    opened.get_by_label("Only failures").check()
    assert rows.locator(".id").all_inner_texts() == ["BF-1", "STA-4", "EQ-2"]
    assert names.all_inner_texts() == ["loop", "wrong"]
    assert opened.locator("#summary tbody tr:visible").count() == 2

    opened.get_by_label("Chapter").select_option("EQ")
    assert rows.locator(".id").all_inner_texts() == ["EQ-2"]
    assert names.all_inner_texts() == ["loop"]
    assert opened.locator(".filter output").inner_text() == (
        f"1 of {len(CLAUSES)} clauses, 1 of 3 columns"
    )

    opened.get_by_label("Only failures").uncheck()
    opened.get_by_label("Implementation").fill("SCAN")
    assert rows.count() == sum(clause.chapter == "EQ" for clause in CLAUSES.values())
    assert names.all_inner_texts() == ["scan"]
    assert opened.locator("th.kind:visible").all_inner_texts() == ["GRU"]


def test_the_copy_button_copies_or_selects_the_script(opened: "Page") -> None:
    opened.locator("td.failed a[data-clause='STA-4']").click()
    button = opened.locator("dialog .copy")
    button.click()
    opened.wait_for_function(
        "document.querySelector('dialog .copy').textContent.match(/Copied|Selected/)"
    )
    if button.inner_text() == "Selected":
        assert "torch.nn.LSTM(3, 4)" in opened.evaluate("String(getSelection())")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 420])
def test_a_page_is_drawn_and_does_not_scroll_sideways(
    browser: "Browser", opened: "Page", scheme: Any, width: int
) -> None:
    opened.emulate_media(color_scheme=scheme)
    opened.set_viewport_size({"width": width, "height": 900})
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    drawn = opened.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert (min(map(int, re.findall(r"\d+", drawn))) > 200) == (scheme == "light")
    with browser.new_page(viewport={"width": width, "height": 900}) as blank:
        # A drawn page does not compress to what an empty one does.
        assert len(opened.screenshot()) > 4 * len(blank.screenshot())


@pytest.mark.parametrize("media", ["screen", "print"])
def test_the_symbol_of_a_failing_cell_is_in_its_cell(opened: "Page", media: Any) -> None:
    opened.emulate_media(media=media)
    cell = opened.locator("td.failed:has(a[data-clause='EQ-2'])")
    cell.scroll_into_view_if_needed()
    outer, inner = cell.bounding_box(), cell.locator("svg").bounding_box()
    assert outer is not None
    assert inner is not None
    assert outer["x"] <= inner["x"] <= outer["x"] + outer["width"] - inner["width"]
    assert outer["y"] <= inner["y"] <= outer["y"] + outer["height"] - inner["height"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_the_contrast_that_wcag_asks_for(opened: "Page", scheme: Any) -> None:
    opened.emulate_media(color_scheme=scheme)
    low = opened.evaluate(
        """() => {
          const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
          const luminance = (c) => c.slice(0, 3)
            .map((v) => v / 255)
            .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
            .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
          const behind = (element) => {
            for (let at = element; at; at = at.parentElement) {
              const colour = rgb(getComputedStyle(at).backgroundColor);
              if (colour.length < 4 || colour[3] === 1) return colour;
            }
            return [255, 255, 255];
          };
          document.querySelectorAll("details").forEach((each) => { each.open = true; });
          const found = new Set();
          for (const element of document.querySelectorAll("body *")) {
            const text = [...element.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
            if (!text || !element.checkVisibility()) continue;
            const [a, b] = [luminance(rgb(getComputedStyle(element).color)),
                            luminance(behind(element))];
            const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
            if (ratio < 4.5) found.add(`${element.tagName}.${element.className}: ${ratio}`);
          }
          return [...found];
        }"""
    )
    assert low == []


def test_without_javascript_everything_is_there_and_links_lead_to_it(
    browser: "Browser", file: Path
) -> None:
    with browser.new_context(java_script_enabled=False) as context:
        tab = context.new_page()
        tab.goto(file.as_uri())
        assert not tab.locator("form.filter").is_visible()
        assert not tab.locator(".copy").first.is_visible()
        tab.locator("td.failed a[data-clause='BF-1']").click()
        finding = tab.locator(".finding[data-clauses='BF-1']")
        assert finding.count() == 1
        finding.locator("summary").first.scroll_into_view_if_needed()
        assert finding.locator(".message").is_visible()

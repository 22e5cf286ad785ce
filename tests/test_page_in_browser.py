"""The report in a browser: filters, addresses, the panel, keys, and what axe-core finds."""

import re
from collections.abc import Iterator
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rnn_conformance.report import render
from rnn_conformance.results.document import document
from rnn_conformance.results.records import Outcome
from rnn_conformance.spec.clauses import CLAUSES
from tests.support.browsing import chromium, ready, tab, until
from tests.support.made_results import ACCURATE, COMPLETE, GRU, LOOP, WRONG, record, records

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CELL = "#LSTM/loop/EQ-2"


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    with chromium() as launched:
        yield launched


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    checks = [
        *records(LOOP, {"EQ-2": Outcome.FAILED}),
        record(LOOP, ["EQ-2", "STA-4"], Outcome.FAILED, check="c/test_c.py::test_both_at_once"),
        record(GRU, ["EQ-3"], accuracy=(ACCURATE,), check="c/test_c.py::test_accurate"),
        *records(GRU),
        *records(WRONG, {"BF-1": Outcome.FAILED}),
    ]
    path = tmp_path_factory.mktemp("report") / "index.html"
    path.write_text(render(document(COMPLETE, [LOOP, GRU, WRONG], checks)), "utf-8")
    return path


@pytest.fixture
def opened(browser: "Browser", file: Path) -> "Iterator[Page]":
    with tab(browser, file) as page:
        yield page


def shown_clauses(page: "Page") -> list[str]:
    return page.locator("table.matrix a.id:visible").all_inner_texts()


def shown_names(page: "Page") -> list[str]:
    return page.locator("th.name:visible").all_inner_texts()


def fragment(page: "Page") -> str:
    return page.url.partition("#")[2]


def test_a_failing_cell_opens_its_counterexamples_beside_the_matrix(opened: "Page") -> None:
    panel = opened.locator("dialog")
    assert not panel.is_visible()
    opened.locator(f"td.failed a[href='{CELL}']").click()
    assert panel.is_visible()
    assert panel.locator("h2").inner_text() == "EQ-2"
    assert "loop (LSTM)" in panel.inner_text()
    findings = panel.locator(".finding")
    assert findings.count() == 2
    assert findings.first.locator(".message").is_visible()
    assert "Both at once" in panel.inner_text()
    opened.keyboard.press("Escape")
    panel.wait_for(state="hidden")
    opened.locator("td.failed a[href='#LSTM/loop/STA-4']").click()
    assert findings.count() == 1


def test_a_passing_cell_opens_on_its_checks(opened: "Page") -> None:
    opened.locator("#EQ-5 td.passed").first.click()
    panel = opened.locator("dialog")
    assert "EQ-5 holds 20 cases" in panel.inner_text()
    assert fragment(opened) == "LSTM/loop/EQ-5"


def test_back_closes_the_panel_and_a_reload_opens_it(opened: "Page") -> None:
    panel = opened.locator("dialog")
    opened.locator(f"td.failed a[href='{CELL}']").click()
    opened.reload()
    ready(opened)
    assert panel.is_visible()
    opened.go_back()
    panel.wait_for(state="hidden")
    assert fragment(opened) == ""
    opened.go_forward()
    panel.wait_for(state="visible")
    panel.get_by_role("button", name="Close").click()
    panel.wait_for(state="hidden")
    assert fragment(opened) == ""


@pytest.mark.parametrize(
    ("name", "value", "clauses", "names"),
    [
        ("kind", "GRU", None, ["scan"]),
        ("verdict", "fails as intended", None, ["wrong"]),
        ("outcome", "any failure", ["BF-1", "STA-4", "EQ-2"], ["loop", "wrong"]),
        ("chapter", "BF", ["BF-1"], ["loop", "wrong", "scan"]),
        ("level", "training", None, ["loop", "wrong", "scan"]),
        ("name", "SCAN", None, ["scan"]),
        ("text", "eq-2", None, ["loop", "wrong", "scan"]),
    ],
)
def test_a_filter_leaves_what_is_asked_for_and_survives_a_reload(
    opened: "Page", name: str, value: str, clauses: list[str] | None, names: list[str]
) -> None:
    field = opened.locator(f"form.filter [name={name}]")
    if field.evaluate("field => field.tagName") == "SELECT":
        chosen = field.locator("option", has_text=value).first.get_attribute("value")
        field.select_option(chosen if chosen else value)
    else:
        field.fill(value)
    before = (shown_clauses(opened), shown_names(opened))
    assert before[1] == names
    if clauses is not None:
        assert set(before[0]) & {"BF-1", "STA-4", "EQ-2"} == {*clauses}
        assert len(before[0]) < len(CLAUSES)
    rows = opened.locator("#summary tbody tr:visible")
    assert rows.count() == len(names), "the filters hold for the summary"
    places = opened.locator("section.implementation:visible h3 bdi")
    assert sorted(places.all_inner_texts()) == sorted(names), "and for the failures"
    accurate = opened.locator("#accuracy tbody tr:visible").count()
    assert accurate == ("scan" in names), "and for the accuracy"
    opened.reload()
    ready(opened)
    assert (shown_clauses(opened), shown_names(opened)) == before
    opened.get_by_role("button", name="Clear").click()
    until(opened, "location.hash.length < 2")
    assert len(shown_clauses(opened)) == len(CLAUSES)


def test_what_differs_is_left_and_no_match_is_said(opened: "Page") -> None:
    opened.get_by_label("They differ").check()
    assert shown_clauses(opened) == ["BF-1", "STA-4", "EQ-2"]
    opened.locator("[name=name]").fill("nobody")
    assert opened.locator(".filter output").inner_text() == "No match"
    assert opened.locator("#clauses .nothing").is_visible()


def test_what_fails_most_can_come_first(opened: "Page") -> None:
    opened.locator("[name=sort]").select_option("failures")
    names = opened.locator("#summary tbody th a").all_inner_texts()
    assert names == ["loop", "wrong", "scan"]
    opened.locator("[name=sort]").select_option("name")
    assert opened.locator("#summary tbody th a").all_inner_texts() == ["loop", "scan", "wrong"]


def test_a_link_to_what_is_filtered_out_shows_it(browser: "Browser", file: Path) -> None:
    with tab(browser, file, f"{CELL}?kind=GRU&text=nothing") as page:
        assert page.locator("dialog .finding").count() == 2
        assert fragment(page) == "LSTM/loop/EQ-2"
        assert len(shown_names(page)) == 3


def test_every_link_leads_to_something_that_is_shown(browser: "Browser", file: Path) -> None:
    with tab(browser, file) as page:
        links = page.eval_on_selector_all(
            "a[href^='#']", "all => [...new Set(all.map((a) => a.getAttribute('href')))]"
        )
        assert len(links) > len(CLAUSES)
        for link in links:
            # As a link does it, without a click for each of what is out of sight.
            page.evaluate("link => { location.hash = link }", link)
            until(
                page,
                """link => {
                  const address = decodeURIComponent(link.slice(1));
                  const panel = document.querySelector("dialog");
                  const clause = address.split("/").pop();
                  if (panel.open) return panel.querySelector("h2").textContent === clause;
                  const target = document.getElementById(link.slice(1));
                  return document.activeElement === target && target.checkVisibility();
                }""",
                link,
            )


def test_the_matrix_is_one_stop_and_arrows_move_in_it(opened: "Page") -> None:
    assert (
        opened.locator("table.matrix [tabindex='0'], table.matrix a:not([tabindex])").count() == 1
    )
    opened.locator("table.matrix [tabindex='0']").focus()
    opened.keyboard.press("ArrowRight")
    opened.keyboard.press("ArrowDown")
    assert opened.evaluate("document.activeElement.closest('tr').id") == [*CLAUSES][1]
    for _ in range(60):
        opened.keyboard.press("ArrowDown")
        under = opened.evaluate(
            """() => {
              const cell = document.activeElement.getBoundingClientRect();
              const head = document.querySelector(".matrix thead tr:last-child")
                .lastElementChild.getBoundingClientRect();
              return cell.top < head.bottom - 1;
            }"""
        )
        assert not under, "nothing that has the focus is under the head"
    opened.keyboard.press("Enter")
    assert opened.locator("dialog").is_visible()
    opened.keyboard.press("Escape")
    opened.locator("dialog").wait_for(state="hidden")
    assert opened.evaluate("document.activeElement.tagName") == "TD"


def test_the_first_stop_skips_to_the_results(opened: "Page") -> None:
    opened.keyboard.press("Tab")
    opened.keyboard.press("Enter")
    assert opened.evaluate("document.activeElement.id") == "summary"


def test_links_work_in_a_frame_without_an_address(browser: "Browser", file: Path) -> None:
    page = browser.new_page()
    page.set_content(f'<iframe srcdoc="{escape(file.read_text("utf-8"))}" width=1200 height=800>')
    (frame,) = (frame for frame in page.frames if frame is not page.main_frame)
    frame.wait_for_selector("html[data-ready]", state="attached")
    frame.locator(f"td.failed a[href='{CELL}']").click()
    assert frame.locator("dialog .finding").count() == 2
    frame.locator("dialog .close").click()
    frame.locator("dialog").wait_for(state="hidden")
    frame.locator("[name=kind]").select_option("GRU")
    assert frame.locator("th.name:visible").all_inner_texts() == ["scan"]
    assert page.url == "about:blank"
    page.close()


@pytest.mark.parametrize(("scheme", "address"), [("light", ""), ("dark", CELL)])
def test_axe_finds_nothing_serious_or_moderate(
    browser: "Browser", file: Path, scheme: Any, address: str
) -> None:
    pytest.importorskip("axe_playwright_python", reason="axe-core is not installed")
    axe = files("axe_playwright_python") / "axe.min.js"
    with tab(browser, file, address) as page:
        page.emulate_media(color_scheme=scheme)
        page.evaluate(
            "all => document.querySelectorAll('main details').forEach(d => d.open = true)"
        )
        page.evaluate(axe.read_text("utf-8"))
        found = page.evaluate("axe.run().then(({ violations }) => violations)")
    told = [
        f"{each['id']} ({each['impact']}): {[node['html'][:120] for node in each['nodes'][:3]]}"
        for each in found
        if each["impact"] in ("critical", "serious", "moderate")
    ]
    assert told == []


def test_the_copy_button_copies_or_selects_the_script(opened: "Page") -> None:
    opened.locator("td.failed a[href='#LSTM/loop/STA-4']").click()
    button = opened.locator("dialog .copy")
    button.click()
    until(opened, "document.querySelector('dialog .copy').textContent.match(/Copied|Selected/)")
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
    cell = opened.locator(f"td.failed:has(a[href='{CELL}'])")
    cell.scroll_into_view_if_needed()
    inner = cell.evaluate(
        """cell => {
          const { width, height } = cell.getBoundingClientRect();
          const of = getComputedStyle(cell, "::before");
          return [of.width, of.height, of.maskImage.slice(0, 9),
            width >= parseFloat(of.width) && height >= parseFloat(of.height)];
        }"""
    )
    assert inner[0] == inner[1]
    assert float(inner[0].removesuffix("px")) > 10
    assert inner[2:] == ['url("data', True]


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
        page = context.new_page()
        page.goto(file.as_uri())
        assert not page.locator("form.filter").is_visible()
        assert not page.locator(".copy:visible").count()
        page.locator("td.failed a[href='#LSTM/wrong/BF-1']").click()
        finding = page.locator(".finding[data-clauses='BF-1']")
        assert finding.count() == 1
        finding.locator("summary").first.click()
        assert finding.locator(".message").is_visible()
        assert "expected 0.25, got nan" in finding.inner_text()

"""What was found in engines is told with its judgement; what was not judged is not called wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rnn_conformance.report.findings import Assessment, Finding, judgements, rendered, stale
from rnn_conformance.results.records import Outcome
from rnn_conformance.spec.config import Kind
from tests.support.made_results import entry, results

ROOT = Path(__file__).resolve().parents[1]

FIELDS: dict[str, Any] = {
    "implementation": "scan",
    "kinds": ("GRU",),
    "clauses": ("EQ-3",),
    "verdict": Assessment.DEVIATION,
    "summary": "The reset gate is applied before the product.",
    "documentation": "Says that it is torch's.",
    "url": "https://example.org/gru",
    "checked": "0.25 by hand, 0.5 by the engine.",
}
FOUND = Finding(**FIELDS)
SCAN = entry("scan", Kind.GRU, versions={"scanner": "1.2"})


def test_a_finding_stands_with_its_judgement_case_and_script() -> None:
    text = rendered(results(SCAN, EQ_3=Outcome.FAILED), [FOUND])
    assert "## scan\n\nscanner 1.2." in text
    assert "### Deviates: The reset gate is applied before the product." in text
    assert "[source](https://example.org/gru)" in text
    assert "(index.html#GRU/scan/EQ-3)" in text
    assert "import torch\n\nprint(torch.nn.LSTM(3, 4))\n```" in text
    assert "Not judged" not in text


def test_what_is_judged_and_not_in_the_run_is_told_without_a_case() -> None:
    document = results(entry("other", Kind.GRU))
    text = rendered(document, [FOUND])
    assert "## What this run does not have" in text
    assert "By hand: 0.25 by hand" in text
    assert "The smallest case" not in text
    assert not stale(document, [FOUND])


def test_what_fails_and_is_not_judged_is_called_nothing() -> None:
    text = rendered(results(SCAN, EQ_3=Outcome.FAILED, SHP_1=Outcome.FAILED), [FOUND])
    assert "Not judged by hand, so not called a deviation: SHP-1 (GRU)." in text


def test_a_judgement_that_nothing_bears_out_is_stale() -> None:
    assert stale(results(SCAN), [FOUND]) == ["scan, GRU: EQ-3 does not fail any more"]
    assert not stale(results(SCAN, EQ_3=Outcome.FAILED), [FOUND])


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("clauses", ("EQ-99",), "no clause EQ-99"),
        ("kinds", (), "has no kinds"),
        ("checked", "", "has no checked"),
        ("url", "scan.py", "names no page"),
    ],
)
def test_a_finding_without_its_proof_is_none(field: str, value: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Finding(**{**FIELDS, field: value})


def test_a_folder_of_judgements_is_read(tmp_path: Path) -> None:
    lines = [
        f"{name} = {list(v) if isinstance(v, tuple) else str(v)!r}" for name, v in FIELDS.items()
    ]
    (tmp_path / "scan.toml").write_text("[[finding]]\n" + "\n".join(lines), "utf-8")
    assert judgements(tmp_path) == [FOUND]


def test_those_of_the_published_run_are_whole() -> None:
    assert judgements(ROOT / "reports" / "findings")

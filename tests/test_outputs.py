"""What a CI reads: JUnit XML, a summary in Markdown, a badge, annotations."""

from __future__ import annotations

import dataclasses
import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from junitparser import JUnitXml
from xmlschema import XMLSchema

from rnn_conformance.cli import main
from rnn_conformance.report.annotations import workflow_commands
from rnn_conformance.report.badge import badge
from rnn_conformance.report.junit import junit
from rnn_conformance.report.markdown import markdown
from rnn_conformance.report.outputs import OUTPUTS
from rnn_conformance.report.wording import sentence
from rnn_conformance.results.records import Outcome
from rnn_conformance.results.verdict import FAILING
from rnn_conformance.results.writing import write
from rnn_conformance.spec.clauses import CLAUSES
from tests.support.made_results import entry, results

HOSTILE = "<b>|`x`\x00\x1b[31m]]>&\n::error::%0A @everyone"
RIGHT = entry("right")
WRONG = entry("wrong")
IN_A_FILE = dataclasses.replace(entry("layers.py:Wrong"), target="src/layers.py:Wrong")
INTENDED = entry("example", fails_on_purpose="the gates are in another order")
SCHEMA = Path(__file__).parent / "support" / "junit.xsd"


def suites(document: dict[str, Any]) -> list[Any]:
    return list(JUnitXml.fromstring(junit(document).encode()))


def outcomes(suite: Any) -> set[str]:
    return {type(result).__name__ for case in suite for result in case.result}


# JUnit XML


def test_there_is_a_suite_for_each_implementation_and_a_case_for_each_check() -> None:
    document = results(RIGHT, WRONG, EQ_2=Outcome.FAILED)
    read = suites(document)
    assert len(read) == len(document["implementations"])
    for suite, implementation in zip(read, document["implementations"], strict=True):
        assert suite.name == f"{implementation['name']} ({implementation['kind']})"
        assert suite.tests == len(list(suite)) == len(implementation["checks"])


def test_what_is_written_is_valid_whatever_came_of_a_check() -> None:
    schema = XMLSchema(SCHEMA)
    for outcome in Outcome:
        schema.validate(junit(results(RIGHT, WRONG, INTENDED, entry(HOSTILE), EQ_2=outcome)))


def test_the_whole_counts_what_its_suites_count() -> None:
    text = junit(results(RIGHT, WRONG, EQ_2=Outcome.FAILED))
    root = ET.fromstring(text)
    for name in ("tests", "failures", "errors"):
        assert int(root.attrib[name]) == sum(int(suite.attrib[name]) for suite in root)
    assert int(root.attrib["failures"]) == 2


@pytest.mark.parametrize("outcome", sorted(FAILING | {Outcome.NOT_RUN}))
def test_what_tells_against_an_implementation_is_red(outcome: Outcome) -> None:
    (suite,) = suites(results(WRONG, EQ_2=outcome))
    assert suite.failures + suite.errors > 0
    assert (suite.failures > 0) is (outcome is Outcome.FAILED)


@pytest.mark.parametrize("outcome", [Outcome.UNSUPPORTED, Outcome.UNTESTED, Outcome.EXCLUDED])
def test_what_was_not_asked_for_is_skipped_with_the_reason(outcome: Outcome) -> None:
    (suite,) = suites(results(RIGHT, EQ_2=outcome))
    assert suite.failures + suite.errors == 0
    assert suite.skipped > 0


def test_what_fails_on_purpose_is_not_red() -> None:
    (suite,) = suites(results(INTENDED, EQ_2=Outcome.FAILED))
    assert suite.failures + suite.errors == 0
    assert "Skipped" in outcomes(suite)


def test_what_counts_for_no_verdict_is_not_red() -> None:
    optional = next(id for id, clause in CLAUSES.items() if clause.optional)
    failing: dict[str, Any] = {optional.replace("-", "_"): Outcome.FAILED}
    (suite,) = suites(results(RIGHT, **failing))
    assert suite.failures + suite.errors == 0


def test_a_failure_tells_the_diagnosis_the_call_and_the_script() -> None:
    (suite,) = suites(results(WRONG, EQ_2=Outcome.FAILED))
    (text,) = {result.text for case in suite for result in case.result if result.text}
    for part in ("gates in the order i, f, o, g", "lstm = LSTM(", "import torch"):
        assert part in text


# All of them


@pytest.mark.parametrize("name", OUTPUTS)
def test_hostile_text_stays_text(name: str) -> None:
    document = results(entry(HOSTILE), EQ_2=Outcome.FAILED)
    for check in document["implementations"][0]["checks"]:
        if check["failure"]:
            check["failure"]["message"] = HOSTILE
    text = OUTPUTS[name].made(document)
    assert "\x1b" not in text
    assert "\x00" not in text
    match name:
        case "junit" | "badge":
            ET.fromstring(text)
        case "markdown":
            assert "<b>" not in text.replace(r"\<b\>", "")
        case "github":
            assert all(line.startswith("::error ") for line in text.splitlines())
            assert text.count("::error") == text.count("\n") + text.count("::error::%250A")


# The others


def test_the_summary_says_what_is_wrong_before_anything_else() -> None:
    text = markdown(results(RIGHT, WRONG, EQ_2=Outcome.FAILED))
    assert text.index("gates in the order i, f, o, g") < text.index("| implementation |")
    assert "Reorder the blocks of rows" in text
    assert len(text.splitlines()) < 30


def test_a_badge_of_one_tells_its_level_and_its_clauses() -> None:
    document = results(RIGHT)
    (one,) = document["implementations"]
    text = "".join(ET.fromstring(badge(document)).itertext())
    passed = sum(
        outcome == "passed" and not CLAUSES[id].optional for id, outcome in one["clauses"].items()
    )
    assert f"{one['level']} {passed}/{passed}" in text


def test_a_badge_of_several_tells_how_many_conform() -> None:
    text = "".join(ET.fromstring(badge(results(RIGHT, WRONG, EQ_2=Outcome.FAILED))).itertext())
    assert " of 2 conform" in text


def test_an_annotation_stands_beside_the_file_and_names_the_cause() -> None:
    (line,) = workflow_commands(results(IN_A_FILE, EQ_2=Outcome.FAILED)).splitlines()
    assert line.startswith("::error file=src/layers.py,title=layers.py%3AWrong (LSTM) fails EQ-2")
    assert "::gates in the order i, f, o, g: " in line


def test_what_conforms_or_is_to_fail_has_no_annotation() -> None:
    assert not workflow_commands(results(RIGHT))
    assert not workflow_commands(results(INTENDED, EQ_2=Outcome.FAILED))


def test_each_format_is_written_beside_the_page(tmp_path: Path) -> None:
    write(tmp_path / "results.json", json.dumps(results(WRONG, EQ_2=Outcome.FAILED)))
    chosen = [part for name in OUTPUTS for part in ("--format", name)]
    done = CliRunner().invoke(main, ["report", str(tmp_path), "-o", str(tmp_path), *chosen])
    assert done.exit_code == 0, done.output
    for output in OUTPUTS.values():
        assert (tmp_path / output.file).read_text("utf-8")
    assert "::error" in done.output


@pytest.mark.parametrize(
    ("check", "said"),
    [
        ("a.py::test_final_states_are_each_directions_own", "each direction's own"),
        (
            "a.py::test_final_states_are_at_each_sequences_own_end_in_the_callers_order",
            "each sequence's own end in the caller's order",
        ),
        ("a.py::test_a_cells_undeclared_relu_is_refused", "A cell's undeclared relu"),
        ("a.py::test_a_module_s_own_methods_leave_it", "A module's own methods"),
        ("a.py::test_wide_layers_and_batches", "Wide layers and batches"),
    ],
)
def test_a_checks_name_has_its_apostrophes(check: str, said: str) -> None:
    assert said in sentence(check)

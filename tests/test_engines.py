"""What is published of an engine is found in it, and nothing is found in what it does right.

Of the engines that are installed here; `tox -e engines` has all of them.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rnn_conformance.checking.checks import checks
from rnn_conformance.checking.examining import examine
from rnn_conformance.checking.probing import probe
from rnn_conformance.checking.subject import Profile, Subject
from rnn_conformance.errors import Refusal, UsageError
from rnn_conformance.implementations.interface import Implementation
from rnn_conformance.implementations.registry import load
from rnn_conformance.locations import bundled
from rnn_conformance.report.findings import Finding, judgements
from rnn_conformance.results.records import Outcome
from rnn_conformance.results.verdict import FAILING
from rnn_conformance.spec.config import Kind

ROOT = Path(__file__).resolve().parents[1]

# Other people's warnings are no failures of theirs.
pytestmark = pytest.mark.filterwarnings("ignore")

FEW = Profile("a few", 25, 0)


def engines() -> Iterator[Implementation]:
    """Those whose packages are installed."""
    for path in sorted((bundled("impls") / "engines").glob("*.py")):
        try:
            yield from load(str(path))
        except UsageError as error:
            if error.refusal is not Refusal.PACKAGE:
                raise


ENGINES = {engine.name: engine for engine in engines()}
FINDINGS = judgements(ROOT / "reports" / "findings")
PUBLISHED = [
    pytest.param(finding, Kind(kind), id=f"{finding.implementation}-{kind}-{finding.clauses[0]}")
    for finding in FINDINGS
    for kind in finding.kinds
    if finding.implementation in ENGINES
]
RIGHT = ("SHP-1", "DIR-3", "STA-1", "LAY-2", "EQ-1", "EQ-2", "EQ-3", "INV-1")
PROMISES = [
    pytest.param(engine, kind, id=f"{name}-{kind}")
    for name, engine in ENGINES.items()
    for kind in sorted(engine.declaration.kinds)
]


def subject(engine: Implementation, kind: Kind) -> Subject:
    """Without what it refuses, as a run has it."""
    return Subject(probe(engine, kind).implementation, kind, FEW)


def failing(engine: Implementation, kind: Kind, clause: str) -> Iterator[str]:
    """What fails in a clause."""
    given = subject(engine, kind)
    for check in checks():
        if clause in check.clauses and kind in check.kinds:
            record = examine(check, given)
            if record.outcome in FAILING:
                yield record.failure.message if record.failure else str(record.reason)


def test_those_that_are_cheap_are_installed_where_the_tests_run() -> None:
    assert {"onnxruntime", "onnxruntime.RNN", "onnx_reference", "keras"} <= set(ENGINES)


@pytest.mark.parametrize(("finding", "kind"), PUBLISHED)
def test_what_is_published_of_it_is_found(finding: Finding, kind: Kind) -> None:
    engine = ENGINES[finding.implementation]
    assert next(failing(engine, kind, finding.clauses[0]), None) is not None


@pytest.mark.parametrize(("engine", "kind"), PROMISES)
def test_no_more_than_is_published_of_it_is_found(engine: Implementation, kind: Kind) -> None:
    known = {
        clause
        for finding in FINDINGS
        if finding.implementation == engine.name and kind in finding.kinds
        for clause in finding.clauses
    }
    given = subject(engine, kind)
    for check in checks():
        if kind in check.kinds and set(check.clauses) & set(RIGHT) and not known & {*check.clauses}:
            record = examine(check, given)
            assert record.outcome in (Outcome.PASSED, Outcome.UNSUPPORTED, Outcome.UNTESTED), (
                record.failure or record.reason
            )


def test_a_registered_name_loads_no_other_framework() -> None:
    load = "from rnn_conformance.implementations.registry import load; load('torch.nn.LSTM')"
    shown = "import sys; print(sorted({'numba', 'keras', 'onnxruntime'} & set(sys.modules)))"
    run = subprocess.run(
        [sys.executable, "-c", f"{load}; {shown}"], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[]"

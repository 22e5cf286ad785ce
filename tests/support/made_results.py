"""Results made up for tests: records as a run would emit them, without a run."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from rnn_conformance.diagnosis.diagnosis import Diagnosis, Known
from rnn_conformance.errors import Fault, Sort
from rnn_conformance.results.document import document
from rnn_conformance.results.records import Entry, Failure, Outcome, Record, Run
from rnn_conformance.spec.cases import Case
from rnn_conformance.spec.clauses import CLAUSES
from rnn_conformance.spec.config import Config, Dtype, Kind
from rnn_conformance.spec.result import Quantity

COMPLETE = Run(
    seed=0,
    profile="quick",
    select=(),
    versions={"rnn-conformance": "0.1.0", "torch": "2.13.0"},
    started="2026-03-01T12:30:00+00:00",
    seconds=12.5,
    complete=True,
)

NAN = float("nan")

DIFFERS = Failure(
    fault=Fault.IMPLEMENTATION,
    sort=Sort.VALUE,
    message="output at time 1, sample 0, unit 2 is nan, not 0.25",
    calls=("lstm = LSTM(input_size=3, hidden_size=4), float32; lstm(input 2x3x3, no state)",),
    case=Case(Config(Kind.LSTM, 3, 4, bidirectional=True), 2, 3, Dtype.FLOAT32).to_record(),
    where={"array": "output", "time": 1, "sample": 0, "unit": 2},
    expected=0.25,
    got=NAN,
    error=float("inf"),
    bound=1.5e-7,
    excerpt=(
        ("output: time 1, sample 0, unit 2", 0.25, NAN, float("inf"), 1.5e-7),
        ("output: time 1, sample 1, unit 2", 0.125, 0.5, 0.375, 1.5e-7),
    ),
    diagnosis=Diagnosis(
        Quantity.RESULTS,
        "",
        (
            Known(
                "gates in the order i, f, o, g",
                "Reorder the blocks of rows when they are loaded.",
                ("EQ-2",),
                "Core ML and Caffe order",
                ("gates o and g swapped",),
            ),
        ),
        12,
        12,
        7,
    ).to_record(),
    script="import torch\n\nprint(torch.nn.LSTM(3, 4))\n",
    traceback="Traceback (most recent call last):\n  ...\nAssertionError\n",
)


ACCURATE: dict[str, Any] = {
    "dtype": "float32",
    "of": "results",
    "cases": 20,
    "hits": 1,
    "shares": [5, 0, 0, 1, 2, 4, 8, 16, 8, 4, 2, 0],
    "ulps": [5, 30, 10, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    "worst": 0.75,
    "worst_call": "lstm = LSTM(3, 4), float32; lstm(input 2x3x3, no state)",
    "worst_case": {"length": 2},
}
"""How accurate somebody's results were."""


def entry(name: str = "loop", kind: Kind = Kind.LSTM, **claims: Any) -> Entry:
    """An implementation that claims inference, or what ``claims`` say."""
    plain: dict[str, Any] = {
        "target": f"{name}.py",
        "level": "inference",
        "features": ("bidirectional", "packed"),
        "dtypes": ("float32", "float64"),
    }
    return Entry(name=name, kind=str(kind), **{**plain, **claims})


def record(
    of: Entry,
    clauses: Iterable[str],
    outcome: Outcome = Outcome.PASSED,
    failure: Failure | None = None,
    **fields: Any,
) -> dict[str, Any]:
    """What came of one check."""
    ids = tuple(clauses)
    if failure is None and outcome is Outcome.FAILED:
        failure = DIFFERS
    plain: dict[str, Any] = {
        "check": f"conformance/test_clauses.py::test_{'_'.join(ids)}_holds",
        "cases": 20,
        "seconds": 0.5,
        "seconds_inside": 0.25,
    }
    return Record(
        of.name,
        of.kind,
        clauses=ids,
        outcome=outcome,
        failure=failure,
        **{**plain, **fields},
    ).to_record()


def records(of: Entry, outcomes: Mapping[str, Outcome] | None = None) -> list[dict[str, Any]]:
    """One record a clause that applies: as ``outcomes`` says, else passed."""
    return [
        record(of, [clause.id], (outcomes or {}).get(clause.id, Outcome.PASSED))
        for clause in CLAUSES.values()
        if Kind(of.kind) in clause.kinds
    ]


def results(*entries: Entry, run: Run = COMPLETE, **outcomes: Outcome) -> dict[str, Any]:
    """A document in which each entry's clauses are as ``outcomes`` says (``EQ_2=…``)."""
    by_clause = {clause.replace("_", "-"): outcome for clause, outcome in outcomes.items()}
    made = [record for entry in entries for record in records(entry, by_clause)]
    return document(run, entries, made)


CUT_SHORT = replace(COMPLETE, complete=False)
LOOP = entry()
GRU = entry("scan", Kind.GRU)
WRONG = entry("wrong", fails_on_purpose="the gates are in another order")

HOSTILE = """<script>alert("x")</script>'"><img src=x onerror=alert(1)>{{ 7 * 7 }}"""
"""Text of somebody's that a page must not obey."""


def untimed(document: Mapping[str, Any]) -> str:
    """A document as it is written, but for when it was and how long it took."""

    def without(value: Any) -> Any:
        if isinstance(value, list):
            return [without(item) for item in value]
        if isinstance(value, dict):
            times = ("started", "seconds", "seconds_inside")
            return {k: None if k in times else without(item) for k, item in value.items()}
        return value

    return json.dumps(without(document), indent=1)

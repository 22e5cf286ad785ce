"""The records that a run emits, and the document made of them.

A run writes one :class:`Record` a check as a line of JSON, at once, so that what was
found survives whatever happens next. :func:`document` folds them into ``results.json``,
of which everything that a person sees is rendered. The JSON schema of that document is
``results.schema.json`` beside this file.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from rnn_conformance.clauses import CLAUSES
from rnn_conformance.documents import DocumentFormat
from rnn_conformance.spec import Kind, Level

RESULTS = DocumentFormat("results", 1, "results.schema.json")
"""``results.json``."""


class Outcome(StrEnum):
    """What a check found; a clause's outcome is the worst of its checks', first is worst."""

    CRASHED = "crashed"
    TIMEOUT = "timeout"
    FAILED = "failed"
    ERROR = "error"
    UNTESTED = "untested"
    PASSED = "passed"
    UNSUPPORTED = "unsupported"


class Verdict(StrEnum):
    """What a run says of an implementation."""

    CONFORMS = "conforms"
    FAILS = "fails"
    ERROR = "error"


@dataclass(frozen=True)
class Entry:
    """An implementation in one of its kinds, and what it claims, as plain values."""

    name: str
    kind: str
    target: str
    level: str
    features: tuple[str, ...]
    dtypes: tuple[str, ...]
    fails_on_purpose: str = ""


@dataclass(frozen=True)
class Failure:
    """A check's smallest counterexample.

    ``fault`` is ``implementation``, ``adapter`` or ``suite``. ``calls`` are the calls
    that show it, in words; ``case`` what was drawn, to replay it; ``where`` names the
    element (``array``, ``time`` and so on). ``excerpt`` holds rows of
    ``(index, expected, got, error, bound)``; ``diagnosis`` says what is behind it (see
    ``diagnosis.Diagnosis``); ``script`` shows it with torch and the implementation alone;
    ``traceback`` where an exception was raised.
    """

    fault: str
    message: str
    calls: tuple[str, ...] = ()
    case: Mapping[str, Any] | None = None
    where: Mapping[str, Any] | None = None
    expected: Any = None
    got: Any = None
    error: float | None = None
    bound: float | None = None
    excerpt: tuple[tuple[Any, ...], ...] = ()
    diagnosis: Mapping[str, Any] | None = None
    script: str | None = None
    traceback: str | None = None


@dataclass(frozen=True)
class Record:
    """One check of one subject.

    ``cases`` is the number of cases tried, shrinking included; ``seconds`` the check's
    wall time, ``seconds_inside`` the share of it spent in the implementation. ``accuracy``
    says how far inside what is allowed the errors lie, by dtype (see ``agreement.summary``).
    """

    implementation: str
    kind: str
    check: str
    clauses: tuple[str, ...]
    outcome: Outcome
    cases: int = 0
    seconds: float = 0.0
    seconds_inside: float = 0.0
    reason: str | None = None
    failure: Failure | None = None
    accuracy: tuple[Mapping[str, Any], ...] = ()

    def to_record(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class Run:
    """How the records came about. ``complete`` is false for a run that was cut short.

    ``device`` is where ``torch``'s classes computed.
    """

    seed: int
    profile: str
    select: tuple[str, ...]
    versions: Mapping[str, str]
    started: str
    seconds: float
    complete: bool
    device: str = "cpu"


def clause_outcomes(subject: Entry, records: Iterable[Mapping[str, Any]]) -> dict[str, Outcome]:
    """Each clause that applies to the kind → the worst outcome of its checks.

    A clause no check of which ran is untested; one of a level that is not claimed is
    unsupported, as is one all of whose checks need undeclared features.
    """
    found: dict[str, list[Outcome]] = defaultdict(list)
    for record in records:
        for clause in record["clauses"]:
            found[clause].append(Outcome(record["outcome"]))
    order = list(Outcome)
    outcomes = {}
    for clause in CLAUSES.values():
        if Kind(subject.kind) not in clause.kinds:
            continue
        claimed = clause.level.rank <= Level(subject.level).rank
        declared = clause.feature is None or clause.feature in subject.features
        # A check may have run all the same: what is not declared must be refused.
        nothing = Outcome.UNTESTED if claimed and declared else Outcome.UNSUPPORTED
        outcomes[clause.id] = min(found[clause.id], key=order.index, default=nothing)
    return outcomes


def reached(subject: Entry, outcomes: Mapping[str, Outcome]) -> Level | None:
    """The highest level all of whose clauses, and those below, pass or are unsupported.

    Optional clauses do not count; an untested clause does not pass.
    """
    best = None
    for level in Level:
        if level.rank > Level(subject.level).rank:
            break
        due = [
            outcome
            for clause, outcome in outcomes.items()
            if CLAUSES[clause].level is level and not CLAUSES[clause].optional
        ]
        if any(outcome not in (Outcome.PASSED, Outcome.UNSUPPORTED) for outcome in due):
            break
        best = level
    return best


def verdict(outcomes: Mapping[str, Outcome]) -> Verdict:
    """``fails`` if any clause in the verdict does, ``error`` if a check could not run."""
    counted = {o for clause, o in outcomes.items() if not CLAUSES[clause].optional}
    if counted & {Outcome.CRASHED, Outcome.TIMEOUT, Outcome.FAILED}:
        return Verdict.FAILS
    # Nothing passed: a run in which nothing was shown shows no conformance.
    if Outcome.ERROR in counted or Outcome.PASSED not in counted:
        return Verdict.ERROR
    return Verdict.CONFORMS


def document(
    run: Run, subjects: Sequence[Entry], records: Iterable[Mapping[str, Any]]
) -> dict[str, Any]:
    """``results.json``: the run, every clause, and each subject with its verdict."""
    by_subject: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for record in records:
        by_subject[record["implementation"], record["kind"]].append(record)
    implementations = []
    for subject in subjects:
        own = sorted(by_subject[subject.name, subject.kind], key=lambda record: record["check"])
        outcomes = clause_outcomes(subject, own)
        level = reached(subject, outcomes)
        implementations.append(
            {
                "name": subject.name,
                "kind": subject.kind,
                "target": subject.target,
                "claims": {
                    "level": subject.level,
                    "features": sorted(subject.features),
                    "dtypes": list(subject.dtypes),
                },
                "fails_on_purpose": subject.fails_on_purpose,
                "verdict": str(verdict(outcomes)),
                "level": None if level is None else str(level),
                "clauses": {clause: str(outcome) for clause, outcome in outcomes.items()},
                "checks": own,
            }
        )
    whole = {
        "schema_version": RESULTS.version,
        "run": asdict(run),
        "clauses": [clause.to_record() for clause in CLAUSES.values()],
        "implementations": implementations,
    }
    plain: dict[str, Any] = json.loads(json.dumps(_finite(whole), allow_nan=False))
    return plain


def diagnoses(implementation: Mapping[str, Any]) -> list[tuple[Mapping[str, Any], int]]:
    """Each distinct diagnosis of one implementation's record, and the failures it is behind.

    Those behind most failures come first.
    """
    found: dict[str, tuple[Mapping[str, Any], int]] = {}
    for check in implementation["checks"]:
        diagnosis = (check["failure"] or {}).get("diagnosis")
        if diagnosis:
            _, count = found.get(diagnosis["text"], (diagnosis, 0))
            found[diagnosis["text"]] = diagnosis, count + 1
    return sorted(found.values(), key=lambda each: -each[1])


def _finite(value: Any) -> Any:
    """``value`` with each float that JSON cannot write as ``"nan"``, ``"inf"``, ``"-inf"``."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(float(value))
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value

"""``results.json``: the records of a run folded into one document.

Everything that a person sees is rendered from it. Its JSON schema is ``schemas/results.json``
beside this file.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rnn_conformance.results.formats import RESULTS
from rnn_conformance.results.records import Entry, Outcome, Run, plain
from rnn_conformance.results.verdict import Verdict
from rnn_conformance.spec.clauses import CLAUSES
from rnn_conformance.spec.config import Kind, Level


def document(
    run: Run, entries: Iterable[Entry], records: Iterable[Mapping[str, Any]]
) -> dict[str, Any]:
    """The run, every clause, and each implementation with its verdict, as plain JSON values.

    The same whatever the order of the entries and of the records.
    """
    by_entry: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for record in records:
        by_entry[record["implementation"], record["kind"]].append(record)
    implementations = []
    for entry in sorted(entries, key=lambda entry: (entry.name, entry.kind)):
        checks = sorted(by_entry[entry.name, entry.kind], key=lambda record: record["check"])
        outcomes = clause_outcomes(entry, checks)
        implementations.append(
            {
                "name": entry.name,
                "kind": entry.kind,
                "target": entry.target,
                "claims": {
                    "level": entry.level,
                    "features": sorted(entry.features),
                    "dtypes": entry.dtypes,
                },
                "fails_on_purpose": entry.fails_on_purpose,
                "excluded": {
                    clause: reason
                    for clause, reason in entry.excluded.items()
                    if outcomes.get(clause) is Outcome.EXCLUDED
                },
                "versions": dict(entry.versions),
                "notes": list(entry.notes),
                "verdict": Verdict.of(outcomes),
                "level": reached(entry, outcomes),
                "clauses": outcomes,
                "checks": checks,
            }
        )
    whole: dict[str, Any] = plain(
        {
            "schema_version": RESULTS.version,
            "run": asdict(run),
            "clauses": [clause.to_record() for clause in CLAUSES.values()],
            "implementations": implementations,
        }
    )
    return whole


def clause_outcomes(entry: Entry, records: Iterable[Mapping[str, Any]]) -> dict[str, Outcome]:
    """Each clause that applies to the kind → the worst outcome of its checks.

    A clause that is excluded is neither passed nor failed. One no check of which ran is
    untested; one of a level that is not claimed is unsupported, as is one all of whose checks
    need undeclared features.
    """
    of_checks: dict[str, list[Outcome]] = defaultdict(list)
    for record in records:
        outcome = Outcome(record["outcome"])
        # A check that was left out because of one of its clauses says nothing of the others.
        if outcome is not Outcome.EXCLUDED:
            for clause in record["clauses"]:
                of_checks[clause].append(outcome)
    order = list(Outcome)
    outcomes = {}
    for clause in CLAUSES.values():
        if Kind(entry.kind) not in clause.kinds:
            continue
        claimed = clause.level.rank <= Level(entry.level).rank
        declared = clause.feature is None or clause.feature in entry.features
        # A check may have run all the same: what is not declared must be refused.
        nothing = Outcome.UNTESTED if claimed and declared else Outcome.UNSUPPORTED
        if claimed and declared and clause.id in entry.excluded:
            outcomes[clause.id] = Outcome.EXCLUDED
            continue
        outcomes[clause.id] = min(of_checks[clause.id], key=order.index, default=nothing)
    return outcomes


def reached(entry: Entry, outcomes: Mapping[str, Outcome]) -> Level | None:
    """The highest level all of whose clauses, and those below, pass or are unsupported.

    Optional clauses do not count; an untested clause does not pass, nor one that is excluded.
    """
    highest = None
    for level in Level:
        if level.rank > Level(entry.level).rank:
            break
        due = [
            outcome
            for clause, outcome in outcomes.items()
            if CLAUSES[clause].level is level and not CLAUSES[clause].optional
        ]
        if any(outcome not in (Outcome.PASSED, Outcome.UNSUPPORTED) for outcome in due):
            break
        highest = level
    return highest


_ORDER = {id: position for position, id in enumerate(CLAUSES)}


def _listed(id: str) -> tuple[int, str]:
    """The place of a clause among all; one that is not known here, as of a later version, last."""
    return _ORDER.get(id, len(_ORDER)), id


def named_by(diagnosis: Mapping[str, Any] | None) -> frozenset[str]:
    """The clauses that a diagnosis names; none, if there is no diagnosis."""
    return frozenset(id for known in (diagnosis or {}).get("known", ()) for id in known["clauses"])


@dataclass(frozen=True)
class Cause:
    """What is behind some failures of one implementation: a diagnosis, or ``None``, and these."""

    diagnosis: Mapping[str, Any] | None
    checks: tuple[Mapping[str, Any], ...]

    @property
    def named(self) -> frozenset[str]:
        """The clauses that the diagnosis is about; other failures follow from these."""
        return named_by(self.diagnosis)

    @property
    def clauses(self) -> tuple[str, ...]:
        """Those of its checks, each once: those that are named, then the others, as listed."""
        every = {id for check in self.checks for id in check["clauses"]}
        return tuple(sorted(every, key=lambda id: (id not in self.named, *_listed(id))))

    @property
    def simplest_first(self) -> list[Mapping[str, Any]]:
        """Its checks, of clauses that are named before others, smaller cases before larger."""
        return sorted(self.checks, key=self.simplicity)

    def simplicity(self, check: Mapping[str, Any]) -> tuple[bool, bool, int, int]:
        """The less, the sooner a check is to be looked at; what has no failure to show is last."""
        failure, following = check["failure"], self.named.isdisjoint(check["clauses"])
        case = failure and failure["case"]
        return failure is None, following, _extent(case), len(json.dumps(case))


def _extent(case: Mapping[str, Any] | None) -> int:
    """Its sizes and what is set in it, added up; its seed is no size."""
    if case is None:
        return 0
    numbers = [*case.get("config", {}).values(), case.get("length"), case.get("batch")]
    return sum(int(number) for number in numbers if isinstance(number, (int, float)))


def causes(implementation: Mapping[str, Any]) -> list[Cause]:
    """The failures of one implementation's record by what is behind them.

    What is to be mended first comes first: what has a name, then what is behind most failures;
    last those that nothing is known of.
    """
    grouped: dict[str, list[Mapping[str, Any]]] = {}
    for check in implementation["checks"]:
        if check["failure"]:
            diagnosis = check["failure"].get("diagnosis") or {"text": ""}
            grouped.setdefault(diagnosis["text"], []).append(check)
    found = [
        Cause(checks[0]["failure"].get("diagnosis"), tuple(checks)) for checks in grouped.values()
    ]

    def rank(cause: Cause) -> tuple[bool, bool, int]:
        known = cause.diagnosis is not None and bool(
            cause.diagnosis["known"] or cause.diagnosis.get("plain")
        )
        return cause.diagnosis is None, not known, -len(cause.checks)

    return sorted(found, key=rank)

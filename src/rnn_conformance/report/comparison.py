"""The same implementations in several runs: what changed, and where it goes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from rnn_conformance.report.columns import Column
from rnn_conformance.report.merging import merge
from rnn_conformance.results.records import Outcome
from rnn_conformance.results.verdict import FAILING


def beside(documents: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """All that is in results documents, side by side, in the order of the dates of their runs.

    Other than ``merging.merge`` it keeps an implementation once a run. Raises as that does.
    """
    together = merge(documents)
    ordered = sorted(documents, key=lambda document: str(document["run"]["started"]))
    sources: list[dict[str, Any]] = []
    implementations: list[dict[str, Any]] = []
    for document in ordered:
        offset = len(sources)
        sources += document.get("sources", [document["run"]])
        implementations += [
            {**implementation, "source": offset + implementation.get("source", 0)}
            for implementation in document["implementations"]
        ]
    return {
        **together,
        "sources": sources,
        "implementations": implementations,
    }


def repeated(implementations: Sequence[Mapping[str, Any]]) -> frozenset[tuple[str, str]]:
    """The names and kinds that are there more than once."""
    counts = Counter((record["name"], record["kind"]) for record in implementations)
    return frozenset(key for key, count in counts.items() if count > 1)


@dataclass(frozen=True)
class Source:
    """One of the runs that are compared; ``number`` counts from 1."""

    number: int
    run: Mapping[str, Any]
    others: Sequence[Mapping[str, Any]]

    @property
    def differences(self) -> str:
        """In which versions and choices it differs from any of the others."""
        versions = [
            f"{name} {version}"
            for name, version in self.run["versions"].items()
            if any(other["versions"].get(name) != version for other in self.others)
        ]
        choices = [
            f"{field} {self.run.get(field)}"
            for field in ("profile", "seed", "device")
            if any(other.get(field) != self.run.get(field) for other in self.others)
        ]
        return ", ".join([*versions, *choices])


@dataclass(frozen=True)
class Change:
    """Clauses whose outcome is another than in the run before, all in the same way."""

    before: str
    after: str
    clauses: Sequence[str]

    @property
    def worse(self) -> bool:
        """Whether they passed, or nothing was wrong that is wrong now."""
        return self.after in FAILING or (
            self.before == Outcome.PASSED and self.after != Outcome.PASSED
        )


@dataclass(frozen=True)
class Row:
    """One implementation over the runs; ``None`` where it is not in one."""

    name: str
    kind: str
    columns: Sequence[Column | None]

    @property
    def passed(self) -> list[tuple[str, float]]:
        """The share of its clauses that passed, by run."""
        shares = []
        for column in filter(None, self.columns):
            outcomes = [*column.record["clauses"].values()]
            share = outcomes.count(Outcome.PASSED) / max(len(outcomes), 1)
            shares.append((str(column.run["started"])[:10], share))
        return shares

    def changes(self, place: int) -> list[Change]:
        """What is another outcome in the run at ``place`` than in the last one before it."""
        now = self.columns[place]
        before = next((column for column in reversed(self.columns[:place]) if column), None)
        if now is None or before is None:
            return []
        ways: dict[tuple[str, str], list[str]] = {}
        for clause, outcome in now.record["clauses"].items():
            if before.outcome(clause) != outcome:
                ways.setdefault((before.outcome(clause), outcome), []).append(clause)
        changes = [Change(*way, clauses) for way, clauses in ways.items()]
        return sorted(changes, key=lambda change: not change.worse)


@dataclass(frozen=True)
class Comparison:
    """What is in more than one of several runs."""

    sources: Sequence[Mapping[str, Any]]
    columns: Sequence[Column]

    @property
    def runs(self) -> list[Source]:
        """The runs, numbered."""
        return [Source(number, run, self.sources) for number, run in enumerate(self.sources, 1)]

    @cached_property
    def rows(self) -> list[Row]:
        """One an implementation and kind that is there more than once."""
        again = repeated([column.record for column in self.columns])
        rows: dict[tuple[str, str], list[Column | None]] = {}
        for column in self.columns:
            key = (column.record["name"], column.record["kind"])
            if key in again:
                runs = rows.setdefault(key, [None] * len(self.sources))
                runs[column.record.get("source", 0)] = column
        return [Row(name, kind, runs) for (name, kind), runs in rows.items()]

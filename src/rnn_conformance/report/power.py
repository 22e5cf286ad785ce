"""How strong the suite is: the kill matrix as the report shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Row:
    """One mutant in the matrix."""

    record: Mapping[str, Any]

    @property
    def name(self) -> str:
        """In plain words."""
        return str(self.record["name"])

    @cached_property
    def trials(self) -> Sequence[Mapping[str, Any]]:
        """One a kind."""
        return [*self.record["trials"]]

    @property
    def survivors(self) -> list[str]:
        """The kinds in which it survived."""
        return [trial["kind"] for trial in self.trials if not trial["killed"]]

    @property
    def clauses(self) -> list[tuple[str, str]]:
        """Each clause that it breaks and how that ended, in the order of the ids.

        ``killed`` where a check of the clause killed it, ``open`` where none of them did or
        ran, and another killed it; ``survived`` where nothing killed it in some kind.
        """
        return [(clause, self._ended(clause)) for clause in self.record["breaks"]]

    def _ended(self, clause: str) -> str:
        concerned = [trial for trial in self.trials if clause in trial["clauses"]]
        if any(not trial["killed"] for trial in concerned):
            return "survived"
        return "killed" if clause in self.killed_in else "open"

    @cached_property
    def killed_in(self) -> frozenset[str]:
        """The clauses by whose checks it was killed."""
        return frozenset(
            clause
            for trial in self.trials
            for attempt in trial["attempts"]
            if attempt["kill"]
            for clause in attempt["clauses"]
        )

    @property
    def killers(self) -> list[tuple[str, list[str]]]:
        """Each check that killed it and the kinds in which it did."""
        killers: dict[str, list[str]] = {}
        for trial in self.trials:
            for attempt in trial["attempts"]:
                if attempt["kill"]:
                    killers.setdefault(attempt["check"], []).append(trial["kind"])
        return list(killers.items())

    @property
    def firsts(self) -> list[str]:
        """The checks that killed it first, each once."""
        return list(dict.fromkeys(trial["first"] for trial in self.trials if trial["first"]))

    @property
    def cases(self) -> int:
        """Cases to the first kill, at most over its kinds."""
        return max(int(trial["cases"]) for trial in self.trials)

    @property
    def seconds(self) -> float:
        """Seconds to the first kill, at most over its kinds."""
        return max(float(trial["seconds"]) for trial in self.trials)


@dataclass(frozen=True)
class Strength:
    """A kill matrix (see ``schemas/power.json``) as it is shown."""

    document: Mapping[str, Any]

    @property
    def run(self) -> Mapping[str, Any]:
        """How it came about."""
        run: Mapping[str, Any] = self.document["run"]
        return run

    @property
    def summary(self) -> Mapping[str, Any]:
        """The numbers."""
        summary: Mapping[str, Any] = self.document["summary"]
        return summary

    @cached_property
    def rows(self) -> list[Row]:
        """Every mutant; the attempts know their clauses."""
        clauses = {check["id"]: check["clauses"] for check in self.document["checks"]}
        return [Row(_with_clauses(mutant, clauses)) for mutant in self.document["mutants"]]

    @property
    def survivors(self) -> list[Row]:
        """The mutants that survived in some kind."""
        return [row for row in self.rows if row.survivors]

    @property
    def chapters(self) -> list[tuple[str, list[Row]]]:
        """Each chapter and its mutants, in the order of the document, survivors first."""
        order = list(dict.fromkeys(row.record["chapter"] for row in self.rows))
        ranked = sorted(
            self.rows, key=lambda row: (order.index(row.record["chapter"]), not row.survivors)
        )
        return [
            (chapter, list(rows))
            for chapter, rows in groupby(ranked, lambda row: str(row.record["chapter"]))
        ]

    @property
    def titles(self) -> dict[str, str]:
        """Each clause's sentence."""
        return {clause["id"]: clause["title"] for clause in self.document["clauses"]}

    @property
    def by_clause(self) -> list[tuple[str, int, int, list[str]]]:
        """Each clause that mutants break: how many, how many survive, and its killing checks."""
        rows = []
        for clause in self.titles:
            concerned = [
                (row, trial)
                for row in self.rows
                for trial in row.trials
                if clause in trial["clauses"]
            ]
            if concerned:
                killing = dict.fromkeys(
                    attempt["check"]
                    for _, trial in concerned
                    for attempt in trial["attempts"]
                    if attempt["kill"] and clause in attempt["clauses"]
                )
                mutants = {row.name for row, _ in concerned}
                alive = {row.name for row, trial in concerned if not trial["killed"]}
                rows.append((clause, len(mutants), len(alive), list(killing)))
        return rows

    @property
    def typical(self) -> tuple[float, float]:
        """Cases and seconds to the first kill, in the median."""
        killed = [trial for row in self.rows for trial in row.trials if trial["killed"]]
        if not killed:
            return 0.0, 0.0
        return median(t["cases"] for t in killed), median(t["seconds"] for t in killed)


def _with_clauses(
    mutant: Mapping[str, Any], clauses: Mapping[str, Sequence[str]]
) -> Mapping[str, Any]:
    trials = [
        {
            **trial,
            "attempts": [
                {**attempt, "clauses": clauses.get(attempt["check"], [])}
                for attempt in trial["attempts"]
            ],
        }
        for trial in mutant["trials"]
    ]
    return {**mutant, "trials": trials}

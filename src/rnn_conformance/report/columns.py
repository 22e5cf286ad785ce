"""One implementation in one kind, as the page shows it, and the matrix of all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Any

from rnn_conformance.errors import Sort
from rnn_conformance.report.accuracy import Accuracy, accuracies
from rnn_conformance.report.addresses import address
from rnn_conformance.report.wording import counted, headline, one_line, sentence
from rnn_conformance.results.document import Cause, causes, named_by
from rnn_conformance.results.records import Outcome
from rnn_conformance.results.verdict import FAILING, Judgement, judge
from rnn_conformance.spec.clauses import CHAPTERS
from rnn_conformance.texts import LINE

LEGEND: dict[str, str] = {
    Outcome.PASSED: "every check of the clause passed",
    Outcome.FAILED: "a check found a counterexample",
    Outcome.CRASHED: "the process died in a check",
    Outcome.TIMEOUT: "a check did not end in time",
    Outcome.ERROR: "a check could not run: the adapter or the suite is at fault",
    Outcome.NOT_RUN: "given up, for what happened before; no pass",
    Outcome.UNSUPPORTED: "presupposes a feature or level that is not claimed; no pass",
    Outcome.EXCLUDED: "not checked, for a reason that the implementation gives; no pass",
    Outcome.UNTESTED: "no check of the clause ran; no pass",
    "not applicable": "the clause is not about this kind",
}
"""What a cell of the matrix can be, and what that means."""

RANKS = (
    Judgement.FAILS,
    Judgement.UNINTENDED,
    Judgement.ERROR,
    Judgement.UNDECIDED,
    Judgement.INTENDED,
)
"""What is told first; all else is as it should be."""


FOLLOWING = frozenset(
    {Sort.VALUE, Sort.SHAPE, Sort.TYPE, Sort.STRUCTURE, Sort.ACCURACY, Sort.RAISED}
)
"""Failures that follow from other results, in whichever clause; others have to be named."""


@dataclass(frozen=True)
class Check:
    """A check of one implementation; ``position`` is that in its record."""

    record: Mapping[str, Any]
    position: int

    @property
    def sentence(self) -> str:
        """The check's name as a sentence."""
        return sentence(self.record["check"])

    @property
    def bad(self) -> bool:
        """Whether there is something to show."""
        return self.record["outcome"] in FAILING

    @property
    def case(self) -> list[tuple[str, Any]]:
        """What was drawn, as rows of a table."""
        return list(_flat((self.record["failure"] or {}).get("case") or {}))

    def concerns(self, diagnosis: Mapping[str, Any] | None) -> bool:
        """Whether a diagnosis is about this check: what it gives is wrong, or a clause it names."""
        named = named_by(diagnosis)
        sort = (self.record["failure"] or {}).get("sort")
        return (
            not named
            or sort is None
            or Sort(sort) in FOLLOWING
            or bool(named.intersection(self.record["clauses"]))
        )


@dataclass(frozen=True)
class Group:
    """Failures of one implementation, and what is behind them."""

    cause: Cause
    checks: Sequence[Check]

    @property
    def diagnosis(self) -> Mapping[str, Any] | None:
        """What is behind them, if anything is known."""
        return self.cause.diagnosis

    @property
    def clauses(self) -> tuple[str, ...]:
        """Those of its checks, each once: those that the diagnosis is about first."""
        return self.cause.clauses

    @property
    def simplest(self) -> Check:
        """The failure to look at first: the smallest case of a clause that is concerned."""
        return min(
            self.checks,
            key=lambda check: (
                not check.concerns(self.diagnosis),
                self.cause.simplicity(check.record),
            ),
        )


@dataclass(frozen=True)
class Column:
    """One implementation in one kind, and the run that it comes from.

    ``order`` is the position of each clause in the document; ``label`` tells it from the same
    in another run, where several are compared.
    """

    number: int
    record: Mapping[str, Any]
    run: Mapping[str, Any]
    order: Mapping[str, int]
    label: str = ""

    @property
    def name(self) -> str:
        """The name, and which run's, if several are compared."""
        return f"{self.record['name']}@{self.label}" if self.label else str(self.record["name"])

    @property
    def title(self) -> str:
        """Name and kind."""
        return f"{self.name} ({self.record['kind']})"

    @property
    def address(self) -> str:
        """Where it is on the page."""
        return address(self.record["kind"], self.name)

    def at(self, clause: str) -> str:
        """Where a clause's outcome is on the page."""
        return address(self.record["kind"], self.name, clause)

    @property
    def judgement(self) -> Judgement:
        """What is to be said of it."""
        return judge(self.record, self.run)

    @cached_property
    def checks(self) -> tuple[Check, ...]:
        """Every check, in the order of the document."""
        return tuple(
            Check(record, position) for position, record in enumerate(self.record["checks"])
        )

    @cached_property
    def bad(self) -> list[Check]:
        """The checks that have something to show, in the order of the clauses."""
        return sorted(
            (check for check in self.checks if check.bad),
            key=lambda check: min(
                (self.order[clause] for clause in check.record["clauses"]), default=0
            ),
        )

    @cached_property
    def groups(self) -> list[Group]:
        """What is behind the failures, what is to be mended first at the front, each with these."""
        bad = self.bad
        grouped = []
        for cause in causes(self.record):
            records = [id(record) for record in cause.checks]
            if checks := [check for check in bad if id(check.record) in records]:
                grouped.append(Group(cause, checks))
            bad = [check for check in bad if id(check.record) not in records]
        # What failed without a word of its own, being not run to its end.
        if bad:
            grouped.append(Group(Cause(None, tuple(check.record for check in bad)), bad))
        return grouped

    @property
    def reason(self) -> str:
        """One sentence on what is behind most of it."""
        if not self.groups:
            reasons = [check.record["reason"] for check in self.checks if check.record["reason"]]
            return one_line(reasons[0], LINE) if reasons and self.judgement not in _WELL else ""
        group, total = self.groups[0], len(self.bad)
        failures = f"{len(group.checks)} of {counted(total, 'failure')}"
        if group.diagnosis is not None:
            return f"{headline(group.diagnosis)}: behind {failures}"
        failure = group.simplest.record["failure"]
        told = failure["message"] if failure else group.simplest.record["reason"]
        return one_line(str(told or group.simplest.record["outcome"]), LINE)

    @property
    def failing(self) -> list[str]:
        """The clauses that have something to show, in the order of the document."""
        return sorted(
            (id for id, outcome in self.record["clauses"].items() if outcome in FAILING),
            key=lambda id: self.order[id],
        )

    @property
    def anchors(self) -> Mapping[str, int]:
        """For each failing clause, the position of the check in whose finding it is shown."""
        found: dict[str, int] = {}
        for group in self.groups:
            for check in group.checks:
                for clause in check.record["clauses"]:
                    found.setdefault(clause, check.position)
        return {clause: position for clause, position in found.items() if clause in self.failing}

    @property
    def counts(self) -> list[tuple[str, int]]:
        """How many clauses have which outcome, in the legend's order."""
        outcomes = Counter(self.record["clauses"].values())
        return [(outcome, outcomes[outcome]) for outcome in LEGEND if outcomes[outcome]]

    @cached_property
    def accuracy(self) -> list[Accuracy]:
        """How accurate it is, by what was compared and by dtype."""
        return accuracies(self.record)

    @property
    def rank(self) -> tuple[int, int, str]:
        """What fails first, and of these what fails in most clauses."""
        order = RANKS.index(self.judgement) if self.judgement in RANKS else len(RANKS)
        return order, -len(self.failing), self.name

    def total(self, field: str) -> Any:
        """A field of the checks' records, summed."""
        return sum(check.record[field] for check in self.checks)

    def outcome(self, clause: str) -> str:
        """What the matrix shows for a clause."""
        return str(self.record["clauses"].get(clause, "not applicable"))


_WELL = frozenset(Judgement) - {*RANKS}


@dataclass(frozen=True)
class Matrix:
    """Clauses by implementations, the implementations grouped by kind."""

    clauses: Sequence[Mapping[str, Any]]
    columns: Sequence[Column]

    @property
    def groups(self) -> list[tuple[str, int]]:
        """Each kind, and how many columns it has."""
        return [
            (kind, len(list(members)))
            for kind, members in groupby(self.columns, lambda column: column.record["kind"])
        ]

    @property
    def chapters(self) -> list[tuple[str, str, list[Mapping[str, Any]]]]:
        """Each chapter's id and title, and its clauses."""
        return [
            (chapter, CHAPTERS.get(chapter, chapter), list(clauses))
            for chapter, clauses in groupby(self.clauses, lambda clause: clause["chapter"])
        ]

    def failing(self, clause: str) -> int:
        """How many of the implementations fail a clause."""
        return sum(column.outcome(clause) in FAILING for column in self.columns)


def _flat(record: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in record.items():
        if isinstance(value, Mapping):
            yield from _flat(value)
        else:
            yield key, value

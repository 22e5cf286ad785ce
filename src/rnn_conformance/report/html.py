"""A results document as one HTML file that needs nothing else: no network, no script.

The page is readable without JavaScript, which only adds the filter, the panel beside
the matrix and the copy buttons. A content security policy in the page keeps it from
loading anything, whatever a results file contains.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import groupby
from typing import Any

import jinja2

from rnn_conformance.report.accuracy import accuracies
from rnn_conformance.report.power import Strength
from rnn_conformance.report.speed import Speed, span
from rnn_conformance.report.wording import (
    PLURALS,
    TONES,
    capitalized,
    counted,
    headline,
    one_line,
    sentence,
    shortfall,
)
from rnn_conformance.results.document import Cause, causes
from rnn_conformance.results.records import Outcome
from rnn_conformance.results.verdict import (
    FAILING,
    Extent,
    Judgement,
    green,
    judge,
    judgements,
    source,
)
from rnn_conformance.spec.clauses import CHAPTERS
from rnn_conformance.spec.config import Kind
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


@dataclass(frozen=True)
class Check:
    """A check of one implementation; ``anchor`` is where its failure is shown."""

    record: Mapping[str, Any]
    anchor: str

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


@dataclass(frozen=True)
class Cell:
    """One clause for one implementation; ``target`` is where its failures are shown."""

    outcome: str
    label: str
    target: str = ""


@dataclass(frozen=True)
class Column:
    """One implementation in one kind, and the run that it comes from.

    ``order`` is the position of each clause in the document.
    """

    number: int
    record: Mapping[str, Any]
    run: Mapping[str, Any]
    order: Mapping[str, int]

    @property
    def title(self) -> str:
        """Name and kind."""
        return f"{self.record['name']} ({self.record['kind']})"

    @property
    def judgement(self) -> Judgement:
        """What is to be said of it."""
        return judge(self.record, self.run)

    @cached_property
    def checks(self) -> tuple[Check, ...]:
        """Every check, in the order of the document."""
        return tuple(
            Check(record, f"i{self.number}-{position}")
            for position, record in enumerate(self.record["checks"])
        )

    @property
    def bad(self) -> list[Check]:
        """The checks that have something to show, in the order of the clauses."""
        return sorted(
            (check for check in self.checks if check.bad),
            key=lambda check: min(
                (self.order[clause] for clause in check.record["clauses"]), default=0
            ),
        )

    @property
    def causes(self) -> list[tuple[Cause, list[Check]]]:
        """What is behind the failures, what is to be mended first at the front, each with these."""
        bad = self.bad
        grouped = []
        for cause in causes(self.record):
            records = [id(record) for record in cause.checks]
            grouped.append((cause, [check for check in bad if id(check.record) in records]))
            bad = [check for check in bad if id(check.record) not in records]
        # What failed without a word of its own, being not run to its end.
        if bad:
            grouped.append((Cause(None, ()), bad))
        return grouped

    @property
    def counts(self) -> list[tuple[str, int]]:
        """How many clauses have which outcome, in the legend's order."""
        outcomes = Counter(self.record["clauses"].values())
        return [(outcome, outcomes[outcome]) for outcome in LEGEND if outcomes[outcome]]

    def total(self, field: str) -> Any:
        """A field of the checks' records, summed."""
        return sum(check.record[field] for check in self.checks)

    def cell(self, clause: str) -> Cell:
        """What the matrix shows for a clause."""
        outcome = self.record["clauses"].get(clause)
        if outcome is None:
            return Cell("not applicable", f"{clause} is not about {self.record['kind']}")
        checks = [check for check in self.checks if clause in check.record["clauses"]]
        bad = [check for check in checks if check.bad]
        reasons = [check.record["reason"] for check in checks if check.record["reason"]]
        label = f"{clause}, {self.title}: {outcome}"
        if bad and outcome in FAILING:
            label += f"; {len(bad)} of {counted(len(checks), 'check')}"
            return Cell(outcome, label, f"{bad[0].anchor}-{clause}")
        if outcome == Outcome.PASSED:
            cases = sum(check.record["cases"] for check in checks)
            label += f"; {counted(cases, 'case')}: "
            # A reason is what is no failure and worth knowing: another exception than
            # torch.nn's, for one.
            label += "; ".join([*(check.sentence for check in checks), *reasons])
        elif reasons:
            label += "; " + "; ".join(dict.fromkeys(reasons))
        elif outcome == Outcome.UNSUPPORTED:
            label += "; not claimed"
        return Cell(outcome, label)


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


def render(
    document: dict[str, Any],
    power: dict[str, Any] | None = None,
    speed: dict[str, Any] | None = None,
) -> str:
    """The report of a valid results document, as HTML.

    With ``power``, a valid power document, it also says how strong the suite is; with ``speed``,
    a valid bench document, how fast the implementations are.
    """
    order = {clause["id"]: position for position, clause in enumerate(document["clauses"])}
    columns = [
        Column(number, record, source(document, record), order)
        for number, record in enumerate(document["implementations"])
    ]
    kinds = list(Kind)
    by_kind = sorted(
        columns,
        key=lambda column: (
            kinds.index(Kind(column.record["kind"])),
            bool(column.record["fails_on_purpose"]),
            column.record["name"],
        ),
    )
    tones = list(dict.fromkeys(TONES.values()))
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("rnn_conformance.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": number,
        "small": lambda value: number(value, 3),
        "duration": duration,
        "span": span,
        "date": date,
        "value": _value,
        "place": _place,
        "count": counted,
        "sentence": sentence,
        "headline": headline,
        "one_line": lambda text: one_line(text, LINE),
        "capitalized": capitalized,
        "tone": lambda judgement: TONES[judgement],
        "extent": Extent.of,
    }
    environment.tests["link"] = lambda url: url.startswith(("https://", "http://"))
    return environment.get_template("report.html").render(
        run=document["run"],
        sources=document.get("sources", [document["run"]]),
        columns=columns,
        matrix=Matrix(document["clauses"], by_kind),
        failing=sorted(
            (column for column in columns if column.bad),
            key=lambda column: bool(column.record["fails_on_purpose"]),
        ),
        tally=sorted(
            Counter(column.judgement for column in columns).items(),
            key=lambda item: tones.index(TONES[item[0]]),
        ),
        plurals=PLURALS,
        tone=_tone(document),
        shortfall=shortfall(document),
        legend=LEGEND,
        accuracy=[row for column in by_kind for row in accuracies(column.record)],
        power=None if power is None else Strength(power),
        speed=None if speed is None else Speed(speed, document),
    )


def number(value: Any, digits: int = 9) -> str:
    """A number to so many significant digits; what is no number, as text."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.{digits}g}"
    return _value(value)


def duration(seconds: float) -> str:
    """Seconds as ``85 ms``, ``2.4 s`` or ``3 min 20 s``."""
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60} s"


def date(text: str) -> str:
    """An ISO 8601 date and time for people; what is none, as it is."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text
    return f"{moment.day} {moment:%B %Y, %H:%M %Z}".rstrip()


def _tone(document: Mapping[str, Any]) -> str:
    """The style of the whole page: green only if everything ran and is as it should be."""
    if green(document):
        return "conforms"
    tones = {TONES[judgement] for judgement in judgements(document)}
    return next((tone for tone in ("fails", "error") if tone in tones), "open")


def _value(value: Any) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.9g}"
        case list() | tuple():
            return "(" + ", ".join(map(_value, value)) + ")"
        case Mapping():
            return ", ".join(f"{key} {_value(item)}" for key, item in value.items())
    return str(value)


def _place(where: Mapping[str, Any]) -> str:
    """``output: time 3, sample 1, unit 4``."""
    indices = _value({key: item for key, item in where.items() if key != "array"})
    return ": ".join(filter(None, (str(where.get("array") or ""), indices)))


def _flat(record: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in record.items():
        if isinstance(value, Mapping):
            yield from _flat(value)
        else:
            yield key, value

"""A results document as one HTML file that needs nothing else: no network, no script.

The page is readable without JavaScript, which only adds the filter, the panel beside
the matrix and the copy buttons. A content security policy in the page keeps it from
loading anything, whatever a results file contains.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import groupby
from typing import Any

import jinja2

from rnn_conformance.clauses import CHAPTERS
from rnn_conformance.report.accuracy import accuracies
from rnn_conformance.report.power import Strength
from rnn_conformance.results import Outcome, Verdict, diagnoses
from rnn_conformance.spec import Kind

LEGEND: dict[str, str] = {
    Outcome.PASSED: "every check of the clause passed",
    Outcome.FAILED: "a check found a counterexample",
    Outcome.CRASHED: "the process died in a check",
    Outcome.TIMEOUT: "a check did not end in time",
    Outcome.ERROR: "a check could not run: the adapter or the suite is at fault",
    Outcome.UNSUPPORTED: "presupposes a feature or level that is not claimed; no pass",
    Outcome.UNTESTED: "no check of the clause ran; no pass",
    "not applicable": "the clause is not about this kind",
}
"""What a cell of the matrix can be, and what that means."""

BAD = frozenset({Outcome.FAILED, Outcome.CRASHED, Outcome.TIMEOUT, Outcome.ERROR})
"""Outcomes that have something to show."""


TONES = ("fails", "error", "open", "conforms", "intended")
"""The styles of a verdict, in the order in which they are told."""


@dataclass(frozen=True)
class Judgement:
    """A verdict as it is shown: ``tone`` is its style; what it says of one, and of several."""

    tone: str
    text: str
    plural: str


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
        return self.record["outcome"] in BAD

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
        """The verdict, in view of what was intended and of how far the run came."""
        intended = bool(self.record["fails_on_purpose"])
        match self.record["verdict"]:
            case Verdict.FAILS if intended:
                return Judgement("intended", "fails as intended", "fail as intended")
            case Verdict.FAILS:
                return Judgement("fails", "fails", "fail")
            case Verdict.ERROR:
                return Judgement("error", "error", "errors")
        if not self.run["complete"]:
            return Judgement("open", "undecided", "undecided")
        if intended:
            return Judgement("fails", "conforms, should fail", "conform, should fail")
        if self.run["select"]:
            return Judgement("conforms", "conforms as selected", "conform as selected")
        return Judgement("conforms", "conforms", "conform")

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
    def diagnoses(self) -> list[tuple[Mapping[str, Any], int]]:
        """What is behind the failures, and behind how many; most first."""
        return diagnoses(self.record)

    @property
    def counts(self) -> list[tuple[str, int]]:
        """How many clauses have which outcome, in the legend's order."""
        counted = Counter(self.record["clauses"].values())
        return [(outcome, counted[outcome]) for outcome in LEGEND if counted[outcome]]

    def total(self, field: str) -> Any:
        """A field of the checks' records, summed."""
        return sum(check.record[field] for check in self.checks)

    def cell(self, clause: str) -> Cell:
        """What the matrix shows for a clause."""
        outcome = self.record["clauses"].get(clause)
        if outcome is None:
            return Cell("not applicable", f"{clause} is not about {self.record['kind']}")
        own = [check for check in self.checks if clause in check.record["clauses"]]
        bad = [check for check in own if check.bad]
        said = f"{clause}, {self.title}: {outcome}"
        if bad and outcome in BAD:
            said += f"; {len(bad)} of {_count(len(own), 'check')}"
            return Cell(outcome, said, f"{bad[0].anchor}-{clause}")
        if outcome == Outcome.PASSED:
            cases = sum(check.record["cases"] for check in own)
            said += f"; {_count(cases, 'case')}: "
            said += "; ".join(check.sentence for check in own)
            # What is no failure and worth knowing: another exception than torch.nn's, for one.
            said += "".join(f"; {each.record['reason']}" for each in own if each.record["reason"])
        elif reasons := {check.record["reason"]: None for check in own if check.record["reason"]}:
            said += "; " + "; ".join(reasons)
        elif outcome == Outcome.UNSUPPORTED:
            said += "; not claimed"
        return Cell(outcome, said)


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


def render(document: dict[str, Any], power: dict[str, Any] | None = None) -> str:
    """The report of a valid results document (see ``results.schema.json``), as HTML.

    With ``power``, a valid ``power.json``, it also says how strong the suite is.
    """
    sources = document.get("sources", [document["run"]])
    order = {clause["id"]: position for position, clause in enumerate(document["clauses"])}
    columns = [
        Column(number, record, sources[record.get("source", 0)], order)
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
        "date": date,
        "value": _value,
        "place": _place,
        "count": _count,
        "sentence": sentence,
    }
    environment.tests["link"] = lambda url: url.startswith(("https://", "http://"))
    return environment.get_template("report.html").render(
        run=document["run"],
        sources=sources,
        columns=columns,
        matrix=Matrix(document["clauses"], by_kind),
        failing=sorted(
            (column for column in columns if column.bad),
            key=lambda column: bool(column.record["fails_on_purpose"]),
        ),
        tally=sorted(
            Counter(column.judgement for column in columns).items(),
            key=lambda item: TONES.index(item[0].tone),
        ),
        tone=_tone(columns),
        legend=LEGEND,
        accuracy=[each for column in by_kind for each in accuracies(column.record)],
        power=None if power is None else Strength(power),
    )


def sentence(check: str) -> str:
    """``conformance/test_state.py::test_zeros_are_the_default`` → ``Zeros are the default``.

    Names of results and classes keep their spelling: ``h_n``, ``batch_first``, ``LSTM``.
    """
    words = check.rpartition("::")[2].removeprefix("test_").replace("_", " ").strip()
    words = re.sub(r"\b([hc]) ([n0])\b", r"\1_\2", words).replace("batch first", "batch_first")
    words = re.sub(r"\b(rnn|lstm|gru)\b", lambda match: match[0].upper(), words)
    # A name stays as it is at the beginning of a sentence, too.
    return words if "_" in words.partition(" ")[0] else words[:1].upper() + words[1:]


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


def _tone(columns: Sequence[Column]) -> str:
    """The style of the whole page: green only if everything ran and is as it should be."""
    tones = {column.judgement.tone for column in columns}
    for tone in ("fails", "error"):
        if tone in tones:
            return tone
    if not columns or not all(column.run["complete"] for column in columns):
        return "open"
    return "conforms"


def _count(amount: int, noun: str) -> str:
    return f"{amount} {noun}{'' if amount == 1 else 's'}"


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

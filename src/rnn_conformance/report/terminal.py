"""A results, a power or a bench document in a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from rnn_conformance.report import difference
from rnn_conformance.report.speed import Figure, span
from rnn_conformance.report.wording import TONES, counted, headline, one_line, sentence, shortfall
from rnn_conformance.results.document import causes
from rnn_conformance.results.records import Memory, Outcome
from rnn_conformance.results.speed import Work
from rnn_conformance.results.verdict import (
    Known,
    Verdict,
    failing_clauses,
    judge,
    source,
)
from rnn_conformance.texts import LINE

STYLES = {
    "fails": "red",
    "error": "red",
    "open": "red",
    "conforms": "green",
    "intended": "yellow",
}
"""How each tone looks."""

FUNDAMENTAL = ("SHP-1", "SHP-2", "SHP-4", "EQ-1", "EQ-2", "EQ-3", "CEL-1", "CEL-2")
"""Clauses without which hardly any other can hold: shapes, structure and the equations."""

EXPLAINED = 3
"""Failures of no known cause, or checks of a survivor, that are told in full."""


def summary(console: Console, document: Mapping[str, Any], page: Path) -> None:
    """A line an implementation, the first failures, and where the report, ``page``, is."""
    implementations, run = document["implementations"], document["run"]
    table = Table(box=None, pad_edge=False)
    for column in ("implementation", "kind", "verdict", "level", "checks", "cases", "seconds"):
        number = column in ("checks", "cases", "seconds")
        table.add_column(column, justify="right" if number else "left", overflow="fold")
    for implementation in implementations:
        judgement = judge(implementation, source(document, implementation))
        checks = implementation["checks"]
        table.add_row(
            escape(implementation["name"]),
            implementation["kind"],
            f"[{STYLES[TONES[judgement]]}]{judgement}[/]",
            implementation["level"] or "–",
            str(len(checks)),
            str(sum(check["cases"] for check in checks)),
            f"{sum(check['seconds'] for check in checks):.1f}",
        )
    console.print(table)
    for implementation in implementations:
        if implementation["verdict"] != Verdict.CONFORMS:
            explanation(console, implementation)
        for clause, reason in implementation.get("excluded", {}).items():
            console.print(
                f"{implementation['name']} ({implementation['kind']}) excludes {clause}: {reason}",
                highlight=False,
                markup=False,
            )
        _known(console, implementation)
    _remembered(console, implementations)
    _compared(console, document)
    cases = sum(
        check["cases"] for implementation in implementations for check in implementation["checks"]
    )
    console.print(
        f"\n{cases:,} cases in {run['seconds']:.1f} s, seed {run['seed']}, profile "
        f"{run['profile']}; the report is {page}",
        highlight=False,
        markup=False,
    )
    if short := shortfall(document):
        console.print(f"[red]{escape(short)}[/]")


def _known(console: Console, implementation: Mapping[str, Any]) -> None:
    """What is known to fail in an implementation, and what came of it."""
    for entry in implementation.get("known", ()):
        what = entry.get("clause") or sentence(entry["check"])
        line = f"{implementation['name']} ({implementation['kind']}) {what}: {entry['standing']}"
        told = [entry["reason"], *filter(None, [entry.get("link")])]
        if "expires" in entry:
            expired = Known(entry["standing"]) is Known.EXPIRED
            told.append(f"{'expired after' if expired else 'until'} {entry['expires']}")
        text = one_line(f"{line} ({'; '.join(told)})", LINE)
        style = None if Known(entry["standing"]).strict else "red"
        console.print(text, style=style, highlight=False, markup=False)


def _remembered(console: Console, implementations: Sequence[Mapping[str, Any]]) -> None:
    """What came of the failures that were remembered and tried first."""
    tried = [
        (implementation, check)
        for implementation in implementations
        for check in implementation["checks"]
        if check.get("remembered")
    ]
    mended = [(one, check) for one, check in tried if check["outcome"] == Outcome.PASSED]
    lost = sum(Memory(check["remembered"]) is Memory.FORGOTTEN for _, check in tried)
    if tried:
        console.print(
            f"\n{counted(len(tried), 'remembered failure')} tried first: "
            f"{len(mended) or 'none'} mended"
            + (f", {lost} searched anew, since the case cannot be drawn any more" if lost else ""),
            highlight=False,
        )
    for implementation, check in mended:
        console.print(
            f"  mended: {implementation['name']} ({implementation['kind']}) "
            f"{'/'.join(check['clauses'])} {sentence(check['check'])}",
            highlight=False,
            markup=False,
        )


def _compared(console: Console, document: Mapping[str, Any]) -> None:
    """What is other than in the baseline."""
    if (baseline := document.get("baseline")) is None:
        return
    written = ", which was written anew" if baseline["updated"] else ""
    console.print(f"\nBeside {baseline['file']}{written}:", highlight=False, markup=False)
    console.print(difference.text(baseline["changes"]), highlight=False, markup=False)


def explanation(console: Console, implementation: Mapping[str, Any]) -> None:
    """An implementation's failing clauses, with a reason each for the first of them."""
    clauses = failing_clauses(implementation)
    console.print(
        f"\n[bold]{escape(implementation['name'])}[/] ({implementation['kind']}) "
        f"{_verdict(implementation, clauses)}",
        highlight=False,
    )
    found = causes(implementation)
    named = any(cause.diagnosis and cause.diagnosis["known"] for cause in found)
    first = [clause for clause in _whole(implementation) if clause in FUNDAMENTAL]
    if first and not named:
        console.print(
            f"  mend {', '.join(first)} first: other clauses that compare values fail with it",
            style="dim",
        )
    for number, cause in enumerate(found, 1):
        about = f"{counted(len(cause.checks), 'failing check')} ({', '.join(cause.clauses)})"
        if cause.diagnosis is None:
            console.print(f"  {number}. without a diagnosis: {about}", highlight=False)
        else:
            line = escape(one_line(headline(cause.diagnosis), LINE))
            console.print(f"  {number}. [bold]{line}[/]: behind {about}", highlight=False)
            console.print(f"     {cause.diagnosis['text']}", highlight=False, markup=False)
        # The simplest case says most; what nothing is known of is told one by one.
        for check in cause.simplest_first[: EXPLAINED if cause.diagnosis is None else 1]:
            _example(console, check)


def _example(console: Console, check: Mapping[str, Any]) -> None:
    """One failing check: what it says, and its last call."""
    name, failure = sentence(check["check"]), check["failure"]
    for line in (
        f"     {'/'.join(check['clauses'])} {name}",
        f"       {one_line(failure['message'], LINE)}",
    ):
        console.print(line, highlight=False, markup=False)
    for call in failure["calls"][-1:]:
        console.print(f"       {call}", style="dim", highlight=False, markup=False)


def _whole(implementation: Mapping[str, Any]) -> list[str]:
    """The clauses of which every check fails: in one alone it may be something else."""
    passed = {
        id
        for check in implementation["checks"]
        if check["outcome"] == Outcome.PASSED
        for id in check["clauses"]
    }
    return [clause for clause in failing_clauses(implementation) if clause not in passed]


def _verdict(implementation: Mapping[str, Any], clauses: Sequence[str]) -> str:
    """Which clauses fail; where none does, why nothing could be run."""
    if clauses:
        return f"fails {counted(len(clauses), 'clause')}: {', '.join(clauses)}"
    if not implementation["checks"]:
        return "was not run: the run was cut short before it"
    reasons = dict.fromkeys(check["reason"] for check in implementation["checks"])
    return escape("could not be tested: " + "; ".join(reason for reason in reasons if reason))


def power_summary(console: Console, document: Mapping[str, Any], file: Path) -> None:
    """The numbers in words, the survivors, and what the whole matrix says of the checks.

    ``file`` is where the document was written.
    """
    numbers, run = document["summary"], document["run"]
    trials = [trial for mutant in document["mutants"] for trial in mutant["trials"]]
    clauses = {check["id"]: {*check["clauses"]} for check in document["checks"]}

    def say(text: str) -> None:
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    for trial in trials:
        if not trial["killed"]:
            say(f"survives: a {trial['kind']} with {trial['mutant']}")
            concerned = [
                attempt
                for attempt in trial["attempts"]
                if clauses[attempt["check"]] & {*trial["clauses"]}
            ]
            for attempt in concerned[:EXPLAINED]:
                why = f" ({one_line(attempt['message'], LINE)})" if attempt["message"] else ""
                say(f"    {sentence(attempt['check'])}: {attempt['outcome']}{why}")
    seconds = sorted(trial["seconds"] for trial in trials if trial["killed"])
    cases = sorted(trial["cases"] for trial in trials if trial["killed"])
    say(
        f"{numbers['killed']} of {numbers['trials']} killed: {numbers['mutants']} mutants, each in "
        f"the kinds that it exists in; {len(numbers['survivors'])} survived"
    )
    if seconds:
        say(
            f"to the first kill: cases {cases[len(cases) // 2]} in the median, {cases[-1]} at "
            f"most; seconds {seconds[len(seconds) // 2]:.2f} in the median, {seconds[-1]:.1f} at "
            "most"
        )
    if numbers["unbroken"]:
        say(f"broken by no mutant: {', '.join(numbers['unbroken'])}")
    if run["full"]:
        say(f"{len(numbers['redundant'])} checks kill nothing that others do not kill")
        say(f"{len(numbers['silent'])} checks kill nothing at all")
        say(f"held by one check alone: {', '.join(numbers['alone']) or 'no clause'}")
    say(f"{run['seconds']:.1f} s, seed {run['seed']}; the kill matrix is {file}")


SPEEDS = {"faster": "green", "wrong": "red", "missing": "red"}
"""How a figure looks that is not merely a number."""


def speed_summary(console: Console, document: Mapping[str, Any], file: Path) -> None:
    """Of each implementation the ratios with their intervals, and what building it took.

    ``file`` is where the document was written.
    """
    run = document["run"]
    words, numbers = ("shape", "dtype", "timed"), ("ratio", "between", "a call", "built", "first")
    notes = []
    for one in document["implementations"]:
        title = f"{one['name']} ({one['kind']})"
        table = Table(box=None, pad_edge=False)
        for column in (*words, *numbers):
            table.add_column(column, justify="right" if column in numbers else "left", min_width=7)
        for record in one["measurements"]:
            figure = Figure(record["shape"], record)
            shown = "wrong, " * (figure.state == "wrong") + figure.ratio
            style = SPEEDS.get(figure.state)
            table.add_row(
                escape(record["shape"]),
                record["dtype"],
                "training" if record["work"] == Work.TRAINING else "forward",
                f"[{style}]{shown}[/]" if style else shown,
                figure.spread,
                *(span(record[field]) for field in ("seconds", "building", "first")),
            )
            if figure.note:
                notes.append(f"{title}, {record['shape']}, {record['dtype']}: {figure.note}")
        console.print(f"[bold]{escape(title)}[/]", highlight=False)
        console.print(table, "")
    for note in dict.fromkeys(notes):
        console.print(one_line(note, LINE), highlight=False, markup=False, soft_wrap=True)
    console.print(
        f"ratio: the time of a call by that of torch.nn's; medians of {run['pairs']} pairs, and "
        f"between what they lie with {run['confidence']:.0%} confidence; "
        f"{counted(run['threads'], 'thread')}; {'complete' if run['complete'] else 'cut short'}; "
        f"{file}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )

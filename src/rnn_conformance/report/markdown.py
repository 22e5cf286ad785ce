"""A results document in short, as Markdown, for the page that a CI shows of a job."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rnn_conformance.report import difference
from rnn_conformance.report.standing import share
from rnn_conformance.report.wording import counted, headline, in_markdown, one_line, shortfall
from rnn_conformance.results.document import Cause, causes
from rnn_conformance.results.verdict import judge, source
from rnn_conformance.texts import LINE

TOLD = 5
"""Causes of one implementation that are told; what else there is stands in the report."""


def markdown(document: Mapping[str, Any]) -> str:
    """What fails and why first, then a line an implementation, then what the run was."""
    lines = ["## rnn-conformance", ""]
    for implementation in document["implementations"]:
        if found := causes(implementation):
            lines += [*_failing(document, implementation, found), ""]
    lines += ["| implementation | kind | verdict | level | clauses |", "|---|---|---|---|---|"]
    for implementation in document["implementations"]:
        verdict = judge(implementation, source(document, implementation))
        passed, of = share(implementation)
        cells = (
            _line(implementation["name"]),
            implementation["kind"],
            verdict.value,
            implementation["level"] or "–",
            f"{passed} of {of}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    run = document["run"]
    lines += ["", f"Seed {run['seed']}, profile {run['profile']}. {shortfall(document)}".rstrip()]
    if baseline := document.get("baseline"):
        lines += ["", f"Beside {_line(baseline['file'])}:", ""]
        lines.append(difference.markdown(baseline["changes"]))
    return "\n".join(lines) + "\n"


def _failing(
    document: Mapping[str, Any], implementation: Mapping[str, Any], found: Sequence[Cause]
) -> Iterator[str]:
    verdict = judge(implementation, source(document, implementation))
    yield f"### {_line(implementation['name'])} ({implementation['kind']}): {verdict}"
    yield ""
    for cause in found[:TOLD]:
        what = "without a diagnosis" if cause.diagnosis is None else headline(cause.diagnosis)
        about = f"{counted(len(cause.checks), 'failing check')}, {', '.join(cause.clauses)}"
        yield f"- **{_line(what)}** ({about})"
        if cause.diagnosis is not None and cause.diagnosis["known"]:
            yield from (f"  {_line(known['fix'])}" for known in cause.diagnosis["known"])
        yield f"  {_line(cause.simplest_first[0]['failure']['message'])}"
    if len(found) > TOLD:
        yield f"- {counted(len(found) - TOLD, 'more cause')}: see the report"


def _line(text: str) -> str:
    return in_markdown(one_line(text, LINE))

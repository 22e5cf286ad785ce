"""What is other between two runs, for people: lines of a terminal, or Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from rnn_conformance.report.wording import counted, in_markdown, one_line, sentence
from rnn_conformance.texts import LINE

TITLES = {
    "broken": "Broken: it did not fail before",
    "changed": "Changed: it fails in another way",
    "gone": "Gone: it is not tested any more",
    "added": "Added: it was not there before",
    "fixed": "Fixed: it failed before",
}
"""What became of something, as a heading."""


def text(changes: Sequence[Mapping[str, Any]]) -> str:
    """Lines for a terminal: what is worse is marked, and said in the first of them."""
    lines = [verdict(changes)]
    for change, group in groupby(changes, lambda one: str(one["change"])):
        lines.append(f"{TITLES[change]}")
        lines += [f"  {'!' if one['worse'] else ' '} {line}" for one, line in _told(group)]
    return "\n".join(lines)


def markdown(changes: Sequence[Mapping[str, Any]]) -> str:
    """The same for a page that shows Markdown."""
    lines = [f"**{in_markdown(verdict(changes))}**"]
    for change, group in groupby(changes, lambda one: str(one["change"])):
        lines += ["", f"### {TITLES[change]}", ""]
        lines += [
            f"- {'**worse**: ' if one['worse'] else ''}{in_markdown(line)}"
            for one, line in _told(group)
        ]
    return "\n".join(lines)


def verdict(changes: Sequence[Mapping[str, Any]]) -> str:
    """What all of it comes to, in one line."""
    worse = sum(change["worse"] for change in changes)
    if not changes:
        return "Nothing is other than it was"
    better = sum(change["change"] == "fixed" for change in changes)
    told = [f"{worse or 'nothing'} worse", f"{better or 'nothing'} better"]
    if other := len(changes) - worse - better:
        told.append(f"{other} other")
    return f"{counted(len(changes), 'difference')}: {', '.join(told)}"


def _told(changes: Iterator[Mapping[str, Any]]) -> Iterator[tuple[Mapping[str, Any], str]]:
    for change in changes:
        what = f"{change['implementation']} ({change['kind']})"
        if change["clauses"]:
            what += f" {'/'.join(change['clauses'])}"
        if change["check"]:
            what += f" {sentence(change['check'])}"
        yield change, one_line(f"{what}: {change['text']}", LINE)

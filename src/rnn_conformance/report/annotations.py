"""A results document as workflow commands, which GitHub shows beside the lines of a change.

Their syntax is that of GitHub's documentation, "Workflow commands for GitHub Actions".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rnn_conformance.locations import file_of
from rnn_conformance.report.standing import pardon
from rnn_conformance.report.wording import headline, one_line
from rnn_conformance.results.document import causes
from rnn_conformance.results.verdict import judge, source
from rnn_conformance.texts import LINE


def workflow_commands(document: Mapping[str, Any]) -> str:
    """One command a cause that tells against an implementation, beside its file if it has one."""
    return "".join(f"{line}\n" for line in _commands(document))


def _commands(document: Mapping[str, Any]) -> Iterator[str]:
    for implementation in document["implementations"]:
        judgement = judge(implementation, source(document, implementation))
        for cause in causes(implementation):
            checks = [one for one in cause.checks if not pardon(implementation, judgement, one)]
            if not checks:
                continue
            named = cause.diagnosis is not None
            what = headline(cause.diagnosis) if cause.diagnosis is not None else ""
            message = checks[0]["failure"]["message"]
            clauses = ", ".join(dict.fromkeys(id for one in checks for id in one["clauses"]))
            properties = {
                "file": file_of(implementation["target"]),
                "title": f"{implementation['name']} ({implementation['kind']}) fails {clauses}",
            }
            given = ",".join(
                f"{name}={_property(value)}" for name, value in properties.items() if value
            )
            yield f"::error {given}::{_data(one_line(f'{what}: {message}' if named else message))}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(one_line(text, LINE)).replace(":", "%3A").replace(",", "%2C")

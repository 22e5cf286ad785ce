"""A baseline: what of a run's results has to stay as good, as a small file of its own.

Its JSON schema is ``schemas/baseline.json`` beside this file. A ``results.json`` can stand for
one: it says the same, and more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rnn_conformance.errors import Refusal, UsageError
from rnn_conformance.results.formats import BASELINE, RESULTS
from rnn_conformance.results.identity import Identity
from rnn_conformance.results.reading import read
from rnn_conformance.results.records import Outcome
from rnn_conformance.results.verdict import FAILING, judge, source

CHOICES = {"profile": "", "select": [], "kinds": [], "level": "", "without": [], "device": "cpu"}
"""What decides which checks are run, and what that was where an older file says nothing."""

RAN = frozenset({Outcome.PASSED, Outcome.FAILED, Outcome.CRASHED, Outcome.TIMEOUT})
"""Outcomes of a check that asked the implementation something, and had an answer."""


@dataclass(frozen=True)
class Standing:
    """One implementation in one kind: ``conforms`` says that it was as it should be.

    ``judgement`` is that in a word, ``checks`` how many had an answer, ``clauses`` their
    outcomes by id, ``failures`` what failed, one a check.
    """

    name: str
    kind: str
    judgement: str
    conforms: bool
    checks: int
    clauses: Mapping[str, Outcome]
    failures: tuple[Identity, ...]

    @property
    def key(self) -> tuple[str, str]:
        """Its name and its kind."""
        return self.name, self.kind

    @classmethod
    def of(cls, implementation: Mapping[str, Any], run: Mapping[str, Any]) -> Standing:
        """Of an implementation of a document, and the run that tested it.

        Failures that are known, and are as they are known, are none here: they have a place of
        their own.
        """
        judgement = judge(implementation, run)
        checks = implementation["checks"]
        known = {check for entry in implementation.get("known", ()) for check in entry["checks"]}
        return cls(
            implementation["name"],
            implementation["kind"],
            judgement.value,
            judgement.green,
            sum(check["outcome"] in RAN for check in checks),
            {id: Outcome(outcome) for id, outcome in implementation["clauses"].items()},
            tuple(
                Identity.of(check)
                for check in checks
                if check["outcome"] in FAILING and check["check"] not in known
            ),
        )

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Standing:
        """From a baseline's plain values (see :meth:`to_record`)."""
        name, kind = record["name"], record["kind"]
        return cls(
            name,
            kind,
            record["judgement"],
            record["conforms"],
            record["checks"],
            {id: Outcome(outcome) for id, outcome in record["clauses"].items()},
            tuple(Identity.of_record(name, kind, failure) for failure in record["failures"]),
        )

    def to_record(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "name": self.name,
            "kind": self.kind,
            "judgement": self.judgement,
            "conforms": self.conforms,
            "checks": self.checks,
            "clauses": {id: outcome.value for id, outcome in self.clauses.items()},
            "failures": [failure.to_record() for failure in self.failures],
        }


@dataclass(frozen=True)
class Baseline:
    """How each implementation stood, and what was chosen; ``None`` where runs differed in that."""

    choices: Mapping[str, Any]
    standings: tuple[Standing, ...]

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Baseline:
        """Of a results document, merged or not."""
        run = document["run"]
        return cls(
            {name: run.get(name, default) for name, default in CHOICES.items()},
            tuple(
                Standing.of(implementation, source(document, implementation))
                for implementation in document["implementations"]
            ),
        )

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Baseline:
        """From a file's plain values (see :meth:`to_record`)."""
        standings = tuple(map(Standing.of_record, record["standings"]))
        return cls({**CHOICES, **record["run"]}, standings)

    def to_record(self) -> dict[str, Any]:
        """Plain JSON values: the file."""
        return {
            "schema_version": BASELINE.version,
            "run": dict(self.choices),
            "standings": [standing.to_record() for standing in self.standings],
        }

    def other_choices(self, choices: Mapping[str, Any]) -> list[str]:
        """In what a run with other choices differs: ``profile 'quick', not 'thorough'``."""
        return [
            f"{name} {_told(mine)}, not {_told(choices[name])}"
            for name, mine in self.choices.items()
            if mine is not None and mine != choices[name]
        ]


def read_baseline(path: Path) -> Baseline:
    """A baseline file, or what a results file comes to; raises ``UsageError`` for others."""
    file = read(path)
    if file.format is BASELINE:
        return Baseline.of_record(file.content)
    if file.format is RESULTS:
        return Baseline.of(file.content)
    raise UsageError(
        f"{path} is a {file.format.name} file; a baseline is a results.json, or what "
        "--update-baseline writes",
        Refusal.FILE,
    )


def _told(choice: Any) -> str:
    """A choice in words."""
    return (", ".join(choice) if isinstance(choice, list) else str(choice)) or "of everything"

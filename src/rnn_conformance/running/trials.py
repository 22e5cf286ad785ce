"""Trials of mutants: which there are, which checks each takes, and what counts as a kill.

A kill counts only if a check of a clause that the mutant breaks fails by what came back: an
exception on a legal call is no kill, unless the exception is the defect itself.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rnn_conformance import mutants
from rnn_conformance.checking.checks import Check, checks
from rnn_conformance.checking.examining import examine
from rnn_conformance.checking.subject import PROFILES, Profile, Subject
from rnn_conformance.errors import Sort, UsageError
from rnn_conformance.mutants import Mutant
from rnn_conformance.results.kill_matrix import Attempt, Trial
from rnn_conformance.results.records import Outcome
from rnn_conformance.running.selection import require, require_clauses, selects
from rnn_conformance.spec.config import Kind

QUICK = Profile("quick, without shrinking", PROFILES["quick"].cases, 0)
"""As many cases as in the quick profile; only whether a check fails, not the smallest case."""


@dataclass(frozen=True)
class Choice:
    """What to try; empty means everything.

    ``full`` asks for every check that can kill, not only for those up to the first kill.
    ``mutant`` is a part of the names, ``clauses`` are clauses or chapters: mutants that break
    them, and their checks alone. Raises ``UsageError`` for what does not exist.
    """

    full: bool = False
    kinds: tuple[str, ...] = ()
    clauses: tuple[str, ...] = ()
    mutant: str = ""
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "kinds", require(self.kinds, "kind", list(Kind)))
        object.__setattr__(self, "clauses", require_clauses(self.clauses))

    def selects(self, clause: str) -> bool:
        """Whether a clause is chosen."""
        return selects(self.clauses, clause)

    def trials(self) -> list[tuple[Mutant, Kind]]:
        """The mutants and kinds to try, kind by kind; raises ``UsageError`` if there are none."""
        named = [
            mutant for mutant in mutants.CATALOGUE if self.mutant.lower() in mutant.name.lower()
        ]
        if not named:
            raise UsageError(
                f"no mutant has {self.mutant!r} in its name; names are such as "
                f"{mutants.CATALOGUE[0].name!r} and {mutants.CATALOGUE[-1].name!r}"
            )
        trials = [
            (mutant, kind)
            for kind in Kind
            for mutant in named
            if kind in mutant.kinds
            and (not self.kinds or kind.value in self.kinds)
            and any(map(self.selects, mutant.clauses(kind)))
        ]
        if not trials:
            chosen = " and ".join([*self.kinds, *self.clauses]) or "everything"
            raise UsageError(
                f"none of the mutants with {self.mutant!r} in their names is tried in {chosen}"
                if self.mutant
                else f"no mutant breaks {' or '.join(self.clauses)} in {' or '.join(self.kinds)}"
            )
        return trials

    def due(self, mutant: Mutant, kind: Kind) -> list[Check]:
        """The checks to run, those first that are most likely to kill."""
        due = [
            check
            for check in checks()
            if kind in check.kinds
            and any(map(self.selects, check.clauses))
            # Another check's failure would be no kill.
            and mutant.clauses(kind).intersection(check.clauses)
        ]
        return sorted(due, key=functools.partial(likelihood, mutant, kind), reverse=True)


def likelihood(mutant: Mutant, kind: Kind, check: Check) -> float:
    """How likely a check is to kill a mutant, on a scale of its own; ties keep their order."""
    return len(mutant.clauses(kind).intersection(check.clauses)) / len(check.clauses)


def attempt(mutant: Mutant, kind: Kind, check: Check, seed: int = 0) -> Attempt:
    """Run one check on one mutant."""
    subject = Subject(mutant.implementation(kind), kind, QUICK, seed)
    return judged(mutant, examine(check, subject).to_record())


def judged(mutant: Mutant, record: Mapping[str, Any]) -> Attempt:
    """What a check found, and whether it counts as a kill."""
    failure = record["failure"]
    return Attempt(
        check=record["check"],
        outcome=Outcome(record["outcome"]),
        kill=kills(mutant, record),
        cases=record["cases"],
        seconds=round(record["seconds"], 4),
        message=failure["message"] if failure else record["reason"],
        sort=Sort(failure["sort"]) if failure else None,
    )


def kills(mutant: Mutant, record: Mapping[str, Any]) -> bool:
    """Whether a check's failure is a kill."""
    if record["outcome"] != Outcome.FAILED or mutant.breaks.isdisjoint(record["clauses"]):
        return False
    return mutant.crashes or record["failure"]["sort"] != Sort.RAISED


def try_out(mutant: Mutant, kind: Kind, choice: Choice = Choice()) -> Trial:
    """One mutant in one kind, in this process, up to the first kill or by every check."""
    attempts: list[Attempt] = []
    for check in choice.due(mutant, kind):
        attempts.append(attempt(mutant, kind, check, choice.seed))
        if attempts[-1].kill and not choice.full:
            break
    return trial(mutant, kind, attempts)


def trial(mutant: Mutant, kind: Kind, attempts: list[Attempt]) -> Trial:
    """The attempts at one mutant in one kind, as a record."""
    return Trial(mutant.name, str(kind), tuple(sorted(mutant.clauses(kind))), tuple(attempts))

"""What is behind failures that are no matter of a call's results: measured, one thing at a time.

Dropout, initial values, which parameters a call uses and what is accepted that has to be refused
are not told by comparing results with those of a deviation. For each cause an experiment is made
that shows this cause and no other; those of the failing check's clauses are made.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

import numpy as np

from rnn_conformance.checking.subject import Subject
from rnn_conformance.errors import interrupts
from rnn_conformance.spec.cases import Case
from rnn_conformance.spec.config import Config


@dataclass(frozen=True, eq=False)
class Cause:
    """One thing that is done otherwise.

    ``name`` follows "what is wrong: "; ``fix`` is one sentence or two; ``clauses`` those that fail
    with it. ``seen`` makes the experiment and says in words how the cause was seen, and nothing
    where it was not; whatever it raises, nothing was seen.
    """

    name: str
    fix: str
    clauses: frozenset[str]
    seen: Callable[[Subject], str] = field(repr=False)
    source: str = "common mistake"


class Experiments(list[Cause]):
    """The causes of a chapter, in the order in which they are looked for: the plainest first."""

    def add(
        self, name: str, clauses: str, *, fix: str
    ) -> Callable[[Callable[[Subject], str]], Callable[[Subject], str]]:
        """Decorate the experiment of a cause of these clauses, by spaces apart."""

        def experiment(seen: Callable[[Subject], str]) -> Callable[[Subject], str]:
            self.append(Cause(name, fix, frozenset(clauses.split()), seen))
            return seen

        return experiment


def cause_of(
    subject: Subject, clauses: Collection[str], causes: Collection[Cause]
) -> tuple[Cause, str] | None:
    """The first cause of a failure of these clauses that its experiment shows, and how."""
    for cause in causes:
        if cause.clauses.isdisjoint(clauses):
            continue
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                if seen := cause.seen(subject):
                    return cause, seen
        # What is wrong in another way may not bear the experiment.
        except BaseException as error:
            if interrupts(error):
                raise
    return None


def declared(subject: Subject, case: Case) -> Case:
    """The case, if all that it needs is declared; raises ``LookupError`` otherwise."""
    declaration = subject.implementation.declaration
    if case.features <= declaration.features and case.dtype in declaration.dtypes:
        return case
    raise LookupError(f"{case.config} is not declared")


def sized(subject: Subject, hidden_size: int = 16, input_size: int = 8) -> Config:
    """A plain layer of the subject's kind."""
    return Config(subject.kind, input_size, hidden_size)

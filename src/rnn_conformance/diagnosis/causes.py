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
from rnn_conformance.implementations.process import contained
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.cases import Case, State, Values
from rnn_conformance.spec.config import Config, Dtype, Feature


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
            # What it changes in the process is set back, as after every other way into it.
            with contained(), warnings.catch_warnings(), np.errstate(all="ignore"):
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
    if declaration.allows(case.features) and case.dtype in declaration.dtypes:
        return case
    raise LookupError(f"{case.config} is not declared")


def finest(subject: Subject) -> Dtype:
    """The dtype in which least is lost; in half a type too much is, for anything to be measured."""
    dtypes = subject.implementation.declaration.dtypes
    return Dtype.FLOAT64 if Dtype.FLOAT64 in dtypes else Dtype.FLOAT32


def plain_call(subject: Subject, dtype: Dtype, sizes: tuple[int, int], seed: int) -> Call:
    """A few steps of two samples through one layer of ``(input_size, hidden_size)``.

    Without a state, where it need not be given; raises ``LookupError`` for what is not declared.
    """
    features = subject.implementation.declaration.features
    state = State.OMITTED if Feature.OMITTED_STATE in features else State.GIVEN
    steps = 1 if subject.kind.is_cell else 3
    config = Config(subject.kind, *sizes)
    case = Case(config, steps, 2, dtype, state=state, values=Values.TYPICAL, seed=seed)
    return declared(subject, case).call()

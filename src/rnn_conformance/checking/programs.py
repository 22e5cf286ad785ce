"""Sequences of calls: what programs do with a layer, one step after another.

A program is drawn by Hypothesis as a list of steps and shrinks by leaving steps out.
Every forward step is compared with the oracle on the parameters that the layer has at that
moment, so whatever a layer remembers and should not (packed weights, a buffer, a state, a
mask, the shape of the call before) shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from hypothesis import strategies as st

from rnn_conformance.checking.strategies import Cases
from rnn_conformance.implementations.interface import Declaration
from rnn_conformance.spec.cases import Case
from rnn_conformance.spec.config import Kind, Level


class Step(StrEnum):
    """One thing that a program does; simplest first."""

    FORWARD = "forward"
    WITHOUT_STATE = "forward without a state"
    OTHER_LENGTH = "forward with another length"
    OTHER_BATCH = "forward with another batch size"
    OTHER_INPUT = "forward with other input"
    UNBATCHED = "forward with one sample, unbatched"
    PACKED = "forward with packed input"
    TRAIN = "train()"
    EVAL = "eval()"
    BACKWARD = "forward and backward"
    OPTIMISER = "a step of an optimiser"
    IN_PLACE = "change a parameter in place"
    DATA = "assign to a parameter's data"
    LOAD = "load_state_dict"
    CAST = "cast to another dtype and back"
    FLATTEN = "flatten_parameters()"
    COPY = "deepcopy, and go on with the copy"
    PICKLE = "pickle, and go on with what is loaded"
    KEEP = "forward, and keep the result"
    OVERWRITE = "forward, and overwrite the result"
    ZERO_GRAD = "zero_grad()"


NEEDS = {
    Level.INFERENCE: {Step.EVAL, Step.KEEP, Step.OVERWRITE},
    Level.TRAINING: {Step.TRAIN, Step.BACKWARD, Step.OPTIMISER, Step.ZERO_GRAD},
}
"""The least level at which a step is due; those that are not here are a drop-in class' matter."""

CALLS = (
    Step.FORWARD,
    Step.WITHOUT_STATE,
    Step.OTHER_LENGTH,
    Step.OTHER_BATCH,
    Step.OTHER_INPUT,
    Step.UNBATCHED,
    Step.PACKED,
)


@dataclass(frozen=True)
class Program:
    """A layer and its first call (``case``), and what is then done with it."""

    case: Case
    steps: tuple[Step, ...]

    def to_record(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**self.case.to_record(), "steps": [str(step) for step in self.steps]}


@dataclass(frozen=True)
class Programs:
    """Programs of these steps, between calls, on cases of a family."""

    cases: Cases
    steps: tuple[Step, ...]

    def conclude(self) -> None:
        """That nothing failed is a pass."""

    def due(self, level: Level) -> tuple[Step, ...]:
        """Those of the steps that an implementation of this level has to take."""
        if level is Level.DROP_IN:
            return self.steps
        due = {*CALLS}.union(*(NEEDS[each] for each in NEEDS if each.rank <= level.rank))
        return tuple(step for step in self.steps if step in due)

    def strategy(self, kind: Kind, declaration: Declaration) -> st.SearchStrategy[Program]:
        """The programs for one kind of one implementation.

        Raises ``Unsupported`` where the family does.
        """
        own = self.due(declaration.level) or CALLS
        # Two draws in three are what the check is about: with calls alone, nothing changes.
        step = st.sampled_from(CALLS) | st.sampled_from(own) | st.sampled_from(own)
        return st.builds(
            Program,
            self.cases.strategy(kind, declaration),
            # A call comes first: what is to become stale must be made.
            st.lists(step, min_size=2, max_size=7).map(lambda steps: (Step.FORWARD, *steps)),
        )

"""Final states that are taken from where they are not: another step, another result (DIR-3, PCK-3).

A sequence's final state is the one after its own last step, in the direction's own order of time.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rnn_conformance.deviations.deviation import Chapter, Deviant
from rnn_conformance.reference.oracle import Answer, Trace
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.clauses import LAYERS
from rnn_conformance.spec.config import Feature, Kind

ENDS = Chapter[Deviant]()


def _ended(states: tuple[str, ...], directions: tuple[int, ...], steps: str) -> type[Deviant]:
    """An oracle that takes these final states, in these directions, from elsewhere."""

    def taken(trace: Trace, states: Array) -> Array:
        first = trace.steps.argmax(axis=0)
        last = first + trace.steps.sum(axis=0)
        # Behind a step stands the state after it, at its number plus one.
        at = {"first": first + 1, "last but one": last - 1}[steps]
        chosen: Array = states[at, np.arange(states.shape[1])]
        return chosen

    class Ended(Deviant):
        def answer(self, call: Call) -> Answer:
            answer = super().answer(call)
            changed = {}
            for name in states:
                array = getattr(answer, f"{name}_n").copy()
                for index, (layer, direction) in enumerate(call.config.places()):
                    if direction in directions:
                        trace = answer.traces[layer][direction]
                        array[index] = taken(trace, getattr(trace, name))
                changed[f"{name}_n"] = array
            return replace(answer, **changed)

    return Ended


for kinds, states, what in (
    (LAYERS, ("h",), "h_n"),
    ([Kind.LSTM], ("c",), "c_n"),
    ([Kind.LSTM], ("h", "c"), "h_n and c_n"),
):
    for directions, which, end, needs in (
        ((1,), "the reverse direction", "at each sequence's first step", [Feature.BIDIRECTIONAL]),
        ((0,), "the forward direction", "at each sequence's last step", []),
    ):
        clauses = "DIR-3" if directions == (1,) else "LAY-3 EQ-1 EQ-2 EQ-3"
        ENDS.add(
            f"{what} of {which} taken after the step with which it begins",
            clauses,
            fix=f"Take the final states of {which} from where it ends, {end}.",
            kinds=kinds,
            needs=needs,
        )(_ended(states, directions, "first"))
        ENDS.add(
            f"{what} of {which} taken one step before its end",
            clauses,
            fix=f"Take the final states of {which} after the step with which it ends, {end}: the "
            "state before that step is one too early.",
            kinds=kinds,
            needs=needs,
        )(_ended(states, directions, "last but one"))

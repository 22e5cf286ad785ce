"""What is done in pieces of any number of steps (STA-2, GRD-2).

Not in the catalogue, which has the powers of two: there are a hundred, and they show in long
sequences alone. They are tried where nothing in the catalogue fits what is wrong in these.
"""

from __future__ import annotations

from functools import cache

from rnn_conformance.deviations.defect import COMMON
from rnn_conformance.deviations.deviation import Deviant, Deviation
from rnn_conformance.deviations.gradient_flows import windowed
from rnn_conformance.deviations.tails import in_pieces
from rnn_conformance.reference.derivatives import Adjoint
from rnn_conformance.spec.clauses import LAYERS

STEPS = range(3, 130)
"""The lengths of the pieces: what fits in a test by hand, and the first after 128."""


@cache
def gradient_windows() -> tuple[Deviation[Adjoint], ...]:
    """The gradient over time cut every so many steps."""
    return tuple(
        Deviation(
            name=f"the gradient over time cut every {steps} steps",
            breaks=frozenset({"GRD-2"}),
            kinds=LAYERS,
            needs=frozenset(),
            source="Williams & Peng (1990), truncated backpropagation through time",
            fix="Let the gradient flow back through the whole sequence within a call: do not "
            f"detach h (and c) every {steps} steps. Truncation belongs between calls.",
            variant=windowed(steps),
        )
        for steps in STEPS
    )


@cache
def windows() -> tuple[Deviation[Deviant], ...]:
    """The state begun anew every so many steps, from zero or as it began."""
    return tuple(
        Deviation(
            name=f"the state begun anew from {anew} every {steps} steps",
            breaks=frozenset({"STA-2", "EQ-6", "EQ-7"}),
            kinds=LAYERS,
            needs=frozenset(),
            source=COMMON,
            fix="Carry the state on through all steps: where a sequence is done in pieces of "
            f"{steps}, each goes on from the end of the one before.",
            variant=in_pieces(steps, frozenset("hc"), initial=initial),
        )
        for steps in STEPS
        for initial, anew in ((False, "zero"), (True, "the initial state"))
    )

"""What is clipped, and to which limits (EQ-2, EQ-5).

Not in the catalogue, which has those that were seen: the others are tried where nothing in it fits.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from rnn_conformance.deviations.changes import with_cell, with_states
from rnn_conformance.deviations.defect import COMMON
from rnn_conformance.deviations.deviation import Deviant, Deviation
from rnn_conformance.deviations.specials import with_input
from rnn_conformance.reference.oracle import Weights
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.config import Config, Kind

LIMITS = (1, 2, 3, 5, 6, 8, 10, 15, 20, 30, 50, 100)
"""Round numbers, and those that clipped activations are known by."""


def _sums(limit: float) -> type[Deviant]:
    """Of what a step's activations are taken of."""

    class Sums(Deviant):
        def step(
            self, config: Config, weights: Weights, zx: Array, h: Array, c: Array
        ) -> tuple[Array, Array, Array, Array]:
            zh = self.state_side(weights, h)
            clipped = np.clip(zx + zh, -limit, limit)
            return super().step(config, weights, clipped - zh, h, c)

    return Sums


@cache
def limits(kind: Kind) -> tuple[Deviation[Deviant], ...]:
    """All of a kind's."""
    made: list[tuple[str, type[Any]]] = []
    for limit in LIMITS:
        made.append((f"the input clipped to ±{limit}", with_input(_clip(limit))))
        if kind.layer is Kind.LSTM:
            made.append((f"c clipped to ±{limit}", with_cell(_clip(limit))))
            made.append(
                (f"c clipped to ±{limit} after its tanh is taken", with_states("c", _clip(limit)))
            )
        if kind.layer is Kind.RNN:
            made.append((f"h clipped to ±{limit}", with_states("h", _clip(limit))))
        if kind.layer is not Kind.GRU:
            made.append((f"pre-activations clipped to ±{limit}", _sums(limit)))
    return tuple(
        Deviation(
            name=name,
            breaks=frozenset({"EQ-5", "CEL-2"}),
            kinds=frozenset({kind.layer, kind.layer.cell}),
            needs=frozenset(),
            source=COMMON,
            fix="Clip nothing: tanh and the sigmoid need no limits, and states have none.",
            variant=variant,
        )
        for name, variant in made
    )


def _clip(limit: float) -> Any:
    return lambda x: np.clip(x, -limit, limit)

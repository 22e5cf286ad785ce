"""Rows read for others, biases for one another, and sides of a gate off by a factor.

Not in the catalogue, as the orders of gates in some of the parameters are not (``part_orders``):
there are a hundred for an LSTM. They are tried where nothing in the catalogue fits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import permutations

import numpy as np

from rnn_conformance.deviations.defect import COMMON
from rnn_conformance.deviations.deviation import Deviant, Deviation, rows
from rnn_conformance.reference.oracle import Weights
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.config import Kind

PARAMETERS = {"w_ih": "weight_ih", "w_hh": "weight_hh", "b_ih": "bias_ih", "b_hh": "bias_hh"}

FACTORS = {"doubled": 2.0, "halved": 0.5, "negated": -1.0}

Rows = tuple[str, int]
"""The block of rows of a gate, by its number, in a parameter."""


def _block(call: Call, number: int) -> slice:
    size = call.config.hidden_size
    return slice(number * size, (number + 1) * size)


def _read(due: Rows, taken: Rows) -> type[Deviant]:
    """An oracle that takes one block of rows where another is due, of the same width."""

    class Read(Deviant):
        def weights(self, call: Call, layer: int, direction: int) -> Weights:
            weights = super().weights(call, layer, direction)
            array = getattr(weights, due[0]).copy()
            array[_block(call, due[1])] = getattr(weights, taken[0])[_block(call, taken[1])]
            return replace(weights, **{due[0]: array})

    return Read


def _begun(part: str, number: int, by: int) -> type[Deviant]:
    """An oracle that reads a gate's rows from so many rows further on, around the ends."""

    class Begun(Deviant):
        def weights(self, call: Call, layer: int, direction: int) -> Weights:
            weights = super().weights(call, layer, direction)
            array = getattr(weights, part)
            taken, block = array.copy(), _block(call, number)
            taken[block] = np.roll(array, -by, axis=0)[block]
            return replace(weights, **{part: taken})

    return Begun


def _scaled(side: str, number: int, count: int, factor: float) -> type[Deviant]:
    """An oracle in which what one side gives to one gate is off by a factor."""

    def scaled(z: Array) -> Array:
        size, z = z.shape[-1] // count, z.copy()
        z[..., number * size : (number + 1) * size] *= factor
        return z

    class OfInput(Deviant):
        def input_side(self, weights: Weights, x: Array) -> Array:
            return scaled(super().input_side(weights, x))

    class OfState(Deviant):
        def state_side(self, weights: Weights, h: Array) -> Array:
            return scaled(super().state_side(weights, h))

    return OfInput if side == "i" else OfState


def _described(kind: Kind) -> Iterator[tuple[str, str, type[Deviant]]]:
    """The name, the fix and the variant of each."""
    gates = kind.gates if len(kind.gates) > 1 else ("",)
    for number, gate in enumerate(gates):
        for side, product in (("i", "x"), ("h", "h")):
            term = f"W_{side}{gate or side} {product} + b_{side}{gate or side}"
            for word, factor in FACTORS.items():
                yield (
                    f"{term} {word}",
                    f"Add {term} as it is to the pre-activation.",
                    _scaled(side, number, len(gates), factor),
                )
    for (to, due), (of, taken) in permutations(enumerate(gates), 2):
        for part, name in PARAMETERS.items():
            yield (
                f"the rows of {taken} in {name} read for {due}",
                f"Read rows {rows(to)} of {name} for the gate {due}, and rows {rows(of)} for the "
                f"gate {taken} alone.",
                _read((part, to), (part, of)),
            )
    for number, gate in enumerate(gates):
        for part, name in PARAMETERS.items():
            for by, when in ((-1, "early"), (1, "late")):
                yield (
                    f"the rows of {gate or 'the only gate'} in {name} begun one {when}",
                    f"Read rows {rows(number)} of {name} for the gate {gate}."
                    if gate
                    else f"Read all rows of {name}, from the first on.",
                    _begun(part, number, by),
                )
    for number, gate in enumerate(gates):
        for part, other in (("b_ih", "b_hh"), ("b_hh", "b_ih")):
            yield (
                f"the rows of {gate or 'the only gate'} in {PARAMETERS[other]} read for those in "
                f"{PARAMETERS[part]}",
                f"Read {PARAMETERS[part]} where it is due: both biases count.",
                _read((part, number), (other, number)),
            )


@cache
def part_rows(kind: Kind) -> tuple[Deviation[Deviant], ...]:
    """All of a kind's."""
    equation = {Kind.RNN: "EQ-1", Kind.LSTM: "EQ-2", Kind.GRU: "EQ-3"}[kind.layer]
    return tuple(
        Deviation(
            name=name,
            breaks=frozenset({equation, "CEL-2"}),
            kinds=frozenset({kind.layer, kind.layer.cell}),
            needs=frozenset(),
            source=COMMON,
            fix=fix,
            variant=variant,
        )
        for name, fix, variant in _described(kind.layer)
    )

"""What breaks a law that needs no reference: causality, symmetries, closed forms (INV, DIR-5)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rnn_conformance.deviations.deviation import Chapter, Deviant
from rnn_conformance.reference.oracle import Answer, Trace, Weights
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.clauses import ALL, LAYERS
from rnn_conformance.spec.config import Dtype, Feature

LAWS = Chapter[Deviant]()


@LAWS.add(
    "the next step's input read beside each step's own",
    "DIR-5",
    fix="Read input[t] alone at step t: nothing of the next step may enter it.",
    kinds=LAYERS,
)
class _LooksAhead(Deviant):
    def scan(
        self, call: Call, layer: int, direction: int, x: Array, steps: NDArray[np.bool_]
    ) -> Trace:
        ahead = np.concatenate([x[1:], x[-1:]])
        return super().scan(call, layer, direction, x + 0.25 * ahead, steps)


@LAWS.add(
    "the input's mean over time subtracted",
    "DIR-5",
    fix="Read the input as it is, without centring it over time: at step t a forward "
    "direction depends on input[:t + 1] alone.",
    kinds=LAYERS,
)
class _Centred(Deviant):
    def answer(self, call: Call) -> Answer:
        mean = call.input.mean(axis=0, keepdims=True)
        return super().answer(call.replace(input=call.input - mean))


@LAWS.add(
    "the first unit's recurrent weights multiplied by 1.5",
    "INV-2",
    fix="Use weight_hh as given: the first unit's row of each gate is multiplied by 1.5 here, "
    "and all units are alike.",
    kinds=LAYERS,
)
class _FirstUnit(Deviant):
    def weights(self, call: Call, layer: int, direction: int) -> Weights:
        weights = super().weights(call, layer, direction)
        w_hh = weights.w_hh.copy()
        w_hh[:: call.config.hidden_size] *= 1.5
        return replace(weights, w_hh=w_hh)


@LAWS.add(
    "the first input feature's weights multiplied by 1.5",
    "INV-2",
    fix="Use weight_ih as given: its first column is multiplied by 1.5 here, and all input "
    "features are alike.",
    kinds=LAYERS,
)
class _FirstFeature(Deviant):
    def weights(self, call: Call, layer: int, direction: int) -> Weights:
        weights = super().weights(call, layer, direction)
        w_ih = weights.w_ih.copy()
        w_ih[:, 0] *= 1.5
        return replace(weights, w_ih=w_ih)


@LAWS.add(
    "0.01 added to the pre-activations",
    "INV-3",
    fix="Add nothing but bias_ih to W_ih x: no constant of 0.01, so that zero parameters give "
    "zero pre-activations.",
    kinds=LAYERS,
)
class _Offset(Deviant):
    def input_side(self, weights: Weights, x: Array) -> Array:
        return super().input_side(weights, x) + 0.01


@LAWS.add(
    "the recurrent weights transposed in the reverse direction",
    "INV-4",
    fix="Compute h @ weight_hh.T in the reverse direction as in the forward one: "
    "weight_hh_l0_reverse is laid out as weight_hh_l0.",
    kinds=LAYERS,
    needs=[Feature.BIDIRECTIONAL],
)
class _OneDirection(Deviant):
    def weights(self, call: Call, layer: int, direction: int) -> Weights:
        weights = super().weights(call, layer, direction)
        if not direction:
            return weights
        size = weights.w_hh.shape[1]
        blocks = [b.T if b.shape == (size, size) else b for b in _blocks(weights.w_hh, call)]
        return replace(weights, w_hh=np.concatenate(blocks))


def _blocks(array: Array, call: Call) -> list[Array]:
    """The rows of each gate."""
    return np.split(array, len(call.config.kind.gates))


@LAWS.add(
    "a given state that decays on its way into a cell",
    "CEL-3",
    fix="Start a cell's step from the given state itself, without a factor such as 0.99.",
    kinds=ALL - LAYERS,
    needs=[Feature.INITIAL_STATE],
)
class _Decaying(Deviant):
    def initial_state(self, call: Call, layer: int, direction: int) -> tuple[Array, Array]:
        h, c = super().initial_state(call, layer, direction)
        return 0.99 * h, 0.99 * c


_NORMAL = {Dtype.FLOAT64: -1022, Dtype.FLOAT32: -126, Dtype.BFLOAT16: -126, Dtype.FLOAT16: -14}
"""The exponent of the smallest normal number."""


@LAWS.add(
    "subnormal input taken for NaN",
    "SPC-3",
    fix="Read subnormal input as the tiny number that it is, or as zero: it must not be taken "
    "for NaN.",
    kinds=LAYERS,
)
class _Subnormal(Deviant):
    def answer(self, call: Call) -> Answer:
        small = (np.abs(call.input) < 2.0 ** _NORMAL[call.dtype]) & (call.input != 0.0)
        return super().answer(call.replace(input=np.where(small, np.nan, call.input)))

"""Special values repaired, clipped or flushed (SPC)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rnn_conformance.deviations.deviation import EQUATIONS, Chapter, Deviant
from rnn_conformance.reference.oracle import Answer, Trace, Weights
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.clauses import LAYERS
from rnn_conformance.spec.config import Config, Feature, Kind

SPECIALS = Chapter[Deviant]()


def with_input(change: Callable[[Array], Array]) -> type[Deviant]:
    """An oracle that changes its input first."""

    class WithInput(Deviant):
        def answer(self, call: Call) -> Answer:
            return super().answer(call.replace(input=change(call.input)))

    return WithInput


def _finite(array: Array) -> Array:
    """NaN and infinities replaced by zero."""
    return np.where(np.isfinite(array), array, 0.0)


for name, fix, breaks, source, change in (
    (
        "NaN in the input replaced by zero",
        "Read NaN in the input as NaN, without nan_to_num: it reaches its own sample from "
        "that step on.",
        "SPC-1 CEL-2",
        "torch.nan_to_num",
        lambda x: np.where(np.isnan(x), 0.0, x),
    ),
    (
        "infinite input replaced by zero",
        "Read infinite input as it is: it saturates the gates as the equations say, "
        "sigmoid(inf) = 1 and tanh(-inf) = -1.",
        "SPC-2 CEL-2",
        "common mistake",
        lambda x: np.where(np.isinf(x), 0.0, x),
    ),
    (
        "the input clipped to ±2",
        "Read the input as it is, without clipping it to ±2.",
        EQUATIONS + " EQ-5",
        "common mistake",
        lambda x: np.clip(x, -2.0, 2.0),
    ),
    (
        "the input clipped to ±10",
        "Read the input as it is, without clipping it to ±10: large input saturates the gates "
        "by itself.",
        EQUATIONS + " EQ-5 SPC-2",
        "common mistake",
        lambda x: np.clip(x, -10.0, 10.0),
    ),
    (
        "the input's magnitude in place of the input",
        "Read the input with its sign, without taking its absolute value.",
        EQUATIONS,
        "common mistake",
        np.abs,
    ),
    (
        "input below 1/64 taken for zero",
        "Read small input as it is: what is nearer to zero than 1/64 counts like any other number.",
        EQUATIONS + " EQ-5",
        "common mistake",
        lambda x: np.where(np.abs(x) < 2.0**-6, 0.0, x),
    ),
):
    SPECIALS.add(name, breaks, fix=fix, source=source)(with_input(change))


@SPECIALS.add(
    "NaN in the results replaced by zero",
    "SPC-1 CEL-2",
    fix="Return NaN where the equations give NaN, without nan_to_num on the results.",
    source="torch.nan_to_num",
)
class _Repaired(Deviant):
    def present(self, call: Call, answer: Answer) -> dict[str, Array]:
        given = super().present(call, answer)
        return {name: np.where(np.isnan(array), 0.0, array) for name, array in given.items()}


@SPECIALS.add(
    "a NaN in the input kept out of the state",
    "SPC-1",
    fix="Compute a step with NaN in its input like any other: NaN then stays in that sample's "
    "state and in its outputs from that step on.",
    kinds=LAYERS,
)
class _Skipped(Deviant):
    def answer(self, call: Call) -> Answer:
        if not np.isnan(call.input).any():
            return super().answer(call)
        answer = super().answer(call.replace(input=_finite(call.input)))
        missing = np.isnan(call.input).any(axis=2, keepdims=True)
        return replace(answer, output=np.where(missing, np.nan, answer.output))


@SPECIALS.add(
    "a step skipped in which the input is zero",
    "SPC-3",
    fix="Compute a step whose input is all zero like any other: it is no padding, and with biases "
    "and a state the new state is another one.",
    kinds=LAYERS,
    source="keras.layers.Masking",
)
class _Masked(Deviant):
    def scan(
        self, call: Call, layer: int, direction: int, x: Array, steps: NDArray[np.bool_]
    ) -> Trace:
        self.read = x.any(axis=-1)
        return super().scan(call, layer, direction, x, steps)

    def recur(
        self,
        config: Config,
        weights: Weights,
        zx: Array,
        h: Array,
        c: Array,
        steps: NDArray[np.bool_],
    ) -> tuple[Array, Array, Array, Array]:
        return super().recur(config, weights, zx, h, c, steps & self.read)


@SPECIALS.add(
    "a relu layer's output clipped to the largest float16",
    "EQ-5 SPC-2 CEL-2",
    fix="Leave relu's output unclipped: 65504 is the largest number of float16 alone, and "
    "there larger ones are infinite.",
    kinds=[Kind.RNN, Kind.RNN_CELL],
    needs=[Feature.RELU],
)
class _Saturated(Deviant):
    def answer(self, call: Call) -> Answer:
        answer = super().answer(call)
        return replace(
            answer,
            output=np.clip(answer.output, -65504.0, 65504.0),
            h_n=np.clip(answer.h_n, -65504.0, 65504.0),
        )

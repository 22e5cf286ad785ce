"""The sums of a step's backward pass, less one part each (GRD-1)."""

from __future__ import annotations

import numpy as np

from rnn_conformance.deviations.deviation import GRUS, LSTMS, Chapter
from rnn_conformance.reference.derivatives import Adjoint, Slopes
from rnn_conformance.reference.oracle import Weights
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.config import Config, Kind

GRADIENT_PARTS = Chapter[Adjoint]("GRD-1")


def _only(array: Array, number: int, count: int) -> Array:
    """``(…, G*H)`` of ``count`` gates, zero but for one of them."""
    blocks = np.split(array, count, axis=-1)
    return np.concatenate(
        [block if n == number else np.zeros_like(block) for n, block in enumerate(blocks)],
        axis=-1,
    )


def _input_without(number: int, count: int) -> type[Adjoint]:
    class InputWithout(Adjoint):
        def to_input(self, weights: Weights, zx: Array) -> Array:
            return super().to_input(weights, zx - _only(zx, number, count))

    return InputWithout


def _state_without(number: int, count: int) -> type[Adjoint]:
    class StateWithout(Adjoint):
        def step(
            self, config: Config, weights: Weights, by: Slopes, t: int, h: Array, c: Array
        ) -> tuple[Array, Array, Array, Array]:
            upstream, zh, past, before = super().step(config, weights, by, t, h, c)
            return upstream, zh, past - _only(zh, number, count) @ weights.w_hh, before

    return StateWithout


def _cell_without(number: int | None, *, through: str) -> type[Adjoint]:
    """``number`` is the gate that the sum is taken for, ``None`` is c before the step."""

    class CellWithout(Adjoint):
        def step(
            self, config: Config, weights: Weights, by: Slopes, t: int, h: Array, c: Array
        ) -> tuple[Array, Array, Array, Array]:
            upstream, zh, past, before = super().step(config, weights, by, t, h, c)
            if by.cell is None or by.carry is None:
                return upstream, zh, past, before
            m = self.through_projection(weights, t, h)
            lost = m * by.cell[t] if through == "h'" else c
            if number is None:
                return upstream, zh, past, before - lost * by.carry[t]
            missing = _only(np.concatenate([lost] * 4, axis=-1), number, 4)
            missing_zh = by.h[t] * missing
            return upstream - missing, zh - missing_zh, past - missing_zh @ weights.w_hh, before

    return CellWithout


for kinds, kind in ((LSTMS, Kind.LSTM), (GRUS, Kind.GRU)):
    for number, gate in enumerate(kind.gates):
        for what, product, without in (
            ("input", "weight_ih", _input_without),
            ("state", "weight_hh", _state_without),
        ):
            GRADIENT_PARTS.add(
                f"the gradient of the {what} without what comes by the gate {gate} of {kind}",
                fix=f"Every gate reads the {what}: its gradient is the sum over all gates of each "
                f"one's gradient times its rows of {product}.",
                kinds=kinds,
            )(without(number, len(kind.gates)))

SUM = (
    "c' is read by tanh(c') in h' and by the step after: the gradients of both are added up, and "
    "the sum is what i, f, g and, times f, c before the step are given."
)
for source, words in (("h'", "by h'"), ("c", "from the step after")):
    for number, gate in enumerate(Kind.LSTM.gates[:3]):
        GRADIENT_PARTS.add(
            f"the gradient of c' without what comes {words}, for the gate {gate} of LSTM",
            fix=SUM,
            kinds=LSTMS,
        )(_cell_without(number, through=source))
GRADIENT_PARTS.add(
    "the gradient of c before a step without what comes by h'", fix=SUM, kinds=LSTMS
)(_cell_without(None, through="h'"))

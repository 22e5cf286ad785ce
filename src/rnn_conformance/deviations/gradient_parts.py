"""The sums of a step's backward pass, less one part each (GRD-1)."""

from __future__ import annotations

import numpy as np

from rnn_conformance.deviations.deviation import GRUS, LSTMS, Chapter
from rnn_conformance.deviations.gates import transposed
from rnn_conformance.reference.derivatives import Adjoint, Backtrace, Slopes, projected
from rnn_conformance.reference.oracle import Trace, Weights
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.config import Config, Feature, Kind, Role

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


# What the projection's weights and the way back through the recurrence are given.


def _of_projection(*, recurring: bool) -> type[Adjoint]:
    """The gradient of ``weight_hr`` by what recurs alone, or by what is emitted alone."""

    class OfProjection(Adjoint):
        def of_parameters(
            self, call: Call, layer: int, direction: int, trace: Trace, back: Backtrace
        ) -> dict[Role, Array]:
            gradients = super().of_parameters(call, layer, direction, trace, back)
            if trace.weights.w_hr is None:
                return gradients
            later = np.zeros_like(back.d_h)
            following = trace.steps[1:, :, None]
            later[:-1] = np.where(following, back.zh[1:] @ trace.weights.w_hh, 0.0)
            some = later if recurring else back.d_h - later
            here = trace.steps[:, :, None]
            some, m = (np.where(here, array, 0.0) for array in (some, projected(trace)))
            return {**gradients, Role.WEIGHT_HR: self.outer(some, m)}

    return OfProjection


for recurring, words in ((True, "is emitted"), (False, "recurs")):
    GRADIENT_PARTS.add(
        f"the gradient of weight_hr without what comes by the h' that {words}",
        fix="The projected h' is emitted, and recurs: the gradient of weight_hr is the sum over "
        "all steps of the gradient of h' by both times o * tanh(c').",
        kinds=[Kind.LSTM],
        needs=[Feature.PROJECTION],
    )(_of_projection(recurring=recurring))


@GRADIENT_PARTS.add(
    "the gradient of h passed back through weight_hh transposed",
    fix="The gradient of h is dz @ weight_hh, where the forward pass has h @ weight_hh.T: one "
    "transpose is missing or too many.",
)
class _BackThroughTransposed(Adjoint):
    def step(
        self, config: Config, weights: Weights, by: Slopes, t: int, h: Array, c: Array
    ) -> tuple[Array, Array, Array, Array]:
        upstream, zh, past, before = super().step(config, weights, by, t, h, c)
        other = transposed(weights.w_hh, config.hidden_size)
        return upstream, zh, past + zh @ (other - weights.w_hh), before

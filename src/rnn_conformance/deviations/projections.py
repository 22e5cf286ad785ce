"""LSTM projections that do not project, or project something else (EQ-2, SHP-3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rnn_conformance.deviations.deviation import Chapter, Deviant
from rnn_conformance.reference.oracle import Answer, Trace, Weights
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.config import Feature, Kind

PROJECTIONS = Chapter[Deviant]()
_LSTM = (Kind.LSTM,)
_NEEDS = (Feature.PROJECTION,)


@PROJECTIONS.add(
    "the first units in place of the projection",
    "EQ-2",
    fix="Multiply the output by the projection, h' = W_hr (o * tanh(c')) with weight_hr of "
    "shape (proj_size, H), instead of keeping its first proj_size units.",
    kinds=_LSTM,
    needs=_NEEDS,
)
class _FirstUnits(Deviant):
    def lstm_step(self, gates: Array, c: Array, w_hr: Array | None) -> tuple[Array, Array]:
        h, c = super().lstm_step(gates, c, None)
        return (h if w_hr is None else h[:, : len(w_hr)]), c


@PROJECTIONS.add(
    "the projection in the output, but the first units recurring",
    "EQ-2",
    fix="Let the projected state recur: the gates of the next step read h' = W_hr (o * "
    "tanh(c')), which is also the output.",
    kinds=_LSTM,
    needs=_NEEDS,
)
class _NotRecurring(_FirstUnits):
    def scan(
        self, call: Call, layer: int, direction: int, x: Array, steps: NDArray[np.bool_]
    ) -> Trace:
        trace = super().scan(call, layer, direction, x, steps)
        if trace.weights.w_hr is None:
            return trace
        h = _unprojected(trace) @ trace.weights.w_hr.T
        return replace(trace, h=np.concatenate([trace.h[:1], h]))


def _unprojected(trace: Trace) -> Array:
    """``o tanh(c)`` of every step, ``(L, N, H)``."""
    assert trace.c is not None
    unprojected: Array = trace.gates[..., 3 * trace.c.shape[-1] :] * np.tanh(trace.c[1:])
    return unprojected


@PROJECTIONS.add(
    "tanh after the projection",
    "EQ-2",
    fix="Leave the projected state as it is, h' = W_hr (o * tanh(c')): there is no tanh after "
    "the projection.",
    kinds=_LSTM,
    needs=_NEEDS,
)
class _TanhAfter(Deviant):
    def lstm_step(self, gates: Array, c: Array, w_hr: Array | None) -> tuple[Array, Array]:
        h, c = super().lstm_step(gates, c, w_hr)
        return (h if w_hr is None else np.tanh(h)), c


@PROJECTIONS.add(
    "tanh after the projection instead of before",
    "EQ-2",
    fix="Put the cell state through tanh before the projection, h' = W_hr (o * tanh(c')), and "
    "nothing through it afterwards.",
    kinds=_LSTM,
    needs=_NEEDS,
)
class _TanhInstead(Deviant):
    def lstm_step(self, gates: Array, c: Array, w_hr: Array | None) -> tuple[Array, Array]:
        if w_hr is None:
            return super().lstm_step(gates, c, w_hr)
        _, c = super().lstm_step(gates, c, None)
        return np.tanh((gates[:, 3 * c.shape[-1] :] * c) @ w_hr.T), c


Emitted = Callable[[Array, Array, Array], Array]
"""``h'`` from ``o``, ``c'`` and ``W_hr``."""


def _emitting(emitted: Emitted) -> type[Deviant]:
    class Emitting(Deviant):
        def lstm_step(self, gates: Array, c: Array, w_hr: Array | None) -> tuple[Array, Array]:
            if w_hr is None:
                return super().lstm_step(gates, c, w_hr)
            _, c = super().lstm_step(gates, c, None)
            return emitted(gates[:, 3 * c.shape[-1] :], c, w_hr), c

    return Emitting


EMITTED: dict[str, Emitted] = {
    "the projection before the output gate, the first units of which gate it": lambda o, c, w: (
        o[:, : len(w)] * (np.tanh(c) @ w.T)
    ),
    "the projection before tanh, and the first units of the output gate": lambda o, c, w: (
        o[:, : len(w)] * np.tanh(c @ w.T)
    ),
    "the output gate and tanh(c') projected each by itself": lambda o, c, w: (
        (o @ w.T) * (np.tanh(c) @ w.T)
    ),
    "the projection of o * c', without tanh": lambda o, c, w: (o * c) @ w.T,
    "the projection of tanh(o * c')": lambda o, c, w: np.tanh(o * c) @ w.T,
    "the projection of tanh(c'), without the output gate": lambda o, c, w: np.tanh(c) @ w.T,
    "the first units added to the projection": lambda o, c, w: (
        (o * np.tanh(c)) @ w.T + (o * np.tanh(c))[:, : len(w)]
    ),
}
"""What is emitted in place of ``W_hr (o tanh(c'))``."""

for name, emitted in EMITTED.items():
    PROJECTIONS.add(
        name,
        "EQ-2",
        fix="Project what the gate has let through, h' = W_hr (o * tanh(c')), with weight_hr of "
        "shape (proj_size, H), and do nothing else to it.",
        kinds=_LSTM,
        needs=_NEEDS,
    )(_emitting(emitted))


def with_projection(change: Callable[[Call, int, int], tuple[int, int]]) -> type[Deviant]:
    """An oracle that takes the projection of another layer and direction."""

    class WithProjection(Deviant):
        def weights(self, call: Call, layer: int, direction: int) -> Weights:
            weights = super().weights(call, layer, direction)
            other = super().weights(call, *change(call, layer, direction))
            return replace(weights, w_hr=other.w_hr)

    return WithProjection


PROJECTIONS.add(
    "the first layer's projection in every layer",
    "EQ-2 LAY-2",
    fix="Use each layer's own projection: weight_hr_l0 in the first, weight_hr_l1 in the "
    "second, and so on.",
    kinds=_LSTM,
    needs=(*_NEEDS, Feature.MULTI_LAYER),
)(with_projection(lambda call, layer, direction: (0, direction)))
PROJECTIONS.add(
    "the forward projection in both directions",
    "EQ-2 DIR-2",
    fix="Use the reverse direction's own projection, weight_hr_l0_reverse and so on.",
    kinds=_LSTM,
    needs=(*_NEEDS, Feature.BIDIRECTIONAL),
)(with_projection(lambda call, layer, direction: (layer, 0)))


@PROJECTIONS.add(
    "the projection's weights reshaped where they had to be transposed",
    "EQ-2",
    fix="Compute (o * tanh(c')) @ weight_hr.T with weight_hr of shape (proj_size, H): get (H, "
    "proj_size) from it by a transpose, since a reshape mixes up its elements.",
    kinds=_LSTM,
    needs=_NEEDS,
)
class _Reshaped(Deviant):
    def weights(self, call: Call, layer: int, direction: int) -> Weights:
        weights = super().weights(call, layer, direction)
        if weights.w_hr is None:
            return weights
        return replace(weights, w_hr=weights.w_hr.reshape(weights.w_hr.shape[::-1]).T)


@PROJECTIONS.add(
    "c_n projected too",
    "SHP-3 EQ-2",
    fix="Return c_n unprojected, of shape (D * num_layers, N, H): the projection concerns h alone.",
    kinds=_LSTM,
    needs=_NEEDS,
)
class _ProjectedC(Deviant):
    def present(self, call: Call, answer: Answer) -> dict[str, Array]:
        if answer.c_n is None or not call.config.proj_size:
            return super().present(call, answer)
        places = [trace.weights.w_hr for row in answer.traces for trace in row]
        c_n = [c @ w_hr.T for c, w_hr in zip(answer.c_n, places, strict=True) if w_hr is not None]
        return super().present(call, replace(answer, c_n=np.stack(c_n)))


@PROJECTIONS.add(
    "the projection left out of the output",
    "SHP-1 EQ-2",
    fix="Return the projected h' = W_hr (o * tanh(c')) as output, with proj_size features for "
    "each direction: it is what recurs and what h_n holds.",
    kinds=_LSTM,
    needs=_NEEDS,
)
class _OutputUnprojected(Deviant):
    def present(self, call: Call, answer: Answer) -> dict[str, Array]:
        if not call.config.proj_size:
            return super().present(call, answer)
        halves = [
            _unprojected(trace)[::-1] if direction else _unprojected(trace)
            for direction, trace in enumerate(answer.traces[-1])
        ]
        return super().present(call, replace(answer, output=self.join(halves)))

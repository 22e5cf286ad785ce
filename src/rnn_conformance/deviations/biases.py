"""Biases left out, counted twice, or added in the wrong place (EQ-4)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rnn_conformance.calls import Array, Call
from rnn_conformance.deviations.deviation import GRUS, LAYERS, LSTMS, Chapter, Deviant
from rnn_conformance.oracle import Trace, Weights
from rnn_conformance.spec import Config, Feature, Kind

BIASES = Chapter()


def with_biases(change: Callable[[Array, Array], tuple[Array, Array]]) -> type[Deviant]:
    """An oracle with other biases, made from ``(b_ih, b_hh)``."""

    class WithBiases(Deviant):
        def weights(self, call: Call, layer: int, direction: int) -> Weights:
            right = super().weights(call, layer, direction)
            b_ih, b_hh = change(right.b_ih, right.b_hh)
            return replace(right, b_ih=b_ih, b_hh=b_hh)

    return WithBiases


for name, change in {
    "without b_ih": lambda b_ih, b_hh: (0.0 * b_ih, b_hh),
    "without b_hh": lambda b_ih, b_hh: (b_ih, 0.0 * b_hh),
    "without biases": lambda b_ih, b_hh: (0.0 * b_ih, 0.0 * b_hh),
    "b_ih in place of b_hh": lambda b_ih, b_hh: (b_ih, b_ih),
    "b_hh in place of b_ih": lambda b_ih, b_hh: (b_hh, b_hh),
    "b_ih counted twice": lambda b_ih, b_hh: (2.0 * b_ih, b_hh),
    "b_hh counted twice": lambda b_ih, b_hh: (b_ih, 2.0 * b_hh),
    "biases averaged instead of added": lambda b_ih, b_hh: (0.5 * b_ih, 0.5 * b_hh),
    "b_hh subtracted": lambda b_ih, b_hh: (b_ih, -b_hh),
}.items():
    BIASES.add(name, "EQ-4 CEL-2")(with_biases(change))


def _new(bias: Array) -> Array:
    """The new gate's part of a GRU's bias, zeros elsewhere."""
    inside = bias.copy()
    inside[: 2 * bias.size // 3] = 0.0
    return inside


for name, source, change in (
    (
        "b_hn outside the reset gate's product",
        "fastmachinelearning/hls4ml#594",
        lambda b_ih, b_hh: (b_ih + _new(b_hh), b_hh - _new(b_hh)),
    ),
    (
        "b_in inside the reset gate's product",
        "common mistake",
        lambda b_ih, b_hh: (b_ih - _new(b_ih), b_hh + _new(b_ih)),
    ),
    ("without b_hn", "google/flax#5594", lambda b_ih, b_hh: (b_ih, b_hh - _new(b_hh))),
    ("b_ih and b_hh swapped", "common mistake", lambda b_ih, b_hh: (b_hh, b_ih)),
):
    BIASES.add(name, "EQ-3 EQ-4 CEL-2", kinds=GRUS, source=source)(with_biases(change))


def _output_bias(bias: Array) -> Array:
    size = bias.size // 4
    return np.concatenate([bias[:size], bias[3 * size :], bias[2 * size :]])


BIASES.add(
    "the output gate's bias in the forget gate",
    "EQ-2 EQ-4 CEL-2",
    kinds=LSTMS,
    source="ddbourgin/numpy-ml#42",
)(with_biases(lambda b_ih, b_hh: (_output_bias(b_ih), _output_bias(b_hh))))


def _forget(size: int) -> Array:
    """Ones for the forget gate, zeros elsewhere."""
    return np.repeat([0.0, 1.0, 0.0, 0.0], size // 4)


BIASES.add(
    "1 added to the forget gate's bias",
    "EQ-2 CEL-2",
    kinds=LSTMS,
    source="TensorFlow BasicLSTMCell, forget_bias=1",
)(with_biases(lambda b_ih, b_hh: (b_ih + _forget(b_ih.size), b_hh)))


@BIASES.add(
    "the forget gate's bias added after the sigmoid",
    "EQ-2 EQ-4 CEL-2",
    kinds=LSTMS,
    source="apache/tvm#3410",
)
class _AfterSigmoid(Deviant):
    def step(
        self, config: Config, weights: Weights, zx: Array, h: Array, c: Array
    ) -> tuple[Array, Array, Array, Array]:
        late = _forget(zx.shape[-1]) * (weights.b_ih + weights.b_hh)
        zh = h @ weights.w_hh.T + weights.b_hh - late
        gates = self.lstm_gates(zx, zh) + late
        h, c = self.lstm_step(gates, c, weights.w_hr)
        return zh, gates, h, c


@BIASES.add(
    "a forget bias of 1 although there are none",
    "EQ-4 CEL-2",
    kinds=LSTMS,
    needs=[Feature.BIAS_FREE],
)
class _BiasAllTheSame(Deviant):
    def weights(self, call: Call, layer: int, direction: int) -> Weights:
        right = super().weights(call, layer, direction)
        if call.config.bias:
            return right
        return replace(right, b_ih=right.b_ih + _forget(right.b_ih.size))


@BIASES.add("b_hh left out at the first step where no state is given", "EQ-4 STA-1 CEL-2")
class _FirstStep(Deviant):
    def scan(
        self, call: Call, layer: int, direction: int, x: Array, steps: NDArray[np.bool_]
    ) -> Trace:
        self.fresh = call.h_0 is None
        return super().scan(call, layer, direction, x, steps)

    def step(
        self, config: Config, weights: Weights, zx: Array, h: Array, c: Array
    ) -> tuple[Array, Array, Array, Array]:
        if self.fresh:
            weights = replace(weights, b_hh=0.0 * weights.b_hh)
        self.fresh = False
        return super().step(config, weights, zx, h, c)


@BIASES.add(
    "the first layer's biases in every layer",
    "EQ-4 LAY-2",
    kinds=LAYERS,
    needs=[Feature.MULTI_LAYER],
)
class _FirstLayer(Deviant):
    def weights(self, call: Call, layer: int, direction: int) -> Weights:
        first = super().weights(call, 0, direction)
        right = super().weights(call, layer, direction)
        return replace(right, b_ih=first.b_ih, b_hh=first.b_hh)


@BIASES.add(
    "the forward direction's biases in both",
    "EQ-4 DIR-2",
    kinds=LAYERS,
    needs=[Feature.BIDIRECTIONAL],
)
class _ForwardBiases(Deviant):
    def weights(self, call: Call, layer: int, direction: int) -> Weights:
        forward = super().weights(call, layer, 0)
        right = super().weights(call, layer, direction)
        return replace(right, b_ih=forward.b_ih, b_hh=forward.b_hh)


@BIASES.add(
    "biases left out of calls with more than 256 steps times samples",
    "EQ-5",
    kinds=LAYERS,
    source="ROCm/rocm-libraries#10551",
)
class _LargeCalls(Deviant):
    def weights(self, call: Call, layer: int, direction: int) -> Weights:
        right = super().weights(call, layer, direction)
        if call.length * call.batch <= 256:
            return right
        return replace(right, b_ih=0.0 * right.b_ih, b_hh=0.0 * right.b_hh)


# Every gate's own.


def _of_gate(number: int, gates: int, scale: float, *, input: bool, to: int = -1) -> type[Deviant]:
    """One gate's part of one bias multiplied, and added to the gate ``to`` instead."""

    def changed(bias: Array) -> Array:
        parts = np.split(bias.copy(), gates)
        if to >= 0:
            parts[to] = parts[to] + parts[number]
        parts[number] = scale * parts[number]
        return np.concatenate(parts)

    return with_biases(lambda b_ih, b_hh: (changed(b_ih), b_hh) if input else (b_ih, changed(b_hh)))


for kinds, having, equation in ((LSTMS, Kind.LSTM, "EQ-2"), (GRUS, Kind.GRU, "EQ-3")):
    for number, gate in enumerate(having.gates):
        for bias in ("b_ih", "b_hh"):
            # A GRU's b_hn dropped is above, with those who did so.
            if (gate, bias) != ("n", "b_hh"):
                BIASES.add(f"{bias} left out of the gate {gate}", f"{equation} CEL-2", kinds=kinds)(
                    _of_gate(number, len(having.gates), 0.0, input=bias == "b_ih")
                )
            BIASES.add(
                f"{bias} counted twice in the gate {gate} of {having}",
                f"{equation} CEL-2",
                kinds=kinds,
            )(_of_gate(number, len(having.gates), 2.0, input=bias == "b_ih"))
            following = (number + 1) % len(having.gates)
            BIASES.add(
                f"{bias} of the gate {gate} moved to {having.gates[following]}",
                f"{equation} CEL-2",
                kinds=kinds,
            )(_of_gate(number, len(having.gates), 0.0, input=bias == "b_ih", to=following))


def _at(chosen: Callable[[Config, int, int], bool]) -> type[Deviant]:
    """Without biases in some layers and directions."""

    class At(Deviant):
        def weights(self, call: Call, layer: int, direction: int) -> Weights:
            right = super().weights(call, layer, direction)
            if not chosen(call.config, layer, direction):
                return right
            return replace(right, b_ih=0.0 * right.b_ih, b_hh=0.0 * right.b_hh)

    return At


BIASES.add("no biases above the first layer", "EQ-4", kinds=LAYERS, needs=[Feature.MULTI_LAYER])(
    _at(lambda config, layer, direction: layer > 0)
)
BIASES.add("no biases below the last layer", "EQ-4", kinds=LAYERS, needs=[Feature.MULTI_LAYER])(
    _at(lambda config, layer, direction: layer < config.num_layers - 1)
)
BIASES.add(
    "no biases in the reverse direction", "EQ-4", kinds=LAYERS, needs=[Feature.BIDIRECTIONAL]
)(_at(lambda config, layer, direction: direction > 0))

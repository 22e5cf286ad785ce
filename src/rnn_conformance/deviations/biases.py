"""Biases left out, counted twice, or added in the wrong place (EQ-4)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rnn_conformance.deviations.deviation import GRUS, LSTMS, NEW_GATE, Chapter, Deviant, rows
from rnn_conformance.reference.oracle import Trace, Weights
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.clauses import LAYERS
from rnn_conformance.spec.config import Config, Feature, Kind

BIASES = Chapter[Deviant]()


def with_biases(change: Callable[[Array, Array], tuple[Array, Array]]) -> type[Deviant]:
    """An oracle with other biases, made from ``(b_ih, b_hh)``."""

    class WithBiases(Deviant):
        def weights(self, call: Call, layer: int, direction: int) -> Weights:
            weights = super().weights(call, layer, direction)
            b_ih, b_hh = change(weights.b_ih, weights.b_hh)
            return replace(weights, b_ih=b_ih, b_hh=b_hh)

    return WithBiases


for name, fix, change in (
    (
        "b_ih left out",
        "Add bias_ih on the input's side, W_ih x + b_ih, at every step and in every layer and "
        "direction.",
        lambda b_ih, b_hh: (0.0 * b_ih, b_hh),
    ),
    (
        "b_hh left out",
        "Add bias_hh on the state's side, W_hh h + b_hh, at every step and in every layer and "
        "direction.",
        lambda b_ih, b_hh: (b_ih, 0.0 * b_hh),
    ),
    (
        "both biases left out",
        "Add both biases, W_ih x + b_ih on the input's side and W_hh h + b_hh on the state's, "
        "unless bias=False.",
        lambda b_ih, b_hh: (0.0 * b_ih, 0.0 * b_hh),
    ),
    (
        "b_ih in place of b_hh",
        "Add bias_hh, not bias_ih once more, on the state's side: W_ih x + b_ih and W_hh h + b_hh.",
        lambda b_ih, b_hh: (b_ih, b_ih),
    ),
    (
        "b_hh in place of b_ih",
        "Add bias_ih, not bias_hh once more, on the input's side: W_ih x + b_ih and W_hh h + b_hh.",
        lambda b_ih, b_hh: (b_hh, b_hh),
    ),
    (
        "b_ih counted twice",
        "Add bias_ih once, on the input's side: W_ih x + b_ih and W_hh h + b_hh.",
        lambda b_ih, b_hh: (2.0 * b_ih, b_hh),
    ),
    (
        "b_hh counted twice",
        "Add bias_hh once, on the state's side: W_ih x + b_ih and W_hh h + b_hh.",
        lambda b_ih, b_hh: (b_ih, 2.0 * b_hh),
    ),
    (
        "biases averaged instead of added",
        "Let both biases count in full, W_ih x + b_ih and W_hh h + b_hh: leave out the factor "
        "of 1/2.",
        lambda b_ih, b_hh: (0.5 * b_ih, 0.5 * b_hh),
    ),
    (
        "b_hh subtracted",
        "Add bias_hh instead of subtracting it: the state's side is W_hh h + b_hh.",
        lambda b_ih, b_hh: (b_ih, -b_hh),
    ),
):
    BIASES.add(name, "EQ-4 CEL-2", fix=fix)(with_biases(change))


def _new(bias: Array) -> Array:
    """The new gate's part of a GRU's bias, zeros elsewhere."""
    inside = bias.copy()
    inside[: 2 * bias.size // 3] = 0.0
    return inside


for name, fix, source, change in (
    (
        "b_hn outside the reset gate's product",
        f"Add b_hn before the reset gate multiplies, {NEW_GATE}: the two biases of the new "
        "gate cannot be merged.",
        "fastmachinelearning/hls4ml#594",
        lambda b_ih, b_hh: (b_ih + _new(b_hh), b_hh - _new(b_hh)),
    ),
    (
        "b_in inside the reset gate's product",
        f"Add b_in outside the reset gate's product, {NEW_GATE}: the two biases of the new "
        "gate cannot be merged.",
        "common mistake",
        lambda b_ih, b_hh: (b_ih - _new(b_ih), b_hh + _new(b_ih)),
    ),
    (
        "b_hn left out",
        f"Add b_hn, the last third of bias_hh, inside the reset gate's product: {NEW_GATE}.",
        "google/flax#5594",
        lambda b_ih, b_hh: (b_ih, b_hh - _new(b_hh)),
    ),
    (
        "b_ih and b_hh swapped",
        "Add bias_ih to the input's side and bias_hh to the state's: it matters in the new "
        f"gate, {NEW_GATE}.",
        "common mistake",
        lambda b_ih, b_hh: (b_hh, b_ih),
    ),
):
    BIASES.add(name, "EQ-3 EQ-4 CEL-2", fix=fix, kinds=GRUS, source=source)(with_biases(change))


def _output_bias(bias: Array) -> Array:
    size = bias.size // 4
    return np.concatenate([bias[:size], bias[3 * size :], bias[2 * size :]])


BIASES.add(
    "the output gate's bias in the forget gate",
    "EQ-2 EQ-4 CEL-2",
    fix="Give the forget gate its own bias, the second block of rows, H:2H, of bias_ih and "
    "bias_hh; 3H:4H is the output gate's.",
    kinds=LSTMS,
    source="ddbourgin/numpy-ml#42",
)(with_biases(lambda b_ih, b_hh: (_output_bias(b_ih), _output_bias(b_hh))))


def _forget(size: int) -> Array:
    """Ones for the forget gate, zeros elsewhere."""
    return np.repeat([0.0, 1.0, 0.0, 0.0], size // 4)


BIASES.add(
    "1 added to the forget gate's bias",
    "EQ-2 CEL-2",
    fix="Add nothing to the forget gate's bias: forget_bias=0 in TensorFlow 1. A forget bias "
    "of 1 belongs in the initial parameters, as with unit_forget_bias in Keras.",
    kinds=LSTMS,
    source="TensorFlow BasicLSTMCell, forget_bias=1",
)(with_biases(lambda b_ih, b_hh: (b_ih + _forget(b_ih.size), b_hh)))


@BIASES.add(
    "the forget gate's bias added after the sigmoid",
    "EQ-2 EQ-4 CEL-2",
    fix="Add the forget gate's biases before the sigmoid: f = sigmoid(W_if x + b_if + W_hf h "
    "+ b_hf).",
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
    "a forget gate's bias of 1 although bias=False",
    "EQ-4 CEL-2",
    fix="Add no bias at all with bias=False: f = sigmoid(W_if x + W_hf h).",
    kinds=LSTMS,
    needs=[Feature.BIAS_FREE],
)
class _BiasAllTheSame(Deviant):
    def weights(self, call: Call, layer: int, direction: int) -> Weights:
        weights = super().weights(call, layer, direction)
        if call.config.bias:
            return weights
        return replace(weights, b_ih=weights.b_ih + _forget(weights.b_ih.size))


@BIASES.add(
    "b_hh left out at the first step where no state is given",
    "EQ-4 STA-1 CEL-2",
    fix="Add bias_hh at the first step too: the omitted state is zeros, so that W_hh h + b_hh "
    "is b_hh there, not zero.",
)
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
    fix="Give every layer its own biases: bias_ih_l0 and bias_hh_l0 are the first layer's, "
    "bias_ih_l1 and bias_hh_l1 the second's, and so on.",
    kinds=LAYERS,
    needs=[Feature.MULTI_LAYER],
)
class _FirstLayer(Deviant):
    def weights(self, call: Call, layer: int, direction: int) -> Weights:
        first = super().weights(call, 0, direction)
        weights = super().weights(call, layer, direction)
        return replace(weights, b_ih=first.b_ih, b_hh=first.b_hh)


@BIASES.add(
    "the forward direction's biases in both",
    "EQ-4 DIR-2",
    fix="Give the reverse direction its own biases, bias_ih_l0_reverse, bias_hh_l0_reverse "
    "and so on.",
    kinds=LAYERS,
    needs=[Feature.BIDIRECTIONAL],
)
class _ForwardBiases(Deviant):
    def weights(self, call: Call, layer: int, direction: int) -> Weights:
        forward = super().weights(call, layer, 0)
        weights = super().weights(call, layer, direction)
        return replace(weights, b_ih=forward.b_ih, b_hh=forward.b_hh)


@BIASES.add(
    "biases left out of calls with more than 256 steps times samples",
    "EQ-5 EQ-7",
    fix="Add both biases whatever the size of the call: the code for more than 256 rows, "
    "steps times samples, leaves them out.",
    kinds=LAYERS,
    source="ROCm/rocm-libraries#10551",
)
class _LargeCalls(Deviant):
    def weights(self, call: Call, layer: int, direction: int) -> Weights:
        weights = super().weights(call, layer, direction)
        if call.length * call.batch <= 256:
            return weights
        return replace(weights, b_ih=0.0 * weights.b_ih, b_hh=0.0 * weights.b_hh)


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
        following = (number + 1) % len(having.gates)
        for bias, parameter in (("b_ih", "bias_ih"), ("b_hh", "bias_hh")):
            block = f"{parameter}[{rows(number)}]"
            inside = ", inside the reset gate's product" if (gate, bias) == ("n", "b_hh") else ""
            # A GRU's b_hn dropped is above, with those who did so.
            if (gate, bias) != ("n", "b_hh"):
                BIASES.add(
                    f"{bias} left out of the gate {gate}",
                    f"{equation} CEL-2",
                    fix=f"Add {block}, the block of the gate {gate}, to its pre-activation.",
                    kinds=kinds,
                )(_of_gate(number, len(having.gates), 0.0, input=bias == "b_ih"))
            BIASES.add(
                f"{bias} counted twice in the gate {gate} of {having}",
                f"{equation} CEL-2",
                fix=f"Add {block}, the block of the gate {gate}, once and not twice{inside}.",
                kinds=kinds,
            )(_of_gate(number, len(having.gates), 2.0, input=bias == "b_ih"))
            BIASES.add(
                f"{bias} of the gate {gate} moved to {having.gates[following]}",
                f"{equation} CEL-2",
                fix=f"Add {block} to the gate {gate}{inside}, and not to the gate "
                f"{having.gates[following]}, whose block is {parameter}[{rows(following)}].",
                kinds=kinds,
            )(_of_gate(number, len(having.gates), 0.0, input=bias == "b_ih", to=following))


def _at(chosen: Callable[[Config, int, int], bool]) -> type[Deviant]:
    """Without biases in some layers and directions."""

    class At(Deviant):
        def weights(self, call: Call, layer: int, direction: int) -> Weights:
            weights = super().weights(call, layer, direction)
            if not chosen(call.config, layer, direction):
                return weights
            return replace(weights, b_ih=0.0 * weights.b_ih, b_hh=0.0 * weights.b_hh)

    return At


BIASES.add(
    "no biases above the first layer",
    "EQ-4",
    fix="Add the biases in every layer: those above the first have bias_ih_l1, bias_hh_l1 and "
    "so on.",
    kinds=LAYERS,
    needs=[Feature.MULTI_LAYER],
)(_at(lambda config, layer, direction: layer > 0))
BIASES.add(
    "no biases below the last layer",
    "EQ-4",
    fix="Add the biases in every layer, bias_ih_l0, bias_hh_l0 and so on, and not in the last "
    "alone.",
    kinds=LAYERS,
    needs=[Feature.MULTI_LAYER],
)(_at(lambda config, layer, direction: layer < config.num_layers - 1))
BIASES.add(
    "no biases in the reverse direction",
    "EQ-4",
    fix="Add the biases in both directions: the reverse one's names end in _reverse.",
    kinds=LAYERS,
    needs=[Feature.BIDIRECTIONAL],
)(_at(lambda config, layer, direction: direction > 0))

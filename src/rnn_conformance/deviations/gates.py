"""Gates in another order, and cells with other equations than EQ-1 to EQ-3."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations

import numpy as np

from rnn_conformance.calls import Array, Call
from rnn_conformance.deviations.deviation import (
    COMMON,
    EQUATIONS,
    GRUS,
    LSTMS,
    RNNS,
    Chapter,
    Deviant,
)
from rnn_conformance.oracle import Weights, sigmoid
from rnn_conformance.spec import Config, Kind

GATES = Chapter()

WEIGHTS, BIASES = ("w_ih", "w_hh"), ("b_ih", "b_hh")

CONVENTIONS = {
    ("i", "f", "o", "g"): "Core ML and Caffe order",
    ("i", "g", "f", "o"): "TensorFlow 1 and Haiku order",
    ("i", "o", "f", "g"): "ONNX order",
    ("f", "i", "g", "o"): "OpenVINO order",
    ("z", "r", "n"): "ONNX, Keras and OpenVINO order",
}


def in_order(order: Sequence[str], parts: Sequence[str]) -> type[Deviant]:
    """An oracle that takes the blocks of rows to be in this order."""

    class InOrder(Deviant):
        def weights(self, call: Call, layer: int, direction: int) -> Weights:
            right = super().weights(call, layer, direction)
            units = np.arange(call.config.hidden_size)
            rows = np.concatenate(
                [order.index(gate) * units.size + units for gate in call.config.kind.gates]
            )
            return replace(right, **{part: getattr(right, part)[rows] for part in parts})

    return InOrder


for kinds, kind, clause in ((LSTMS, Kind.LSTM, "EQ-2 CEL-2"), (GRUS, Kind.GRU, "EQ-3 CEL-2")):
    for order in permutations(kind.gates):
        if order == kind.gates:
            continue
        GATES.add(
            f"gates in the order {', '.join(order)}",
            clause,
            kinds=kinds,
            source=CONVENTIONS.get(order, COMMON),
        )(in_order(order, WEIGHTS + BIASES))
        # Converters have reordered the weights and forgotten the biases.
        if kind is Kind.GRU or CONVENTIONS.get(order):
            GATES.add(
                f"biases, but not weights, in the order {', '.join(order)}",
                clause,
                kinds=kinds,
                source="openvinotoolkit/openvino#17651",
            )(in_order(order, BIASES))


@GATES.add("recurrent weights transposed", EQUATIONS)
class _Transposed(Deviant):
    def weights(self, call: Call, layer: int, direction: int) -> Weights:
        right = super().weights(call, layer, direction)
        if call.config.proj_size:
            return right
        size = call.config.hidden_size
        blocks = right.w_hh.reshape(-1, size, size)
        return replace(right, w_hh=blocks.swapaxes(1, 2).reshape(-1, size))


@GATES.add("input weights reshaped where they had to be transposed", EQUATIONS)
class _Reshaped(Deviant):
    def weights(self, call: Call, layer: int, direction: int) -> Weights:
        right = super().weights(call, layer, direction)
        return replace(right, w_ih=right.w_ih.reshape(right.w_ih.shape[::-1]).T)


@GATES.add("no activation", "EQ-1 CEL-2", kinds=RNNS)
class _Linear(Deviant):
    def activation(self, config: Config, z: Array) -> Array:
        return z


class _LSTM(Deviant):
    """An LSTM whose cell is :meth:`cell`: ``c'`` and ``h'`` from the gates and ``c``."""

    def cell(self, i: Array, f: Array, g: Array, o: Array, c: Array) -> tuple[Array, Array]:
        raise NotImplementedError

    def lstm_step(self, gates: Array, c: Array, w_hr: Array | None) -> tuple[Array, Array]:
        size = c.shape[-1]
        i, f, g, o = (gates[:, k * size : (k + 1) * size] for k in range(4))
        h, c = self.cell(i, f, g, o, c)
        return (h if w_hr is None else h @ w_hr.T), c


@GATES.add("c not put through tanh for the output", "EQ-2 CEL-2", kinds=LSTMS)
class _NoTanh(_LSTM):
    def cell(self, i: Array, f: Array, g: Array, o: Array, c: Array) -> tuple[Array, Array]:
        c = f * c + i * g
        return o * c, c


@GATES.add("c put through a sigmoid for the output", "EQ-2 CEL-2", kinds=LSTMS)
class _SigmoidOfC(_LSTM):
    def cell(self, i: Array, f: Array, g: Array, o: Array, c: Array) -> tuple[Array, Array]:
        c = f * c + i * g
        return o * sigmoid(c), c


@GATES.add("the output computed from the cell state before the step", "EQ-2 CEL-2", kinds=LSTMS)
class _OldC(_LSTM):
    def cell(self, i: Array, f: Array, g: Array, o: Array, c: Array) -> tuple[Array, Array]:
        return o * np.tanh(c), f * c + i * g


@GATES.add(
    "no forget gate",
    "EQ-2 CEL-2",
    kinds=LSTMS,
    source="Hochreiter & Schmidhuber (1997)",
)
class _NoForgetGate(_LSTM):
    def cell(self, i: Array, f: Array, g: Array, o: Array, c: Array) -> tuple[Array, Array]:
        c = c + i * g
        return o * np.tanh(c), c


@GATES.add("no input gate", "EQ-2 CEL-2", kinds=LSTMS, source="Greff et al., arXiv:1503.04069")
class _NoInputGate(_LSTM):
    def cell(self, i: Array, f: Array, g: Array, o: Array, c: Array) -> tuple[Array, Array]:
        c = f * c + g
        return o * np.tanh(c), c


@GATES.add("no output gate", "EQ-2 CEL-2", kinds=LSTMS, source="Greff et al., arXiv:1503.04069")
class _NoOutputGate(_LSTM):
    def cell(self, i: Array, f: Array, g: Array, o: Array, c: Array) -> tuple[Array, Array]:
        c = f * c + i * g
        return np.tanh(c), c


@GATES.add(
    "input and forget gate coupled (i = 1 - f)",
    "EQ-2 CEL-2",
    kinds=LSTMS,
    source="ONNX LSTM, input_forget=1",
)
class _Coupled(_LSTM):
    def cell(self, i: Array, f: Array, g: Array, o: Array, c: Array) -> tuple[Array, Array]:
        c = f * c + (1.0 - f) * g
        return o * np.tanh(c), c


@GATES.add("c clipped to ±3", "EQ-2 CEL-2", kinds=LSTMS, source="TensorFlow LSTMCell, cell_clip")
class _ClippedC(_LSTM):
    def cell(self, i: Array, f: Array, g: Array, o: Array, c: Array) -> tuple[Array, Array]:
        c = np.clip(f * c + i * g, -3.0, 3.0)
        return o * np.tanh(c), c


@GATES.add("g put through a sigmoid", "EQ-2 CEL-2", kinds=LSTMS)
class _SigmoidG(Deviant):
    def lstm_gates(self, zx: Array, zh: Array) -> Array:
        return sigmoid(zx + zh)


@GATES.add("o put through tanh", "EQ-2 CEL-2", kinds=LSTMS)
class _TanhO(Deviant):
    def lstm_gates(self, zx: Array, zh: Array) -> Array:
        gates = super().lstm_gates(zx, zh)
        size = zx.shape[-1] // 4
        gates[:, 3 * size :] = np.tanh((zx + zh)[:, 3 * size :])
        return gates


class _Reset(Deviant):
    """A GRU whose new gate is :meth:`new`, from both sides and the other two gates."""

    def new(self, zx: Array, zh: Array, r: Array, z: Array) -> Array:
        raise NotImplementedError

    def gru_gates(self, zx: Array, zh: Array) -> Array:
        size = zx.shape[-1] // 3
        gates = super().gru_gates(zx, zh)
        r, z = gates[:, :size], gates[:, size : 2 * size]
        gates[:, 2 * size :] = self.new(zx[:, 2 * size :], zh[:, 2 * size :], r, z)
        return gates


@GATES.add("no reset gate", "EQ-3 CEL-2", kinds=GRUS)
class _NoReset(_Reset):
    def new(self, zx: Array, zh: Array, r: Array, z: Array) -> Array:
        return np.tanh(zx + zh)


@GATES.add("the reset gate on the input's side too", "EQ-3 CEL-2", kinds=GRUS)
class _ResetBoth(_Reset):
    def new(self, zx: Array, zh: Array, r: Array, z: Array) -> Array:
        return np.tanh(r * (zx + zh))


@GATES.add("the update gate in place of the reset gate", "EQ-3 CEL-2", kinds=GRUS)
class _UpdateAsReset(_Reset):
    def new(self, zx: Array, zh: Array, r: Array, z: Array) -> Array:
        return np.tanh(zx + z * zh)


@GATES.add("n put through a sigmoid", "EQ-3 CEL-2", kinds=GRUS)
class _SigmoidN(_Reset):
    def new(self, zx: Array, zh: Array, r: Array, z: Array) -> Array:
        return sigmoid(zx + r * zh)


@GATES.add(
    "the reset gate before the matrix product",
    "EQ-3 CEL-2",
    kinds=GRUS,
    source="Cho et al., arXiv:1406.1078v1; pytorch/pytorch#189225",
)
class _ResetBefore(Deviant):
    def step(
        self, config: Config, weights: Weights, zx: Array, h: Array, c: Array
    ) -> tuple[Array, Array, Array, Array]:
        zh, gates, _, c = super().step(config, weights, zx, h, c)
        size = config.hidden_size
        product = (gates[:, :size] * h) @ weights.w_hh[2 * size :].T
        zh[:, 2 * size :] = product + weights.b_hh[2 * size :]
        gates[:, 2 * size :] = np.tanh(zx[:, 2 * size :] + zh[:, 2 * size :])
        return zh, gates, self.gru_step(gates, h), c


@GATES.add(
    "the update gate inverted, h = z n + (1 - z) h",
    "EQ-3 CEL-2",
    kinds=GRUS,
    source="Chung et al., arXiv:1412.3555",
)
class _Inverted(Deviant):
    def gru_step(self, gates: Array, h: Array) -> Array:
        size = h.shape[-1]
        z, n = gates[:, size : 2 * size], gates[:, 2 * size :]
        return z * n + (1.0 - z) * h


@GATES.add("n not weighted, h = n + z h", "EQ-3 CEL-2", kinds=GRUS)
class _Unweighted(Deviant):
    def gru_step(self, gates: Array, h: Array) -> Array:
        size = h.shape[-1]
        return gates[:, 2 * size :] + gates[:, size : 2 * size] * h


@GATES.add("z applied to n, h = z n", "EQ-3 CEL-2", kinds=GRUS)
class _UpdateOnNew(Deviant):
    def gru_step(self, gates: Array, h: Array) -> Array:
        size = h.shape[-1]
        return gates[:, size : 2 * size] * gates[:, 2 * size :]

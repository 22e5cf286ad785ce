"""Gates in another order, and cells with other equations than EQ-1 to EQ-3."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations

import numpy as np

from rnn_conformance.deviations.defect import COMMON
from rnn_conformance.deviations.deviation import EQUATIONS, GRUS, LSTMS, RNNS, Chapter, Deviant
from rnn_conformance.reference.oracle import Weights, sigmoid
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.config import Config, Kind

GATES = Chapter[Deviant]()

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
            weights = super().weights(call, layer, direction)
            units = np.arange(call.config.hidden_size)
            rows = np.concatenate(
                [order.index(gate) * units.size + units for gate in call.config.kind.gates]
            )
            return replace(weights, **{part: getattr(weights, part)[rows] for part in parts})

    return InOrder


def _loading(order: Sequence[str], gates: Sequence[str]) -> str:
    """Which of the blocks in the right order to load where they are due in another."""
    return ", ".join(str(gates.index(gate)) for gate in order)


def _reordered(order: tuple[str, ...], gates: tuple[str, ...]) -> str:
    known = f" ({CONVENTIONS[order]})" if order in CONVENTIONS else ""
    return (
        f"Read the blocks of rows of weights and biases in torch.nn's order {', '.join(gates)}. "
        f"Code that expects {', '.join(order)}{known} must load blocks {_loading(order, gates)} "
        "of torch.nn's parameters, counted from 0."
    )


def _biases_too(order: tuple[str, ...], gates: tuple[str, ...]) -> str:
    return (
        "Reorder bias_ih and bias_hh as the weights are reordered: torch.nn's order is "
        f"{', '.join(gates)} in all four, so code that expects {', '.join(order)} must load blocks "
        f"{_loading(order, gates)}, counted from 0."
    )


for kinds, kind, clause in ((LSTMS, Kind.LSTM, "EQ-2 CEL-2"), (GRUS, Kind.GRU, "EQ-3 CEL-2")):
    for order in permutations(kind.gates):
        if order == kind.gates:
            continue
        GATES.add(
            f"gates in the order {', '.join(order)}",
            clause,
            fix=_reordered(order, kind.gates),
            kinds=kinds,
            source=CONVENTIONS.get(order, COMMON),
        )(in_order(order, WEIGHTS + BIASES))
        # Converters have reordered the weights and forgotten the biases.
        if kind is Kind.GRU or CONVENTIONS.get(order):
            GATES.add(
                f"biases, but not weights, in the order {', '.join(order)}",
                clause,
                fix=_biases_too(order, kind.gates),
                kinds=kinds,
                source="openvinotoolkit/openvino#17651",
            )(in_order(order, BIASES))


def transposed(weights: Array, size: int) -> Array:
    """Each gate's block transposed, where these are square."""
    if weights.shape[1] != size:
        return weights
    return weights.reshape(-1, size, size).swapaxes(1, 2).reshape(-1, size)


@GATES.add(
    "recurrent weights transposed",
    EQUATIONS,
    fix="Compute W_hh h, that is h @ weight_hh.T with weight_hh of shape (gates * "
    "hidden_size, hidden_size): each gate's block multiplies h from the left. One "
    "transpose is missing or too many.",
)
class _Transposed(Deviant):
    def weights(self, call: Call, layer: int, direction: int) -> Weights:
        weights = super().weights(call, layer, direction)
        return replace(weights, w_hh=transposed(weights.w_hh, call.config.hidden_size))


@GATES.add(
    "input weights reshaped where they had to be transposed",
    EQUATIONS,
    fix="Compute x @ weight_ih.T with weight_ih of shape (gates * hidden_size, input_size): "
    "get (input_size, gates * hidden_size) from it by a transpose, since a reshape mixes "
    "up its elements.",
)
class _Reshaped(Deviant):
    def weights(self, call: Call, layer: int, direction: int) -> Weights:
        weights = super().weights(call, layer, direction)
        return replace(weights, w_ih=weights.w_ih.reshape(weights.w_ih.shape[::-1]).T)


@GATES.add(
    "input weights transposed where they are square",
    EQUATIONS + " INV-2",
    fix="Compute x @ weight_ih.T, each gate's block multiplying x from the left, whatever the "
    "sizes: where H_in = H, a transpose that is missing or too many raises nothing.",
)
class _SquareTransposed(Deviant):
    def weights(self, call: Call, layer: int, direction: int) -> Weights:
        weights = super().weights(call, layer, direction)
        size = call.config.hidden_size
        if weights.w_ih.shape[1] != size:
            return weights
        blocks = weights.w_ih.reshape(-1, size, size)
        return replace(weights, w_ih=blocks.swapaxes(1, 2).reshape(-1, size))


@GATES.add(
    "no activation",
    "EQ-1 CEL-2",
    fix="Put the pre-activation through the nonlinearity: h' = tanh(W_ih x + b_ih + W_hh h + "
    "b_hh), or relu of the same where nonlinearity='relu'.",
    kinds=RNNS,
)
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


@GATES.add(
    "c not put through tanh for the output",
    "EQ-2 CEL-2",
    fix="Put the new cell state through tanh for the output, h' = o * tanh(c') with c' = f * "
    "c + i * g; c' itself is handed on as it is.",
    kinds=LSTMS,
)
class _NoTanh(_LSTM):
    def cell(self, i: Array, f: Array, g: Array, o: Array, c: Array) -> tuple[Array, Array]:
        c = f * c + i * g
        return o * c, c


@GATES.add(
    "c put through a sigmoid for the output",
    "EQ-2 CEL-2",
    fix="Put the new cell state through tanh, not through a sigmoid, for the output: h' = o * "
    "tanh(c') with c' = f * c + i * g.",
    kinds=LSTMS,
)
class _SigmoidOfC(_LSTM):
    def cell(self, i: Array, f: Array, g: Array, o: Array, c: Array) -> tuple[Array, Array]:
        c = f * c + i * g
        return o * sigmoid(c), c


@GATES.add(
    "the output computed from the cell state before the step",
    "EQ-2 CEL-2",
    fix="Compute the new cell state first, c' = f * c + i * g, and then the output from it: "
    "h' = o * tanh(c').",
    kinds=LSTMS,
)
class _OldC(_LSTM):
    def cell(self, i: Array, f: Array, g: Array, o: Array, c: Array) -> tuple[Array, Array]:
        return o * np.tanh(c), f * c + i * g


@GATES.add(
    "no forget gate",
    "EQ-2 CEL-2",
    fix="Multiply the old cell state by the forget gate: c' = f * c + i * g with f = "
    "sigmoid(W_if x + b_if + W_hf h + b_hf).",
    kinds=LSTMS,
    source="Hochreiter & Schmidhuber (1997)",
)
class _NoForgetGate(_LSTM):
    def cell(self, i: Array, f: Array, g: Array, o: Array, c: Array) -> tuple[Array, Array]:
        c = c + i * g
        return o * np.tanh(c), c


@GATES.add(
    "no input gate",
    "EQ-2 CEL-2",
    fix="Multiply the candidate by the input gate: c' = f * c + i * g with i = sigmoid(W_ii x "
    "+ b_ii + W_hi h + b_hi).",
    kinds=LSTMS,
    source="Greff et al., arXiv:1503.04069",
)
class _NoInputGate(_LSTM):
    def cell(self, i: Array, f: Array, g: Array, o: Array, c: Array) -> tuple[Array, Array]:
        c = f * c + g
        return o * np.tanh(c), c


@GATES.add(
    "no output gate",
    "EQ-2 CEL-2",
    fix="Multiply the output by the output gate: h' = o * tanh(c') with o = sigmoid(W_io x + "
    "b_io + W_ho h + b_ho).",
    kinds=LSTMS,
    source="Greff et al., arXiv:1503.04069",
)
class _NoOutputGate(_LSTM):
    def cell(self, i: Array, f: Array, g: Array, o: Array, c: Array) -> tuple[Array, Array]:
        c = f * c + i * g
        return np.tanh(c), c


@GATES.add(
    "input and forget gate coupled (i = 1 - f)",
    "EQ-2 CEL-2",
    fix="Compute the input gate from its own parameters, i = sigmoid(W_ii x + b_ii + W_hi h + "
    "b_hi), and c' = f * c + i * g: input_forget=0 in ONNX.",
    kinds=LSTMS,
    source="ONNX LSTM, input_forget=1",
)
class _Coupled(_LSTM):
    def cell(self, i: Array, f: Array, g: Array, o: Array, c: Array) -> tuple[Array, Array]:
        c = f * c + (1.0 - f) * g
        return o * np.tanh(c), c


@GATES.add(
    "c clipped to ±3",
    "EQ-2 CEL-2",
    fix="Leave the cell state unclipped, c' = f * c + i * g: cell_clip=None in TensorFlow.",
    kinds=LSTMS,
    source="TensorFlow LSTMCell, cell_clip",
)
class _ClippedC(_LSTM):
    def cell(self, i: Array, f: Array, g: Array, o: Array, c: Array) -> tuple[Array, Array]:
        c = np.clip(f * c + i * g, -3.0, 3.0)
        return o * np.tanh(c), c


@GATES.add(
    "g put through a sigmoid",
    "EQ-2 CEL-2",
    fix="Put the third block of rows through tanh, g = tanh(W_ig x + b_ig + W_hg h + b_hg): "
    "only i, f and o are sigmoids.",
    kinds=LSTMS,
)
class _SigmoidG(Deviant):
    def lstm_gates(self, zx: Array, zh: Array) -> Array:
        return sigmoid(zx + zh)


@GATES.add(
    "o put through tanh",
    "EQ-2 CEL-2",
    fix="Put the last block of rows through a sigmoid, o = sigmoid(W_io x + b_io + W_ho h + "
    "b_ho): only g is a tanh.",
    kinds=LSTMS,
)
class _TanhO(Deviant):
    def lstm_gates(self, zx: Array, zh: Array) -> Array:
        gates = super().lstm_gates(zx, zh)
        size = zx.shape[-1] // 4
        gates[:, 3 * size :] = np.tanh((zx + zh)[:, 3 * size :])
        return gates

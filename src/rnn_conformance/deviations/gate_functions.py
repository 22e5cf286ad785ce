"""Which function each gate is put through (EQ-2, EQ-3)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rnn_conformance.deviations.deviation import GRUS, LSTMS, Chapter, Deviant
from rnn_conformance.reference.oracle import sigmoid
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.config import Kind

GATE_FUNCTIONS = Chapter[Deviant]()

FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "no activation": lambda z: z,
    "tanh": np.tanh,
    "a sigmoid": sigmoid,
    "relu": lambda z: np.maximum(z, 0.0),
}


def gate_of_lstm(number: int, function: Callable[[Array], Array]) -> type[Deviant]:
    """An oracle that puts one gate of an LSTM, counted from 0, through another function."""

    class OfGate(Deviant):
        def lstm_gates(self, zx: Array, zh: Array) -> Array:
            gates, size = super().lstm_gates(zx, zh), zx.shape[-1] // 4
            part = slice(number * size, (number + 1) * size)
            gates[:, part] = function((zx + zh)[:, part])
            return gates

    return OfGate


def gate_of_gru(number: int, function: Callable[[Array], Array]) -> type[Deviant]:
    """An oracle that puts one gate of a GRU, counted from 0, through another function."""

    class OfGate(Deviant):
        def gru_gates(self, zx: Array, zh: Array) -> Array:
            size = zx.shape[-1] // 3
            parts = [sigmoid(part) for part in np.split((zx + zh)[:, : 2 * size], 2, axis=-1)]
            if number < 2:
                parts[number] = function(
                    (zx + zh)[:, number * size : (number + 1) * size],
                )
            z_n = zx[:, 2 * size :] + parts[0] * zh[:, 2 * size :]
            return np.concatenate([*parts, function(z_n) if number == 2 else np.tanh(z_n)], -1)

    return OfGate


# Those of g and o, and of n, that were seen are in other chapters.
KNOWN = {("g", "a sigmoid"), ("o", "tanh"), ("n", "a sigmoid")}

for kinds, having, equation, make in (
    (LSTMS, Kind.LSTM, "EQ-2", gate_of_lstm),
    (GRUS, Kind.GRU, "EQ-3", gate_of_gru),
):
    for number, gate in enumerate(having.gates):
        right = "tanh" if gate in ("g", "n") else "a sigmoid"
        for other, function in FUNCTIONS.items():
            if other == right or (gate, other) in KNOWN:
                continue
            GATE_FUNCTIONS.add(
                f"the gate {gate} of {having} put through {other}",
                f"{equation} CEL-2",
                fix=f"Put the gate {gate} through {right}.",
                kinds=kinds,
            )(make(number, function))

"""Products of a step whose backward pass takes another factor than the one that is due (GRD-1)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from rnn_conformance.deviations.deviation import GRUS, LSTMS, RNNS, Chapter
from rnn_conformance.reference.derivatives import Adjoint, Slopes, gates
from rnn_conformance.reference.oracle import Trace
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.config import Config, Feature, Kind

GRADIENT_FACTORS = Chapter[Adjoint]("GRD-1")

Values = Mapping[str, Array]
"""What a step has computed, by its symbol, ``(L, N, H)`` each."""

Factor = Callable[[Values], Array]


def _of_lstm(trace: Trace, config: Config) -> Values:
    i, f, g, o = gates(config, trace.gates)
    assert trace.c is not None
    return {"i": i, "f": f, "g": g, "o": o, "c": trace.c[:-1], "c'": trace.c[1:]}


def _of_gru(trace: Trace, config: Config) -> Values:
    r, z, n = gates(config, trace.gates)
    size = config.hidden_size
    q = gates(config, trace.zh)[2]
    bias = trace.weights.b_hh[2 * size :]
    return {"r": r, "z": z, "n": n, "q": q, "b": bias, "h": trace.h[:-1], "h'": trace.h[1:]}


def _lstm(number: int, factor: Factor) -> type[Adjoint]:
    """Of the gate ``number``, or, for 4, of ``c'`` by ``h'``, or, for 5, of ``c`` by ``c'``."""

    class OfLstm(Adjoint):
        def slopes(self, config: Config, trace: Trace) -> Slopes:
            by, here = super().slopes(config, trace), trace.steps[:, :, None]
            if config.kind.layer is not Kind.LSTM:
                return by
            values = _of_lstm(trace, config)
            found = np.where(here, factor(values), 0.0)
            if number == 4:
                return Slopes(by.x, by.h, by.carry, found)
            if number == 5:
                return Slopes(by.x, by.h, found, by.cell)
            gate = values["ifgo"[number]]
            slope = 1.0 - gate * gate if number == 2 else gate * (1.0 - gate)
            blocks = gates(config, by.x)
            # Whatever stands in the padding, and be it NaN, is multiplied with nothing.
            blocks[number] = np.where(here, found * slope, 0.0)
            x = np.concatenate(blocks, axis=-1)
            return Slopes(x, x, by.carry, by.cell)

    return OfLstm


def _gru(number: int, factor: Factor) -> type[Adjoint]:
    """Of the gate ``number``, or, for 3, of ``h`` by ``h'``."""

    class OfGru(Adjoint):
        def slopes(self, config: Config, trace: Trace) -> Slopes:
            by, here = super().slopes(config, trace), trace.steps[:, :, None]
            if config.kind.layer is not Kind.GRU:
                return by
            values = _of_gru(trace, config)
            found = np.where(here, factor(values), 0.0)
            if number == 3:
                return Slopes(by.x, by.h, found)
            r, z, n = (values[symbol] for symbol in "rzn")
            due: list[Array] = [values["q"], values["h"] - n, 1.0 - z]
            due[number] = found
            by_n = due[2] * (1.0 - n * n)
            by_r, by_z = by_n * due[0] * r * (1.0 - r), due[1] * z * (1.0 - z)
            x, h = ([by_r, by_z, last] for last in (by_n, by_n * r))
            return Slopes(
                np.where(here, np.concatenate(x, axis=-1), 0.0),
                np.where(here, np.concatenate(h, axis=-1), 0.0),
                by.carry,
            )

    return OfGru


def _rnn(nonlinearity: str, factor: Factor) -> type[Adjoint]:
    class OfRnn(Adjoint):
        def slopes(self, config: Config, trace: Trace) -> Slopes:
            by = super().slopes(config, trace)
            if config.kind.layer is not Kind.RNN or config.nonlinearity != nonlinearity:
                return by
            values = {"h": trace.h[:-1], "h'": trace.h[1:]}
            x = np.where(trace.steps[:, :, None], factor(values), 0.0)
            return Slopes(x, x)

    return OfRnn


OF_LSTM: Mapping[tuple[str, str], Mapping[str, Factor]] = MappingProxyType(
    {
        ("the gate i", "g"): {"tanh(c')": lambda v: np.tanh(v["c'"]), "c": lambda v: v["c"]},
        ("the gate f", "c, the cell state before the step"): {
            "c', the one after it": lambda v: v["c'"],
            "tanh(c)": lambda v: np.tanh(v["c"]),
            "g": lambda v: v["g"],
        },
        ("the gate g", "i"): {"f": lambda v: v["f"], "o": lambda v: v["o"]},
        ("the gate o", "tanh(c')"): {
            "c'": lambda v: v["c'"],
            "tanh(c), of the cell state before the step": lambda v: np.tanh(v["c"]),
        },
        ("c' by h'", "o (1 - tanh(c')^2)"): {
            "o": lambda v: v["o"],
            "1 - tanh(c')^2": lambda v: 1.0 - np.tanh(v["c'"]) ** 2,
            "o (1 - c'^2)": lambda v: v["o"] * (1.0 - v["c'"] ** 2),
            "o (1 - tanh(c)^2), of the cell state before the step": lambda v: (
                v["o"] * (1.0 - np.tanh(v["c"]) ** 2)
            ),
            "o (1 - h'^2), of what is emitted": lambda v: (
                v["o"] * (1.0 - (v["o"] * np.tanh(v["c'"])) ** 2)
            ),
            "o tanh(c')": lambda v: v["o"] * np.tanh(v["c'"]),
        },
        ("c by c'", "f"): {
            "i": lambda v: v["i"],
            "o": lambda v: v["o"],
            "1": lambda v: np.ones_like(v["f"]),
        },
    }
)
"""What is differentiated, with the factor that is due, and the others."""

OF_GRU: Mapping[tuple[str, str], Mapping[str, Factor]] = MappingProxyType(
    {
        ("the gate r", "W_hn h + b_hn"): {
            "W_hn h": lambda v: v["q"] - v["b"],
            "h": lambda v: v["h"],
            "n": lambda v: v["n"],
        },
        ("the gate z", "h - n, the state before the step"): {
            "n - h": lambda v: v["n"] - v["h"],
            "h' - n, the state after it": lambda v: v["h'"] - v["n"],
            "h": lambda v: v["h"],
            "-n": lambda v: -v["n"],
        },
        ("the gate n", "1 - z"): {"z": lambda v: v["z"], "1": lambda v: np.ones_like(v["z"])},
        ("h by h', beside the gates", "z"): {
            "1 - z": lambda v: 1.0 - v["z"],
            "1": lambda v: np.ones_like(v["z"]),
        },
    }
)

OF_TANH: Mapping[str, Factor] = MappingProxyType(
    {
        "1 - h^2, of the state before the step": lambda v: 1.0 - v["h"] ** 2,
        "1 - h'": lambda v: 1.0 - v["h'"],
        "h' (1 - h')": lambda v: v["h'"] * (1.0 - v["h'"]),
        "that of relu, 1 where h' > 0,": lambda v: np.where(v["h'"] > 0.0, 1.0, 0.0),
    }
)

OF_RELU: Mapping[str, Factor] = MappingProxyType(
    {
        "that of tanh, 1 - h'^2,": lambda v: 1.0 - v["h'"] ** 2,
        "1 where the state before the step is positive": lambda v: np.where(v["h"] > 0.0, 1.0, 0.0),
        "h'": lambda v: v["h'"],
    }
)

for kinds, kind, table, made in (
    (LSTMS, Kind.LSTM, OF_LSTM, _lstm),
    (GRUS, Kind.GRU, OF_GRU, _gru),
):
    for number, ((what, due), others) in enumerate(table.items()):
        for words, factor in others.items():
            GRADIENT_FACTORS.add(
                f"the gradient of {what} of {kind} taken times {words} instead of {due}",
                fix=f"The gradient of {what} of {kind} is what arrives times {due}.",
                kinds=kinds,
            )(made(number, factor))
for words, factor in OF_TANH.items():
    GRADIENT_FACTORS.add(
        f"the derivative of tanh taken for {words} instead of 1 - h'^2",
        fix="The derivative of h' = tanh(z) is 1 - h'^2, of the state after the step.",
        kinds=RNNS,
    )(_rnn("tanh", factor))
for words, factor in OF_RELU.items():
    GRADIENT_FACTORS.add(
        f"the derivative of relu taken for {words} instead of 1 where h' > 0",
        fix="The derivative of h' = max(0, z) is 1 where h' > 0 and 0 elsewhere.",
        kinds=RNNS,
        needs=[Feature.RELU],
    )(_rnn("relu", factor))

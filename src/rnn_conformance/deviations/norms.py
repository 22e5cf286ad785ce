"""Normalisation over the features left in: by mean and variance, or by the mean square (EQ).

``torch.nn``'s recurrent layers have none; layers that were trained with one, or taken from those
that have one, do it at one of these sites, and where its scale and shift are left out there is no
parameter that would tell.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from rnn_conformance.deviations.changes import (
    with_cell,
    with_input_side,
    with_layer_input,
    with_outputs,
    with_state_side,
    with_states,
)
from rnn_conformance.deviations.deviation import EQUATIONS, GRUS, LSTMS, RNNS, Chapter, Deviant
from rnn_conformance.reference.oracle import Trace, Weights, sigmoid
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.clauses import LAYERS
from rnn_conformance.spec.config import Config, Feature

NORMS = Chapter[Deviant]()

Norm = Callable[[Array], Array]
"""Over the last axis."""

EPSILON = 1e-5
"""As in ``torch.nn.LayerNorm``, unless told otherwise."""


def _by_variance(array: Array) -> Array:
    centred = array - array.mean(axis=-1, keepdims=True)
    normed: Array = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + EPSILON)
    return normed


def _by_mean_square(array: Array) -> Array:
    normed: Array = array / np.sqrt((array**2).mean(axis=-1, keepdims=True) + EPSILON)
    return normed


def _in_blocks(norm: Norm, array: Array, count: int) -> Array:
    """Each of ``count`` gates by itself."""
    return np.concatenate([norm(block) for block in np.split(array, count, axis=-1)], axis=-1)


def _of_both_sides(norm: Norm) -> type[Deviant]:
    return type("OfBothSides", (with_input_side(norm), with_state_side(norm)), {})


def _of_sum(norm: Norm) -> type[Deviant]:
    class OfSum(Deviant):
        def rnn_step(self, config: Config, zx: Array, zh: Array) -> Array:
            return super().rnn_step(config, norm(zx + zh), np.zeros_like(zh))

        def lstm_gates(self, zx: Array, zh: Array) -> Array:
            return super().lstm_gates(norm(zx + zh), np.zeros_like(zh))

    return OfSum


def _of_each_gate(norm: Norm) -> type[Deviant]:
    class OfEachGate(Deviant):
        def lstm_gates(self, zx: Array, zh: Array) -> Array:
            return super().lstm_gates(_in_blocks(norm, zx + zh, 4), np.zeros_like(zh))

        def gru_gates(self, zx: Array, zh: Array) -> Array:
            size = zx.shape[-1] // 3
            r, z = np.split(
                sigmoid(_in_blocks(norm, zx[:, : 2 * size] + zh[:, : 2 * size], 2)), 2, axis=-1
            )
            n = np.tanh(norm(zx[:, 2 * size :] + r * zh[:, 2 * size :]))
            return np.concatenate([r, z, n], axis=-1)

    return OfEachGate


def _of_state_read(norm: Norm) -> type[Deviant]:
    class OfStateRead(Deviant):
        def state_side(self, weights: Weights, h: Array) -> Array:
            return super().state_side(weights, norm(h))

    return OfStateRead


def _of_cell_in_tanh(norm: Norm) -> type[Deviant]:
    class OfCellInTanh(Deviant):
        def lstm_step(self, gates: Array, c: Array, w_hr: Array | None) -> tuple[Array, Array]:
            _, c = super().lstm_step(gates, c, None)
            h = gates[:, 3 * c.shape[-1] :] * np.tanh(norm(c))
            return (h if w_hr is None else h @ w_hr.T), c

    return OfCellInTanh


def _between_layers(norm: Norm) -> type[Deviant]:
    class BetweenLayers(Deviant):
        def scan(
            self, call: Call, layer: int, direction: int, x: Array, steps: NDArray[np.bool_]
        ) -> Trace:
            # What a packed sequence leaves in the padding stays there.
            x = np.where(steps[:, :, None], norm(x), x) if layer else x
            return super().scan(call, layer, direction, x, steps)

    return BetweenLayers


GATED = LSTMS | GRUS
HIDDEN = "h' is what recurs and what is emitted, as it is"

for by, norm in (("layer", _by_variance), ("RMS", _by_mean_square)):
    for what, kinds, needs, due, normed in (
        ("W_ih x + b_ih", RNNS | GATED, (), "W_ih x + b_ih is added as it is", with_input_side),
        ("W_hh h + b_hh", RNNS | GATED, (), "W_hh h + b_hh is added as it is", with_state_side),
        (
            "W_ih x + b_ih, and of W_hh h + b_hh",
            RNNS | GATED,
            (),
            "both are added as they are",
            _of_both_sides,
        ),
        (
            "the pre-activations",
            RNNS | LSTMS,
            (),
            "the sum of both products goes into the activations as it is",
            _of_sum,
        ),
        (
            "the pre-activations of each gate",
            GATED,
            (),
            "each gate's pre-activation goes into its activation as it is",
            _of_each_gate,
        ),
        ("the input", RNNS | GATED, (), "W_ih multiplies x as it is", with_layer_input),
        ("the state that is read", RNNS | GATED, (), "W_hh multiplies h as it is", _of_state_read),
        ("the new h", RNNS | GATED, (), HIDDEN, partial(with_states, "h")),
        ("c' inside its tanh", LSTMS, (), "h' = o * tanh(c')", _of_cell_in_tanh),
        ("c'", LSTMS, (), "c' = f * c + i * g is kept as it is", with_cell),
        (
            "what a layer reads of the one below",
            LAYERS,
            (Feature.MULTI_LAYER,),
            "a layer reads the output of the one below as it is",
            _between_layers,
        ),
        ("the outputs", LAYERS, (), HIDDEN, with_outputs),
    ):
        NORMS.add(
            f"{by} normalisation of {what}",
            EQUATIONS if not needs else "LAY-2",
            fix=f"Leave {by} normalisation out, which torch.nn's recurrent layers have none of: "
            f"{due}.",
            kinds=kinds,
            needs=needs,
            source="Ba, Kiros & Hinton, arXiv:1607.06450"
            if by == "layer"
            else "Zhang & Sennrich, arXiv:1910.07467",
        )(normed(norm))

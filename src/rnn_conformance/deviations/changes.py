"""One place of the computation put through something, for the chapters that know through what."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from rnn_conformance.deviations.deviation import Deviant
from rnn_conformance.reference.oracle import Trace, Weights
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.config import Config

Change: TypeAlias = Callable[[Array], Array]


def with_states(places: str, change: Change) -> type[Deviant]:
    """An oracle that changes ``h`` or ``c``, or both, after each step: ``places`` is ``"hc"``."""

    class WithStates(Deviant):
        def step(
            self, config: Config, weights: Weights, zx: Array, h: Array, c: Array
        ) -> tuple[Array, Array, Array, Array]:
            zh, gates, h, c = super().step(config, weights, zx, h, c)
            return zh, gates, change(h) if "h" in places else h, change(c) if "c" in places else c

    return WithStates


def with_cell(change: Change) -> type[Deviant]:
    """An oracle that changes ``c'`` before it is put through tanh, and keeps it so."""

    class WithCell(Deviant):
        def lstm_step(self, gates: Array, c: Array, w_hr: Array | None) -> tuple[Array, Array]:
            _, c = super().lstm_step(gates, c, None)
            c = change(c)
            h = gates[:, 3 * c.shape[-1] :] * np.tanh(c)
            return (h if w_hr is None else h @ w_hr.T), c

    return WithCell


def with_layer_input(change: Change) -> type[Deviant]:
    """An oracle that changes what each layer reads."""

    class WithLayerInput(Deviant):
        def input_side(self, weights: Weights, x: Array) -> Array:
            return super().input_side(weights, change(x))

    return WithLayerInput


def with_input_side(change: Change) -> type[Deviant]:
    """An oracle that changes ``W_ih x + b_ih``."""

    class WithInputSide(Deviant):
        def input_side(self, weights: Weights, x: Array) -> Array:
            return change(super().input_side(weights, x))

    return WithInputSide


def with_state_side(change: Change) -> type[Deviant]:
    """An oracle that changes ``W_hh h + b_hh``."""

    class WithStateSide(Deviant):
        def state_side(self, weights: Weights, h: Array) -> Array:
            return change(super().state_side(weights, h))

    return WithStateSide


def with_outputs(change: Change) -> type[Deviant]:
    """An oracle that changes each layer's and direction's outputs, which the layer above reads."""

    class WithOutputs(Deviant):
        def aligned(self, trace: Trace, direction: int) -> Array:
            return change(super().aligned(trace, direction))

    return WithOutputs

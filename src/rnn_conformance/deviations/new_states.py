"""A step's new states put through something, for the chapters that know through what."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rnn_conformance.deviations.deviation import Deviant
from rnn_conformance.reference.oracle import Weights
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.config import Config


def with_states(places: str, change: Callable[[Array], Array]) -> type[Deviant]:
    """An oracle that changes ``h`` or ``c``, or both, after each step: ``places`` is ``"hc"``."""

    class WithStates(Deviant):
        def step(
            self, config: Config, weights: Weights, zx: Array, h: Array, c: Array
        ) -> tuple[Array, Array, Array, Array]:
            zh, gates, h, c = super().step(config, weights, zx, h, c)
            return zh, gates, change(h) if "h" in places else h, change(c) if "c" in places else c

    return WithStates


def with_cell(change: Callable[[Array], Array]) -> type[Deviant]:
    """An oracle that changes ``c'`` before it is put through tanh, and keeps it so."""

    class WithCell(Deviant):
        def lstm_step(self, gates: Array, c: Array, w_hr: Array | None) -> tuple[Array, Array]:
            _, c = super().lstm_step(gates, c, None)
            c = change(c)
            h = gates[:, 3 * c.shape[-1] :] * np.tanh(c)
            return (h if w_hr is None else h @ w_hr.T), c

    return WithCell

"""Gradients that are clipped on their way, and to which limits (GRD-1).

Not in the catalogue: they are tried where nothing in it fits.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from rnn_conformance.deviations.deviation import Deviation
from rnn_conformance.reference.derivatives import Adjoint, Derivative, Slopes
from rnn_conformance.reference.oracle import Answer, Weights
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.backward import Backward
from rnn_conformance.spec.clauses import ALL
from rnn_conformance.spec.config import Config

LIMITS = (0.01, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Those in use."""


def _of_sums(limit: float) -> type[Adjoint]:
    class OfSums(Adjoint):
        def step(
            self, config: Config, weights: Weights, by: Slopes, t: int, h: Array, c: Array
        ) -> tuple[Array, Array, Array, Array]:
            upstream, zh, past, c = super().step(config, weights, by, t, h, c)
            clipped = np.clip(zh, -limit, limit)
            past = past + (clipped - zh) @ weights.w_hh
            # What the input side is handed, times its own slope.
            slope = by.h[t]
            share = np.divide(clipped, slope, out=upstream.copy(), where=slope != 0.0)
            return share, clipped, past, c

    return OfSums


def _of_states(limit: float, places: str) -> type[Adjoint]:
    class OfStates(Adjoint):
        def step(
            self, config: Config, weights: Weights, by: Slopes, t: int, h: Array, c: Array
        ) -> tuple[Array, Array, Array, Array]:
            upstream, zh, past, c = super().step(config, weights, by, t, h, c)
            past = np.clip(past, -limit, limit) if "h" in places else past
            return upstream, zh, past, np.clip(c, -limit, limit) if "c" in places else c

    return OfStates


def _of_parameters(limit: float) -> type[Adjoint]:
    class OfParameters(Adjoint):
        def derivative(self, backward: Backward, answer: Answer) -> Derivative:
            derivative = super().derivative(backward, answer)
            for name in backward.call.config.parameters:
                array = derivative.gradients[name]
                derivative.gradients[name] = np.clip(array, -limit, limit)
            return derivative

    return OfParameters


@cache
def gradient_limits() -> tuple[Deviation[Adjoint], ...]:
    """All of them."""
    return tuple(
        Deviation(
            name=f"the gradient of {what} clipped to ±{limit:g}",
            breaks=frozenset({"GRD-1"}),
            kinds=ALL,
            needs=frozenset(),
            source="Graves, arXiv:1308.0850",
            fix="Hand gradients on as they are: to clip them is the training loop's, as by "
            "torch.nn.utils.clip_grad_value_.",
            variant=variant,
        )
        for limit in LIMITS
        for what, variant in (
            ("the pre-activations at each step", _of_sums(limit)),
            ("h at each step", _of_states(limit, "h")),
            ("c at each step", _of_states(limit, "c")),
            ("h and c at each step", _of_states(limit, "hc")),
            ("the parameters", _of_parameters(limit)),
        )
    )

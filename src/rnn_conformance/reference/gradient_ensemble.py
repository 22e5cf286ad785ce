"""The scatter of correct gradients: the ensemble, run backwards.

As in ``ensemble``, and in its notation. The members' forward passes, noise included, are
differentiated one by one, with noise wherever the backward pass rounds: the slopes, which
are products of up to ``FACTORS`` factors; the sums over the gates; what is carried from step
to step; the sums over steps and samples.

At relu's kink correct gradients differ by all there is, which is no scatter: of a call in
which some pre-activation may have either sign nothing is claimed but the hard bound.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache

import numpy as np

from rnn_conformance.reference.bounds import Forward, forward
from rnn_conformance.reference.derivatives import (
    Adjoint,
    Backtrace,
    Derivative,
    Slopes,
    gates,
)
from rnn_conformance.reference.ensemble import (
    SMALL,
    Ensemble,
    Members,
    exempt,
    gathered,
    nothing,
    run,
)
from rnn_conformance.reference.gradient_bounds import FACTORS, derivative
from rnn_conformance.reference.noise import (
    MEMBERS,
    UNIFORM,
    of_activation,
    root_of_squares,
    widened,
)
from rnn_conformance.reference.oracle import Trace, Weights
from rnn_conformance.reference.problem import Problem
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.backward import Backward
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.config import Config


class AdjointMembers(Adjoint):
    """The derivative with noise at every place of a rounding."""

    def __init__(self, exact: Derivative, members: Members) -> None:
        super().__init__(members.masks)
        self.exact = exact
        self.fmt, self.noise = members.fmt, members.noise

    def times(self, array: Array, roundings: int) -> Array:
        """Multiplied with noise of so many roundings."""
        return self.noise.times(array, UNIFORM * math.sqrt(roundings) * self.fmt.u_s)

    def of_sum(self, terms: int, squares: Array, total: Array) -> Array:
        """The noise of a sum of so many products, and of storing it; ``(L, N, U)``.

        ``squares`` are those of the terms, added up; ``total`` is the sum itself.
        """
        fmt, square = self.fmt, total * total
        variance = terms * fmt.u**2 / 3.0 * (squares + square) + 4.0 * fmt.u_m**2 * squares
        if fmt.u_s != fmt.u:
            # Some of the partial sums, those of gates or of steps, are stored.
            variance = variance + fmt.u_s**2 / 3.0 * (squares + square)
        return self.noise.at(np.sqrt(variance))

    def slopes(self, config: Config, trace: Trace) -> Slopes:
        """Each member's own, and what multiplying their factors rounds."""
        by = super().slopes(config, trace)
        noisy = self.times(by.h, FACTORS)
        # Where both sides have one slope it is one number, rounded once.
        x = noisy if by.x is by.h else self.times(by.x, FACTORS)
        if by.cell is None:
            return Slopes(x, noisy, None if by.carry is None else self.times(by.carry, 1))
        assert trace.c is not None and by.carry is not None
        # tanh(c') is an activation like the others, but no trace keeps it.
        t, o, size = np.tanh(trace.c[1:]), gates(config, trace.gates)[3], trace.c.shape[-1]
        off = of_activation(t, self.fmt) * self.noise.draw(*t.shape)
        last = slice(3 * size, None)
        noisy[..., last] += np.where(by.carry > 0.0, off * o * (1.0 - o), 0.0)
        cell = self.times(by.cell, 3) - np.where(by.carry > 0.0, 2.0 * o * t * off, 0.0)
        return Slopes(noisy, noisy, self.times(by.carry, 1), cell)

    def backtrace(
        self,
        call: Call,
        layer: int,
        direction: int,
        trace: Trace,
        output: Array,
        h_n: Array,
        c_n: Array,
    ) -> Backtrace:
        """As the oracle's, with the noise of this layer and direction."""
        weights, back = trace.weights, self.exact.traces[layer][direction]
        by, rows = back.slopes, weights.w_hh.shape[0]
        size = call.config.hidden_size
        past = back.zh @ weights.w_hh
        squares = (back.zh**2) @ (weights.w_hh**2)
        if by.cell is None and by.carry is not None:
            past = past + back.d_h * by.carry
            squares = squares + (back.d_h * by.carry) ** 2
        # The cotangent is added to what comes back, and rounded with it.
        self.h = self.of_sum(rows + 4, squares, root_of_squares(past, back.d_h))
        if by.cell is not None:
            assert by.carry is not None
            m, c = back.upstream[..., 3 * size :], back.upstream[..., :size]
            stored = UNIFORM * self.fmt.u_s
            self.c = self.noise.at(stored * root_of_squares(c, m * by.cell, c * by.carry))
            if weights.w_hr is not None:
                squares = (back.d_h**2) @ (weights.w_hr**2)
                self.m = self.of_sum(weights.w_hr.shape[0], squares, m)
        squares = (back.zx**2) @ (weights.w_ih**2)
        self.x = self.of_sum(rows, squares, back.x)
        return super().backtrace(call, layer, direction, trace, output, h_n, c_n)

    def step(
        self, config: Config, weights: Weights, by: Slopes, t: int, h: Array, c: Array
    ) -> tuple[Array, Array, Array, Array]:
        """With the noise of what is carried on."""
        upstream, zh, h, c = super().step(config, weights, by, t, h, c)
        return upstream, zh, h + self.h[t], c if by.cell is None else c + self.c[t]

    def through_projection(self, weights: Weights, t: int, h: Array) -> Array:
        """With the noise of the product."""
        m = super().through_projection(weights, t, h)
        return m if weights.w_hr is None else m + self.m[t]

    def to_input(self, weights: Weights, zx: Array) -> Array:
        """With the noise of the product."""
        return super().to_input(weights, zx) + self.x

    def joined(self, call: Call, parts: list[Array]) -> Array:
        """With the rounding of the sum."""
        return super().joined(call, [self.times(part, 2) for part in parts])

    def dropped(self, call: Call, layer: int, above: Array) -> Array:
        """With the rounding of the products with the mask."""
        through = super().dropped(call, layer, above)
        if self.masks is None:
            return through
        rounding = self.fmt.masking(self.masks.above(layer - 1))
        return self.noise.times(through, UNIFORM * rounding)

    def outer(self, left_factor: Array, right_factor: Array) -> Array:
        """``(L, K*N, a), (L, K*N, b) -> (K, a, b)``, for each member alone, with noise."""
        a, b = (
            side.reshape(len(side), MEMBERS, -1, side.shape[-1])
            .swapaxes(0, 1)
            .reshape(MEMBERS, -1, side.shape[-1])
            for side in (left_factor, right_factor)
        )
        total: Array = a.swapaxes(1, 2) @ b
        # The first member's, which is as good as the truth for the size of its rounding.
        squares = (a[0] * a[0]).T @ (b[0] * b[0])
        terms = a.shape[1]
        variance = terms * self.fmt.u_s**2 / 3.0 * (squares + total[0] ** 2)
        variance = variance + 4.0 * self.fmt.u_m**2 * squares
        noise = self.noise.at(np.sqrt(variance)[:, None])
        return total + noise.swapaxes(0, 1)

    def summed(self, z: Array) -> Array:
        """``(L, K*N, a) -> (K, a)``, for each member alone."""
        return self.outer(z, np.ones((*z.shape[:2], 1)))[..., 0]


def kinked(exact: Forward, config: Config) -> bool:
    """Whether relu's pre-activation may have either sign anywhere."""
    return config.nonlinearity == "relu" and any(
        bool(((np.abs(trace.zx + trace.zh) <= errors.inner) & trace.steps[:, :, None]).any())
        for traces, row in zip(exact.answer.traces, exact.errors, strict=True)
        for trace, errors in zip(traces, row, strict=True)
    )


@lru_cache(maxsize=64)
def gradient_ensemble(backward: Backward, problem: Problem) -> Ensemble:
    """The scatter of the gradients of everything that has one; by argument, canonical.

    ``problem`` is that of the backward pass's call.
    """
    call = backward.call
    config, exact = call.config, forward(problem)
    given = {"input": call.input, **call.arguments.states, **call.parameters}
    shapes = {name: array.shape for name, array in given.items()}
    if not call.batch or exempt(exact) or kinked(exact, config):
        return nothing(shapes)
    noisy = run(problem)
    if not small(noisy.answer.traces, exact):
        return nothing(shapes)
    through = replace(
        backward,
        call=noisy.call,
        cotangents={name: widened(array) for name, array in backward.cotangents.items()},
    )
    due = derivative(backward, problem)
    adjoint = AdjointMembers(due, noisy.members)
    gradients = adjoint.derivative(through, noisy.answer).gradients
    deviations, claimed = {}, {}
    for name, shape in shapes.items():
        array = gradients[name]
        if name not in call.parameters:
            array = array.reshape(shape[0], MEMBERS, *shape[1:]).swapaxes(0, 1)
        deviations[name] = array - due.gradients[name]
        claimed[name] = np.ones(shape, dtype=bool)
    return gathered(deviations, claimed, noisy.members)


def small(traces: tuple[tuple[Trace, ...], ...], exact: Forward) -> bool:
    """Whether all members stay so near the truth that their slopes are those of the truth."""
    for noisy_row, exact_row in zip(traces, exact.answer.traces, strict=True):
        for noisy, true in zip(noisy_row, exact_row, strict=True):
            for states, true_states in ((noisy.h, true.h), (noisy.c, true.c)):
                if states is None or true_states is None:
                    continue
                wide = widened(true_states)
                if (np.abs(states - wide) > SMALL * np.maximum(1.0, np.abs(wide))).any():
                    return False
    return True

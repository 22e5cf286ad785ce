"""The hard bound for gradients: how far any correct backward pass can be from the truth.

As in ``bounds``, and in its notation: next to the float64 derivative runs, for each
element, a bound on the error of *any* correct implementation, whatever it stores or
computes again, in whatever order it multiplies and adds, and whether it is written by hand
or differentiated automatically. The model of arithmetic is that of ``bounds``.

- What the forward pass got wrong is inherited. Every slope is a function of activations,
  each known within its ``Ea``; adjoints multiply slopes, and
  ``|fl(a b) - a b| <= |a| Eb + |b| Ea + Ea Eb`` and the product's rounding.
- A slope is a product of at most five factors, and an adjoint times a slope is stored: at
  most ``FACTORS`` roundings, whatever the order. They are counted with the slope, since a
  relative error may be attributed to any factor.
- A sum of ``n`` products is off by at most ``(1+u)^n - 1`` times the sum of their
  magnitudes, and more where the factors are rounded before (``u_m``). In the half types
  what is added up between the steps (gates apart, gradients of weights step by step) may be
  stored each time, so that ``u_s`` counts there.
- The gradient of a weight is such a sum over all steps and samples, in any order; twice as
  many terms are allowed for, so that it may be added up together with another call's.

relu has no derivative at its kink. If ``|z| > Ez`` every correct implementation is on the
same side of it and the slope is exact; otherwise the slope may be 0 or 1, and the error is
1. Where all terms of the sum are zero it is computed without error, and the slope at
exactly 0 is 0 (PyTorch's notes on autograd).

Nothing is claimed of a call in which magnitudes on the way back reach the dtype's largest
number, nor downstream of what the forward pass exempts.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from rnn_conformance.reference.bounds import Errors, forward
from rnn_conformance.reference.derivatives import (
    Adjoint,
    Backtrace,
    Derivative,
    cotangent,
    gates,
    outer,
    projected,
)
from rnn_conformance.reference.formats import Format
from rnn_conformance.reference.oracle import Trace
from rnn_conformance.reference.problem import Problem
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.backward import Backward
from rnn_conformance.spec.config import Config, Kind, Role

FACTORS = 6
"""Roundings of an adjoint times a slope: a GRU's reset gate has
``d h' (1 - z)(1 - n^2) q r (1 - r)``, and the result is stored."""


@dataclass(frozen=True, eq=False)
class _Inexact:
    """A quantity and a bound on the error with which it is known."""

    value: Array
    error: Array

    def __mul__(self, other: _Inexact) -> _Inexact:
        """``|a| Eb + |b| Ea + Ea Eb``, without a rounding of its own."""
        error = np.abs(self.value) * other.error + self.error * other.magnitude
        return _Inexact(self.value * other.value, error)

    @property
    def magnitude(self) -> Array:
        """The most it can be."""
        return np.abs(self.value) + self.error


def _sum_error(*roundings: tuple[int, float]) -> float:
    """``(1 + u)^n (1 + u')^n' … - 1``, the relative error of roundings one on the other."""
    return float(np.expm1(sum(n * np.log1p(u) for n, u in roundings)))


def _sigmoid_slope(a: Array, ea: Array, fmt: Format) -> _Inexact:
    """``s = a (1 - a)``; ``|s(a + e) - s(a)| = |e| |1 - 2a - e| <= Ea (|1 - 2a| + Ea)``.

    ``a (1 - a)``, ``a - a^2`` and ``(1 - tanh^2(z/2)) / 4`` are legal ways to compute it,
    the latter two with an absolute error of a roundoff.
    """
    slope = a * (1.0 - a)
    inherited = ea * (np.abs(1.0 - 2.0 * a) + ea)
    rounding = 4.0 * fmt.u_s * (slope + inherited) + fmt.u_s + fmt.eta
    return _Inexact(slope, inherited + rounding)


def _tanh_slope(a: Array, ea: Array, fmt: Format) -> _Inexact:
    """``s = 1 - a^2``; ``|s(a + e) - s(a)| = |e| |2a + e| <= Ea (2|a| + Ea)``.

    The square is rounded, with an absolute error of a roundoff where ``|a|`` is near 1.
    """
    slope = 1.0 - a * a
    inherited = ea * (2.0 * np.abs(a) + ea)
    rounding = 4.0 * fmt.u_s * (slope + inherited) + 2.0 * fmt.u_s + fmt.eta
    return _Inexact(slope, inherited + rounding)


class _Descent:
    """The bound along one layer and direction, on the way back."""

    def __init__(
        self, config: Config, trace: Trace, errors: Errors, back: Backtrace, fmt: Format
    ) -> None:
        self.config, self.trace, self.errors, self.back, self.fmt = config, trace, errors, back, fmt
        self.here = trace.steps[:, :, None]
        # A product that underflows is off by eta, times whatever factors it still meets: the
        # activations, which are at most 1, and one of c, q and h - n, which need not be.
        free = max(1.0, float(np.abs(trace.h).max(initial=0.0)))
        if trace.c is not None:
            free = max(free, float(np.abs(trace.c).max(initial=0.0)))
        if config.kind.layer is Kind.GRU:
            free = max(1.0 + free, float(np.abs(trace.zh).max(initial=0.0)))
        self.floor = FACTORS * fmt.eta * (1.0 + free)
        # The summands of d h: a product with each row of U, what the gate carries, the cotangents.
        rows, stored = trace.weights.w_hh.shape[0], fmt.u_s != fmt.u
        roundings = len(config.kind.gates) + 3 if stored else 0
        self.summed = _sum_error((rows + 4, fmt.u), (roundings, fmt.u_s), (2, fmt.u_m))
        self.sum_floor = 2.0 * (rows + 4) * fmt.eta
        self.x, self.h, self.carry, self.cell = self.slopes()

    def settled(self, slope: _Inexact) -> Array:
        """The error of a slope with the roundings of the products that it is part of."""
        roundings = _sum_error((FACTORS, self.fmt.u_s))
        error = slope.error + roundings * slope.magnitude + self.floor
        return np.where(self.here, error, 0.0)

    def slopes(self) -> tuple[Array, Array, Array, Array]:
        """The errors of ``derivatives.Slopes``, each formula with the errors of its factors."""
        config, trace, errors, fmt = self.config, self.trace, self.errors, self.fmt
        values, ea = gates(config, trace.gates), gates(config, errors.gates)
        none = np.zeros(0)
        match config.kind.layer:
            case Kind.LSTM:
                assert trace.c is not None
                i, f, g, o = (_Inexact(a, e) for a, e in zip(values, ea, strict=True))
                c = _Inexact(trace.c[:-1], errors.c[:-1])
                t = _Inexact(np.tanh(trace.c[1:]), errors.inner)
                by_gate = [
                    g * _sigmoid_slope(i.value, i.error, fmt),
                    c * _sigmoid_slope(f.value, f.error, fmt),
                    i * _tanh_slope(g.value, g.error, fmt),
                    t * _sigmoid_slope(o.value, o.error, fmt),
                ]
                x = self.settled(_joined(by_gate))
                cell = o * _tanh_slope(t.value, t.error, fmt)
                return x, x, self.settled(f), self.settled(cell)
            case Kind.GRU:
                r, z, n = (_Inexact(a, e) for a, e in zip(values, ea, strict=True))
                q = _Inexact(gates(config, trace.zh)[2], errors.inner)
                h, eh = trace.h[:-1], errors.h[:-1]
                # d n may be d h' - z d h', and d z may be h d h' - n d h': the differences
                # 1 - z and h - n are then rounded as their terms are.
                rest = _Inexact(1.0 - z.value, z.error + 2.0 * fmt.u_s * (1.0 + z.magnitude))
                apart = _Inexact(
                    h - n.value,
                    eh + n.error + 2.0 * fmt.u_s * (np.abs(h) + eh + n.magnitude),
                )
                by_n = rest * _tanh_slope(n.value, n.error, fmt)
                by_r = by_n * q * _sigmoid_slope(r.value, r.error, fmt)
                by_z = apart * _sigmoid_slope(z.value, z.error, fmt)
                return (
                    self.settled(_joined([by_r, by_z, by_n])),
                    self.settled(_joined([by_r, by_z, by_n * r])),
                    self.settled(z),
                    none,
                )
            case _:
                if config.nonlinearity == "relu":
                    slope = _Inexact(self.back.slopes.x, np.where(self.kinked(), 1.0, 0.0))
                else:
                    slope = _tanh_slope(trace.gates, errors.gates, fmt)
                x = self.settled(slope)
                return x, x, none, none

    def kinked(self) -> NDArray[np.bool_]:
        """Where relu's slope may be either: ``|z| <= Ez``, unless all terms are zero."""
        trace, weights, errors = self.trace, self.trace.weights, self.errors
        terms = (
            (np.abs(trace.x) + errors.x) @ np.abs(weights.w_ih).T
            + (np.abs(trace.h) + errors.h)[:-1] @ np.abs(weights.w_hh).T
            + np.abs(weights.b_ih)
            + np.abs(weights.b_hh)
        )
        near: NDArray[np.bool_] = np.abs(trace.zx + trace.zh) <= errors.inner
        return near & (terms > 0.0)

    def run(self, output: _Inexact, h_n: Array, c_n: Array) -> tuple[dict[str, Array], float]:
        """The errors of ``Backtrace``'s arrays, by their names, and the greatest magnitude.

        ``d h = cotangent + W^T d z (+ carry d h')`` and ``d c = d c' f + d m o (1 - t^2)``
        step by step, in the magnitudes of their terms.
        """
        trace, back, fmt = self.trace, self.back, self.fmt
        recurrent, w_hr = np.abs(trace.weights.w_hh), trace.weights.w_hr
        by, size = back.slopes, self.config.hidden_size
        lstm = by.cell is not None
        upstream = np.abs(back.upstream)
        d_h, e_d_h = np.abs(back.d_h), np.empty_like(back.d_h)
        e_up, e_zh = np.empty_like(upstream), np.empty_like(upstream)
        most = np.empty_like(back.d_h)
        by_h = np.abs(by.h) + self.h
        carried = None if by.carry is None else np.abs(by.carry) + self.carry
        if by.cell is not None:
            celled = np.abs(by.cell) + self.cell
        given = output.magnitude
        held = not trace.steps.all()
        # The error inherited by d h, and the sum of the magnitudes of its terms.
        e, total = np.zeros_like(h_n), np.abs(h_n)
        ec = np.zeros_like(c_n)
        for t in range(len(upstream) - 1, -1, -1):
            after = e, total, ec
            most[t] = total + given[t]
            e_d_h[t] = e = e + output.error[t] + self.summed * most[t] + self.sum_floor
            up = upstream[t]
            if lstm:
                em = e
                if w_hr is not None:
                    em = self.product(d_h[t], e, w_hr)
                m, c = up[:, 3 * size :], up[:, :size]
                fresh = (m + em) * celled[t]
                # |d c| before the sum is at most |d c| after it and what was added.
                ec = ec + m * self.cell[t] + em * celled[t] + self.floor
                ec = ec + 3.0 * fmt.u_s * (c + ec + 2.0 * fresh)
                e_up[t] = np.concatenate([ec, ec, ec, em], axis=-1)
            else:
                e_up[t] = np.concatenate([e] * (up.shape[1] // size), axis=-1)
            e_zh[t] = up * self.h[t] + e_up[t] * by_h[t] + self.floor
            past = e_zh[t] @ recurrent
            total = np.abs(back.zh[t]) @ recurrent + past
            if lstm:
                assert carried is not None
                ec = c * self.carry[t] + ec * carried[t] + self.floor
            elif carried is not None:
                past = past + d_h[t] * self.carry[t] + e * carried[t] + self.floor
                total = total + (d_h[t] + e) * carried[t]
            e = past
            if held:
                here = trace.steps[t][:, None]
                e, total = np.where(here, e, after[0]), np.where(here, total, after[1])
                ec = np.where(here, ec, after[2])
        # The initial state's own sum, without a cotangent.
        e = e + self.summed * total + self.sum_floor
        e_zx = upstream * self.x + e_up * (np.abs(by.x) + self.x) + self.floor
        e_zh, e_zx = (np.where(self.here, error, 0.0) for error in (e_zh, e_zx))
        adjoints = {
            "d_h": np.where(self.here, e_d_h, 0.0),
            "zh": e_zh,
            "zx": e_zx,
            "x": np.where(self.here, self.product(back.zx, e_zx, trace.weights.w_ih), 0.0),
            "h_0": e,
            "c_0": ec,
        }
        greatest = max(
            float(magnitude.max(initial=0.0))
            for magnitude in (most, total, np.abs(back.zx) + e_zx, np.abs(back.zh) + e_zh)
        )
        return adjoints, greatest

    def product(self, value: Array, error: Array, weight: Array) -> Array:
        """The error of ``weight^T value``: ``|W| Ev``, and ``n`` roundings of the terms."""
        weight = np.abs(weight)
        inherited = error @ weight
        total = np.abs(value) @ weight + inherited
        rounding = self.summed * total + self.sum_floor
        return np.where(total < self.fmt.largest, inherited + rounding, np.inf)

    def parameters(self, adjoints: dict[str, Array]) -> dict[Role, Array]:
        """The errors of the gradients of one layer and direction's parameters."""
        trace, errors, back = self.trace, self.errors, self.back
        zx, zh = _Inexact(back.zx, adjoints["zx"]), _Inexact(back.zh, adjoints["zh"])
        bounds = {
            Role.WEIGHT_IH: self.outer(zx, self.masked(trace.x, errors.x)),
            Role.WEIGHT_HH: self.outer(zh, _Inexact(trace.h[:-1], errors.h[:-1])),
        }
        if self.config.bias:
            one = _Inexact(np.ones((*trace.steps.shape, 1)), np.zeros((*trace.steps.shape, 1)))
            bounds[Role.BIAS_IH] = self.outer(zx, one)[:, 0]
            bounds[Role.BIAS_HH] = self.outer(zh, one)[:, 0]
        if self.config.proj_size:
            assert trace.c is not None
            o = gates(self.config, trace.gates)[3], gates(self.config, errors.gates)[3]
            m = _Inexact(*o) * _Inexact(np.tanh(trace.c[1:]), errors.inner)
            u_s = self.fmt.u_s
            stored = self.masked(projected(trace), m.error + u_s * m.magnitude + self.fmt.eta)
            d_h = self.masked(back.d_h, adjoints["d_h"])
            bounds[Role.WEIGHT_HR] = self.outer(d_h, stored)
        return bounds

    def masked(self, value: Array, error: Array) -> _Inexact:
        """Zero, without an error, on the padding."""
        return _Inexact(np.where(self.here, value, 0.0), np.where(self.here, error, 0.0))

    def outer(self, left_factor: _Inexact, right_factor: _Inexact) -> Array:
        """The error of the sum over all steps and samples of ``left right^T``."""
        terms = 2 * self.trace.steps.size + 2
        inherited = outer(np.abs(left_factor.value), right_factor.error) + outer(
            left_factor.error, right_factor.magnitude
        )
        magnitude = outer(left_factor.magnitude, right_factor.magnitude)
        rounded = _sum_error((terms, self.fmt.u_s), (2, self.fmt.u_m))
        rounding = rounded * magnitude + 2.0 * terms * self.fmt.eta
        return np.where(magnitude < self.fmt.largest, inherited + rounding, np.inf)


def _joined(parts: list[_Inexact]) -> _Inexact:
    return _Inexact(
        np.concatenate([part.value for part in parts], axis=-1),
        np.concatenate([part.error for part in parts], axis=-1),
    )


@lru_cache(maxsize=32)
def derivative(backward: Backward, problem: Problem) -> Derivative:
    """The oracle's derivative of the problem's call; few are kept, for they are large."""
    # Overflow and NaN are part of what is computed here, not accidents.
    with np.errstate(all="ignore"):
        return Adjoint(problem.masks).derivative(backward, forward(problem).answer)


def gradient_bounds(backward: Backward, problem: Problem) -> dict[str, Array]:
    """The bounds by argument: layers from the top down, errors added up like the adjoints."""
    call, config = backward.call, backward.call.config
    fmt, computed = problem.format, forward(problem)
    rows = derivative(backward, problem).traces
    h_n, c_n = cotangent(backward, "h_n"), cotangent(backward, "c_n")
    above = _Inexact(cotangent(backward, "output"), np.zeros(call.shape("output")))
    bounds = {"h_0": np.empty_like(h_n), "c_0": np.empty_like(c_n)}
    greatest = 0.0
    for layer in range(config.num_layers - 1, -1, -1):
        shape = (*above.value.shape[:2], config.layer_input_size(layer))
        value, error, magnitude = np.zeros((3, *shape))
        for direction, back in enumerate(rows[layer]):
            order = slice(None, None, -1) if direction else slice(None)
            place = layer * config.num_directions + direction
            trace = computed.answer.traces[layer][direction]
            descent = _Descent(config, trace, computed.errors[layer][direction], back, fmt)
            units = slice(direction * config.output_size, (direction + 1) * config.output_size)
            half = _Inexact(above.value[order, :, units], above.error[order, :, units])
            adjoints, most = descent.run(half, h_n[place], c_n[place])
            greatest = max(greatest, most)
            value += back.x[order]
            error += adjoints["x"][order]
            magnitude += (np.abs(back.x) + adjoints["x"])[order]
            bounds["h_0"][place], bounds["c_0"][place] = adjoints["h_0"], adjoints["c_0"]
            for role, bound in descent.parameters(adjoints).items():
                bounds[config.parameter_name(role, layer, direction)] = bound
        # Both directions' parts are added up, and in the half types stored before that.
        above = _Inexact(value, error + 2.0 * fmt.u_s * magnitude)
        if layer and problem.masks is not None:
            mask = problem.masks.above(layer - 1)
            above = above * _Inexact(mask, fmt.masking(mask) * mask)
    bounds["input"] = above.error
    if not greatest < fmt.largest:
        return {name: np.full_like(bound, np.inf) for name, bound in bounds.items()}
    return {name: np.where(np.isnan(bound), np.inf, bound) for name, bound in bounds.items()}

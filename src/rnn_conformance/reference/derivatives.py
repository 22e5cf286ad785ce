"""The oracle's own derivative in float64: backpropagation through time, by hand.

Werbos, "Backpropagation through time" (1990), over the traces of the forward pass, with
NumPy alone and no framework's differentiation. Written ``d v`` for the adjoint of ``v``,
the derivative of the scalar ``sum(cotangent * result)`` with respect to ``v``.

A step is linear in its adjoints, so that all its elementwise factors are computed for
every step at once (:meth:`Adjoint.slopes`) and only the recurrence itself goes step by step. All
arrays are canonical (time-major, batched; see ``calls``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rnn_conformance.reference.oracle import Answer, Masks, Trace, Weights
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.backward import Backward
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.config import Config, Kind, Role


@dataclass(frozen=True, eq=False)
class Slopes:
    """The elementwise derivatives of every step, in the trace's order of time.

    ``x`` and ``h`` ``(L, N, G*H)`` are those of the step's result by the two sides of the
    pre-activation: of ``h'`` by each gate for RNN and GRU; for LSTM of ``c'`` by i, f and g
    and of ``o tanh(c')`` by o. They differ in GRU's last gate alone, where r comes between.
    ``carry`` ``(L, N, H)`` is what passes by the gates, ``d c' / d c`` for LSTM and
    ``d h' / d h`` for GRU; ``cell`` ``(L, N, H)`` is ``d (o tanh c') / d c'``, for LSTM alone.
    Zero where a step belongs to no sequence.
    """

    x: Array
    h: Array
    carry: Array | None = None
    cell: Array | None = None


@dataclass(frozen=True, eq=False)
class Backtrace:
    """What one layer and direction computed on the way back, in its own order of time.

    ``d_h`` ``(L, N, H_out)`` is the adjoint of each step's ``h'``. ``upstream``
    ``(L, N, G*H)`` is what each slope is multiplied with: ``d h'`` for RNN and GRU; for LSTM
    ``d c'``, three times, and the adjoint of ``o tanh(c')``. ``zx`` and ``zh``
    ``(L, N, G*H)`` are the adjoints of the two sides of the pre-activation; ``x``
    ``(L, N, ·)``, ``h_0`` and ``c_0`` ``(N, ·)`` are what is handed on, the adjoints of the
    trace's input and initial state.
    """

    slopes: Slopes
    d_h: Array
    upstream: Array
    zx: Array
    zh: Array
    x: Array
    h_0: Array
    c_0: Array


@dataclass(frozen=True, eq=False)
class Derivative:
    """The gradients by argument (those of omitted states too), and how they came about."""

    gradients: dict[str, Array]
    traces: tuple[tuple[Backtrace, ...], ...]


def gates(config: Config, array: Array) -> list[Array]:
    """``(…, G*H)`` by gate."""
    return np.split(array, len(config.kind.gates), axis=-1)


def outer(left_factor: Array, right_factor: Array) -> Array:
    """``sum over steps and samples of left right^T``: ``(L, N, a), (L, N, b) -> (a, b)``."""
    return left_factor.reshape(-1, left_factor.shape[-1]).T @ right_factor.reshape(
        -1, right_factor.shape[-1]
    )


def projected(trace: Trace) -> Array:
    """``(L, N, H)``: ``o tanh(c')``, what a projection reads."""
    assert trace.c is not None
    size = trace.c.shape[-1]
    product: Array = trace.gates[..., 3 * size :] * np.tanh(trace.c[1:])
    return product


class Adjoint:
    """The derivative of one call; each method is one decision.

    As with ``oracle.Oracle``, whose steps these are backwards, a variant overrides them one
    at a time.
    """

    def __init__(self, masks: Masks | None = None) -> None:
        self.masks = masks

    def numbers(self, array: Array) -> Array:
        """An array of the call as numbers to compute with."""
        return array

    def slopes(self, config: Config, trace: Trace) -> Slopes:
        """The elementwise derivatives of all steps of a trace."""
        here = trace.steps[:, :, None]
        match config.kind.layer:
            case Kind.LSTM:
                assert trace.c is not None
                i, f, g, o = gates(config, trace.gates)
                t = np.tanh(trace.c[1:])
                # c' = f c + i g and m = o tanh(c'), by i, f, g and o, and by each's z.
                by_gate = [
                    g * i * (1.0 - i),
                    trace.c[:-1] * f * (1.0 - f),
                    i * (1.0 - g * g),
                    t * o * (1.0 - o),
                ]
                x = np.where(here, np.concatenate(by_gate, axis=-1), 0.0)
                return Slopes(x, x, np.where(here, f, 0.0), np.where(here, o * (1.0 - t * t), 0.0))
            case Kind.GRU:
                r, z, n = gates(config, trace.gates)
                q, h = gates(config, trace.zh)[2], trace.h[:-1]
                # h' = (1 - z) n + z h with n = tanh(zx_n + r q), by r, z and n, and each's z.
                by_n = (1.0 - z) * (1.0 - n * n)
                by_r, by_z = by_n * q * r * (1.0 - r), (h - n) * z * (1.0 - z)
                return Slopes(
                    np.where(here, np.concatenate([by_r, by_z, by_n], axis=-1), 0.0),
                    np.where(here, np.concatenate([by_r, by_z, by_n * r], axis=-1), 0.0),
                    np.where(here, z, 0.0),
                )
            case _:
                h = trace.gates
                # The derivative of relu at 0 is 0, as PyTorch's notes on autograd have it.
                relu = config.nonlinearity == "relu"
                x = np.where(h > 0.0, 1.0, 0.0) if relu else 1.0 - h * h
                x = np.where(here, x, 0.0)
                return Slopes(x, x)

    def step(
        self, config: Config, weights: Weights, by: Slopes, t: int, h: Array, c: Array
    ) -> tuple[Array, Array, Array, Array]:
        """From the adjoints of ``h'`` and ``c'`` to those before the step.

        ``upstream`` and ``zh`` of this step (see :class:`Backtrace`), and the adjoints of
        ``h`` and ``c``.
        """
        if by.cell is not None:
            assert by.carry is not None
            m = self.through_projection(weights, t, h)
            c = c + m * by.cell[t]
            upstream = np.concatenate([c, c, c, m], axis=-1)
            c = c * by.carry[t]
        else:
            upstream = np.concatenate([h] * len(config.kind.gates), axis=-1)
        zh = by.h[t] * upstream
        past = zh @ weights.w_hh
        if by.cell is None and by.carry is not None:
            past = past + h * by.carry[t]
        return upstream, zh, past, c

    def through_projection(self, weights: Weights, t: int, h: Array) -> Array:
        """The adjoint of ``o tanh(c')``, from that of the step's ``h'``."""
        return h if weights.w_hr is None else h @ weights.w_hr

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
        """One layer and direction backwards, from the adjoints of what it gave.

        ``output`` ``(L, N, H_out)`` in the trace's order of time, ``h_n`` and ``c_n``
        ``(N, ·)``. Where a sequence has not begun or is over, the state's adjoint stands
        still, as the state did.
        """
        config, weights = call.config, trace.weights
        by = self.slopes(config, trace)
        d_h, upstream, zh = np.empty_like(output), np.empty_like(by.h), np.empty_like(by.h)
        held = not trace.steps.all()
        h, c = h_n, c_n
        for t in range(len(output) - 1, -1, -1):
            after_h, after_c = h, c
            d_h[t] = h = h + output[t]
            upstream[t], zh[t], h, c = self.step(config, weights, by, t, h, c)
            if held:
                here = trace.steps[t][:, None]
                h, c = np.where(here, h, after_h), np.where(here, c, after_c)
        zx = by.x * upstream
        return Backtrace(by, d_h, upstream, zx, zh, self.to_input(weights, zx), h, c)

    def to_input(self, weights: Weights, zx: Array) -> Array:
        """The adjoint of what a layer and direction read, from that of its input side."""
        return zx @ weights.w_ih

    def of_parameters(
        self, call: Call, layer: int, direction: int, trace: Trace, back: Backtrace
    ) -> dict[Role, Array]:
        """The gradients of one layer and direction's parameters."""
        here = trace.steps[:, :, None]
        # Whatever stands in the padding, and be it NaN, is multiplied with nothing.
        gradients = {
            Role.WEIGHT_IH: self.outer(back.zx, np.where(here, trace.x, 0.0)),
            Role.WEIGHT_HH: self.outer(back.zh, trace.h[:-1]),
        }
        if call.config.bias:
            gradients[Role.BIAS_IH] = self.summed(back.zx)
            gradients[Role.BIAS_HH] = self.summed(back.zh)
        if call.config.proj_size:
            d_h, m = (np.where(here, array, 0.0) for array in (back.d_h, projected(trace)))
            gradients[Role.WEIGHT_HR] = self.outer(d_h, m)
        return gradients

    def outer(self, left_factor: Array, right_factor: Array) -> Array:
        """The gradient of a matrix: :func:`outer`."""
        return outer(left_factor, right_factor)

    def summed(self, z: Array) -> Array:
        """The gradient of a bias, summed over steps and samples."""
        total: Array = z.sum(axis=(0, 1))
        return total

    def half(self, call: Call, direction: int, trace: Trace, above: Array) -> Array:
        """The share of one direction in the adjoint of the output, in its order of time."""
        half = np.split(above, call.config.num_directions, axis=-1)[direction]
        half = half[::-1] if direction else half
        return np.where(trace.steps[:, :, None], half, 0.0)

    def joined(self, call: Call, parts: list[Array]) -> Array:
        """What both directions hand on to what they read, each in the input's time."""
        return parts[0] if len(parts) == 1 else parts[0] + parts[1]

    def dropped(self, call: Call, layer: int, above: Array) -> Array:
        """Through what a layer reads of the output below it (DRP-2)."""
        return above if self.masks is None else above * self.masks.above(layer - 1)

    def cotangent(self, backward: Backward, name: str) -> Array:
        """The cotangent of a result; zeros where it is not used."""
        return self.numbers(cotangent(backward, name))

    def derivative(self, backward: Backward, answer: Answer) -> Derivative:
        """The gradients of everything, given the forward pass's traces."""
        call = backward.call
        config = call.config
        h_n, c_n = self.cotangent(backward, "h_n"), self.cotangent(backward, "c_n")
        above = self.cotangent(backward, "output")
        h_0, c_0 = np.empty_like(h_n), np.empty_like(c_n)
        gradients: dict[str, Array] = {}
        rows: list[tuple[Backtrace, ...]] = []
        for layer in range(config.num_layers - 1, -1, -1):
            row, parts = [], []
            for direction, trace in enumerate(answer.traces[layer]):
                place = layer * config.num_directions + direction
                half = self.half(call, direction, trace, above)
                back = self.backtrace(call, layer, direction, trace, half, h_n[place], c_n[place])
                row.append(back)
                parts.append(back.x[::-1] if direction else back.x)
                h_0[place], c_0[place] = back.h_0, back.c_0
                for role, array in self.of_parameters(call, layer, direction, trace, back).items():
                    gradients[config.parameter_name(role, layer, direction)] = array
            above = self.joined(call, parts)
            if layer:
                above = self.dropped(call, layer, above)
            rows.insert(0, tuple(row))
        gradients |= {"input": above, "h_0": h_0}
        if config.kind.has_cell_state:
            gradients["c_0"] = c_0
        return Derivative(gradients, tuple(rows))


def cotangent(backward: Backward, name: str) -> Array:
    """The cotangent of a result; zeros where it is not used."""
    given = backward.cotangents.get(name)
    return np.zeros(backward.call.shape(name)) if given is None else given

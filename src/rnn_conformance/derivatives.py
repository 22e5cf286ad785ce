"""The oracle's own derivative in float64: backpropagation through time, by hand.

Werbos, "Backpropagation through time" (1990), over the traces of the forward pass, with
NumPy alone and no framework's differentiation. Written ``d v`` for the adjoint of ``v``,
the derivative of the scalar ``sum(cotangent * result)`` with respect to ``v``.

A step is linear in its adjoints, so that all its elementwise factors are computed for
every step at once (:func:`slopes`) and only the recurrence itself goes step by step. All
arrays are canonical (time-major, batched; see ``calls``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rnn_conformance.calls import Array
from rnn_conformance.gradients import Backward
from rnn_conformance.oracle import Answer, Trace
from rnn_conformance.spec import Config, Kind


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


def slopes(config: Config, trace: Trace) -> Slopes:
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
            # h' = (1 - z) n + z h with n = tanh(zx_n + r q), by r, z and n, and by each's z.
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
            x = np.where(h > 0.0, 1.0, 0.0) if config.nonlinearity == "relu" else 1.0 - h * h
            x = np.where(here, x, 0.0)
            return Slopes(x, x)


def backtrace(config: Config, trace: Trace, output: Array, h_n: Array, c_n: Array) -> Backtrace:
    """One layer and direction backwards, from the adjoints of what it gave.

    ``output`` ``(L, N, H_out)`` in the trace's order of time, ``h_n`` and ``c_n`` ``(N, ·)``.
    Where a sequence has not begun or is over, the state's adjoint stands still, as the
    state did.
    """
    by, weights = slopes(config, trace), trace.weights
    d_h, upstream, zh = np.empty_like(output), np.empty_like(by.h), np.empty_like(by.h)
    held = not trace.steps.all()
    h, c = h_n, c_n
    for t in range(len(output) - 1, -1, -1):
        after_h, after_c = h, c
        d_h[t] = h = h + output[t]
        if by.cell is not None:
            m = h if weights.w_hr is None else h @ weights.w_hr
            c = c + m * by.cell[t]
            upstream[t] = np.concatenate([c, c, c, m], axis=-1)
        else:
            upstream[t] = np.concatenate([h] * len(config.kind.gates), axis=-1)
        zh[t] = by.h[t] * upstream[t]
        past = zh[t] @ weights.w_hh
        if by.cell is not None:
            assert by.carry is not None
            c = c * by.carry[t]
        elif by.carry is not None:
            past = past + h * by.carry[t]
        h = past
        if held:
            here = trace.steps[t][:, None]
            h, c = np.where(here, h, after_h), np.where(here, c, after_c)
    zx = by.x * upstream
    return Backtrace(by, d_h, upstream, zx, zh, zx @ weights.w_ih, h, c)


def outer(left: Array, right: Array) -> Array:
    """``sum over steps and samples of left right^T``: ``(L, N, a), (L, N, b) -> (a, b)``."""
    return left.reshape(-1, left.shape[-1]).T @ right.reshape(-1, right.shape[-1])


def projected(trace: Trace) -> Array:
    """``(L, N, H)``: ``o tanh(c')``, what a projection reads."""
    assert trace.c is not None
    size = trace.c.shape[-1]
    product: Array = trace.gates[..., 3 * size :] * np.tanh(trace.c[1:])
    return product


def of_parameters(config: Config, trace: Trace, back: Backtrace, end: str) -> dict[str, Array]:
    """The gradients of one place's parameters, whose names end in ``end``."""
    here = trace.steps[:, :, None]
    # Whatever stands in the padding, and be it NaN, is multiplied with nothing.
    found = {
        "weight_ih" + end: outer(back.zx, np.where(here, trace.x, 0.0)),
        "weight_hh" + end: outer(back.zh, trace.h[:-1]),
    }
    if config.bias:
        found["bias_ih" + end] = back.zx.sum(axis=(0, 1))
        found["bias_hh" + end] = back.zh.sum(axis=(0, 1))
    if config.proj_size:
        own, read = (np.where(here, each, 0.0) for each in (back.d_h, projected(trace)))
        found["weight_hr" + end] = outer(own, read)
    return found


def cotangent(backward: Backward, name: str) -> Array:
    """The cotangent of a result; zeros where it is not used."""
    found = backward.cotangents.get(name)
    return np.zeros(backward.call.shape(name)) if found is None else found


def derivative(backward: Backward, answer: Answer) -> Derivative:
    """The gradients of everything, given the forward pass's traces."""
    call = backward.call
    config = call.config
    h_n, c_n = cotangent(backward, "h_n"), cotangent(backward, "c_n")
    above = cotangent(backward, "output")
    h_0, c_0 = np.empty_like(h_n), np.empty_like(c_n)
    gradients: dict[str, Array] = {}
    rows: list[tuple[Backtrace, ...]] = []
    for layer in range(config.num_layers - 1, -1, -1):
        row = []
        below = np.zeros((*above.shape[:2], config.layer_input_size(layer)))
        for direction, trace in enumerate(answer.traces[layer]):
            order = slice(None, None, -1) if direction else slice(None)
            place = layer * config.num_directions + direction
            half = np.split(above, config.num_directions, axis=-1)[direction][order]
            half = np.where(trace.steps[:, :, None], half, 0.0)
            back = backtrace(config, trace, half, h_n[place], c_n[place])
            row.append(back)
            below = below + back.x[order]
            h_0[place], c_0[place] = back.h_0, back.c_0
            gradients |= of_parameters(config, trace, back, config.suffix(layer, direction))
        above = below
        if layer and call.masks is not None:
            above = above * call.masks[layer - 1]
        rows.insert(0, tuple(row))
    gradients |= {"input": above, "h_0": h_0}
    if config.kind.has_cell_state:
        gradients["c_0"] = c_0
    return Derivative(gradients, tuple(rows))

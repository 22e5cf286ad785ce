"""Dropout by its consequences: the masks are read off the results of a training call.

Nothing is assumed of how random numbers are drawn. In a *legible* call each unit of a
layer above the first reads one element of the output below and nothing that came before,
and its value tells whether that element was dropped; the first layer stays as it was. What
was read can then be counted, or handed to the oracle, which computes what the whole
training call must give. Arrays are canonical (see ``calls``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from rnn_conformance.reference.oracle import Masks, Oracle
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.cases import rounded
from rnn_conformance.spec.config import Config, Kind, Role
from rnn_conformance.spec.result import Result

Source: TypeAlias = tuple[int, ...]
"""For each direction, the half of the output below that it reads: its own, ``(0, 1)``, or
both the same one, ``(0, 0)`` or ``(1, 1)``, which must then look the same to both."""

SeenMasks: TypeAlias = tuple[Array, ...]
"""For each layer but the last, ``(L, N, D*H_out)``: 1 where its output was kept, 0 where it
was dropped, NaN where that has no influence on any result (so it was not read)."""

CLOSED, HALF_OPEN = -60.0, 1.0
"""Biases of a gate that is closed to 1e-26, and of one that is not saturated."""


def scale(config: Config) -> float:
    """``1 / (1 - p)``, the factor of what is kept (DRP-3); 0 if that is nothing."""
    return 0.0 if config.dropout == 1.0 else 1.0 / (1.0 - config.dropout)


def legible(call: Call, source: Source) -> Call:
    """The call with layers above the first that show what they read.

    Every output must be positive (``Values.POSITIVE`` makes it so), every layer have biases.
    The gates in use grow with the element that they read, so a unit does too: from its
    value for zero, which is positive in turn, to its value for the scaled element.
    """
    config = call.config
    parameters = dict(call.parameters)
    for layer, direction in config.places():
        if layer:
            parameters |= _reader(call, layer, direction, source[direction])
    return call.replace(parameters=parameters)


def _reader(call: Call, layer: int, direction: int, half: int) -> Mapping[str, Array]:
    """The parameters of one such layer and direction."""
    config = call.config
    zeros = {
        parameter.role: np.zeros(parameter.shape)
        for parameter in config.parameters.values()
        if (parameter.layer, parameter.direction) == (layer, direction)
    }
    # Each unit's gates by name, as views of the rows.
    w_ih, b_ih, b_hh = (
        dict(zip(config.kind.gates, np.split(zeros[role], len(config.kind.gates)), strict=True))
        for role in (Role.WEIGHT_IH, Role.BIAS_IH, Role.BIAS_HH)
    )
    reading = {
        Kind.RNN: {"h": 0.25},
        Kind.LSTM: {"i": HALF_OPEN, "g": 0.25, "o": HALF_OPEN},
        Kind.GRU: {"r": HALF_OPEN, "n": 0.25},
    }[config.kind.layer]
    units = np.arange(config.output_size)
    for gate, bias in reading.items():
        # With dropout's own scale, an element is read with weight one.
        w_ih[gate][units, half * config.output_size + units] = 1.0 - config.dropout
        b_ih[gate][:] = bias
        b_hh[gate][:] = 0.25
    for gate in {"f", "z"} & set(config.kind.gates):
        b_ih[gate][:] = CLOSED
    if config.proj_size:
        zeros[Role.WEIGHT_HR][units, units] = 1.0
    return {
        config.parameter_name(role, layer, direction): rounded(array, call.dtype)
        for role, array in zeros.items()
    }


def read(call: Call, result: Result, source: Source) -> SeenMasks:
    """The masks that a legible call's result shows.

    What the last layer shows of an element is how far up the element came: kept below all
    layers above it, or dropped at one of them, below which nothing can be seen.
    """
    masks = tuple(np.full(call.shape("output"), np.nan) for _ in range(call.config.num_layers - 1))
    shown = [_output(call, 0, call.input)]
    for layer in range(1, call.config.num_layers):
        # Dropped below this layer; or kept, and one of what the layer below may show.
        inputs = [np.zeros_like(shown[0]), *(scale(call.config) * output for output in shown)]
        shown = [_output(call, layer, below) for below in inputs]
        observed = _observed(call, result, layer)
        distance = np.abs(np.stack(shown) - observed)
        kept = np.where(np.isnan(observed), -1, np.argmin(distance, axis=0))
        for above in range(layer):
            mask = masks[layer - 1 - above]
            known = kept >= above
            _enter(mask, np.where(known, (kept > above).astype(float), np.nan), source)
    return masks


def _enter(mask: Array, seen: Array, source: Source) -> None:
    """What each direction's units saw, at the half of the output that they read."""
    size = mask.shape[-1] // len(source)
    for direction, half in enumerate(source):
        entered = mask[..., half * size : (half + 1) * size]
        part = seen[..., direction * size : (direction + 1) * size]
        np.copyto(entered, part, where=np.isnan(entered))


def _output(call: Call, layer: int, below: Array) -> Array:
    """What one layer gives for the output below it."""
    oracle = Oracle()
    return oracle.join(
        [
            oracle.aligned(oracle.direction(call, layer, direction, below), direction)
            for direction in range(call.config.num_directions)
        ]
    )


def _observed(call: Call, result: Result, layer: int) -> Array:
    """What a result shows of a layer's output; NaN where it does not.

    All of the last layer's, and of the others what their final states are.
    """
    if layer == call.config.num_layers - 1:
        return np.where(call.steps[:, :, None], result.output, np.nan)
    seen = np.full(call.shape("output"), np.nan)
    last = call.steps.sum(axis=0) - 1
    size, directions = call.config.output_size, call.config.num_directions
    for direction in range(directions):
        end = last if direction == 0 else np.zeros_like(last)
        units = slice(direction * size, (direction + 1) * size)
        seen[end, np.arange(call.batch), units] = result.h_n[layer * directions + direction]
    return seen


def masks_of(call: Call, seen: SeenMasks) -> Masks:
    """What was drawn in a training call, of which these masks were seen."""
    factor = scale(call.config)
    return Masks(tuple(np.where(mask == 0.0, 0.0, factor) for mask in seen))


def everything_dropped(call: Call) -> Call:
    """The training call with ``p = 1``, in which all layers but the first read zeros."""
    return call.replace(config=replace(call.config, dropout=1.0), training=True)


def nothing_kept(call: Call) -> Masks:
    """What is drawn where everything is dropped."""
    shape, layers = call.shape("output"), call.config.num_layers
    return Masks(tuple(np.zeros(shape) for _ in range(layers - 1)))


def reading_zeros(call: Call) -> Call:
    """The call whose layers above the first read zeros: there ``weight_ih`` is zero."""
    parameters = {}
    for name, parameter in call.config.parameters.items():
        reads_output = parameter.role is Role.WEIGHT_IH and parameter.layer > 0
        parameters[name] = (0.0 if reads_output else 1.0) * call.parameters[name]
    return call.replace(parameters=parameters)

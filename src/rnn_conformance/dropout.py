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

from rnn_conformance.calls import Array, Call, Result
from rnn_conformance.cases import rounded
from rnn_conformance.oracle import Oracle
from rnn_conformance.spec import Config, Kind

Source: TypeAlias = tuple[int, ...]
"""For each direction, the half of the output below that it reads: its own, ``(0, 1)``, or
both the same one, ``(0, 0)`` or ``(1, 1)``, which must then look the same to both."""

Masks: TypeAlias = tuple[Array, ...]
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
    return replace(call, parameters=parameters)


def _reader(call: Call, layer: int, direction: int, half: int) -> Mapping[str, Array]:
    """The parameters of one such layer and direction."""
    config, end = call.config, call.config.suffix(layer, direction)
    shapes = {name: shape for name, shape in config.parameter_shapes.items() if name.endswith(end)}
    found = {name.removesuffix(end): np.zeros(shape) for name, shape in shapes.items()}
    # Each unit's gates by name, as views of the rows.
    w_ih, b_ih, b_hh = (
        dict(zip(config.kind.gates, np.split(found[name], len(config.kind.gates)), strict=True))
        for name in ("weight_ih", "bias_ih", "bias_hh")
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
        found["weight_hr"][units, units] = 1.0
    return {name + end: rounded(array, call.dtype) for name, array in found.items()}


def read(call: Call, result: Result, source: Source) -> Masks:
    """The masks that a legible call's result shows.

    What the last layer shows of an element is how far up the element came: kept below all
    layers above it, or dropped at one of them, below which nothing can be seen.
    """
    masks = tuple(np.full(call.shape("output"), np.nan) for _ in range(call.config.num_layers - 1))
    shown = [_output(call, 0, call.input)]
    for layer in range(1, call.config.num_layers):
        # Dropped below this layer; or kept, and one of what the layer below may show.
        inputs = [np.zeros_like(shown[0]), *(scale(call.config) * each for each in shown)]
        shown = [_output(call, layer, each) for each in inputs]
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
        own = mask[..., half * size : (half + 1) * size]
        part = seen[..., direction * size : (direction + 1) * size]
        np.copyto(own, part, where=np.isnan(own))


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


def masked(call: Call, masks: Masks) -> Call:
    """The training call in which these masks were drawn."""
    factor = scale(call.config)
    factors = tuple(np.where(mask == 0.0, 0.0, factor) for mask in masks)
    return replace(call, training=True, masks=factors)


def everything_dropped(call: Call) -> Call:
    """The training call with ``p = 1``, in which all layers but the first read zeros."""
    certain = replace(call, config=replace(call.config, dropout=1.0))
    shape, layers = call.shape("output"), call.config.num_layers
    return masked(certain, tuple(np.zeros(shape) for _ in range(layers - 1)))

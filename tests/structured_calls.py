"""Calls whose numbers have a structure, under which errors of rounding do not average out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from rnn_conformance.calls import Array, Call
from rnn_conformance.cases import rounded


def changed(call: Call, change: Callable[[str, Array], Array], input: Array | None = None) -> Call:
    """The call with each parameter changed, and another input."""
    parameters = {
        name: rounded(change(name, array), call.dtype) for name, array in call.parameters.items()
    }
    data = call.input if input is None else rounded(input, call.dtype)
    return replace(call, parameters=parameters, input=data)


def constant(call: Call, seed: int) -> Call:
    """All weights alike, all inputs alike: every rounding is the same."""
    value = np.random.default_rng(seed).uniform(0.1, 0.9)
    fan = call.config.input_size + call.config.output_size
    return changed(
        call,
        lambda name, array: np.full_like(array, value / (1 if name.startswith("bias") else fan)),
        np.full_like(call.input, value),
    )


def saturated(call: Call, seed: int) -> Call:
    """Gates that stay open or shut, so that the state is added up over all steps."""
    shift = (6.0, -6.0, 9.0)[seed % 3]
    return changed(call, lambda name, array: array + shift if name.startswith("bias_hh") else array)


def identity(call: Call, seed: int) -> Call:
    """Recurrent matrices that hand the state on unchanged, to every gate."""

    def change(name: str, array: Array) -> Array:
        if not name.startswith("weight_hh"):
            return array
        rows, columns = array.shape
        return np.resize(np.eye(columns), (rows, columns))

    return changed(call, change)


def rank_one(call: Call, seed: int) -> Call:
    """Matrices whose rows are multiples of one another."""
    rng = np.random.default_rng(seed)

    def change(name: str, array: Array) -> Array:
        if array.ndim == 1:
            return array
        left, right = rng.uniform(-1, 1, array.shape[0]), rng.uniform(-1, 1, array.shape[1])
        return np.outer(left, right)

    return changed(call, change)


def positive(call: Call, seed: int) -> Call:
    """Nothing negative, so that all that is rounded away adds up."""
    bare = changed(call, lambda name, array: np.abs(array), np.abs(call.input))
    return replace(
        bare,
        h_0=None if call.h_0 is None else np.abs(call.h_0),
        c_0=None if call.c_0 is None else np.abs(call.c_0),
    )


STRUCTURES: dict[str, Callable[[Call, int], Call]] = {
    "constant": constant,
    "saturated": saturated,
    "identity": identity,
    "rank one": rank_one,
    "positive": positive,
}

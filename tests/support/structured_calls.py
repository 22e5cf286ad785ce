"""Calls whose numbers have a structure, under which errors of rounding do not average out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.cases import rounded
from rnn_conformance.spec.config import Role


def changed(call: Call, change: Callable[[Role, Array], Array], input: Array | None = None) -> Call:
    """The call with each parameter changed, and another input."""
    parameters = {
        name: rounded(change(parameter.role, call.parameters[name]), call.dtype)
        for name, parameter in call.config.parameters.items()
    }
    data = call.input if input is None else rounded(input, call.dtype)
    return call.replace(parameters=parameters, input=data)


def constant(call: Call, seed: int) -> Call:
    """All weights alike, all inputs alike: every rounding is the same."""
    value = np.random.default_rng(seed).uniform(0.1, 0.9)
    fan = call.config.input_size + call.config.output_size
    return changed(
        call,
        lambda role, array: np.full_like(array, value / (1 if role.is_bias else fan)),
        np.full_like(call.input, value),
    )


def saturated(call: Call, seed: int) -> Call:
    """Gates that stay open or shut, so that the state is added up over all steps."""
    shift = (6.0, -6.0, 9.0)[seed % 3]
    return changed(call, lambda role, array: array + shift if role is Role.BIAS_HH else array)


def identity(call: Call, seed: int) -> Call:
    """Recurrent matrices that hand the state on unchanged, to every gate."""

    def change(role: Role, array: Array) -> Array:
        if role is not Role.WEIGHT_HH:
            return array
        rows, columns = array.shape
        return np.resize(np.eye(columns), (rows, columns))

    return changed(call, change)


def rank_one(call: Call, seed: int) -> Call:
    """Matrices whose rows are multiples of one another."""
    rng = np.random.default_rng(seed)

    def change(role: Role, array: Array) -> Array:
        if role.is_bias:
            return array
        left, right = rng.uniform(-1, 1, array.shape[0]), rng.uniform(-1, 1, array.shape[1])
        return np.outer(left, right)

    return changed(call, change)


def positive(call: Call, seed: int) -> Call:
    """Nothing negative, so that all that is rounded away adds up."""
    states = {name: np.abs(state) for name, state in call.arguments.states.items()}
    return changed(call, lambda role, array: np.abs(array), np.abs(call.input)).replace(**states)


STRUCTURES: dict[str, Callable[[Call, int], Call]] = {
    "constant": constant,
    "saturated": saturated,
    "identity": identity,
    "rank one": rank_one,
    "positive": positive,
}

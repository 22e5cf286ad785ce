"""Calls and backward passes in which what a backward pass loses is seen."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.backward import Backward, drawn
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.cases import rounded
from rnn_conformance.spec.config import Role


def remembering(call: Call) -> Call:
    """The same call with parameters under which the first step matters for the last.

    Open forget and update gates and, in an Elman network, a recurrent matrix that only
    permutes; everything else is small, so that nothing saturates.
    """
    size, kind = call.config.hidden_size, call.config.kind
    relu, elman = call.config.nonlinearity == "relu", len(kind.gates) == 1
    parameters = {}
    for name, array in call.parameters.items():
        small = array / (64.0 if elman else 16.0)
        role = call.config.parameters[name].role
        if elman and role is Role.WEIGHT_HH:
            # Signs that alternate, so that tanh's state stays near 0, where its slope is 1.
            small = (1.0 if relu else -1.0) * np.roll(np.eye(size), 1, axis=0)
        elif relu and role.is_bias:
            # Away from the kink.
            small = 0.25 + np.abs(small)
        elif not elman and role is Role.BIAS_IH:
            # f is the second gate of LSTM, z of GRU.
            small[size : 2 * size] += 4.0
        parameters[name] = rounded(small, call.dtype)
    return call.replace(parameters=parameters)


def from_the_ends(call: Call, seed: int) -> Backward:
    """Through the output at the end of each direction alone: the last step, or the first."""
    if call.lengths is not None:
        return drawn(call, seed, "h_n")
    ends: Array = np.zeros(call.shape("output"))
    whole = drawn(call, seed, "output").cotangents["output"]
    size = call.config.output_size
    ends[-1, :, :size], ends[0, :, size:] = whole[-1, :, :size], whole[0, :, size:]
    return Backward(call, {"output": ends})


def frozen_of(backward: Backward, seed: int) -> tuple[str, Collection[str]]:
    """What asks for no gradient this time; all results depend on something that does."""
    parameters = tuple(backward.call.parameters)
    arguments = [name for name in backward.arguments if name not in parameters]
    described = backward.call.config.parameters
    lower = [name for name in parameters if described[name].layer == 0]
    one = parameters[seed // 5 % len(parameters)]
    choices: list[tuple[str, Collection[str]]] = [
        ("all parameters frozen", parameters),
        ("an input and states that ask for no gradient", arguments),
        (f"{one} frozen", [one]),
        ("weights frozen", [name for name in parameters if not described[name].role.is_bias]),
        ("the lowest layer's parameters frozen", lower),
    ]
    return choices[seed % 5]

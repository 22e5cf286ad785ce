"""What passes through fewer digits, site by site (EQ-6).

Not in the catalogue, which has those that were seen: the others are tried where nothing in it fits
and errors are as small as those of rounding. Each rounds at one site what is computed exactly
elsewhere, so that its errors are known, and not their size alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache, partial

import numpy as np

from rnn_conformance.deviations.changes import (
    with_input_side,
    with_layer_input,
    with_outputs,
    with_state_side,
    with_states,
)
from rnn_conformance.deviations.defect import COMMON
from rnn_conformance.deviations.deviation import Deviant, Deviation, significant
from rnn_conformance.deviations.specials import with_input
from rnn_conformance.reference.oracle import Answer, Weights
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.config import Config, Dtype, Kind, Role

Rounded = Callable[[Array], Array]

BITS: Mapping[Dtype, int] = {Dtype.FLOAT32: 24, Dtype.FLOAT16: 11, Dtype.BFLOAT16: 8}
"""Significant bits, the one that is not stored among them."""


def _input_product(rounded: Rounded) -> type[Deviant]:
    class InputProduct(Deviant):
        def input_side(self, weights: Weights, x: Array) -> Array:
            fewer = replace(weights, w_ih=rounded(weights.w_ih), b_ih=rounded(weights.b_ih))
            return rounded(super().input_side(fewer, rounded(x)))

    return InputProduct


def _state_product(rounded: Rounded) -> type[Deviant]:
    class StateProduct(Deviant):
        def state_side(self, weights: Weights, h: Array) -> Array:
            fewer = replace(weights, w_hh=rounded(weights.w_hh), b_hh=rounded(weights.b_hh))
            return rounded(super().state_side(fewer, rounded(h)))

    return StateProduct


def _products(rounded: Rounded) -> type[Deviant]:
    return type("Products", (_input_product(rounded), _state_product(rounded)), {})


def _activations(rounded: Rounded) -> type[Deviant]:
    class Activations(Deviant):
        def activation(self, config: Config, z: Array) -> Array:
            return rounded(super().activation(config, z))

        def lstm_gates(self, zx: Array, zh: Array) -> Array:
            return rounded(super().lstm_gates(zx, zh))

        def gru_gates(self, zx: Array, zh: Array) -> Array:
            return rounded(super().gru_gates(zx, zh))

    return Activations


def _initial(rounded: Rounded) -> type[Deviant]:
    class Initial(Deviant):
        def initial_state(self, call: Call, layer: int, direction: int) -> tuple[Array, Array]:
            h, c = super().initial_state(call, layer, direction)
            return rounded(h), rounded(c)

    return Initial


def _result(name: str, rounded: Rounded) -> type[Deviant]:
    class Result(Deviant):
        def present(self, call: Call, answer: Answer) -> dict[str, Array]:
            given = super().present(call, answer)
            return {of: rounded(array) if of == name else array for of, array in given.items()}

    return Result


def _parameters(roles: frozenset[Role], rounded: Rounded) -> type[Deviant]:
    class Parameters(Deviant):
        def answer(self, call: Call) -> Answer:
            known = call.config.parameters
            fewer = {
                name: rounded(array) if known[name].role in roles else array
                for name, array in call.parameters.items()
            }
            return super().answer(call.replace(parameters=fewer))

    return Parameters


def _to_levels(array: Array, step: Array) -> Array:
    """The nearest multiples of the step; as it is where that is zero."""
    fine = np.where(step > 0.0, step, 1.0)
    levels: Array = fine * np.round(array / fine)
    return np.where(step > 0.0, levels, array)


def _symmetric(array: Array, axis: int | None = None) -> Array:
    """127 levels either way, with one scale, or with one for each row."""
    largest = np.abs(array).max(axis=axis, keepdims=True, initial=0.0)
    return _to_levels(array, largest / 127.0)


def _asymmetric(array: Array) -> Array:
    """256 levels between the least, or zero, and the greatest, zero being one of them."""
    low, high = array.min(initial=0.0), array.max(initial=0.0)
    return _to_levels(array, np.full(1, (high - low) / 255.0))


QUANTISED: Mapping[str, Rounded] = {
    "quantised to 8 bits": _symmetric,
    "quantised to 8 bits, row by row": partial(_symmetric, axis=-1),
    "quantised to 8 bits, between the least and the greatest": _asymmetric,
}

_WEIGHTS = frozenset({Role.WEIGHT_IH, Role.WEIGHT_HH, Role.WEIGHT_HR})
_BIASES = frozenset({Role.BIAS_IH, Role.BIAS_HH})

ROLES: Mapping[str, frozenset[Role]] = {
    "parameters": _WEIGHTS | _BIASES,
    "weights, but not biases,": _WEIGHTS,
    "weight_ih": frozenset({Role.WEIGHT_IH}),
    "weight_hh": frozenset({Role.WEIGHT_HH}),
    "biases, but not weights,": _BIASES,
}

SITES: Mapping[str, Callable[[Rounded], type[Deviant]]] = {
    "W_ih x + b_ih computed in {}": _input_product,
    "W_hh h + b_hh computed in {}": _state_product,
    "W_ih x + b_ih and W_hh h + b_hh computed in {}": _products,
    "W_ih x + b_ih rounded to {}": with_input_side,
    "W_hh h + b_hh rounded to {}": with_state_side,
    "activations rounded to {}": _activations,
    "h rounded to {} at every step": partial(with_states, "h"),
    "what each layer reads rounded to {}": with_layer_input,
    "the input rounded to {}": with_input,
    "initial states rounded to {}": _initial,
    "each layer's outputs rounded to {}": with_outputs,
    "output rounded to {}": partial(_result, "output"),
    "h_n rounded to {}": partial(_result, "h_n"),
}

SITES_OF_LSTM: Mapping[str, Callable[[Rounded], type[Deviant]]] = {
    "c rounded to {} at every step": partial(with_states, "c"),
    "h and c rounded to {} at every step": partial(with_states, "hc"),
    "c_n rounded to {}": partial(_result, "c_n"),
}


@cache
def castings(kind: Kind) -> tuple[Deviation[Deviant], ...]:
    """All of a kind's."""
    sites = {**SITES, **(SITES_OF_LSTM if kind.has_cell_state else {})}
    ways: dict[str, Rounded] = dict(QUANTISED)
    made: list[tuple[str, type[Deviant]]] = []
    for dtype, bits in BITS.items():
        ways[f"rounded to {dtype}"] = rounded = partial(significant, bits=bits)
        made += [(name.format(dtype), site(rounded)) for name, site in sites.items()]
    for how, way in ways.items():
        made += [(f"{what} {how}", _parameters(roles, way)) for what, roles in ROLES.items()]
    return tuple(
        Deviation(
            name=name,
            breaks=frozenset({"EQ-6", "ACC-1"}),
            kinds=frozenset({kind}),
            needs=frozenset(),
            source=COMMON,
            fix="Compute in the dtype of input and parameters throughout, and with the parameters "
            "as they are: no cast, buffer or kernel of fewer digits comes in between.",
            variant=variant,
        )
        for name, variant in made
    )

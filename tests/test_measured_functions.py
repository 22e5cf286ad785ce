"""The function that a gate is put through is measured, so that none has to be on a list."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from torch import nn

from rnn_conformance import drop_in
from rnn_conformance.checking.subject import Subject
from rnn_conformance.deviations import Deviant
from rnn_conformance.deviations.gate_functions import gate_of_gru, gate_of_lstm
from rnn_conformance.deviations.part_orders import part_orders
from rnn_conformance.deviations.part_rows import part_rows
from rnn_conformance.deviations.scoped import scoped
from rnn_conformance.deviations.scopes import IN_LAYERS
from rnn_conformance.diagnosis.activations import measured_functions
from rnn_conformance.diagnosis.diagnosis import Diagnosis, Diagnostician
from rnn_conformance.errors import NonConforming, Sort
from rnn_conformance.implementations.interface import Implementation
from rnn_conformance.mutants.equations import miniature
from rnn_conformance.reference.oracle import sigmoid
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.config import Config, Dtype, Kind

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported")


class OfNetwork(Deviant):
    """An RNN that is linear up to 3/4."""

    def rnn_step(self, config: Config, zx: Array, zh: Array) -> Array:
        if config.nonlinearity == "relu":
            return super().rnn_step(config, zx, zh)
        return np.clip(zx + zh, -0.75, 0.75)


FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "min(max(0.2 z + 0.5, 0), 1)": lambda z: np.clip(0.2 * z + 0.5, 0.0, 1.0),
    "min(max(0.1667 z + 0.5, 0), 1)": lambda z: np.clip(z / 6.0 + 0.5, 0.0, 1.0),
    "sigmoid(z + 1)": lambda z: sigmoid(z + 1.0),
    "sigmoid(1.702 z)": lambda z: sigmoid(1.702 * z),
    "sigmoid(-z)": lambda z: sigmoid(-z),
    "tanh(0.7 z)": lambda z: np.tanh(0.7 * z),
    "z / (1 + |z|), softsign,": lambda z: z / (1.0 + np.abs(z)),
}


def said_of(variant: type[Any], kind: Kind) -> Diagnosis:
    diagnostician = Diagnostician(miniature("x", kind, variant), kind)
    wrong = next(piece for piece in diagnostician.results.evidence if piece.wrong)
    failed = NonConforming("output is off", sort=Sort.VALUE, calls=wrong.probe.calls)
    diagnosis = diagnostician.diagnose(failed, {"EQ-1", "EQ-3"})
    assert diagnosis is not None
    return diagnosis


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("narrow", [False, True])
def test_no_gate_of_what_is_right_has_another_function(kind: Kind, *, narrow: bool) -> None:
    right: Implementation = drop_in(getattr(nn, kind))
    if narrow:
        right = replace(right, declaration=right.declaration.without([Dtype.FLOAT64]))
    assert measured_functions(Subject(right, kind)) == ([], [])


@pytest.mark.parametrize("words", FUNCTIONS)
@pytest.mark.parametrize("gate", ["i", "f", "g", "o"])
def test_each_gate_of_an_lstm_is_named_with_its_function(gate: str, words: str) -> None:
    variant = gate_of_lstm(Kind.LSTM.gates.index(gate), FUNCTIONS[words])
    found, sentences = measured_functions(Subject(miniature("x", Kind.LSTM, variant), Kind.LSTM))
    assert f"the gate {gate} of LSTM put through {words}" in [one.name for one in found]
    assert not sentences


@pytest.mark.parametrize("words", FUNCTIONS)
@pytest.mark.parametrize("gate", ["r", "z", "n"])
def test_each_gate_of_a_gru_is_named_with_its_function(gate: str, words: str) -> None:
    variant = gate_of_gru(Kind.GRU.gates.index(gate), FUNCTIONS[words])
    found, sentences = measured_functions(Subject(miniature("x", Kind.GRU, variant), Kind.GRU))
    assert f"the gate {gate} of GRU put through {words}" in [one.name for one in found]
    assert not sentences


def test_what_is_measured_is_named_if_it_explains_everything() -> None:
    diagnosis = said_of(OfNetwork, Kind.RNN)
    (known,) = diagnosis.known
    assert known.name == "the network put through min(max(z, -0.75), 0.75)"
    assert not diagnosis.where
    # What is less than can be told from rounding, in half a type, explains nothing.
    assert 0.9 * diagnosis.failing < diagnosis.explained


def test_it_is_named_in_a_part_too() -> None:
    (first,) = (scope for scope in IN_LAYERS if scope.words == "in the first layer alone")
    variant = scoped(OfNetwork, first)
    (known,) = said_of(variant, Kind.RNN).known
    assert known.name == (
        "the network put through min(max(z, -0.75), 0.75), in the first layer alone"
    )


def test_a_function_that_cannot_be_told_is_shown_by_its_values() -> None:
    variant = gate_of_gru(1, lambda z: 0.3 + 0.2 * np.sin(z) ** 3)
    diagnosis = said_of(variant, Kind.GRU)
    assert not diagnosis.known
    assert (
        "the gate z is not sigmoid(z): at z = -2, -1, 0, 1, 2 it gives "
        "0.1496, 0.1808, 0.3, 0.4192, 0.4504, not 0.1192, 0.2689, 0.5, 0.7311, 0.8808"
    ) in diagnosis.symptoms


@pytest.mark.parametrize("part", ["weight_hh", "bias_ih", "weight_ih and bias_ih"])
@pytest.mark.parametrize("kind", [Kind.LSTM, Kind.GRU])
def test_any_order_of_the_gates_in_one_part_alone_is_named(kind: Kind, part: str) -> None:
    mine = [one for one in part_orders(kind) if one.name.startswith(f"{part} alone")]
    for deviation in mine[:: max(1, len(mine) // 3)]:
        (known,) = said_of(deviation.variant, kind).known
        assert deviation.name in {known.name, *known.same}


@pytest.mark.parametrize("part", ["weight_hh", "bias_ih"])
@pytest.mark.parametrize("kind", [Kind.RNN, Kind.LSTM, Kind.GRU])
def test_rows_of_a_gate_that_begin_one_off_are_named(kind: Kind, part: str) -> None:
    mine = [one for one in part_rows(kind) if f"in {part} begun one " in one.name]
    for deviation in (mine[0], mine[-1]):
        (known,) = said_of(deviation.variant, kind).known
        assert deviation.name in {known.name, *known.same}

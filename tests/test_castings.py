"""What passes through fewer digits at one site, and what fits most of what is off, is named."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from rnn_conformance.deviations import deviations_of
from rnn_conformance.deviations.castings import castings
from rnn_conformance.deviations.deviation import Deviant
from rnn_conformance.deviations.gradient_orders import part_gradient_orders
from rnn_conformance.deviations.scoped import scoped
from rnn_conformance.deviations.scopes import SCOPES, Scope
from rnn_conformance.diagnosis.diagnosis import Diagnosis, Diagnostician
from rnn_conformance.diagnosis.suspects import mostly
from rnn_conformance.errors import NonConforming, Sort
from rnn_conformance.implementations.interface import Implementation
from rnn_conformance.mutants.equations import differentiated, miniature
from rnn_conformance.reference.oracle import Weights
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.clauses import CLAUSES
from rnn_conformance.spec.config import Kind

FAILED = NonConforming("a check failed", sort=Sort.VALUE)


def said_of(implementation: Implementation, kind: Kind) -> Diagnosis:
    diagnosis = Diagnostician(implementation, kind).diagnose(FAILED, CLAUSES)
    assert diagnosis is not None
    return diagnosis


def scope(words: str) -> Scope:
    (found,) = (one for one in SCOPES if one.words == words)
    return found


@pytest.mark.parametrize("kind", Kind)
def test_their_names_are_unique(kind: Kind) -> None:
    (name, times) = Counter(one.name for one in castings(kind)).most_common(1)[0]
    assert times == 1, f"{name} is there {times} times"


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (Kind.LSTM, "W_ih x + b_ih computed in bfloat16"),
        (Kind.GRU, "W_hh h + b_hh rounded to float16"),
        (Kind.RNN, "each layer's outputs rounded to float32"),
        (Kind.LSTM, "c rounded to float32 at every step"),
        (Kind.GRU, "h_n rounded to bfloat16"),
        (Kind.RNN, "weights, but not biases, quantised to 8 bits"),
        (Kind.LSTM, "weight_hh quantised to 8 bits, row by row"),
        (Kind.GRU, "weight_ih quantised to 8 bits, between the least and the greatest"),
        (Kind.LSTM_CELL, "biases, but not weights, rounded to float16"),
    ],
)
def test_the_site_that_loses_digits_is_named(kind: Kind, name: str) -> None:
    (casting,) = (one for one in castings(kind) if one.name == name)
    diagnosis = said_of(miniature("x", kind, casting.variant), kind)
    (known,) = diagnosis.known
    assert name in {known.name, *known.same}, diagnosis.text


@pytest.mark.parametrize("kind", [Kind.LSTM, Kind.GRU])
def test_gradients_with_the_gates_of_some_parameters_in_another_order_are_named(kind: Kind) -> None:
    mine = part_gradient_orders(kind)
    for deviation in mine[:: len(mine) // 4]:
        diagnosis = said_of(differentiated("x", kind, deviation.variant), kind)
        (known,) = diagnosis.known
        assert deviation.name in {known.name, *known.same}, diagnosis.text


class Unheard(Deviant):
    """What nobody has a name for."""

    def input_side(self, weights: Weights, x: Array) -> Array:
        product: Array = super().input_side(weights, x)
        return product + 0.3 * np.sin(7.0 * np.flip(product, axis=-1)) ** 3


def variant_but_for(name: str, words: str) -> type[Any]:
    """A deviation of LSTM's, and in a scope something without a name."""
    (deviation,) = (one for one in deviations_of(Kind.LSTM) if one.name == name)
    return scoped(Unheard, scope(words), elsewhere=deviation.variant)


def test_what_fits_most_is_named_though_a_few_are_off_otherwise() -> None:
    variant = variant_but_for(
        "gates in the order i, f, o, g", "in calls of as many samples as steps alone"
    )
    diagnosis = said_of(miniature("x", Kind.LSTM, variant), Kind.LSTM)
    (known,) = diagnosis.known
    assert known.name == "gates in the order i, f, o, g", diagnosis.text
    assert 0.75 * diagnosis.failing <= diagnosis.explained < diagnosis.failing
    assert f"in {diagnosis.explained} of {diagnosis.failing} failing cases" in diagnosis.text


def test_what_fits_a_few_by_chance_is_not_named() -> None:
    (norm,) = (
        one
        for one in deviations_of(Kind.RNN)
        if one.name == "layer normalisation of the pre-activations"
    )
    (square,) = (
        one
        for one in deviations_of(Kind.RNN)
        if one.name == "RMS normalisation of the state that is read"
    )

    # Of one unit nothing is left: that is the state not updated, in those few cases.
    class Both(norm.variant, square.variant):  # type: ignore[name-defined, misc]
        """Two that no search puts together, and something without a name."""

        def input_side(self, weights: Weights, x: Array) -> Array:
            product: Array = super().input_side(weights, x)
            return product + 0.3 * np.sin(7.0 * product) ** 3

    search = Diagnostician(miniature("x", Kind.RNN, Both), Kind.RNN)
    diagnosis = search.diagnose(FAILED, CLAUSES)
    assert diagnosis is None or not diagnosis.known, diagnosis.text


def test_where_nothing_is_far_enough_off_nothing_fits_most_of_it() -> None:
    right = miniature("x", Kind.LSTM, Deviant)
    evidence = Diagnostician(right, Kind.LSTM).results.evidence
    assert mostly(evidence, deviations_of(Kind.LSTM)) == []

"""One deviation in calls that meet several conditions is named with them."""

from __future__ import annotations

from typing import Any

import pytest

from rnn_conformance.deviations import GRADIENT_DEVIATIONS, Deviation, deviations_of
from rnn_conformance.deviations.scoped import scoped
from rnn_conformance.deviations.scopes import IN_CALLS, SCOPES, Scope, all_of, any_of
from rnn_conformance.diagnosis.diagnosis import Diagnosis, Diagnostician
from rnn_conformance.errors import NonConforming, Sort
from rnn_conformance.mutants.equations import differentiated, miniature
from rnn_conformance.spec.clauses import CLAUSES
from rnn_conformance.spec.config import Kind
from tests.support.random_calls import random_case

FAILED = NonConforming("a check failed", sort=Sort.VALUE)


def deviation(kind: Kind, name: str) -> Deviation[Any]:
    every: list[Deviation[Any]] = [*deviations_of(kind), *GRADIENT_DEVIATIONS]
    return next(one for one in every if one.name == name and kind in one.kinds)


def scope(words: str) -> Scope:
    return next(one for one in SCOPES if one.words == words)


def meeting(condition: str) -> Scope:
    return next(one for one in IN_CALLS if one.condition == condition)


def named(diagnosis: Diagnosis | None) -> set[str]:
    """What a diagnosis of the whole names, with what is the same."""
    assert diagnosis is not None
    assert not diagnosis.where, diagnosis.text
    (known,) = diagnosis.known
    return {known.name, *known.same}


@pytest.mark.parametrize(
    ("kind", "name", "place", "conditions"),
    [
        (
            Kind.GRU,
            "b_hn left out",
            "at the loop's first step alone",
            ["without an initial state"],
        ),
        (
            Kind.LSTM,
            "the outputs doubled",
            "",
            ["with packed sequences", "with a reverse direction"],
        ),
        (
            Kind.LSTM,
            "the reverse outputs flipped back along the samples instead of the steps",
            "",
            ["without batch_first", "without an unbatched input"],
        ),
    ],
)
def test_it_is_named_with_all_of_them(
    kind: Kind, name: str, place: str, conditions: list[str]
) -> None:
    calls = all_of(*map(meeting, conditions))
    confined = scope(place) & calls if place else calls
    variant = scoped(deviation(kind, name).variant, confined)
    found = named(Diagnostician(miniature("x", kind, variant), kind).diagnose(FAILED, CLAUSES))
    assert any(one.startswith(f"{name}, ") for one in found), found
    text = " ".join(found)
    assert all(condition in text for condition in conditions), found


def test_a_gradient_is_named_with_them_too() -> None:
    kind = Kind.RNN
    confined = scope("in the last layer alone") & meeting("with a second layer")
    variant = scoped(deviation(kind, "the gradient of bias_hh cut").variant, confined)
    diagnostician = Diagnostician(differentiated("x", kind, variant), kind)
    found = named(diagnostician._explained(diagnostician.gradients, [], None))
    assert any("in the last layer alone in calls with a second layer" in one for one in found), (
        found
    )


def test_conditions_of_which_one_is_met_are_named_as_such() -> None:
    kind = Kind.GRU
    either = any_of(meeting("with packed sequences"), meeting("with a second layer"))
    calls = all_of(meeting("with bias=False"), either)
    variant = scoped(deviation(kind, "no reset gate").variant, calls)
    found = named(Diagnostician(miniature("x", kind, variant), kind).diagnose(FAILED, CLAUSES))
    assert any("with bias=False and either " in one for one in found), found


@pytest.mark.parametrize("seed", range(20))
def test_a_call_meets_all_of_them_or_one(seed: int) -> None:
    call = random_case(Kind.LSTM, seed).call()
    for first in IN_CALLS:
        for second in IN_CALLS[::7]:
            assert first.calls is not None
            assert second.calls is not None
            met = first.calls(call, 1), second.calls(call, 1)
            both, either = all_of(first, second), any_of(first, second)
            assert both.calls is not None
            assert either.calls is not None
            assert both.calls(call, 1) is all(met)
            assert either.calls(call, 1) is any(met)

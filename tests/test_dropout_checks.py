"""The chapter on dropout passes what is right; its statistics are what they promise."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rnn_conformance.checking.chance import FALSE_ALARM, improbable
from rnn_conformance.checking.checks import Check, checks
from rnn_conformance.checking.examining import examine
from rnn_conformance.checking.subject import PROFILES, Profile, Subject
from rnn_conformance.implementations.torch_module import drop_in
from rnn_conformance.mutants.layer_by_layer import LayerByLayer, Masked
from rnn_conformance.mutants.mutant import of_kind
from rnn_conformance.results.records import Outcome
from rnn_conformance.spec.config import Kind

QUICK = Profile("quick, without shrinking", PROFILES["quick"].cases, 0)
CHAPTER = [check for check in checks() if check.id.startswith("conformance/test_dropout.py")]
LAYERS = (Kind.RNN, Kind.LSTM, Kind.GRU)

# torch says so once for each process, and computes the same.
pytestmark = [
    pytest.mark.filterwarnings("ignore:LSTM with projections is not supported"),
    pytest.mark.filterwarnings("ignore:dropout option adds dropout after all but last"),
]


def subject(cls: type[LayerByLayer], kind: Kind, seed: int) -> Subject:
    return Subject(drop_in(of_kind(cls, kind)), kind, QUICK, seed)


@pytest.mark.parametrize("cls", [LayerByLayer, Masked])
@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("check", CHAPTER, ids=lambda check: check.id.rpartition("::")[2])
def test_dropout_computed_otherwise_passes(
    check: Check, kind: Kind, cls: type[LayerByLayer]
) -> None:
    for seed in range(3):
        record = examine(check, subject(cls, kind, seed))
        assert record.outcome is Outcome.PASSED, record.failure


# The statistics.


def exact_tail(successes: int, trials: int, p: float) -> float:
    """The probability of so many successes or more."""
    return sum(
        math.comb(trials, k) * p**k * (1.0 - p) ** (trials - k)
        for k in range(successes, trials + 1)
    )


@pytest.mark.parametrize("p", [0.2, 0.5, 0.68])
@pytest.mark.parametrize("trials", [10, 100, 400])
def test_what_is_called_improbable_is(p: float, trials: int) -> None:
    """Against the exact distribution: both tails together stay below what is promised."""
    above = [k for k in range(trials + 1) if k > p * trials and improbable(k, trials, p)]
    below = [k for k in range(trials + 1) if k < p * trials and improbable(k, trials, p)]
    upper = exact_tail(min(above), trials, p) if above else 0.0
    lower = exact_tail(trials - max(below), trials, 1.0 - p) if below else 0.0
    assert upper + lower <= FALSE_ALARM


@pytest.mark.parametrize("marked", [20, 80])
def test_the_bound_holds_for_what_is_drawn_without_replacement(marked: int) -> None:
    """Against the exact hypergeometric distribution of 60 drawn out of 100."""
    total, drawn = 100, 60
    tails = sum(
        math.comb(marked, k) * math.comb(total - marked, drawn - k) / math.comb(total, drawn)
        for k in range(max(0, drawn + marked - total), min(drawn, marked) + 1)
        if improbable(k, drawn, marked / total)
    )
    assert tails <= FALSE_ALARM


def test_what_is_likely_is_not_called_improbable() -> None:
    rng = np.random.default_rng(0)
    drawn = rng.binomial(5000, 0.3, size=2000)
    assert not any(improbable(int(k), 5000, 0.3) for k in drawn)


@pytest.mark.parametrize(
    ("successes", "trials", "probability"), [(0, 100, 0.5), (100, 100, 0.5), (5000, 20000, 0.2)]
)
def test_what_hardly_happens_is_called_improbable(
    successes: int, trials: int, probability: float
) -> None:
    assert improbable(successes, trials, probability)


def test_nothing_is_said_of_no_trials() -> None:
    assert not improbable(0, 0, 0.5)

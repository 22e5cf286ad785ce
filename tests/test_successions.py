"""Successions of calls: which pairs of kinds they cover, and what a failure says."""

from __future__ import annotations

from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
import torch

from rnn_conformance import drop_in
from rnn_conformance.checking.checks import checks
from rnn_conformance.checking.examining import examine
from rnn_conformance.checking.subject import PROFILES, Subject
from rnn_conformance.checking.successions import (
    Circumstances,
    Form,
    Recording,
    Shape,
    Succession,
    Successions,
    design,
    pairs,
)
from rnn_conformance.implementations.interface import Declaration
from rnn_conformance.mutants import CATALOGUE
from rnn_conformance.mutants.equations import Miniature
from rnn_conformance.results.records import Outcome
from rnn_conformance.spec.config import Dtype, Feature, Kind

CHECKS = [check for check in checks() if "test_successions" in check.id]


def torchs(kind: Kind) -> Any:
    return drop_in(getattr(torch.nn, kind.value))


def members(kind: Kind, seed: int = 0, implementation: Any = None) -> list[Succession]:
    subject = Subject(implementation or torchs(kind), kind, PROFILES["quick"], seed)
    return Successions().members(subject, np.random.default_rng(seed))


@pytest.mark.parametrize("size", [2, 6, 10, 14])
def test_in_a_design_each_follows_each_other_exactly_once(size: int) -> None:
    rows = design(size)
    followed = [pair for row in rows for pair in pairwise(row)]
    assert sorted(followed) == [
        pair for pair in product(range(size), repeat=2) if pair[0] != pair[1]
    ]
    assert [row[0] for row in rows] == list(range(size))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", list(Kind))
def test_each_kind_of_call_follows_each_in_every_quick_run(kind: Kind, seed: int) -> None:
    subject = Subject(torchs(kind), kind)
    forms = Successions().forms(subject)
    around = Successions().circumstances(subject)
    assert len(forms) == (6 if kind.is_cell else 14)
    assert len(around) == 10
    covered = pairs(members(kind, seed))
    assert {(one.form, other.form) for one, other in covered} == set(product(forms, repeat=2))
    met = {(one.circumstances, other.circumstances) for one, other in covered}
    assert met == set(product(around, repeat=2))


@pytest.mark.parametrize("kind", list(Kind))
def test_each_kind_of_call_is_the_first_of_some_layer(kind: Kind) -> None:
    subject, listed = Subject(torchs(kind), kind), members(kind)
    assert {one.asked[0].form for one in listed} == set(Successions().forms(subject))
    assert {one.asked[0].circumstances.recording for one in listed} == set(Recording)


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("kind", list(Kind))
def test_each_turn_of_circumstances_is_taken_by_two_calls_of_one_form(
    kind: Kind, *, given: bool
) -> None:
    turns = set()
    for one in members(kind):
        first, second = one.asked[:2]
        if first.form == second.form and first.form.given is given:
            assert first.circumstances.dtype is second.circumstances.dtype
            turns.add((first.circumstances.recording, second.circumstances.recording))
    assert turns >= {
        (Recording.INFERENCE, Recording.ON),
        (Recording.OFF, Recording.ON),
        (Recording.ON, Recording.OFF),
    }


def test_forms_and_circumstances_meet_otherwise_in_other_runs() -> None:
    runs = [{asked for one in members(Kind.GRU, seed) for asked in one.asked} for seed in range(9)]
    assert len(set.union(*runs)) > 0.9 * 14 * 10
    assert all(one != other for one, other in pairwise(runs))


def test_nothing_is_asked_that_is_not_declared() -> None:
    declaration = Declaration.of([Kind.LSTM], [Feature.PACKED], [Dtype.FLOAT64])
    few = Miniature("few", declaration, start=lambda: None)  # type: ignore[arg-type,return-value]
    listed = members(Kind.LSTM, implementation=few)
    asked = {asked for one in listed for asked in one.asked}
    assert asked
    assert all(one.case.config.features == frozenset() for one in listed)
    assert not any(one.form.given or one.form.shape is Shape.UNBATCHED for one in asked)
    assert {one.circumstances.dtype for one in asked} == {Dtype.FLOAT64}


def test_the_mode_shows_for_everything_is_dropped_in_training() -> None:
    for one in members(Kind.LSTM):
        assert one.case.config.dropout == 1.0
        assert one.case.config.num_layers > 1


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("seed", range(3))
def test_torchs_own_classes_pass(kind: Kind, seed: int) -> None:
    for check in CHECKS:
        if kind in check.kinds:
            record = examine(check, Subject(torchs(kind), kind, PROFILES["quick"], seed))
            assert record.outcome is Outcome.PASSED, record.failure


def test_a_failure_names_the_two_calls_and_leaves_out_all_others() -> None:
    (mutant,) = (
        mutant
        for mutant in CATALOGUE
        if mutant.name == "the zero state of the first packed batch for all later packed ones"
    )
    (check,) = (check for check in CHECKS if "STA-3" in check.clauses)
    record = examine(check, Subject(mutant.implementation(Kind.GRU), Kind.GRU))
    assert record.outcome is Outcome.FAILED
    assert record.failure is not None
    assert record.failure.message.startswith("in a call of packed input")
    assert "right after one of packed input" in record.failure.message
    assert record.failure.case is not None
    assert len(record.failure.case["asked"]) == 2


def test_a_kind_of_call_is_told_in_words() -> None:
    around = Circumstances(Recording.OFF, training=True, dtype=Dtype.FLOAT32)
    assert str(Form(Shape.PACKED, given=False)) == "packed input without a state"
    assert str(around) == "under no_grad, in training, float32"

"""Copies: each way after each history is tried, and what is shared or remembered is seen."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch

from rnn_conformance import drop_in
from rnn_conformance.checking.checks import checks
from rnn_conformance.checking.copies import Copies, Copy, History, Way
from rnn_conformance.checking.examining import examine
from rnn_conformance.checking.subject import PROFILES, Subject
from rnn_conformance.implementations.interface import Declaration
from rnn_conformance.mutants import CATALOGUE
from rnn_conformance.mutants.equations import Miniature
from rnn_conformance.results.records import Outcome
from rnn_conformance.spec.config import Dtype, Feature, Kind

(CHECK,) = (check for check in checks() if "test_copies" in check.id)


def members(implementation: Any, kind: Kind, seed: int = 0) -> list[Copy]:
    subject = Subject(implementation, kind, PROFILES["quick"], seed)
    return Copies().members(subject, np.random.default_rng(seed))


def torchs(kind: Kind) -> Any:
    return drop_in(getattr(torch.nn, kind.value))


@pytest.mark.parametrize("kind", list(Kind))
def test_each_way_is_tried_after_half_of_the_histories_and_otherwise_in_other_runs(
    kind: Kind,
) -> None:
    runs = [
        {(member.way, member.history) for member in members(torchs(kind), kind, seed)}
        for seed in range(8)
    ]
    histories = [h for h in History if not (kind.is_cell and h is History.PACKED)]
    assert set.union(*runs) == set(product(Way, histories))
    for tried in runs:
        assert {way for way, _ in tried} == set(Way)
        assert all(sum(h is history for _, h in tried) == 3 for history in histories)


def test_a_larger_profile_tries_each_way_after_each_history() -> None:
    subject = Subject(torchs(Kind.GRU), Kind.GRU, PROFILES["standard"])
    listed = Copies().members(subject, np.random.default_rng(0))
    assert len(listed) == 5 * len(Way) * len(History)


def test_nothing_is_asked_that_is_not_declared() -> None:
    declaration = Declaration.of([Kind.LSTM], [Feature.BIDIRECTIONAL], [Dtype.FLOAT64])
    few = Miniature("few", declaration, start=lambda: None)  # type: ignore[arg-type,return-value]
    listed = members(few, Kind.LSTM)
    assert not {member.history for member in listed} & {History.PACKED, History.CAST}
    for member in listed:
        for call in member.calls():
            assert call.features <= {Feature.BIDIRECTIONAL, Feature.OMITTED_STATE}
            assert call.dtype is Dtype.FLOAT64


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("seed", range(2))
def test_torchs_own_classes_pass(kind: Kind, seed: int) -> None:
    record = examine(CHECK, Subject(torchs(kind), kind, PROFILES["quick"], seed))
    assert record.outcome is Outcome.PASSED, record.failure


def test_a_failure_names_the_way_and_the_history() -> None:
    (mutant,) = (m for m in CATALOGUE if m.name.startswith("the last results kept"))
    record = examine(CHECK, Subject(mutant.implementation(Kind.GRU), Kind.GRU))
    assert record.outcome is Outcome.FAILED
    assert record.failure is not None
    assert record.failure.case is not None
    assert record.failure.case["history"] == History.BACKWARD
    assert "after a call with gradients" in record.failure.message

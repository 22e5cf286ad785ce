"""A batch has a sequence of every length, in the order that is declared."""

from __future__ import annotations

import numpy as np
import pytest
from torch import nn

from rnn_conformance import drop_in
from rnn_conformance.checking.lengths import LONGEST, SHORTEST, EveryLength
from rnn_conformance.checking.subject import PROFILES, Subject
from rnn_conformance.errors import Unsupported
from rnn_conformance.spec.cases import Case, State
from rnn_conformance.spec.config import Kind


def members(profile: str = "quick", **declared: object) -> list[Case]:
    cls = type("Layer", (nn.GRU,), {"rnn_conformance": declared})
    subject = Subject(drop_in(cls, kind="GRU"), Kind.GRU, PROFILES[profile])
    return EveryLength().members(subject, np.random.default_rng(0))


def lost(longest: int) -> list[int]:
    """The lengths that a share in float32 comes to less than."""
    whole = np.float32(longest)
    return [n for n in range(1, longest + 1) if int(np.float32(n) / whole * whole) < n]


def test_each_length_is_there_once_and_in_no_order() -> None:
    (case,) = members()
    assert case.lengths is not None
    assert sorted(case.lengths) == list(range(1, LONGEST + 1))
    assert list(case.lengths) != sorted(case.lengths, reverse=True)


def test_they_are_sorted_and_have_a_state_where_no_more_is_declared() -> None:
    (case,) = members(without=["unsorted", "omitted_state"])
    assert case.lengths is not None
    assert list(case.lengths) == sorted(case.lengths, reverse=True)
    assert case.state is State.GIVEN


def test_no_shorter_batch_loses_as_many_lengths_to_shares() -> None:
    assert len(lost(LONGEST)) == 7
    assert max(len(lost(longest)) for longest in range(1, LONGEST)) < 7
    assert not any(map(lost, range(1, SHORTEST)))
    assert lost(SHORTEST) == [13]


def test_more_are_asked_for_in_larger_profiles() -> None:
    assert [case.length for case in members("standard")] == [55, 41, 79, 300]


def test_what_packs_nothing_is_not_asked() -> None:
    with pytest.raises(Unsupported, match="packed"):
        members(without=["packed"])


def test_fewer_sequences_are_simpler() -> None:
    (case,) = members()
    first, *_, last = EveryLength().simpler(case)
    assert (first.length, last.length) == (2, LONGEST - 1)

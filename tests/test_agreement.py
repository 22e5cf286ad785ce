"""How agreement is measured, and when it is too bad to be chance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from random_calls import random_call, random_case
from small_defects import (
    DEFECTS,
    GRADIENT_DEFECTS,
    Defect,
    of_gradients,
    of_results,
    typical_calls,
)

from rnn_conformance.agreement import (
    EXPONENTS,
    ULPS,
    Agreement,
    most_hits,
    student,
    summary,
    tolerance,
    ulp,
    worse_than_chance,
)
from rnn_conformance.bounds import forward, reference
from rnn_conformance.calls import Call, Result
from rnn_conformance.cases import rounded
from rnn_conformance.checks import agrees
from rnn_conformance.derivatives import Adjoint
from rnn_conformance.errors import NonConforming
from rnn_conformance.gradients import drawn
from rnn_conformance.spec import Dtype, Kind

SEEN = {
    "weights off by 1e-06": 0.3,
    "1e-06 missing in each bias": 0.4,
    "tanh clipped at 3": 0.4,
    "rational tanh": 0.6,
    # Two roundoffs of what is stored: one case does not show them, the rank of all does.
    "float16 activations off by 1e-3": 0.0,
    "bfloat16 activations off by 1e-2": 0.0,
    "slopes off by 1e-06": 0.2,
    "gradients of parameters off by 1e-06": 0.0,
}
"""The share of cases that must show a defect by ``min(E, t S)``, where it is not nine in ten."""

UNDECIDED = {"gradients of parameters off by 1e-06"}
"""What is as small as float32's own rounding: sixteen roundoffs, spread over half of a sum."""


# The quantiles.


@pytest.mark.parametrize(("elements", "due"), [(100, 7.66), (1000, 8.51), (10000, 9.40)])
def test_the_quantile_is_student_s(elements: int, due: float) -> None:
    assert student(elements) == pytest.approx(due, abs=0.01)


@pytest.mark.parametrize(("cases", "due"), [(10, 7), (20, 9), (50, 13), (100, 18), (200, 25)])
def test_so_many_cases_may_be_worse_than_all_members(cases: int, due: int) -> None:
    assert most_hits(cases) == due


def test_nothing_is_claimed_where_the_hard_bound_claims_nothing() -> None:
    hard, spread = np.array([np.inf, 1.0, 1.0]), np.array([1e-9, 1e-9, np.inf])
    np.testing.assert_array_equal(tolerance(hard, spread, 3), [np.inf, student(3) * 1e-9, 1.0])


# What is measured.


def answered(call: Call, off: float = 0.0) -> Result:
    """The right answer, off by so many hard bounds."""
    due = reference(call)
    given = {
        name: call.give(name, rounded(due[name] + off * due.bound(name), call.dtype))
        for name in call.results
    }
    kinds = dict.fromkeys(given, str(call.dtype))
    return Result(call, given, kinds, kinds)


@pytest.mark.parametrize("dtype", Dtype)
@pytest.mark.parametrize("kind", Kind)
def test_every_element_that_is_claimed_is_in_one_class(kind: Kind, dtype: Dtype) -> None:
    call = random_call(kind, 3, dtype)
    found = agrees(answered(call))
    claimed = sum(int(np.isfinite(reference(call).bound(n)).sum()) for n in call.results)
    assert sum(found.shares) == sum(found.ulps) == claimed
    assert len(found.shares) == len(EXPONENTS) + 2
    assert len(found.ulps) == len(ULPS) + 2
    assert not any(found.ulps[2:]), "what is rounded once is at most half an ulp off"
    assert 0.0 <= found.worst <= 1.0
    assert not found.hit


def test_the_unit_of_the_last_place_is_the_distance_to_the_next_number() -> None:
    values = np.array([1.0, 1.5, 2.0, -3.0, 0.1, 1000.0])
    for dtype, name in (
        (Dtype.FLOAT64, np.float64),
        (Dtype.FLOAT32, np.float32),
        (Dtype.FLOAT16, np.float16),
    ):
        due = np.abs(np.spacing(values.astype(name))).astype(np.float64)
        np.testing.assert_array_equal(ulp(values, dtype), due)
    assert ulp(np.array([1.0]), Dtype.BFLOAT16).item() == 2.0**-7
    assert ulp(np.array([0.0]), Dtype.FLOAT32).item() == 2.0**-125, "what may be flushed to zero"


def test_an_error_that_rounding_could_make_but_never_makes_is_refused() -> None:
    call = random_call(Kind.LSTM, 5, Dtype.FLOAT32)
    with pytest.raises(NonConforming, match="correct implementations scatter") as caught:
        agrees(answered(call, off=0.9))
    assert "though no more than" in str(caught.value), "and it says that it is not impossible"


def test_what_float64_cannot_tell_is_told_by_more_digits() -> None:
    call = random_call(Kind.GRU, 2, Dtype.FLOAT64)
    exact = agrees(answered(call))
    assert exact.shares[0] == 0, "the nearest float64 number is not the truth"


def agreement(rank: float, reach: float) -> Agreement:
    """Of a case that is so far off."""
    call = random_call(Kind.RNN, 1)
    return Agreement(call, "results", rank, reach, (1,), (1,), 0.5)


def test_too_many_hits_are_no_chance() -> None:
    hit, miss = agreement(2.0, 1.0), agreement(0.3, 1.0)
    allowed = most_hits(20)
    assert worse_than_chance([hit] * allowed + [miss] * (20 - allowed)) is None
    found = worse_than_chance([hit] * (allowed + 1) + [miss] * (19 - allowed))
    assert found is not None
    assert len(found[0]) == allowed + 1
    assert found[1] == allowed


def test_cases_in_which_nothing_scatters_do_not_count() -> None:
    assert worse_than_chance([agreement(0.0, 0.0)] * 100) is None


def test_a_summary_adds_up_by_dtype_and_names_the_worst_case() -> None:
    case = random_case(Kind.RNN, 1)
    better, worse = agreement(0.1, 1.0), replace(agreement(3.0, 1.0), worst=0.75)
    other = replace(better, of="gradients")
    first, second = summary([(case, better), (case, worse), (case, other)])
    assert (first["of"], first["cases"], first["hits"], first["worst"]) == ("results", 2, 1, 0.75)
    assert first["shares"] == [2]
    assert first["worst_case"] == case.to_record()
    assert (second["of"], second["cases"]) == ("gradients", 1)


# What is seen.


@pytest.mark.parametrize("name", DEFECTS)
def test_small_defects_are_seen(name: str) -> None:
    defect: Defect = DEFECTS[name]
    found = [
        of_results(call, defect.answer(call))
        for call in typical_calls(defect.dtype, 60, 0, defect.without)
    ]
    share = sum(each.scatter for each in found) / len(found)
    assert share >= SEEN.get(name, 0.9), f"{share:.0%} of the cases show it"
    hits = sum(each.hit for each in found)
    assert hits > most_hits(len(found)), f"{hits} of {len(found)} cases are worse than all members"


@pytest.mark.parametrize("name", GRADIENT_DEFECTS)
def test_small_defects_of_gradients_are_seen(name: str) -> None:
    adjoint, dtype = GRADIENT_DEFECTS[name]
    found = []
    for call in typical_calls(dtype, 60, 0):
        backward = drawn(call, 0)
        right = adjoint.derivative(backward, forward(call).answer).gradients
        got = {each: rounded(right[each], dtype) for each in backward.arguments}
        found.append(of_gradients(backward, got))
    share = sum(each.scatter for each in found) / len(found)
    assert share >= SEEN.get(name, 0.9), f"{share:.0%} of the cases show it"
    hits = sum(each.hit for each in found)
    assert (hits > most_hits(len(found))) == (name not in UNDECIDED), f"{hits} of {len(found)}"


def test_what_is_right_is_not_seen() -> None:
    """The measure that sees the defects does not see their absence."""
    for call in typical_calls(Dtype.FLOAT32, 60, 0):
        backward = drawn(call, 0)
        right = Adjoint().derivative(backward, forward(call).answer).gradients
        got = {each: rounded(right[each], call.dtype) for each in backward.arguments}
        verdicts = of_gradients(backward, got)
        assert not (verdicts.hard)
        assert not (verdicts.scatter)
        assert not (verdicts.hit)

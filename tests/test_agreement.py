"""How agreement is measured, and when it is too bad to be chance."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from rnn_conformance.checking.assertions import assert_within_scatter
from rnn_conformance.errors import NonConforming, Sort
from rnn_conformance.reference.derivatives import Adjoint
from rnn_conformance.reference.ensemble import Ensemble
from rnn_conformance.reference.expected import Expected, expected
from rnn_conformance.reference.tolerance import (
    EXPONENTS,
    ULPS,
    Agreement,
    most_outliers,
    student,
    summary,
    tolerance,
    ulp,
    worse_than_chance,
)
from rnn_conformance.spec.backward import drawn
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.cases import rounded
from rnn_conformance.spec.config import Dtype, Kind
from rnn_conformance.spec.result import Quantity, Result
from tests.support.random_calls import random_call, random_case
from tests.support.small_defects import (
    DEFECTS,
    GRADIENT_DEFECTS,
    Defect,
    derived,
    judged,
    typical_calls,
)

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


@pytest.mark.parametrize(("elements", "quantile"), [(100, 7.66), (1000, 8.51), (10000, 9.40)])
def test_the_quantile_is_student_s(elements: int, quantile: float) -> None:
    assert student(elements) == pytest.approx(quantile, abs=0.01)


@pytest.mark.parametrize(("cases", "most"), [(10, 7), (20, 9), (50, 13), (100, 18), (200, 25)])
def test_so_many_cases_may_be_worse_than_all_members(cases: int, most: int) -> None:
    assert most_outliers(cases) == most


def test_nothing_is_claimed_where_the_hard_bound_claims_nothing() -> None:
    hard, spread = np.array([np.inf, 1.0, 1.0]), np.array([1e-9, 1e-9, np.inf])
    scatter = Ensemble({"h_n": spread}, np.zeros(0))
    of_three = SimpleNamespace(values={"h_n": np.zeros(3)}, bounds={"h_n": hard}, scatter=scatter)
    limit = tolerance(cast(Expected, of_three), "h_n")
    np.testing.assert_array_equal(limit, [np.inf, student(3) * 1e-9, 1.0])


# What is measured.


def answered(call: Call, off: float = 0.0) -> Result:
    """The right answer, off by so many hard bounds."""
    due = expected(call)
    given = {
        name: call.give(name, rounded(value + off * due.bounds[name], call.dtype))
        for name, value in due.values.items()
    }
    return Result(call, given, dict.fromkeys(given, str(call.dtype)), dict.fromkeys(given, "cpu"))


@pytest.mark.parametrize("dtype", Dtype)
@pytest.mark.parametrize("kind", Kind)
def test_every_element_that_is_claimed_is_in_one_class(kind: Kind, dtype: Dtype) -> None:
    call = random_call(kind, 3, dtype)
    agreement = assert_within_scatter(answered(call))
    claimed = sum(int(np.isfinite(bound).sum()) for bound in expected(call).bounds.values())
    assert sum(agreement.shares) == sum(agreement.ulps) == claimed
    assert len(agreement.shares) == len(EXPONENTS) + 2
    assert len(agreement.ulps) == len(ULPS) + 2
    assert not any(agreement.ulps[2:]), "what is rounded once is at most half an ulp off"
    assert 0.0 <= agreement.worst <= 1.0
    assert not agreement.is_outlier


def test_the_unit_of_the_last_place_is_the_distance_to_the_next_number() -> None:
    values = np.array([1.0, 1.5, 2.0, -3.0, 0.1, 1000.0])
    for dtype, name in (
        (Dtype.FLOAT64, np.float64),
        (Dtype.FLOAT32, np.float32),
        (Dtype.FLOAT16, np.float16),
    ):
        spacing = np.abs(np.spacing(values.astype(name))).astype(np.float64)
        np.testing.assert_array_equal(ulp(values, dtype), spacing)
    assert ulp(np.array([1.0]), Dtype.BFLOAT16).item() == 2.0**-7
    assert ulp(np.array([0.0]), Dtype.FLOAT32).item() == 2.0**-125, "what may be flushed to zero"


def test_an_error_that_rounding_could_make_but_never_makes_is_refused() -> None:
    call = random_call(Kind.LSTM, 5, Dtype.FLOAT32)
    with pytest.raises(NonConforming, match="correct implementations scatter") as caught:
        assert_within_scatter(answered(call, off=0.9))
    assert caught.value.sort is Sort.VALUE
    assert "though no more than" in str(caught.value), "and it says that it is not impossible"


def test_what_float64_cannot_tell_is_told_by_more_digits() -> None:
    call = random_call(Kind.GRU, 2, Dtype.FLOAT64)
    exact = assert_within_scatter(answered(call))
    assert exact.shares[0] == 0, "the nearest float64 number is not the truth"


def agreement(rank: float, worst_member: float) -> Agreement:
    """Of a case that is so far off."""
    call = random_call(Kind.RNN, 1)
    return Agreement(call, Quantity.RESULTS, rank, worst_member, (1,), (1,), 0.5)


def test_too_many_outliers_are_no_chance() -> None:
    outlier, usual = agreement(2.0, 1.0), agreement(0.3, 1.0)
    allowed = most_outliers(20)
    assert worse_than_chance([outlier] * allowed + [usual] * (20 - allowed)) is None
    judgement = worse_than_chance([outlier] * (allowed + 1) + [usual] * (19 - allowed))
    assert judgement is not None
    outliers, most = judgement
    assert len(outliers) == allowed + 1
    assert most == allowed


def test_cases_in_which_nothing_scatters_do_not_count() -> None:
    assert worse_than_chance([agreement(0.0, 0.0)] * 100) is None


def test_a_summary_adds_up_by_dtype_and_names_the_worst_case() -> None:
    case = random_case(Kind.RNN, 1)
    better, worse = agreement(0.1, 1.0), replace(agreement(3.0, 1.0), worst=0.75)
    other = replace(better, quantity=Quantity.GRADIENTS)
    first, second = summary([(case, better), (case, worse), (case, other)])
    assert (first["of"], first["cases"], first["hits"], first["worst"]) == ("results", 2, 1, 0.75)
    assert first["shares"] == [2]
    assert first["worst_case"] == case.to_record()
    assert (second["of"], second["cases"]) == ("gradients", 1)


# What is seen.


@pytest.mark.parametrize("name", DEFECTS)
def test_small_defects_are_seen(name: str) -> None:
    defect: Defect = DEFECTS[name]
    verdicts = [
        judged(call, defect.answer(call))
        for call in typical_calls(defect.dtype, 60, 0, defect.without)
    ]
    share = sum(case.scatter for case in verdicts) / len(verdicts)
    assert share >= SEEN.get(name, 0.9), f"{share:.0%} of the cases show it"
    outliers = sum(case.outlier for case in verdicts)
    assert outliers > most_outliers(len(verdicts)), (
        f"{outliers} of {len(verdicts)} cases are worse than all members"
    )


@pytest.mark.parametrize("name", GRADIENT_DEFECTS)
def test_small_defects_of_gradients_are_seen(name: str) -> None:
    adjoint, dtype = GRADIENT_DEFECTS[name]
    backwards = [drawn(call, 0) for call in typical_calls(dtype, 60, 0)]
    verdicts = [judged(backward, derived(adjoint, backward)) for backward in backwards]
    share = sum(case.scatter for case in verdicts) / len(verdicts)
    assert share >= SEEN.get(name, 0.9), f"{share:.0%} of the cases show it"
    outliers = sum(case.outlier for case in verdicts)
    seen = outliers > most_outliers(len(verdicts))
    assert seen == (name not in UNDECIDED), f"{outliers} of {len(verdicts)}"


def test_what_is_right_is_not_seen() -> None:
    """The measure that sees the defects does not see their absence."""
    for call in typical_calls(Dtype.FLOAT32, 60, 0):
        backward = drawn(call, 0)
        verdicts = judged(backward, derived(Adjoint(), backward))
        assert not verdicts.hard
        assert not verdicts.scatter
        assert not verdicts.outlier

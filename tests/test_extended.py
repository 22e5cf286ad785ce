"""More digits than float64: that they are more, that their kinds agree, how they are told."""

from __future__ import annotations

import numpy as np
import pytest

from rnn_conformance.reference.derivatives import Adjoint
from rnn_conformance.reference.extended import (
    Extended,
    ExtendedAdjoint,
    long_double,
    multiprecision,
    split,
    widest,
)
from rnn_conformance.reference.oracle import Oracle
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.backward import drawn
from rnn_conformance.spec.config import Kind
from tests.support.random_calls import random_call

NARROW = np.finfo(np.longdouble).nmant < 63


def apart(first: Array, second: Array) -> float:
    """The greatest difference of two arrays of many digits, by the size of the numbers."""
    (a, b), (c, d) = split(first), split(second)
    size = max(1.0, float(np.abs(a).max(initial=0.0)))
    return float(np.abs((a - c) + (b - d)).max(initial=0.0)) / size


@pytest.mark.skipif(NARROW, reason="C's long double is float64 here")
@pytest.mark.parametrize("kind", Kind)
def test_both_kinds_of_numbers_agree_far_beyond_float64(kind: Kind) -> None:
    for seed in range(6):
        call = random_call(kind, seed)
        backward = drawn(call, seed)
        numbers = (long_double, multiprecision())
        wide, wider = (Extended(widen).answer(call) for widen in numbers)
        for name in call.results:
            assert apart(getattr(wide, name), getattr(wider, name)) < 2.0**-57, f"{name} of {call}"
        of_wide, of_wider = (
            ExtendedAdjoint(widen).derivative(backward, answer).gradients
            for widen, answer in zip(numbers, (wide, wider), strict=True)
        )
        for name in backward.arguments:
            assert apart(of_wide[name], of_wider[name]) < 2.0**-55, f"{name} of {call}"


@pytest.mark.parametrize("kind", Kind)
def test_they_agree_with_float64_as_far_as_that_goes(kind: Kind) -> None:
    call = random_call(kind, 3)
    backward = drawn(call, 3)
    plain, wide = Oracle().answer(call), Extended(widest()).answer(call)
    for name in call.results:
        difference = apart(getattr(plain, name), getattr(wide, name))
        assert 0.0 < difference < 1e-14, f"{name} of {call}"
    narrow = Adjoint().derivative(backward, plain).gradients
    more = ExtendedAdjoint(widest()).derivative(backward, wide).gradients
    for name in backward.arguments:
        assert apart(narrow[name], more[name]) < 1e-12, f"{name} of {call}"


def test_two_numbers_tell_what_one_cannot() -> None:
    (third,) = multiprecision()(np.array([1.0])) / 3
    nearest, rest = split(np.array([third, np.inf, np.nan], dtype=object))
    assert nearest[0] == 1.0 / 3.0
    # 3 (1/3) - 1 is -2^-54 in float64's third, and what is left makes up for it.
    assert rest[0] == pytest.approx(2.0**-54 / 3.0)
    assert np.isposinf(nearest[1]), "classes are kept"
    assert np.isnan(nearest[2])
    assert not rest[1:].any(), "of what is not finite nothing is left"

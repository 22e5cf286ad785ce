"""The part of an array that a failure keeps to be drawn."""

import math

import numpy as np
import pytest

from rnn_conformance.checking.assertions import assert_close
from rnn_conformance.checking.wording import DRAWN, window
from rnn_conformance.errors import NonConforming, Sort
from rnn_conformance.spec.cases import Case
from rnn_conformance.spec.config import Config, Dtype, Kind


@pytest.mark.parametrize("shape", [(3,), (2, 2, 3), (5000, 1, 2), (65, 65, 65), (4000, 300)])
@pytest.mark.parametrize("at", ["first", "middle", "last"])
def test_a_part_holds_the_worst_element_and_lies_inside(shape: tuple[int, ...], at: str) -> None:
    worst = tuple({"first": 0, "middle": n // 2, "last": n - 1}[at] for n in shape)
    start, size = window(shape, worst)
    assert math.prod(size) <= DRAWN
    for first, count, of, index in zip(start, size, shape, worst, strict=True):
        assert 0 <= first <= index < first + count <= of


def test_what_is_small_is_kept_whole() -> None:
    assert window((2, 2, 3), (1, 1, 2)) == ((0, 0, 0), (2, 2, 3))


def test_the_error_is_in_units_of_the_bound_and_infinite_where_the_class_is_another() -> None:
    call = Case(Config(Kind.GRU, 1, 2), 1, 2, Dtype.FLOAT32).call()
    expected = np.array([[[1.0, 2.0]], [[3.0, 4.0]]])
    got = np.array([[[1.0, 2.5]], [[np.nan, 4.125]]])
    bound = np.full_like(expected, 0.25)
    with pytest.raises(NonConforming) as raised:
        assert_close("output", got, expected, bound, calls=(call,))
    assert raised.value.sort is Sort.VALUE
    kept = raised.value.elements
    assert kept["axes"] == ["time", "sample", "unit"]
    assert kept["error"] == [0.0, 2.0, math.inf, 0.5]
    assert kept["expected"] == [1.0, 2.0, 3.0, 4.0]
    assert kept["shape"] == kept["size"] == [2, 1, 2]

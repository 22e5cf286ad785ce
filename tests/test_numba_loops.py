"""The bundled Numba implementation where it is fast: its activations, and its two products."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import pytest

from rnn_conformance.checking.assertions import assert_within_scatter
from rnn_conformance.implementations.registry import load
from rnn_conformance.locations import bundled
from rnn_conformance.reference.formats import KAPPA
from rnn_conformance.spec.cases import Case, State, Values
from rnn_conformance.spec.config import Config, Dtype, Kind

DTYPES = (Dtype.FLOAT32, Dtype.FLOAT64)


@pytest.fixture(scope="module")
def module() -> dict[str, Any]:
    """What the file defines."""
    return runpy.run_path(str(bundled("impls") / "numba_loops.py"))


def applied(function: Any, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """An activation of each element, in a loop that is made a vector as in the kernel."""

    @numba.njit(error_model="numpy")
    def all_of(x: Any, into: Any) -> None:
        for j in range(x.size):
            into[j] = function(x[j])

    into = np.empty_like(x)
    all_of(x, into)
    return into


EXACT: tuple[Callable[[Any], Any], ...] = (lambda x: 1 / (1 + np.exp(-x)), np.tanh)
"""Sigmoid and tanh, for numbers of more digits."""


@pytest.mark.parametrize("dtype", DTYPES)
def test_activations_are_as_accurate_as_vector_libraries_are(
    module: dict[str, Any], dtype: Dtype
) -> None:
    scales = (1e-6, 0.01, 0.3, 1.0, 5.0, 20.0)
    draws = [np.random.default_rng(0).normal(0.0, scale, 4000) for scale in scales]
    x = np.concatenate(draws).astype(dtype.value)
    wide = x.astype(np.longdouble)
    for function, exact in zip(module["activations"](dtype.value), EXACT, strict=True):
        error = np.abs(applied(function, x) - exact(wide)) / np.abs(exact(wide))
        assert error.max() <= KAPPA * np.finfo(x.dtype).eps / 2


@pytest.mark.parametrize("dtype", DTYPES)
def test_activations_of_what_is_not_finite_are_those_of_the_limit(
    module: dict[str, Any], dtype: Dtype
) -> None:
    x = np.array([np.nan, np.inf, -np.inf, -0.0, 1e-40, -1e-40], dtype.value)
    sigmoid, tanh = (applied(function, x) for function in module["activations"](dtype.value))
    assert np.isnan(sigmoid[0])
    assert np.isnan(tanh[0])
    assert sigmoid[1] == 1.0
    assert 0.0 <= sigmoid[2] <= np.finfo(x.dtype).tiny
    np.testing.assert_array_equal(tanh[1:], np.array([1.0, -1.0, -0.0, 1e-40, -1e-40], x.dtype))
    assert np.signbit(tanh[3])


@pytest.mark.parametrize("kind", [Kind.LSTM, Kind.GRU])
def test_batches_that_a_blas_multiplies_are_as_right_as_small_ones(
    module: dict[str, Any], kind: Kind
) -> None:
    (implementation,) = load("numba_loops")
    config = Config(kind, 5, 9, bidirectional=True)
    for batch in (module["MANY"] - 1, module["MANY"]):
        lengths = tuple(1 + (5 * n) % 4 for n in range(batch))
        for own in (None, lengths):
            call = Case(config, 4, batch, Dtype.FLOAT32, own, State.GIVEN, Values.TYPICAL).call()
            assert_within_scatter(implementation.build(call.layer)(call.arguments))

"""How fast the suite is: cases a second, and whose time it is.

Ratios within one run are what counts; a machine that is shared gives no absolute figures.
Run with ``tox -e bench``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from rnn_conformance.bounds import reference
from rnn_conformance.cases import Case, State
from rnn_conformance.oracle import Oracle
from rnn_conformance.registry import load
from rnn_conformance.spec import Config, Kind
from rnn_conformance.subject import PROFILES, Subject
from rnn_conformance.suite import checks, examine

SHAPES = {
    "small": Case(
        Config(Kind.LSTM, 5, 7, num_layers=2, bidirectional=True), 4, 3, state=State.GIVEN
    ),
    "medium": Case(Config(Kind.LSTM, 48, 64, bidirectional=True), 32, 16, state=State.GIVEN),
}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """As in a run, where the workers share the cores."""
    torch.set_num_threads(1)


def subject(seed: int = 0) -> Subject:
    """``torch.nn.LSTM`` in the quick profile."""
    (implementation,) = load("torch.nn:LSTM")
    return Subject(implementation, Kind.LSTM, PROFILES["quick"], seed)


def test_cases_a_second_and_the_share_inside_the_implementation(
    benchmark: BenchmarkFixture,
) -> None:
    def suite() -> tuple[int, float, float]:
        records = [examine(check, subject()) for check in checks() if Kind.LSTM in check.kinds]
        return (
            sum(record.cases for record in records),
            sum(record.seconds for record in records),
            sum(record.seconds_inside for record in records),
        )

    # pytest-benchmark leaves this method without types.
    cases, seconds, inside = benchmark.pedantic(suite, rounds=3, iterations=1)  # type: ignore[no-untyped-call]
    benchmark.extra_info["cases"] = cases
    benchmark.extra_info["cases_per_second"] = cases / seconds
    benchmark.extra_info["share_inside_the_implementation"] = inside / seconds
    print(f"\n{cases / seconds:.0f} cases a second, {inside / seconds:.0%} inside torch.nn.LSTM")
    assert cases > 1000


WORK: dict[str, Callable[[Case], Callable[[], Any]]] = {
    "torch.nn forward": lambda case: _forward(case),
    "oracle": lambda case: lambda: Oracle().answer(case.call()),
    # The function behind the cache: what one reference costs with its bound.
    "oracle and bound": lambda case: lambda: reference.__wrapped__(case.call()),
}


def _forward(case: Case) -> Callable[[], Any]:
    call = case.call()
    layer = subject().build(call)
    return lambda: layer(call)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("work", WORK)
def test_the_cost_of_a_reference_beside_a_forward(
    benchmark: BenchmarkFixture, shape: str, work: str
) -> None:
    benchmark.group = shape
    result = benchmark(WORK[work](SHAPES[shape]))
    assert np.isfinite(result.output).all()

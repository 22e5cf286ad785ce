"""How fast the suite is: cases a second, and whose time it is.

Ratios within one run are what counts; a machine that is shared gives no absolute figures.
Run with ``tox -e bench``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from rnn_conformance.checking.checks import checks
from rnn_conformance.checking.examining import examine
from rnn_conformance.checking.subject import PROFILES, Subject
from rnn_conformance.implementations.registry import load
from rnn_conformance.reference.bounds import forward
from rnn_conformance.reference.ensemble import Ensemble, ensemble, run
from rnn_conformance.reference.expected import Expected, ExpectedGradients, ExpectedResults
from rnn_conformance.reference.gradient_bounds import derivative
from rnn_conformance.reference.gradient_ensemble import gradient_ensemble
from rnn_conformance.reference.noise import MEMBERS
from rnn_conformance.reference.oracle import Oracle
from rnn_conformance.reference.problem import Problem
from rnn_conformance.spec.backward import drawn
from rnn_conformance.spec.cases import Case, State
from rnn_conformance.spec.config import Config, Kind

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
    # Past the caches: what one reference costs with its bound, and what the scatter costs
    # besides; then the same backwards.
    "oracle and bound E": lambda case: lambda: _results(case).bounds,
    # As many oracles as there are members, one after the other: what running all of them at once,
    # as shares of one batch, spares.
    "the members one by one": lambda case: (
        lambda: [Oracle().answer(case.call()) for _ in range(MEMBERS)]
    ),
    "scatter S": lambda case: lambda: _scattered(case),
    "backward: bound E": lambda case: lambda: _gradients(case).bounds,
    "backward: scatter S": lambda case: lambda: _scattered_backwards(case),
}


def _results(case: Case) -> Expected:
    """What is expected of a call of which nothing is known yet."""
    forward.cache_clear()
    return ExpectedResults(Problem(case.call()))


def _scattered(case: Case) -> Ensemble:
    run.cache_clear()
    return ensemble.__wrapped__(Problem(case.call()))


def _gradients(case: Case) -> Expected:
    """What is expected of a backward pass, its forward pass being known."""
    derivative.cache_clear()
    return ExpectedGradients(drawn(case.call(), 0), Problem(case.call()))


def _scattered_backwards(case: Case) -> Ensemble:
    return gradient_ensemble.__wrapped__(drawn(case.call(), 0), Problem(case.call()))


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
    assert result is not None

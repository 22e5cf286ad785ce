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

from rnn_conformance.bounds import forward, reference
from rnn_conformance.calls import Call
from rnn_conformance.cases import Case, State
from rnn_conformance.ensemble import MEMBERS, Ensemble, ensemble, run
from rnn_conformance.gradient_bounds import gradient_reference
from rnn_conformance.gradient_ensemble import gradient_ensemble
from rnn_conformance.gradients import Backward, drawn
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
    # The functions behind the caches: what one reference costs with its bound, and what the
    # scatter costs besides; then the same backwards.
    "oracle and bound E": lambda case: lambda: reference.__wrapped__(fresh(case)),
    # As many oracles as there are members, one after the other: what running all of them at once,
    # as shares of one batch, spares.
    "the members one by one": lambda case: (
        lambda: [Oracle().answer(case.call()) for _ in range(MEMBERS)]
    ),
    "scatter S": lambda case: lambda: _scattered(case),
    "backward: bound E": lambda case: lambda: gradient_reference.__wrapped__(_backward(case)),
    "backward: scatter S": lambda case: lambda: gradient_ensemble.__wrapped__(_backward(case)),
}


def _backward(case: Case) -> Backward:
    return drawn(case.call(), 0)


def fresh(case: Case) -> Call:
    """The case's call, of which nothing is known yet."""
    forward.cache_clear()
    return case.call()


def _scattered(case: Case) -> Ensemble:
    run.cache_clear()
    return ensemble.__wrapped__(case.call())


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
    found = benchmark(WORK[work](SHAPES[shape]))
    assert found is not None

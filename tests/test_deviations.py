"""The deviations are deviations, and what is right and computed otherwise must pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rnn_conformance.checking.assertions import assert_within_bound
from rnn_conformance.checking.checks import Check, checks
from rnn_conformance.checking.examining import examine
from rnn_conformance.checking.subject import Profile, Subject
from rnn_conformance.deviations import CATALOGUE, Deviation, deviations_of
from rnn_conformance.errors import NonConforming
from rnn_conformance.mutants.equations import miniature
from rnn_conformance.reference.expected import expected
from rnn_conformance.results.records import Outcome
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.cases import Case, Values, rounded
from rnn_conformance.spec.clauses import CLAUSES
from rnn_conformance.spec.config import Dtype, Feature, Kind
from rnn_conformance.spec.result import Result
from tests.support.miniatures import correct_implementations
from tests.support.random_calls import random_case

FEW = Profile("few", 5, 40)
SEEDS = (1,)

EVERY = [(kind, deviation) for kind in Kind for deviation in deviations_of(kind)]
CONDITIONAL = [(kind, deviation) for kind, deviation in EVERY if deviation.needs]


def named(value: Kind | Deviation[Any] | Check) -> str:
    """What a test of these is called."""
    match value:
        case Deviation():
            return value.name
        case Check():
            return value.id.rpartition("::")[2]
    return str(value)


# torch says so once for each process, and computes the same.
pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported")


def test_the_catalogue_is_of_some_size() -> None:
    assert len(CATALOGUE) >= 60


def test_names_are_unique() -> None:
    (name, times) = Counter(deviation.name for deviation in CATALOGUE).most_common(1)[0]
    assert times == 1, f"{name} is there {times} times"


@pytest.mark.parametrize("deviation", CATALOGUE, ids=named)
def test_a_deviation_breaks_clauses_that_exist_in_kinds_that_have_them(
    deviation: Deviation[Any],
) -> None:
    assert deviation.kinds, "it applies to no kind"
    assert deviation.source, "it comes from nowhere"
    unknown = deviation.breaks - set(CLAUSES)
    assert not unknown, f"no such clauses: {sorted(unknown)}"
    for kind in deviation.kinds:
        applicable = [clause for clause in deviation.breaks if kind in CLAUSES[clause].kinds]
        assert applicable, f"none of {sorted(deviation.breaks)} applies to {kind}"
        missing = deviation.needs - Feature.of(kind)
        assert not missing, f"{kind} has no {sorted(missing)}, so it cannot show there"


@pytest.mark.parametrize(("kind", "deviation"), EVERY, ids=named)
def test_a_deviation_answers_whatever_is_legal(kind: Kind, deviation: Deviation[Any]) -> None:
    """It is wrong, not broken: in a call with all features, and where the state is omitted."""
    features = Feature.of(kind) - {Feature.UNBATCHED, Feature.EMPTY_BATCH}
    call = random_case(kind, 0, needs=features).call()
    layer = miniature(deviation.name, kind, deviation.variant).build(call.layer)
    for asked in (call, call.replace(h_0=None, c_0=None)):
        assert set(layer(asked.arguments).given) == set(call.results)


# Whether it is a deviation at all.


def special_calls(call: Call, seed: int) -> Iterator[Call]:
    """The same call with NaN, infinities and huge numbers, in the padding too."""
    place = seed % call.length, seed % call.batch, seed % call.config.input_size
    huge = 2.0**15 if call.dtype is Dtype.FLOAT16 else 2.0**20
    # A subnormal number of every format that has one so small.
    for value in (np.nan, np.inf, huge, 2.0**-1030, 2.0**-130, 2.0**-16):
        data = call.input.copy()
        data[place] = value
        yield call.replace(input=data)
    if call.lengths is not None:
        data = call.input.copy()
        data[~call.steps] = np.nan
        yield call.replace(input=data)


def degenerate_calls(case: Case) -> Iterator[Call]:
    """One sample, or one unit; and a step of zeros."""
    call = case.call()
    yield call.replace(input=np.where(np.arange(call.length)[:, None, None] == 0, 0.0, call.input))
    config = replace(case.config, hidden_size=1, proj_size=0)
    yield replace(case, config=config).call()
    if case.lengths is None and case.batch:
        yield replace(case, batch=1).call()


def telling_calls(kind: Kind, needs: frozenset[Feature]) -> Iterator[Call]:
    """Calls with these features, plain ones first."""
    for seed in range(40):
        dtype = (Dtype.FLOAT64, Dtype.FLOAT32, Dtype.FLOAT16)[seed % 3]
        case = random_case(
            kind,
            seed,
            dtype,
            needs=needs,
            values=(Values.TYPICAL, Values.SATURATED, Values.MIXED)[seed % 3],
            # Some are long and some are wide.
            length=100 if seed % 10 == 9 else None,
            size=37 if seed % 10 == 8 else None,
        )
        call = case.call()
        yield call
        if call.batch and seed % 2:
            yield from special_calls(call, seed)
        if call.batch and seed % 10 == 7:
            yield from degenerate_calls(case)
    # Nothing but what is needed: one layer, one direction, dense input.
    yield random_case(kind, 0, needs=needs, without=frozenset(Feature) - needs).call()


def is_right(call: Call, result: Result) -> bool:
    """Whether the result is what is due, its dtypes included."""
    try:
        assert_within_bound(result)
    except NonConforming:
        return False
    return set(result.dtypes.values()) == {call.dtype.value}


@pytest.mark.parametrize(("kind", "deviation"), EVERY, ids=named)
def test_a_deviation_is_wrong_on_some_legal_call(kind: Kind, deviation: Deviation[Any]) -> None:
    for call in telling_calls(kind, deviation.needs):
        layer = miniature(deviation.name, kind, deviation.variant).build(call.layer)
        omitted = call.replace(h_0=None, c_0=None)
        # Called again, since some deviations are what a call leaves behind.
        if not all(is_right(asked, layer(asked.arguments)) for asked in (call, omitted, omitted)):
            return
    pytest.fail("it gave the right answer to every call, so it is no deviation")


@pytest.mark.parametrize(("kind", "deviation"), CONDITIONAL, ids=named)
def test_a_deviation_cannot_show_without_what_it_needs(
    kind: Kind, deviation: Deviation[Any]
) -> None:
    for feature in sorted(deviation.needs):
        others = deviation.needs - {feature}
        for seed in range(4):
            case = random_case(kind, seed, needs=others, without=frozenset({feature}))
            call = case.call()
            result = miniature(deviation.name, kind, deviation.variant).build(call.layer)(
                call.arguments
            )
            assert is_right(call, result), f"it shows without {feature}: {call}"


# Whether the suite passes what is none.


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("kind", "check"),
    [(kind, check) for kind in Kind for check in checks() if kind in check.kinds],
    ids=named,
)
def test_the_suite_passes_whatever_is_right(kind: Kind, check: Check, seed: int) -> None:
    for implementation in correct_implementations(kind):
        record = examine(check, Subject(implementation, kind, FEW, seed))
        assert record.outcome in (Outcome.PASSED, Outcome.UNSUPPORTED, Outcome.UNTESTED), (
            f"{implementation.name} is right, yet {record.failure}"
        )


def test_a_result_rounded_to_half_the_digits_is_not_right() -> None:
    """The measure used above measures: what is right is right, what is coarse is not."""
    call = random_case(Kind.LSTM, 0).call()
    due = expected(call)
    given = {name: call.give(name, due[name]) for name in call.results}
    dtypes = dict.fromkeys(given, "float64")
    assert is_right(call, Result(call, given, dtypes, dtypes))
    coarse = {name: rounded(array, Dtype.FLOAT32) for name, array in given.items()}
    assert not is_right(call, Result(call, coarse, dtypes, dtypes))

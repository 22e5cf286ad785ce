"""The strategies: what can be drawn, how it shrinks, and that it discriminates."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis.errors import NoSuchExample

from rnn_conformance.checking.strategies import PALETTE, Cases, cases
from rnn_conformance.errors import Gap, Unsupported
from rnn_conformance.implementations.interface import Declaration
from rnn_conformance.reference.oracle import Oracle
from rnn_conformance.spec.cases import Case, State, Values
from rnn_conformance.spec.config import Dtype, Feature, Kind, Level

LAYERS = [Kind.RNN, Kind.LSTM, Kind.GRU]
QUICK = settings(
    max_examples=400,
    database=None,
    derandomize=True,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def everything(kind: Kind) -> Declaration:
    """A declaration that leaves nothing out."""
    return Declaration.of([kind], Feature.of(kind), list(Dtype), Level.DROP_IN)


def find_any(
    family: Cases, condition: Callable[[Case], bool] = lambda case: True, kind: Kind = Kind.LSTM
) -> Case:
    """Some case that meets the condition; fails if none is drawn."""
    strategy = family.strategy(kind, everything(kind))
    return find(strategy, condition, settings=settings(QUICK, phases=[Phase.generate]))


def minimal(
    family: Cases, condition: Callable[[Case], bool] = lambda case: True, kind: Kind = Kind.LSTM
) -> Case:
    """The case that such a failure shrinks to."""
    strategy = family.strategy(kind, everything(kind))
    return find(strategy, condition, settings=QUICK)


def assert_never(family: Cases, condition: Callable[[Case], bool], kind: Kind = Kind.LSTM) -> None:
    """No drawn case meets the condition."""
    with pytest.raises(NoSuchExample):
        find_any(family, condition, kind)


HARD: dict[str, Callable[[Case], bool]] = {
    "three bidirectional layers with a given state": lambda case: (
        case.config.num_layers == 3 and case.config.bidirectional and case.state is State.GIVEN
    ),
    "all sizes different": lambda case: (
        len({case.length, case.batch, case.config.input_size, case.config.hidden_size}) == 4
    ),
    "all sizes equal, so that swapped axes have the right shape": lambda case: (
        case.length == case.batch == case.config.input_size == case.config.hidden_size > 1
    ),
    "lengths out of order": lambda case: (
        case.lengths is not None and list(case.lengths) != sorted(case.lengths, reverse=True)
    ),
    "lengths in descending order": lambda case: (
        case.lengths is not None
        and len(set(case.lengths)) > 1
        and list(case.lengths) == sorted(case.lengths, reverse=True)
    ),
    "a permutation of lengths that is not its own inverse": lambda case: (
        case.lengths is not None and _has_a_long_cycle(case.lengths)
    ),
    "a single step": lambda case: case.length == 1,
    "a single sample": lambda case: case.batch == 1,
    "a single unit": lambda case: case.config.hidden_size == 1,
    "a single input feature": lambda case: case.config.input_size == 1,
    "one plain layer": lambda case: case.config.num_layers == 1 and not case.config.bidirectional,
    "a state of zeros": lambda case: case.state is State.ZEROS,
    "no state": lambda case: case.state is State.OMITTED,
    "no bias": lambda case: not case.config.bias,
    "batch_first": lambda case: case.config.batch_first,
    "unbatched with batch_first": lambda case: case.batch is None and case.config.batch_first,
    "float64": lambda case: case.dtype is Dtype.FLOAT64,
    "saturated gates": lambda case: case.values is Values.SATURATED,
}


def _has_a_long_cycle(lengths: tuple[int, ...]) -> bool:
    order = np.argsort(-np.array(lengths), kind="stable")
    return not np.array_equal(order[order], np.arange(len(order)))


@pytest.mark.parametrize("what", HARD)
def test_each_hard_case_is_reachable(what: str) -> None:
    assert HARD[what](find_any(cases(), HARD[what]))


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("feature", list(Feature))
def test_each_feature_of_a_kind_is_reachable_and_no_other(kind: Kind, feature: Feature) -> None:
    family = cases(feature)
    if feature in Feature.of(kind):
        assert feature in find_any(family, kind=kind).features
    else:
        with pytest.raises(Unsupported, match=str(feature)) as caught:
            find_any(family, kind=kind)
        assert caught.value.gap is Gap.NOT_IN_KIND


@pytest.mark.parametrize("p", [0.5, 0.2, 0.8])
def test_dropout_is_drawn_where_it_is_needed(p: float) -> None:
    family = cases(Feature.DROPOUT, Feature.MULTI_LAYER)
    assert find_any(family, lambda case: case.config.dropout == p).config.dropout == p
    assert_never(family, lambda case: case.config.dropout == 0.0 or case.config.num_layers == 1)
    assert minimal(family).config.dropout == 0.5


def test_dropout_is_never_drawn_where_it_is_not_needed() -> None:
    assert_never(cases(), lambda case: case.config.dropout > 0.0)


@pytest.mark.parametrize("kind", list(Kind))
def test_what_always_fails_shrinks_to_the_simplest_case(kind: Kind) -> None:
    case = minimal(cases(), kind=kind)
    config = case.config
    assert (case.batch, config.input_size, config.hidden_size) == (1, 1, 1)
    assert (config.num_layers, config.bidirectional, config.bias) == (1, False, True)
    assert (case.state, case.lengths, case.values) == (State.OMITTED, None, Values.PLAIN)
    assert (case.seed, case.dtype) == (0, Dtype.FLOAT32)


def test_what_fails_with_two_layers_shrinks_to_two_layers_and_nothing_else() -> None:
    case = minimal(cases(), lambda case: case.config.num_layers >= 2)
    assert case.config.num_layers == 2
    assert case == Case(
        case.config, case.length, 1, Dtype.FLOAT32, None, State.OMITTED, Values.PLAIN, 0
    )


def test_what_fails_with_unsorted_lengths_shrinks_to_two_short_sequences() -> None:
    case = minimal(cases(Feature.PACKED), HARD["lengths out of order"])
    assert case.lengths == (1, 2)


def test_a_failure_that_needs_a_state_keeps_it_and_drops_the_rest() -> None:
    case = minimal(cases(), lambda case: case.state is State.GIVEN)
    assert case.config.num_layers == 1
    assert case.batch == 1


def test_cases_that_are_not_degenerate_have_sizes_that_all_differ() -> None:
    family = cases(degenerate=False, without=[Feature.UNBATCHED, Feature.PROJECTION])

    @settings(QUICK)
    @given(family.strategy(Kind.LSTM, everything(Kind.LSTM)))
    def check(case: Case) -> None:
        sizes = {case.length, case.batch, case.config.input_size, case.config.hidden_size}
        assert len(sizes) == 4
        assert case.length >= 2
        assert case.batch is not None
        assert case.batch >= 3

    check()


def test_an_excluded_feature_is_never_drawn() -> None:
    family = cases(without=[Feature.MULTI_LAYER, Feature.PACKED])
    assert_never(family, lambda case: bool(case.features & family.without))


def test_an_undeclared_feature_is_never_drawn() -> None:
    declaration = Declaration.of([Kind.GRU])
    strategy = cases().strategy(Kind.GRU, declaration)

    @settings(QUICK)
    @given(strategy)
    def check(case: Case) -> None:
        assert case.features <= {Feature.OMITTED_STATE}

    check()


def test_an_undeclared_dtype_is_unsupported() -> None:
    declaration = Declaration.of([Kind.GRU], dtypes=[Dtype.FLOAT64])
    with pytest.raises(Unsupported, match="float32") as caught:
        cases(dtypes=[Dtype.FLOAT32]).strategy(Kind.GRU, declaration)
    assert caught.value.gap is Gap.UNDECLARED


def test_what_compiles_each_shape_sees_a_small_palette_of_sizes() -> None:
    declaration = Declaration.of([Kind.LSTM], Feature.of(Kind.LSTM), compiles_per_shape=True)
    seen = set()

    @settings(QUICK)
    @given(cases(without=[Feature.UNBATCHED]).strategy(Kind.LSTM, declaration))
    def check(case: Case) -> None:
        seen.add((case.length, case.batch, case.config.input_size, case.config.hidden_size))

    check()
    assert seen <= set(PALETTE)
    assert len(seen) > 1


@pytest.mark.parametrize("values", list(Values))
def test_drawn_biases_and_states_are_distinct_and_not_zero(values: Values) -> None:
    case = find_any(
        cases(values=[values], degenerate=False, without=[Feature.BIAS_FREE]),
        lambda case: case.state is State.GIVEN,
    )
    call = case.call()
    assert call.h_0 is not None
    for array in (call.parameters["bias_ih_l0"], call.parameters["bias_hh_l0"], call.h_0):
        assert np.all(array != 0.0)
        assert len(np.unique(array)) > 1


@pytest.mark.parametrize("kind", LAYERS)
def test_saturated_values_reach_where_clipped_activations_differ(kind: Kind) -> None:
    family = cases(values=[Values.SATURATED], degenerate=False)
    case = find_any(family, kind=kind)
    (trace, *_), *_ = Oracle().answer(case.call()).traces
    assert np.abs(trace.zx + trace.zh).max() > 4.0


def test_plain_values_are_eighths_that_people_can_read() -> None:
    call = minimal(cases(Feature.MULTI_LAYER)).call()
    for array in (call.input, *call.parameters.values()):
        assert np.array_equal(64.0 * array, np.round(64.0 * array))


def test_a_case_survives_its_record() -> None:
    @settings(QUICK)
    @given(cases().strategy(Kind.LSTM, everything(Kind.LSTM)))
    def check(case: Case) -> None:
        assert Case.from_record(case.to_record()) == case

    check()

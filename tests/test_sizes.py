"""The ladders of sizes: which cases they are, and that none is too coarse to tell a break."""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import PackedSequence

from rnn_conformance import drop_in
from rnn_conformance.checking.assertions import assert_within_bound, assert_within_scatter
from rnn_conformance.checking.checks import checks
from rnn_conformance.checking.examining import examine
from rnn_conformance.checking.ladders import FAR, RUNGS, TRAITS, Axis, Ladder
from rnn_conformance.checking.subject import PROFILES, Subject
from rnn_conformance.errors import NonConforming, Unsupported
from rnn_conformance.implementations.interface import Declaration
from rnn_conformance.implementations.trees import mapped
from rnn_conformance.mutants.equations import Miniature, differentiated
from rnn_conformance.mutants.mutant import Mixin, of_kind
from rnn_conformance.results.records import Outcome
from rnn_conformance.spec.backward import drawn
from rnn_conformance.spec.cases import Case
from rnn_conformance.spec.config import Dtype, Feature, Kind

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported")

SIZES = [check for check in checks() if "test_sizes" in check.id]


def torchs(kind: Kind) -> Any:
    return drop_in(getattr(torch.nn, kind.value))


def members(
    axis: Axis,
    kind: Kind = Kind.LSTM,
    seed: int = 0,
    profile: str = "quick",
    implementation: Any = None,
    *,
    backward: bool = False,
) -> list[Case]:
    subject = Subject(implementation or torchs(kind), kind, PROFILES[profile], seed)
    return Ladder(axis, backward).members(subject, np.random.default_rng(seed))


def size(axis: Axis, case: Case) -> int:
    return Ladder(axis).size(case)


def climbs(axis: Axis, kind: Kind) -> bool:
    try:
        return bool(members(axis, kind))
    except Unsupported:
        return False


CLIMBED = [
    pytest.param(axis, kind, id=f"{axis}-{kind}")
    for axis, kind in product(Axis, Kind)
    if climbs(axis, kind)
]


# Which cases there are.


@pytest.mark.parametrize(("axis", "kind"), CLIMBED)
def test_every_run_goes_beyond_128_and_others_go_elsewhere(axis: Axis, kind: Kind) -> None:
    climbed = [{size(axis, case) for case in members(axis, kind, seed)} for seed in range(20)]
    assert all(max(sizes) > 128 for sizes in climbed)
    assert len(set.union(*climbed)) > 10
    assert len({frozenset(sizes) for sizes in climbed}) > 10


@pytest.mark.parametrize(("axis", "kind"), CLIMBED)
def test_every_run_has_one_more_than_a_block_of_any_usual_size(axis: Axis, kind: Kind) -> None:
    for seed in range(20):
        sizes = [size(axis, case) for case in members(axis, kind, seed)]
        assert any(size % 128 == 1 and size > 128 for size in sizes)
        assert any(size % 128 == 1 and size > 16 for size in sizes)


@pytest.mark.parametrize(
    "axis", [axis for axis in Axis if axis not in (Axis.LAYERS, Axis.PROJECTED)]
)
def test_beyond_256_any_two_of_lengths_state_and_directions_meet_in_all_ways(axis: Axis) -> None:
    first = TRAITS[:3]
    for seed in range(20):
        large = [case.features for case in members(axis, seed=seed) if size(axis, case) > 256]
        for one, other in ((0, 1), (0, 2), (1, 2)):
            met = {(first[one] in features, first[other] in features) for features in large}
            assert len(met) == 4, (seed, first[one], first[other])


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize(("axis", "kind"), CLIMBED)
def test_each_trait_is_there_and_not_there_in_some_run(
    axis: Axis, kind: Kind, *, backward: bool
) -> None:
    runs = [members(axis, kind, seed, backward=backward) for seed in range(20)]
    cases = [case for run in runs for case in run]
    never = {Feature.UNBATCHED} if axis is Axis.SAMPLES else set()
    never |= {Feature.PROJECTION} if axis is Axis.UNITS else set()
    never |= {Feature.RELU} if axis is Axis.STEPS else set()
    never |= {Feature.BIAS_FREE, Feature.RELU} if axis is Axis.LAYERS else set()
    for trait in set(TRAITS) & Feature.of(kind) - never:
        needed = {Axis.LAYERS: Feature.MULTI_LAYER, Axis.PROJECTED: Feature.PROJECTION}.get(axis)
        assert {trait in case.features for case in cases} == (
            {True} if trait is needed else {True, False}
        )
    assert {case.dtype for case in cases} == {Dtype.FLOAT32, Dtype.FLOAT64}


@pytest.mark.parametrize(("axis", "kind"), CLIMBED)
def test_a_whole_ladder_has_each_rung_with_opposite_traits(axis: Axis, kind: Kind) -> None:
    cases = members(axis, kind, profile="standard")
    far = FAR.get(axis, ())
    assert sorted(size(axis, case) for case in cases) == sorted((*RUNGS, *far) * 2)
    if not kind.is_cell:
        for one, other in zip(cases[::2], cases[1::2], strict=True):
            assert (one.lengths is None) != (other.lengths is None)
            assert (one.state is None) == (other.state is None)


def test_it_has_no_size_that_cudnn_refuses_where_cudnn_computes() -> None:
    class Elsewhere(Miniature):
        device = "cuda"

    there = Elsewhere("there", torchs(Kind.RNN).declaration, start=lambda: None, device="cuda")  # type: ignore[arg-type,return-value]
    cases = members(Axis.STEPS, Kind.RNN, profile="standard", implementation=there)
    assert max(case.length for case in cases) == max(RUNGS)


def declaring(**changes: Any) -> Any:
    declaration = Declaration.of([Kind.LSTM], **changes)
    return Miniature("few", declaration, start=lambda: None)  # type: ignore[arg-type,return-value]


@pytest.mark.parametrize("profile", ["quick", "standard"])
def test_cases_need_nothing_that_is_not_declared(profile: str) -> None:
    few = declaring(features=[Feature.BATCH_FIRST], dtypes=[Dtype.FLOAT64])
    for axis in (Axis.UNITS, Axis.SAMPLES, Axis.FEATURES, Axis.STEPS):
        for case in members(axis, profile=profile, implementation=few):
            assert case.features <= {Feature.BATCH_FIRST, Feature.OMITTED_STATE}
            assert case.dtype is Dtype.FLOAT64
    for axis in (Axis.LAYERS, Axis.PROJECTED):
        with pytest.raises(Unsupported, match="does not declare"):
            members(axis, implementation=few)
    with pytest.raises(Unsupported, match="float32 or float64"):
        members(Axis.UNITS, implementation=declaring(dtypes=[Dtype.BFLOAT16]))


@pytest.mark.parametrize("profile", ["quick", "standard"])
def test_what_compiles_each_shape_compiles_few(profile: str) -> None:
    compiling = declaring(features=Feature.of(Kind.LSTM), compiles_per_shape=True)
    for axis in Axis:
        (case,) = members(axis, profile=profile, implementation=compiling)
        assert size(axis, case) == {Axis.STEPS: 33, Axis.LAYERS: 9}.get(axis, 257)


# Whether they tell: what is wrong in the last place alone is seen at each rung.


class SpoilsTheLast(Mixin):  # type: ignore[misc]
    """The last unit, sample or step is wrong by itself; the last feature and layer are not read."""

    axis: Axis
    _flat_weights: list[Any]

    def forward(self, input: Any, hx: Any = None) -> Any:
        if self.axis is Axis.FEATURES:
            return super().forward(mapped(self.without_the_last, input), hx)
        if self.axis is Axis.LAYERS:
            return self.without_the_last_layer(input, hx)
        return mapped(partial(self.spoilt, input), super().forward(input, hx))

    @staticmethod
    def without_the_last(array: torch.Tensor) -> torch.Tensor:
        mask = torch.ones(array.shape[-1], dtype=array.dtype)
        mask[-1] = 0.0
        return array * mask

    def without_the_last_layer(self, input: Any, hx: Any) -> Any:
        weights = self._flat_weights
        each = len(weights) // self.num_layers
        self._flat_weights = [*weights[:-each], *weights[-2 * each : -each]]
        try:
            return super().forward(input, hx)
        finally:
            self._flat_weights = weights

    def spoilt(self, input: Any, array: torch.Tensor) -> torch.Tensor:
        index = [slice(None)] * array.dim()
        cell, packed = isinstance(self, torch.nn.RNNCellBase), isinstance(input, PackedSequence)
        if self.axis in (Axis.UNITS, Axis.PROJECTED):
            index[-1] = slice(array.shape[-1] - 1, None)
        elif packed and array.dim() == 2:
            index[0] = slice(len(array) - 1, None)
        elif self.axis is Axis.SAMPLES:
            output = not packed and array.shape[:2] == input.shape[:2]
            index[0 if cell or (output and self.batch_first) else 1] = slice(-1, None)
        elif packed or array.shape[:-1] != input.shape[:-1]:
            return array
        else:
            index[1 if self.batch_first and array.dim() == 3 else 0] = slice(-1, None)
        spoilt = array.clone()
        spoilt[tuple(index)] += 0.125
        return spoilt


@pytest.mark.parametrize("profile", ["quick", "standard"])
@pytest.mark.parametrize(("axis", "kind"), CLIMBED)
def test_what_is_wrong_in_the_last_place_alone_is_seen_at_each_rung(
    axis: Axis, kind: Kind, profile: str
) -> None:
    wrong = type(f"Spoils{axis.name}", (SpoilsTheLast,), {"axis": axis})
    subject = Subject(drop_in(of_kind(wrong, kind), kind=kind.value), kind)
    cases = members(axis, kind, 1, profile)
    heavy = profile == "standard" and axis in (Axis.UNITS, Axis.PROJECTED, Axis.LAYERS)
    for case in cases[:: 31 if heavy else 13 if profile == "standard" else 1]:
        answer = subject(case.call())
        with pytest.raises(NonConforming):
            assert_within_scatter(answer)


@pytest.mark.parametrize(("axis", "kind"), CLIMBED)
def test_a_gradient_that_is_wrong_in_the_last_place_alone_is_seen(axis: Axis, kind: Kind) -> None:
    """Of the parameters too, which add up over all steps and samples."""
    subject = Subject(torchs(kind), kind)
    for case in members(axis, kind, 1, backward=True):
        call = case.call()
        backward = drawn(call, case.seed)
        gradients = subject.pullback(call)(backward)
        assert_within_bound(gradients)
        names = list(call.parameters)
        places: dict[Axis, tuple[str, Any]] = {
            Axis.FEATURES: ("input", np.s_[:, :, -1]),
            Axis.SAMPLES: ("input", np.s_[:, -1]),
            Axis.STEPS: ("input", np.s_[-1]),
            Axis.UNITS: (names[0], np.s_[-1]),
            Axis.LAYERS: (names[-1], np.s_[:]),
            Axis.PROJECTED: (names[-1], np.s_[-1]),
        }
        name, index = places[axis]
        array = np.array(gradients[name])
        if case.config.nonlinearity == "relu" and not array[index].any():
            continue
        array[index] = 0.0
        array = array if name in call.parameters else call.give(name, array)
        with pytest.raises(NonConforming):
            assert_within_bound(type(gradients)(backward, {**gradients.given, name: array}))


# What is said.


class Cuts(Mixin):  # type: ignore[misc]
    def forward(self, input: Any, hx: Any = None) -> Any:
        def cut(array: torch.Tensor) -> torch.Tensor:
            kept: torch.Tensor = array * (torch.arange(array.shape[-1]) % self.hidden_size < 128)
            return kept

        return mapped(cut, super().forward(input, hx))


def test_the_smallest_rung_that_fails_is_told_without_all_that_does_not_matter() -> None:
    (check,) = (check for check in SIZES if check.id.endswith("test_so_many_units"))
    record = examine(check, Subject(drop_in(of_kind(Cuts, Kind.GRU)), Kind.GRU))
    assert record.outcome is Outcome.FAILED
    assert record.failure is not None
    case = Case.from_record(dict(record.failure.case or {}))
    assert case.config.hidden_size == 129
    assert case.features <= {Feature.BIAS_FREE, Feature.OMITTED_STATE}


# Who passes.


@pytest.mark.parametrize("kind", list(Kind))
def test_torchs_own_classes_pass(kind: Kind) -> None:
    for check, seed in product(SIZES, range(3)):
        if kind in check.kinds:
            record = examine(check, Subject(torchs(kind), kind, PROFILES["quick"], seed))
            assert record.outcome in (Outcome.PASSED, Outcome.UNSUPPORTED), record.failure


def test_a_function_over_numpy_arrays_passes() -> None:
    implementation = differentiated("right", Kind.GRU)
    for check in SIZES:
        record = examine(check, Subject(implementation, Kind.GRU))
        assert record.outcome in (Outcome.PASSED, Outcome.UNSUPPORTED), record.failure

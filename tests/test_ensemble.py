"""The scatter is that of rounding: neither wider nor narrower, and silent where it cannot know."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from rnn_conformance import drop_in
from rnn_conformance.reference.bounds import forward
from rnn_conformance.reference.ensemble import Ensemble, affordable, ensemble, run
from rnn_conformance.reference.expected import expected
from rnn_conformance.reference.formats import FORMATS
from rnn_conformance.reference.noise import MEMBERS, UNIFORM, Noise
from rnn_conformance.reference.oracle import Oracle
from rnn_conformance.reference.problem import Problem
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.backward import Backward, drawn
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.cases import Case, State, Values
from rnn_conformance.spec.config import Config, Dtype, Feature, Kind, Role
from tests.support.gradient_ways import WAYS as GRADIENT_WAYS
from tests.support.miniatures import Loops, correct_implementations, way_miniature
from tests.support.random_calls import random_call, random_case
from tests.support.small_defects import judged
from tests.support.structured_calls import STRUCTURES

# torch says so once for each process, and computes the same.
pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported")

PLAIN = Config(Kind.RNN, 1, 1)


def scatter(asked: Call | Backward) -> Ensemble:
    """How far correct implementations scatter."""
    return expected(asked).scatter


# What is right scatters no further.


@pytest.mark.parametrize("dtype", Dtype)
@pytest.mark.parametrize("kind", Kind)
def test_no_correct_implementation_is_refused(kind: Kind, dtype: Dtype) -> None:
    structures = list(STRUCTURES.values())
    for seed in range(4):
        plain = random_call(kind, seed, dtype)
        calls = (plain, structures[seed % len(structures)](plain, seed))
        for implementation in correct_implementations(kind):
            for call in calls:
                result = implementation.build(call.layer)(call.arguments)
                verdicts = judged(call, {name: result[name] for name in call.results})
                assert not verdicts.scatter, (
                    f"{implementation.name} is right, and {verdicts.worst:.2f} times what is "
                    f"allowed off in {call}"
                )


@pytest.mark.parametrize("dtype", Dtype)
@pytest.mark.parametrize("kind", Kind)
def test_no_correct_gradient_is_refused(kind: Kind, dtype: Dtype) -> None:
    structures = list(STRUCTURES.values())
    for seed in range(2):
        plain = random_call(kind, seed, dtype)
        for call in (plain, structures[seed % len(structures)](plain, seed)):
            backward = drawn(call, seed)
            pullback = drop_in(getattr(torch.nn, kind.value)).pullback(call.layer)
            gradients = pullback(backward)
            got = {name: gradients[name] for name in backward.arguments}
            assert not judged(backward, got).scatter, f"torch.nn is right: {call}"
            for way in GRADIENT_WAYS:
                verdicts = judged(backward, way(dtype).gradients(backward))
                assert not verdicts.scatter, (
                    f"{way.__name__} is right, and {verdicts.worst:.2f} times what is allowed off "
                    f"in {call}"
                )


# It is as wide as rounding is.


def spread_of(call: Call) -> Array:
    """The scatter of ``h_n``."""
    return scatter(call).spreads["h_n"]


def test_one_step_scatters_by_the_noise_of_its_sum_and_its_activation() -> None:
    # h = tanh(w x + b + u h_0 + b'), four products and sums: the scale written out.
    call = Case(PLAIN, 1, 400, state=State.GIVEN, values=Values.TYPICAL).call()
    fmt = FORMATS[Dtype.FLOAT32]
    ((trace,),) = forward(Problem(call)).answer.traces
    weights = trace.weights
    squares = (
        (trace.x * weights.w_ih) ** 2
        + weights.b_ih**2
        + trace.zx**2
        + (trace.h[:1] * weights.w_hh) ** 2
        + weights.b_hh**2
        + trace.zh**2
    )
    z = UNIFORM * fmt.u * np.sqrt(4.0 * squares)
    a = 2.0 * UNIFORM * fmt.u * np.maximum(np.abs(trace.gates), 0.5)
    derived = np.hypot((1.0 - trace.gates**2) * z, a)
    # Samples share the noise that lasts, so that their mean scatters as one does: by an eighth.
    ratio = np.sqrt(np.mean((spread_of(call) / derived) ** 2))
    assert ratio == pytest.approx(1.0, abs=0.4)


def test_noise_lasts_for_two_thirds_of_its_variance() -> None:
    noise = Noise(4000).at(np.ones((50, 1, 2)), gates=2).reshape(50, 4000, 2)
    assert np.mean(noise**2) == pytest.approx(1.0, abs=0.05)
    assert np.mean(noise.mean(axis=0) ** 2) == pytest.approx(2.0 / 3.0, abs=0.05)


def test_gates_have_noise_in_common_and_noise_of_their_own() -> None:
    noise = Noise(20000).at(np.ones((1, 1, 6)), gates=3)[0]
    correlation = np.corrcoef(noise.T)
    same, other = correlation[0, 1], correlation[0, 2]
    assert same == pytest.approx(1.0 / 3.0, abs=0.03), "units of one gate share a third"
    assert other == pytest.approx(0.0, abs=0.03), "units of two gates share nothing"


@pytest.mark.parametrize("kind", Kind)
def test_scatter_is_proportional_to_the_roundoff(kind: Kind) -> None:
    # The same numbers in both dtypes: eighths are exact in either.
    case = random_case(kind, 5, Dtype.FLOAT32, values=Values.PLAIN)
    narrow, wide = (scatter(replace(case, dtype=dtype).call()) for dtype in list(Dtype)[:2])
    ratio = FORMATS[Dtype.FLOAT32].u / FORMATS[Dtype.FLOAT64].u
    for name, spread in narrow.spreads.items():
        claimed = np.isfinite(spread) & (spread > 1e-30)
        scaled = wide.spreads[name][claimed] * ratio
        # Not exactly: the members of float64 are float64 themselves.
        np.testing.assert_allclose(spread[claimed] / scaled, 1.0, rtol=0.02)


def test_half_types_scatter_by_what_is_stored() -> None:
    case = random_case(Kind.LSTM, 7, Dtype.BFLOAT16, values=Values.PLAIN)
    dtypes = (Dtype.BFLOAT16, Dtype.FLOAT32)
    coarse, fine = (spread_of(replace(case, dtype=dtype).call()) for dtype in dtypes)
    ratio = FORMATS[Dtype.BFLOAT16].u_s / FORMATS[Dtype.FLOAT32].u_s
    # Less than the roundoffs' own, for what is added up is not stored, and not much less.
    assert 0.3 < np.median(coarse / fine) / ratio < 1.0


def literal(call: Call, runs: int) -> Array:
    """The scatter of float32 itself: the same layer, its terms in as many random orders."""
    rng = np.random.default_rng(0)
    exact = forward(Problem(call)).answer.h_n
    weight = call.config.parameter_name(Role.WEIGHT_IH, 0, 0)
    loops = way_miniature(Loops, call.config.kind)
    errors = []
    for _ in range(runs):
        order = rng.permutation(call.config.input_size)
        shuffled = call.replace(
            input=call.input[..., order],
            parameters={**call.parameters, weight: call.parameters[weight][:, order]},
        )
        errors.append(loops.build(shuffled.layer)(shuffled.arguments).h_n - exact)
    spread: Array = np.sqrt(np.mean(np.square(errors), axis=0))
    return spread


@pytest.mark.parametrize("kind", [Kind.RNN, Kind.LSTM, Kind.GRU])
def test_it_is_a_few_times_the_scatter_of_real_rounding(kind: Kind) -> None:
    case = Case(Config(kind, 12, 5), 6, 4, state=State.GIVEN, values=Values.TYPICAL, seed=2)
    ratio = spread_of(case.call()) / literal(case.call(), 40)
    assert 1.0 < np.median(ratio) < 8.0, f"{np.median(ratio):.2f} times"


# Where it cannot know it says nothing.


def test_nothing_is_claimed_of_the_padding() -> None:
    call = random_case(Kind.GRU, 2, Dtype.FLOAT32, needs=frozenset({Feature.PACKED})).call()
    spread = scatter(call).spreads["output"]
    assert np.isposinf(spread[~call.steps]).all()
    assert np.isfinite(spread[call.steps]).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, 2.0**127])
def test_nothing_is_claimed_where_numbers_are_not_finite_or_may_overflow(value: float) -> None:
    call = random_case(Kind.RNN, 1, Dtype.FLOAT32).call()
    data = call.input.copy()
    data[0, 0, 0] = value
    data[0, 0, 1:] = value
    unclaimed = scatter(call.replace(input=data))
    assert not unclaimed.claims
    assert all(np.isposinf(spread).all() for spread in unclaimed.spreads.values())


def test_an_empty_batch_has_no_scatter() -> None:
    call = random_case(Kind.LSTM, 1, needs=frozenset({Feature.EMPTY_BATCH})).call()
    assert not scatter(call).claims
    assert not scatter(drawn(call, 1)).claims


def test_of_a_large_call_the_first_samples_speak_for_the_others() -> None:
    case = Case(Config(Kind.LSTM, 40, 60, num_layers=2), 4, 30, values=Values.TYPICAL)
    call = case.call()
    samples = affordable(call)
    assert 1 <= samples < 30
    whole, few = scatter(call), scatter(call.samples(slice(samples)))
    for name, spread in whole.spreads.items():
        assert np.isposinf(spread[:, samples:]).all()
        np.testing.assert_array_equal(spread[:, :samples], few.spreads[name])


def test_a_dead_unit_near_the_kink_scatters_all_the_same() -> None:
    relu = Config(Kind.RNN, 1, 1, nonlinearity="relu")
    call = Case(relu, 1, 1, values=Values.PLAIN).call()
    # 0.5 * 0.5 - 0.25 + 0 is zero, however it is computed, and next to it is not.
    parameters = {
        "weight_ih_l0": np.array([[0.5]]),
        "weight_hh_l0": np.array([[0.5]]),
        "bias_ih_l0": np.array([-0.25 - 2.0**-26]),
        "bias_hh_l0": np.array([0.0]),
    }
    near = call.replace(parameters=parameters, input=np.array([[[0.5]]]))
    assert forward(Problem(near)).answer.h_n.item() == 0.0
    assert spread_of(near).item() > 2.0**-27
    far = near.replace(input=np.array([[[-0.5]]]))
    assert spread_of(far).item() < 2.0**-100, "a unit that is dead for certain does not"


def test_gradients_at_the_kink_are_left_to_the_hard_bound() -> None:
    case = random_case(
        Kind.RNN, 4, Dtype.FLOAT32, needs=frozenset({Feature.RELU}), values=Values.TYPICAL
    )
    call = case.call()
    assert scatter(drawn(call, 0)).claims
    at_zero = {name: np.zeros_like(array) for name, array in call.parameters.items()}
    assert not scatter(drawn(call.replace(parameters=at_zero), 0)).claims


# It is the same every time, and it is the oracle that is noisy.


def test_the_same_case_has_the_same_scatter() -> None:
    problem = Problem(random_call(Kind.GRU, 8, Dtype.FLOAT32))
    first = ensemble(problem)
    ensemble.cache_clear()
    run.cache_clear()
    second = ensemble(problem)
    assert first is not second
    for name, spread in first.spreads.items():
        np.testing.assert_array_equal(spread, second.spreads[name])


@pytest.mark.parametrize("kind", Kind)
def test_the_members_are_centred_on_the_truth(kind: Kind) -> None:
    call = random_call(kind, 11, Dtype.FLOAT32)
    exact, noisy = Oracle().answer(call), run(Problem(call)).answer
    shape = call.shape("h_n")
    members = noisy.h_n.reshape(shape[0], MEMBERS, *shape[1:])
    off = np.abs(members.mean(axis=1) - exact.h_n) / spread_of(call)
    # The mean of K members scatters by 1/sqrt(K); five of these.
    assert off.max() < 5.0 / np.sqrt(MEMBERS)


def test_a_member_is_no_further_off_than_another() -> None:
    ranks = np.concatenate(
        [scatter(random_call(k, s, Dtype.FLOAT32)).ranks for k in Kind for s in range(5)]
    )
    assert np.median(ranks) == pytest.approx(0.9, abs=0.2)


def test_of_no_steps_and_of_infinite_inputs_nothing_is_claimed() -> None:
    call = random_call(Kind.GRU, 0)
    empty = np.zeros((0, *call.arguments.input.shape[1:]), call.arguments.input.dtype)
    saturating = np.full_like(call.arguments.input, -np.inf)
    for input in (empty, saturating):
        asked = replace(call, arguments=replace(call.arguments, input=input, lengths=None))
        assert all(np.isinf(spread).all() for spread in scatter(asked).spreads.values())


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_stands_in_the_padding_takes_no_claim_away(value: float) -> None:
    calls = (random_call(Kind.GRU, seed, Dtype.FLOAT64) for seed in range(300))
    call = next(one for one in calls if one.lengths is not None and not one.steps.all())
    input = call.arguments.input.copy()
    input[~call.steps] = value
    padded = scatter(replace(call, arguments=replace(call.arguments, input=input)))
    for name, spread in scatter(call).spreads.items():
        assert np.array_equal(np.isfinite(padded.spreads[name]), np.isfinite(spread))

"""The scatter is that of rounding: neither wider nor narrower, and silent where it cannot know."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from gradient_ways import WAYS as GRADIENT_WAYS
from miniatures import correct_implementations
from random_calls import random_call, random_case
from small_defects import of_gradients, of_results
from structured_calls import STRUCTURES

from rnn_conformance import drop_in
from rnn_conformance.bounds import FORMATS, forward
from rnn_conformance.calls import Array, Call
from rnn_conformance.cases import Case, State, Values
from rnn_conformance.ensemble import MEMBERS, UNIFORM, Noise, affordable, ensemble, of_first
from rnn_conformance.gradient_ensemble import gradient_ensemble
from rnn_conformance.gradients import drawn
from rnn_conformance.oracle import Oracle
from rnn_conformance.spec import Config, Dtype, Feature, Kind

# torch says so once for each process, and computes the same.
pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported")

PLAIN = Config(Kind.RNN, 1, 1)


# What is right scatters no further.


@pytest.mark.parametrize("dtype", Dtype)
@pytest.mark.parametrize("kind", Kind)
def test_no_correct_implementation_is_refused(kind: Kind, dtype: Dtype) -> None:
    structures = list(STRUCTURES.values())
    for seed in range(4):
        call = random_call(kind, seed, dtype)
        calls = (call, structures[seed % len(structures)](call, seed))
        for implementation in correct_implementations(kind):
            for each in calls:
                result = implementation.build(each)(each)
                verdicts = of_results(each, {name: result[name] for name in each.results})
                assert not verdicts.scatter, (
                    f"{implementation.name} is right, and {verdicts.worst:.2f} times what is "
                    f"allowed off in {each}"
                )


@pytest.mark.parametrize("dtype", Dtype)
@pytest.mark.parametrize("kind", Kind)
def test_no_correct_gradient_is_refused(kind: Kind, dtype: Dtype) -> None:
    structures = list(STRUCTURES.values())
    for seed in range(2):
        call = random_call(kind, seed, dtype)
        for each in (call, structures[seed % len(structures)](call, seed)):
            backward = drawn(each, seed)
            torch_s = drop_in(getattr(torch.nn, kind.value)).pullback(each)(backward)
            found = {name: torch_s[name] for name in backward.arguments}
            assert not of_gradients(backward, found).scatter, f"torch.nn is right: {each}"
            for way in GRADIENT_WAYS:
                verdicts = of_gradients(backward, way(dtype).gradients(backward))
                assert not verdicts.scatter, (
                    f"{way.__name__} is right, and {verdicts.worst:.2f} times what is allowed off "
                    f"in {each}"
                )


# It is as wide as rounding is.


def spread_of(case: Case, name: str = "h_n") -> Array:
    """The scatter of one result."""
    return ensemble(case.call()).spreads[name]


def test_one_step_scatters_by_the_noise_of_its_sum_and_its_activation() -> None:
    # h = tanh(w x + b + u h_0 + b'), four products and sums: the scale written out.
    call = Case(PLAIN, 1, 400, state=State.GIVEN, values=Values.TYPICAL).call()
    fmt = FORMATS[Dtype.FLOAT32]
    ((trace,),) = forward(call).answer.traces
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
    due = np.hypot((1.0 - trace.gates**2) * z, a)
    # Samples share the noise that lasts, so that their mean scatters as one does: by an eighth.
    found = np.sqrt(np.mean((spread_of_call(call) / due) ** 2))
    assert found == pytest.approx(1.0, abs=0.4)


def spread_of_call(call: Call) -> Array:
    """The scatter of ``h_n``."""
    return ensemble(call).spreads["h_n"]


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
    narrow, wide = (ensemble(replace(case, dtype=dtype).call()) for dtype in list(Dtype)[:2])
    ratio = FORMATS[Dtype.FLOAT32].u / FORMATS[Dtype.FLOAT64].u
    for name, spread in narrow.spreads.items():
        claimed = np.isfinite(spread) & (spread > 1e-30)
        found = spread[claimed] / wide.spreads[name][claimed] / ratio
        # Not exactly: the members of float64 are float64 themselves.
        np.testing.assert_allclose(found, 1.0, rtol=0.02)


def test_half_types_scatter_by_what_is_stored() -> None:
    case = random_case(Kind.LSTM, 7, Dtype.BFLOAT16, values=Values.PLAIN)
    coarse, fine = (spread_of(replace(case, dtype=d)) for d in (Dtype.BFLOAT16, Dtype.FLOAT32))
    ratio = FORMATS[Dtype.BFLOAT16].u_s / FORMATS[Dtype.FLOAT32].u_s
    # Less than the roundoffs' own, for what is added up is not stored, and not much less.
    assert 0.3 < np.median(coarse / fine) / ratio < 1.0


def literal(call: Call, runs: int) -> Array:
    """The scatter of float32 itself: the same layer, its terms in as many random orders."""
    rng = np.random.default_rng(0)
    due = forward(call).answer.h_n
    errors = []
    for _ in range(runs):
        order = rng.permutation(call.config.input_size)
        shuffled = replace(
            call,
            input=call.input[..., order],
            parameters={
                name: array[:, order] if name.startswith("weight_ih") else array
                for name, array in call.parameters.items()
            },
        )
        (implementation,) = (
            each for each in correct_implementations(call.config.kind) if each.name == "Loops"
        )
        errors.append(implementation.build(shuffled)(shuffled).h_n - due)
    scatter: Array = np.sqrt(np.mean(np.square(errors), axis=0))
    return scatter


@pytest.mark.parametrize("kind", [Kind.RNN, Kind.LSTM, Kind.GRU])
def test_it_is_a_few_times_the_scatter_of_real_rounding(kind: Kind) -> None:
    case = Case(Config(kind, 12, 5), 6, 4, state=State.GIVEN, values=Values.TYPICAL, seed=2)
    ratio = spread_of(case) / literal(case.call(), 40)
    assert 1.0 < np.median(ratio) < 8.0, f"{np.median(ratio):.2f} times"


# Where it cannot know it says nothing.


def test_nothing_is_claimed_of_the_padding() -> None:
    call = random_case(Kind.GRU, 2, Dtype.FLOAT32, needs=frozenset({Feature.PACKED})).call()
    spread = ensemble(call).spreads["output"]
    assert np.isposinf(spread[~call.steps]).all()
    assert np.isfinite(spread[call.steps]).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, 2.0**127])
def test_nothing_is_claimed_where_numbers_are_not_finite_or_may_overflow(value: float) -> None:
    call = random_case(Kind.RNN, 1, Dtype.FLOAT32).call()
    data = call.input.copy()
    data[0, 0, 0] = value
    data[0, 0, 1:] = value
    found = ensemble(replace(call, input=data))
    assert not found.claims
    assert all(np.isposinf(spread).all() for spread in found.spreads.values())


def test_an_empty_batch_has_no_scatter() -> None:
    call = random_case(Kind.LSTM, 1, needs=frozenset({Feature.EMPTY_BATCH})).call()
    assert not ensemble(call).claims
    assert not gradient_ensemble(drawn(call, 1)).claims


def test_of_a_large_call_the_first_samples_speak_for_the_others() -> None:
    case = Case(Config(Kind.LSTM, 40, 60, num_layers=2), 4, 30, values=Values.TYPICAL)
    call = case.call()
    samples = affordable(call)
    assert 1 <= samples < 30
    found, few = ensemble(call), ensemble(of_first(call, samples))
    for name, spread in found.spreads.items():
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
    near = replace(call, parameters=parameters, input=np.array([[[0.5]]]))
    assert forward(near).answer.h_n.item() == 0.0
    assert spread_of_call(near).item() > 2.0**-27
    far = replace(near, input=np.array([[[-0.5]]]))
    assert spread_of_call(far).item() < 2.0**-100, "a unit that is dead for certain does not"


def test_gradients_at_the_kink_are_left_to_the_hard_bound() -> None:
    case = random_case(
        Kind.RNN, 4, Dtype.FLOAT32, needs=frozenset({Feature.RELU}), values=Values.TYPICAL
    )
    call = case.call()
    assert gradient_ensemble(drawn(call, 0)).claims
    first = np.zeros_like
    at_zero = {name: first(array) for name, array in call.parameters.items()}
    assert not gradient_ensemble(drawn(replace(call, parameters=at_zero), 0)).claims


# It is the same every time, and it is the oracle that is noisy.


def test_the_same_case_has_the_same_scatter() -> None:
    call = random_call(Kind.GRU, 8, Dtype.FLOAT32)
    first = ensemble(call)
    ensemble.cache_clear()
    second = ensemble(call)
    assert first is not second
    for name, spread in first.spreads.items():
        np.testing.assert_array_equal(spread, second.spreads[name])


@pytest.mark.parametrize("kind", Kind)
def test_the_members_are_centred_on_the_truth(kind: Kind) -> None:
    call = random_call(kind, 11, Dtype.FLOAT32)
    from rnn_conformance.ensemble import run

    right, members = Oracle().answer(call), run(call).answer
    shape = call.shape("h_n")
    found = members.h_n.reshape(shape[0], MEMBERS, *shape[1:])
    spread = ensemble(call).spreads["h_n"]
    off = np.abs(found.mean(axis=1) - right.h_n) / spread
    # The mean of K members scatters by 1/sqrt(K); five of these.
    assert off.max() < 5.0 / np.sqrt(MEMBERS)


def test_a_member_is_no_further_off_than_another() -> None:
    ranks = np.concatenate(
        [ensemble(random_call(k, s, Dtype.FLOAT32)).ranks for k in Kind for s in range(5)]
    )
    assert np.median(ranks) == pytest.approx(0.9, abs=0.2)

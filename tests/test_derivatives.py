"""The oracle's derivative is right: by finite differences, torch in float64, and algebra."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rnn_conformance import drop_in
from rnn_conformance.checking.assertions import assert_within_bound
from rnn_conformance.reference.derivatives import Adjoint
from rnn_conformance.reference.expected import expected
from rnn_conformance.reference.oracle import Oracle
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.backward import Backward, drawn
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.cases import Case, State, Values
from rnn_conformance.spec.config import Config, Dtype, Feature, Kind
from tests.support.random_calls import random_call, random_case

LAYERS = [kind for kind in Kind if not kind.is_cell]

# torch says so once for each process, and computes the same.
pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported")


def gradients(backward: Backward) -> dict[str, Array]:
    """By the oracle alone."""
    return Adjoint().derivative(backward, Oracle().answer(backward.call)).gradients


def some_results(call: Call, seed: int) -> tuple[str, ...]:
    """All of them, or one, or all but one."""
    one = call.results[seed % len(call.results)]
    others = tuple(name for name in call.results if name != one)
    return ((), (one,), others)[seed % 3]


@pytest.mark.parametrize("kind", Kind)
def test_it_agrees_with_torch_within_the_float64_bound(kind: Kind) -> None:
    implementation = drop_in(getattr(torch.nn, kind.value))
    features: set[Feature] = set()
    for seed in range(150):
        call = random_call(kind, seed)
        features |= call.features
        backward = drawn(call, seed, *some_results(call, seed))
        assert_within_bound(implementation.pullback(call.layer)(backward))
    untried = Feature.of(kind) - features - {Feature.DROPOUT, Feature.EMPTY_BATCH}
    assert not untried, f"no case had {sorted(untried)}: agreement there is not shown"


def moved(call: Call, argument: str, direction: Array, by: float) -> Call:
    """The call with one argument or parameter moved."""
    if argument in call.parameters:
        array = call.parameters[argument] + by * direction
        return call.replace(parameters={**call.parameters, argument: array})
    return call.replace(**{argument: getattr(call, argument) + by * direction})


def scalar(backward: Backward, call: Call) -> float:
    """What is differentiated: the sum of the results, each times its cotangent."""
    answer = Oracle().answer(call)
    return sum(
        float((getattr(answer, name) * cotangent).sum())
        for name, cotangent in backward.cotangents.items()
    )


@pytest.mark.parametrize("kind", Kind)
def test_it_agrees_with_finite_differences(kind: Kind) -> None:
    """Of fourth order: the error is of order step^4 and rounding / step."""
    step, worst = 1e-3, 0.0
    for seed in range(40):
        # relu is linear but where a step crosses its kink; see the next test.
        case = random_case(kind, seed, without=frozenset({Feature.RELU}), values=Values.TYPICAL)
        call = case.call()
        backward = drawn(call, seed, *some_results(call, seed))
        of_oracle = gradients(backward)
        rng = np.random.default_rng(seed)
        for argument in backward.arguments:
            direction = rng.standard_normal(of_oracle[argument].shape)
            ahead, back, far_ahead, far_back = (
                scalar(backward, moved(call, argument, direction, by * step))
                for by in (1.0, -1.0, 2.0, -2.0)
            )
            slope = (8.0 * (ahead - back) - (far_ahead - far_back)) / (12.0 * step)
            exact = float((of_oracle[argument] * direction).sum())
            scale = float(np.abs(of_oracle[argument] * direction).sum())
            worst = max(worst, abs(slope - exact) / (scale + 1e-9))
    assert worst < 1e-5, f"off by {worst:.2g} of the sum's terms"


@pytest.mark.parametrize("kind", [Kind.RNN, Kind.RNN_CELL])
def test_where_no_unit_crosses_the_kink_relu_agrees_with_finite_differences(kind: Kind) -> None:
    step, tried = 1e-6, 0
    for seed in range(60):
        call = random_case(
            kind, seed, needs=frozenset({Feature.RELU}), values=Values.TYPICAL
        ).call()
        backward = drawn(call, seed)
        of_oracle = gradients(backward)
        rng = np.random.default_rng(seed)
        for argument in backward.arguments:
            direction = rng.standard_normal(of_oracle[argument].shape)
            sides = [moved(call, argument, direction, by) for by in (-step, 0.0, step)]
            before, alive, after = (
                [trace.gates > 0.0 for row in Oracle().answer(side).traces for trace in row]
                for side in sides
            )
            if any(
                (units != here).any()
                for side in (before, after)
                for units, here in zip(side, alive, strict=True)
            ):
                continue
            tried += 1
            slope = (scalar(backward, sides[2]) - scalar(backward, sides[0])) / (2.0 * step)
            exact = float((of_oracle[argument] * direction).sum())
            scale = 1.0 + float(np.abs(of_oracle[argument] * direction).sum())
            assert abs(slope - exact) < 1e-6 * scale, f"{argument} of {call}"
    assert tried > 100


@pytest.mark.parametrize("kind", Kind)
def test_it_is_linear_in_the_cotangents(kind: Kind) -> None:
    for seed in range(10):
        call = random_call(kind, seed)
        whole = gradients(drawn(call, seed))
        parts = [gradients(drawn(call, seed, name)) for name in call.results]
        for name, array in whole.items():
            total = sum(part[name] for part in parts)
            np.testing.assert_allclose(total, array, rtol=1e-9, atol=1e-9 * np.abs(array).max())


def one(config: Config, length: int = 5) -> Call:
    """A call with an initial state of its own."""
    return Case(
        config, length, 3, Dtype.FLOAT64, state=State.GIVEN, values=Values.TYPICAL, seed=3
    ).call()


def test_an_lstm_of_constant_gates_passes_its_cell_state_back_as_a_power() -> None:
    call = one(Config(Kind.LSTM, 3, 2), length=7)
    parameters = {name: np.zeros_like(array) for name, array in call.parameters.items()}
    parameters["bias_ih_l0"] = np.repeat([0.3, 1.1, -0.4, 0.8], 2)
    backward = drawn(call.replace(parameters=parameters), 0, "c_n")
    f = 1.0 / (1.0 + np.exp(-1.1))
    np.testing.assert_allclose(gradients(backward)["c_0"], f**7 * backward.cotangents["c_n"])


def test_a_gru_of_constant_gates_passes_its_state_back_as_a_power() -> None:
    call = one(Config(Kind.GRU, 3, 2), length=7)
    parameters = {name: np.zeros_like(array) for name, array in call.parameters.items()}
    parameters["bias_ih_l0"] = np.repeat([0.3, 1.1, -0.4], 2)
    backward = drawn(call.replace(parameters=parameters), 0, "h_n")
    z = 1.0 / (1.0 + np.exp(-1.1))
    np.testing.assert_allclose(gradients(backward)["h_0"], z**7 * backward.cotangents["h_n"])


def test_where_relu_never_cuts_the_gradient_is_a_power_of_the_matrix() -> None:
    call = one(Config(Kind.RNN, 3, 4, nonlinearity="relu"), length=6)
    assert call.h_0 is not None
    positive = {name: np.abs(array) for name, array in call.parameters.items()}
    call = call.replace(parameters=positive, input=np.abs(call.input), h_0=np.abs(call.h_0))
    backward = drawn(call, 0, "h_n")
    power = np.linalg.matrix_power(positive["weight_hh_l0"], 6)
    np.testing.assert_allclose(gradients(backward)["h_0"], backward.cotangents["h_n"] @ power)


def test_relu_at_exactly_zero_has_no_slope() -> None:
    call = one(Config(Kind.RNN, 3, 4, nonlinearity="relu"))
    parameters = {name: np.zeros_like(array) for name, array in call.parameters.items()}
    of_zeros = gradients(drawn(call.replace(parameters=parameters), 0, "output"))
    assert not any(array.any() for array in of_zeros.values())


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("padding", [7.0, np.nan, np.inf])
def test_the_padding_has_no_gradient_and_no_influence(kind: Kind, padding: float) -> None:
    for seed in range(10):
        call = random_case(kind, seed, needs=frozenset({Feature.PACKED})).call()
        before = gradients(drawn(call, seed))
        padded = call.replace(input=np.where(call.steps[:, :, None], call.input, padding))
        with np.errstate(invalid="ignore"):
            after = gradients(Backward(padded, drawn(call, seed).cotangents))
        assert not after["input"][~call.steps].any()
        for name, array in before.items():
            np.testing.assert_array_equal(after[name], array)


def test_gradients_of_all_arguments_are_referred_to_and_of_no_other() -> None:
    for seed in range(5):
        call = random_call(Kind.LSTM, seed)
        backward = drawn(call, seed)
        due = expected(backward)
        assert set(due.values) == set(due.bounds) == set(backward.arguments)
        assert ("h_0" in backward.arguments) == (call.h_0 is not None)
        in_float64 = gradients(backward)
        for name, array in due.values.items():
            # Not the same: what float64 is held to has more digits.
            np.testing.assert_allclose(in_float64[name], array, rtol=1e-12, atol=1e-13)


def test_cotangents_that_do_not_fit_are_refused() -> None:
    call = random_case(Kind.GRU, 1, needs=frozenset({Feature.PACKED})).call()
    with pytest.raises(ValueError, match="are not some of"):
        Backward(call, {})
    with pytest.raises(ValueError, match="are not some of"):
        Backward(call, {"c_n": np.zeros(call.shape("h_n"))})
    with pytest.raises(ValueError, match="are not some of"):
        Backward(call, {"h_n": np.zeros((1, 1))})
    with pytest.raises(ValueError, match="the padding has no cotangent"):
        Backward(call, {"output": np.ones(call.shape("output"))})

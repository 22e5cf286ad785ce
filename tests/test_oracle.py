"""The oracle is right: it agrees with torch, with loops over plain numbers, with algebra."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest
import torch

from rnn_conformance import drop_in
from rnn_conformance.checking.assertions import assert_within_bound
from rnn_conformance.reference.expected import expected
from rnn_conformance.reference.oracle import Oracle
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.cases import Case, State, Values
from rnn_conformance.spec.config import Config, Dtype, Feature, Kind, Role
from tests.support.random_calls import random_call, random_case

LAYERS = [kind for kind in Kind if not kind.is_cell]

# torch says so once for each process, and computes the same.
pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported")


@pytest.mark.parametrize("kind", Kind)
def test_it_agrees_with_torch_within_the_float64_bound(kind: Kind) -> None:
    implementation = drop_in(getattr(torch.nn, kind.value))
    features: set[Feature] = set()
    for seed in range(150):
        call = random_call(kind, seed)
        features |= call.features
        assert_within_bound(implementation.build(call.layer)(call.arguments))
    untried = Feature.of(kind) - features - {Feature.DROPOUT, Feature.EMPTY_BATCH}
    assert not untried, f"no case had {sorted(untried)}: agreement there is not shown"


@pytest.mark.parametrize("kind", Kind)
def test_it_agrees_with_torch_on_an_empty_batch(kind: Kind) -> None:
    call = random_case(kind, 0, needs=frozenset({Feature.EMPTY_BATCH})).call()
    layer = drop_in(getattr(torch.nn, kind.value)).build(call.layer)
    assert_within_bound(layer(call.arguments))


def sigmoid(z: float) -> float:
    """For moderate ``z``."""
    return 1.0 / (1.0 + math.exp(-z))


def by_plain_numbers(call: Call) -> list[list[list[float]]]:
    """``output[t][n][unit]`` of one layer in one direction, number by number.

    Written from the documentation, with neither NumPy's products nor the oracle's methods.
    """
    config, gates = call.config, len(call.config.kind.gates)
    size = config.hidden_size

    def parameter(role: Role) -> Array:
        return call.parameters[config.parameter_name(role, 0, 0)]

    w, u = parameter(Role.WEIGHT_IH), parameter(Role.WEIGHT_HH)
    b, d = parameter(Role.BIAS_IH), parameter(Role.BIAS_HH)
    output: list[list[list[float]]] = [[[] for _ in range(call.batch)] for _ in range(call.length)]
    for n in range(call.batch):
        h = [
            0.0 if call.h_0 is None else float(call.h_0[0, n, k]) for k in range(config.output_size)
        ]
        c = [0.0 if call.c_0 is None else float(call.c_0[0, n, k]) for k in range(size)]
        for t in range(call.length):
            x = [float(value) for value in call.input[t, n]]
            zx = [
                math.fsum([b[row], *(w[row, k] * x[k] for k in range(len(x)))])
                for row in range(gates * size)
            ]
            zh = [
                math.fsum([d[row], *(u[row, k] * h[k] for k in range(len(h)))])
                for row in range(gates * size)
            ]
            match config.kind.layer:
                case Kind.RNN:
                    new = [math.tanh(zx[k] + zh[k]) for k in range(size)]
                    if config.nonlinearity == "relu":
                        new = [max(0.0, zx[k] + zh[k]) for k in range(size)]
                case Kind.GRU:
                    r = [sigmoid(zx[k] + zh[k]) for k in range(size)]
                    z = [sigmoid(zx[size + k] + zh[size + k]) for k in range(size)]
                    m = [math.tanh(zx[2 * size + k] + r[k] * zh[2 * size + k]) for k in range(size)]
                    new = [(1.0 - z[k]) * m[k] + z[k] * h[k] for k in range(size)]
                case _:
                    pre = [zx[row] + zh[row] for row in range(4 * size)]
                    c = [
                        sigmoid(pre[size + k]) * c[k]
                        + sigmoid(pre[k]) * math.tanh(pre[2 * size + k])
                        for k in range(size)
                    ]
                    new = [sigmoid(pre[3 * size + k]) * math.tanh(c[k]) for k in range(size)]
                    if config.proj_size:
                        p = parameter(Role.WEIGHT_HR)
                        new = [
                            math.fsum(p[row, k] * new[k] for k in range(size))
                            for row in range(config.proj_size)
                        ]
            h = new
            output[t][n] = h
    return output


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("seed", range(12))
def test_it_agrees_with_loops_over_plain_numbers(kind: Kind, seed: int) -> None:
    left_out = {
        Feature.MULTI_LAYER,
        Feature.BIDIRECTIONAL,
        Feature.PACKED,
        Feature.UNBATCHED,
        Feature.BIAS_FREE,
    }
    call = random_case(kind, seed, without=frozenset(left_out), values=Values.TYPICAL).call()
    due, name = expected(call), "h_n" if kind.is_cell else "output"
    bound, error = due.bounds[name], np.abs(np.array(by_plain_numbers(call)) - due[name])
    assert (error <= bound).all(), f"off by {(error / bound).max():.3g} times the bound"


def one(config: Config, length: int = 5, batch: int = 3) -> Call:
    """A call with an initial state of its own."""
    return Case(
        config, length, batch, Dtype.FLOAT64, state=State.GIVEN, values=Values.TYPICAL, seed=3
    ).call()


def with_parameters(call: Call, values: Mapping[Role, Array | float] | None = None) -> Call:
    """Zeros for all parameters but those of these roles."""
    parameters = {
        name: np.zeros(parameter.shape) + (values or {}).get(parameter.role, 0.0)
        for name, parameter in call.config.parameters.items()
    }
    return call.replace(parameters=parameters)


def test_without_weights_an_elman_network_gives_zeros() -> None:
    answer = Oracle().answer(with_parameters(one(Config(Kind.RNN, 3, 4, bidirectional=True))))
    assert not answer.output.any(), "tanh(0) is 0"


def test_without_weights_an_lstm_halves_its_cell_state_each_step() -> None:
    call = with_parameters(one(Config(Kind.LSTM, 3, 4)))
    answer = Oracle().answer(call)
    assert call.c_0 is not None
    assert answer.c_n is not None
    np.testing.assert_array_equal(answer.c_n, call.c_0 * 0.5**5, "every gate is 1/2, g is 0")
    halves = np.stack([call.c_0[0] * 0.5 ** (t + 1) for t in range(5)])
    np.testing.assert_allclose(answer.output, 0.5 * np.tanh(halves), rtol=1e-15)


def test_without_weights_a_gru_halves_its_state_each_step() -> None:
    call = with_parameters(one(Config(Kind.GRU, 3, 4)))
    assert call.h_0 is not None
    halves = np.stack([call.h_0[0] * 0.5 ** (t + 1) for t in range(5)])
    np.testing.assert_array_equal(Oracle().answer(call).output, halves, "z is 1/2, n is 0")


def test_an_lstm_of_constant_gates_is_a_geometric_series() -> None:
    call = one(Config(Kind.LSTM, 3, 2), length=7)
    rows = np.repeat([0.3, 1.1, -0.4, 0.8], 2)
    answer = Oracle().answer(with_parameters(call, {Role.BIAS_IH: rows}))
    i, f, g = sigmoid(0.3), sigmoid(1.1), math.tanh(-0.4)
    assert call.c_0 is not None
    assert answer.c_n is not None
    expected = f**7 * call.c_0 + i * g * (1.0 - f**7) / (1.0 - f)
    np.testing.assert_allclose(answer.c_n, expected, rtol=1e-14)


def test_a_gru_of_constant_gates_is_a_geometric_series() -> None:
    call = one(Config(Kind.GRU, 3, 2), length=7)
    inputs, recurrent = np.repeat([0.3, 1.1, -0.4], 2), np.repeat([0.0, 0.0, 0.9], 2)
    answer = Oracle().answer(with_parameters(call, {Role.BIAS_IH: inputs, Role.BIAS_HH: recurrent}))
    z, n = sigmoid(1.1), math.tanh(-0.4 + sigmoid(0.3) * 0.9)
    assert call.h_0 is not None
    expected = z**7 * call.h_0 + (1.0 - z**7) * n
    np.testing.assert_allclose(answer.h_n, expected, rtol=1e-14)


def test_where_relu_never_cuts_an_elman_network_is_linear() -> None:
    call = one(Config(Kind.RNN, 3, 4, nonlinearity="relu"), length=6)
    positive = {name: np.abs(array) for name, array in call.parameters.items()}
    assert call.h_0 is not None
    call = call.replace(parameters=positive, input=np.abs(call.input), h_0=np.abs(call.h_0))
    w, u = positive["weight_ih_l0"], positive["weight_hh_l0"]
    bias = positive["bias_ih_l0"] + positive["bias_hh_l0"]
    assert call.h_0 is not None
    expected = call.h_0[0] @ np.linalg.matrix_power(u, 6).T
    for t in range(6):
        expected = expected + (call.input[t] @ w.T + bias) @ np.linalg.matrix_power(u, 5 - t).T
    np.testing.assert_allclose(Oracle().answer(call).h_n[0], expected, rtol=1e-13)


@pytest.mark.parametrize("kind", LAYERS)
def test_a_packed_sequence_gives_what_it_gives_alone(kind: Kind) -> None:
    for seed in range(20):
        call = random_case(kind, seed, needs=frozenset({Feature.PACKED})).call()
        assert call.lengths is not None
        together = Oracle().answer(call)
        for sample, length in enumerate(call.lengths):
            one_sample = slice(sample, sample + 1)
            alone = Oracle().answer(
                call.replace(
                    input=call.input[:length, one_sample],
                    lengths=None,
                    **{name: s[:, one_sample] for name, s in call.arguments.states.items()},
                )
            )
            # A product of one row is added up in another order than that of several.
            bounds = expected(call).bounds
            for name in call.results:
                steps = slice(length) if name == "output" else slice(None)
                bound = 2.0 * bounds[name][steps, one_sample]
                error = getattr(together, name)[steps, one_sample] - getattr(alone, name)
                assert (np.abs(error) <= bound).all(), f"{name} of sample {sample} in {call}"


@pytest.mark.parametrize("kind", LAYERS)
def test_the_gradient_of_the_state_vanishes_where_the_gates_are_shut(kind: Kind) -> None:
    """By finite differences: a change of ``h_0`` fades unless a gate keeps it."""
    call = one(Config(kind, 3, 2), length=30)
    shut = with_parameters(call, {Role.BIAS_IH: -20.0})
    assert shut.h_0 is not None
    moved = shut.replace(h_0=shut.h_0 + 1e-3)
    difference = Oracle().answer(moved).h_n - Oracle().answer(shut).h_n
    # Nothing recurs without weights but GRU's z h, and z is nearly 0.
    assert np.abs(difference).max() < 1e-12, "the state was kept by something"

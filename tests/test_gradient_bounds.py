"""The bound on gradients holds for what is right, excludes what is wrong, and is no wider.

The right ways are loops in torch, differentiated automatically, each in another of the
forms that are legal. They run on canonical arrays.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from rnn_conformance import drop_in
from rnn_conformance.reference.expected import Expected, Sum, expected
from rnn_conformance.reference.formats import FORMATS, KAPPA
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.backward import Backward, drawn
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.cases import Case, State, Values
from rnn_conformance.spec.config import Config, Dtype, Feature, Kind, Role
from tests.support.gradient_ways import WAYS, GateByGate, InDouble, SampleBySample, Way
from tests.support.random_calls import random_call, random_case

HALVES = (Dtype.FLOAT16, Dtype.BFLOAT16)

# torch says so once for each process, and computes the same.
pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported")


class Erring(torch.autograd.Function):
    """Off by ``relative`` forwards, and by a roundoff backwards."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, relative: float, way: Any) -> Tensor:
        ctx.way = way
        sign: Tensor = way.sign(x)
        return x + sign * relative * x.abs()

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        return g + ctx.way.sign(g) * ctx.way.format.u_s * g.abs(), None, None


class Adversary(InDouble):
    """Every operation, forwards and backwards, errs as much as the model allows.

    In float64, so that there are no other errors.
    """

    signs = "random"

    def __init__(self, dtype: Dtype) -> None:
        super().__init__(dtype)
        self.format = FORMATS[dtype]
        self.generator = torch.Generator().manual_seed(5)

    def sign(self, x: Tensor) -> Tensor:
        if self.signs == "random":
            chances = torch.rand(x.shape, generator=self.generator)
            return torch.where(chances < 0.5, -1.0, 1.0)
        outwards: Tensor = torch.where(x < 0, -1.0, 1.0)
        return outwards if self.signs == "outwards" else -outwards

    def err(self, x: Tensor, relative: float | None = None) -> Tensor:
        erring: Tensor = Erring.apply(  # type: ignore[no-untyped-call]
            x, self.format.u_s if relative is None else relative, self
        )
        return erring

    def product(self, x: Tensor, w: Tensor) -> Tensor:
        # The weights are exact, and their gradients are not.
        used, u = self.err(w, 0.0), self.format.u
        total = self.err(x[:, 0, None] * used[:, 0], u)
        for k in range(1, w.shape[1]):
            total = self.err(total + self.err(x[:, k, None] * used[:, k], u), u)
        return total

    def affine(self, x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        return self.err(self.err(self.product(x, w) + b, self.format.u))

    def add(self, a: Tensor, b: Tensor) -> Tensor:
        return self.err(a + b)

    def multiply(self, a: Tensor, b: Tensor) -> Tensor:
        return self.err(a * b)

    def sigmoid(self, z: Tensor) -> Tensor:
        return self.err(torch.sigmoid(z), (KAPPA - 1.0) * self.format.u_s)

    def tanh(self, z: Tensor) -> Tensor:
        return self.err(torch.tanh(z), (KAPPA - 1.0) * self.format.u_s)


def worst_ratio(due: Expected, got: Mapping[str, Array]) -> float:
    """The largest ``|error| / E`` where something is claimed."""
    worst = 0.0
    for name, exact in due.values.items():
        bound, error = due.bounds[name], np.abs(got[name] - exact)
        off = (error > 0.0) & np.isfinite(bound)
        with np.errstate(divide="ignore"):
            worst = max(worst, float((error[off] / bound[off]).max(initial=0.0)))
    return worst


def backward_of(kind: Kind, seed: int, dtype: Dtype) -> Backward:
    call = random_call(kind, seed, dtype)
    one = call.results[seed % len(call.results)]
    return drawn(call, seed, *(() if seed % 2 else (one,)))


# Right ways stay within.


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", [Dtype.FLOAT32, Dtype.FLOAT64])
@pytest.mark.parametrize("kind", Kind)
def test_every_right_way_stays_within(kind: Kind, dtype: Dtype, way: type[Way]) -> None:
    for seed in range(8):
        backward = backward_of(kind, seed, dtype)
        ratio = worst_ratio(expected(backward), way(dtype).gradients(backward))
        assert ratio <= 1.0, f"{ratio:.3f} E in {backward.call}"


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("kind", Kind)
def test_the_half_types_stay_within(kind: Kind, dtype: Dtype) -> None:
    for seed in range(8):
        backward = backward_of(kind, seed, dtype)
        for way in (Way, InDouble, GateByGate, SampleBySample):
            ratio = worst_ratio(expected(backward), way(dtype).gradients(backward))
            assert ratio <= 1.0, f"{way.__name__}: {ratio:.3f} E in {backward.call}"


@pytest.mark.parametrize("dtype", Dtype)
@pytest.mark.parametrize("kind", Kind)
def test_torch_stays_within(kind: Kind, dtype: Dtype) -> None:
    implementation = drop_in(getattr(torch.nn, kind.value))
    for seed in range(25):
        backward = backward_of(kind, seed, dtype)
        gradients = implementation.pullback(backward.call.layer)(backward)
        got = {name: gradients[name] for name in backward.arguments}
        assert worst_ratio(expected(backward), got) <= 1.0, str(backward.call)


@pytest.mark.parametrize("signs", ["random", "outwards", "inwards"])
@pytest.mark.parametrize("dtype", Dtype)
@pytest.mark.parametrize("kind", Kind)
def test_arithmetic_that_errs_as_much_as_it_may_stays_within(
    kind: Kind, dtype: Dtype, signs: str
) -> None:
    for seed in range(5):
        backward = backward_of(kind, seed, dtype)
        adversary = Adversary(dtype)
        adversary.signs = signs
        ratio = worst_ratio(expected(backward), adversary.gradients(backward))
        assert ratio <= 1.0, f"{ratio:.3f} E in {backward.call}"


# It is no wider than it need be.


def typical(kind: Kind, seed: int, dtype: Dtype = Dtype.FLOAT32) -> Backward:
    without = frozenset({Feature.EMPTY_BATCH})
    call = random_case(kind, seed, dtype, without=without, values=Values.TYPICAL).call()
    return drawn(call, seed)


@pytest.mark.parametrize("kind", Kind)
def test_gradients_off_by_a_thousandth_show_in_most_calls(kind: Kind) -> None:
    seen = 0
    for seed in range(40):
        due = expected(typical(kind, seed))
        off = {name: 1.001 * array for name, array in due.values.items()}
        seen += worst_ratio(due, off) > 1.0
    assert seen >= 32, f"seen in {seen} of 40 calls only"


@pytest.mark.parametrize("kind", Kind)
def test_gradients_missing_in_one_argument_show_whichever_it_is(kind: Kind) -> None:
    hidden, tried = [], 0
    for seed in range(40):
        due = expected(typical(kind, seed))
        for name, array in due.values.items():
            if not array.any():
                continue
            tried += 1
            if worst_ratio(due, {**due.values, name: 0.0 * array}) <= 1.0:
                hidden.append((seed, name))
    # In deep wide networks the products of magnitudes outgrow everything.
    assert len(hidden) <= 0.1 * tried, f"hidden: {hidden} of {tried}"


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind.is_cell])
def test_after_one_step_it_is_a_few_hundred_times_what_arithmetic_really_errs(kind: Kind) -> None:
    ratios = []
    for seed in range(40):
        backward = typical(kind, seed)
        due = expected(backward)
        got = Way(Dtype.FLOAT32).gradients(backward)
        for name, exact in due.values.items():
            error = np.sqrt(np.mean((got[name] - exact) ** 2))
            if error:
                ratios.append(float(np.median(due.bounds[name])) / error)
    assert np.median(ratios) < 300.0


@pytest.mark.parametrize("kind", Kind)
def test_it_grows_with_the_roundoff(kind: Kind) -> None:
    for seed in range(20):
        # At relu's kink the bound is 1, whatever the roundoff.
        without = frozenset({Feature.RELU})
        coarsest = random_case(kind, seed, Dtype.BFLOAT16, without=without).call()
        dtypes = (Dtype.FLOAT64, Dtype.FLOAT32, Dtype.BFLOAT16)
        every = [expected(drawn(coarsest.replace(dtype=dtype), seed)).bounds for dtype in dtypes]
        for finer, coarser in pairwise(every):
            for name, bound in finer.items():
                assert (bound <= coarser[name]).all(), f"{name}: less rounding, a wider bound"


# It claims nothing where nothing can be claimed, and all it can elsewhere.


def elman(bias: float, dtype: Dtype = Dtype.FLOAT32) -> Call:
    """Four steps of a relu network all of whose biases are moved."""
    call = Case(
        Config(Kind.RNN, 3, 5, nonlinearity="relu"),
        4,
        3,
        dtype,
        state=State.GIVEN,
        values=Values.TYPICAL,
        seed=5,
    ).call()
    name = call.config.parameter_name(Role.BIAS_IH, 0, 0)
    return call.replace(parameters={**call.parameters, name: call.parameters[name] + bias})


def test_dead_units_have_no_gradient_and_no_doubt() -> None:
    due = expected(drawn(elman(-128.0), 0))
    for name, array in due.values.items():
        assert not array.any(), name
        assert due.bounds[name].max() < 1e-30, f"{name}: only underflow is allowed for"


def test_a_unit_at_exactly_zero_has_no_gradient_and_no_doubt() -> None:
    call = elman(0.0)
    parameters = {name: array.copy() for name, array in call.parameters.items()}
    for array in parameters.values():
        array[1] = 0.0
    due = expected(drawn(call.replace(parameters=parameters), 0))
    for name in parameters:
        assert not due[name][1].any()
        assert due.bounds[name][1].max() < 1e-30, f"{name}: 0 is the slope at 0"


def test_a_unit_that_rounding_may_wake_is_in_doubt() -> None:
    call = elman(0.0)
    parameters = {name: array.copy() for name, array in call.parameters.items()}
    # Its bias cancels all else at the first step of the first sample, up to a rounding.
    w, u = parameters["weight_ih_l0"][2], parameters["weight_hh_l0"][2]
    assert call.h_0 is not None
    total = w @ call.input[0, 0] + u @ call.h_0[0, 0] + parameters["bias_hh_l0"][2]
    parameters["bias_ih_l0"][2] = np.float32(-total)
    bound = expected(drawn(call.replace(parameters=parameters), 0)).bounds["input"]
    assert bound[0, 0].max() > 1e-3, "either slope is legal"
    assert bound[:, 1:].max() < 1e-3, "other samples are certain"


@pytest.mark.parametrize("kind", [kind for kind in Kind if not kind.is_cell])
def test_the_padding_is_certain(kind: Kind) -> None:
    for seed in range(10):
        call = random_case(kind, seed, Dtype.FLOAT32, needs=frozenset({Feature.PACKED})).call()
        due = expected(drawn(call, seed))
        assert not due["input"][~call.steps].any()
        assert not due.bounds["input"][~call.steps].any(), "exactly no gradient"


@pytest.mark.parametrize("kind", [kind for kind in Kind if not kind.is_cell])
def test_nothing_is_claimed_where_gradients_may_overflow(kind: Kind) -> None:
    call = random_case(kind, 3, Dtype.FLOAT16, values=Values.TYPICAL).call()
    huge = {name: 60000.0 * np.sign(a) for name, a in drawn(call, 0).cotangents.items()}
    overflowing = expected(Backward(call, huge)).bounds
    assert all(np.isposinf(bound).all() for bound in overflowing.values())
    sane = expected(drawn(call, 0)).bounds
    assert all(np.isfinite(bound).all() for bound in sane.values())


@pytest.mark.parametrize("dtype", [Dtype.FLOAT32, Dtype.BFLOAT16])
def test_two_passes_add_up_with_one_more_rounding(dtype: Dtype) -> None:
    first, second = (expected(backward_of(Kind.GRU, 4, dtype)) for _ in range(2))
    both = Sum(first, second)
    for name, array in both.values.items():
        np.testing.assert_array_equal(array, first[name] + second[name])
        rounding = FORMATS[dtype].u_s * np.abs(array)
        assert (both.bounds[name] >= first.bounds[name] + second.bounds[name] + rounding).all()

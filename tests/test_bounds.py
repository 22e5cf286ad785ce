"""The bound holds for what is right, excludes what is wrong, and claims nothing it cannot."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

from rnn_conformance.checking.assertions import assert_within_bound
from rnn_conformance.deviations import CATALOGUE
from rnn_conformance.mutants.equations import Floats
from rnn_conformance.reference.expected import expected
from rnn_conformance.reference.formats import FORMATS, KAPPA
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.cases import Case, State, Values, rounded
from rnn_conformance.spec.config import Config, Dtype, Feature, Kind, Role
from tests.support.miniatures import Way, correct_implementations
from tests.support.random_calls import random_call, random_case

LAYERS = [kind for kind in Kind if not kind.is_cell]

# torch says so once for each process, and computes the same.
pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported")


def worst_ratio(call: Call, got: dict[str, Array]) -> float:
    """The largest ``|error| / E`` of a call's results, where both are finite."""
    due = expected(call)
    worst = 0.0
    for name, bound in due.bounds.items():
        claimed = np.isfinite(bound) & np.isfinite(due[name]) & (bound > 0.0)
        if claimed.any():
            ratio = np.abs(got[name] - due[name])[claimed] / bound[claimed]
            worst = max(worst, float(ratio.max()))
    return worst


# Right ways stay within.


@pytest.mark.parametrize("dtype", Dtype)
@pytest.mark.parametrize("kind", Kind)
def test_every_right_way_stays_within(kind: Kind, dtype: Dtype) -> None:
    worst: dict[str, float] = {}
    for implementation in correct_implementations(kind):
        for seed in range(12):
            call = random_call(kind, seed, dtype)
            result = implementation.build(call.layer)(call.arguments)
            got = {name: result[name] for name in call.results}
            ratio = worst_ratio(call, got)
            worst[implementation.name] = max(worst.get(implementation.name, 0.0), ratio)
            assert_within_bound(result)
    furthest = max(worst, key=lambda name: worst[name])
    print(f"{kind} in {dtype}: {furthest} comes as close as {worst[furthest]:.3f} E")
    assert worst[furthest] <= 1.0


class Adversary(Way):
    """Every operation errs as much as the model of arithmetic allows.

    Computed in float64, so that there are no other errors. ``sign`` says which way each
    element errs: by chance, always outwards, or always inwards; ``order``, in the half types,
    what is stored before what is added to it.
    """

    sign = "random"
    order = "biases first"

    def __init__(self, dtype: Dtype) -> None:
        super().__init__(dtype)
        self.work = np.float64
        self.format = FORMATS[dtype]
        self.rng = np.random.default_rng(7)
        # What an activation may be off by, less the rounding when it is stored.
        self.promise = (KAPPA - 1.0) * self.format.u_s / (1.0 + self.format.u_s)

    def err(self, array: Floats, most: Floats | float) -> Floats:
        """The array, each element off by ``most``."""
        ways: dict[str, Callable[[], Floats]] = {
            "random": lambda: self.rng.choice([-1.0, 1.0], array.shape),
            "outwards": lambda: np.where(array < 0.0, -1.0, 1.0),
            "inwards": lambda: np.where(array < 0.0, 1.0, -1.0),
            "upwards": lambda: np.ones(array.shape),
            "by unit": lambda: np.broadcast_to(
                np.where(np.arange(array.shape[-1]) % 2, 1.0, -1.0), array.shape
            ),
        }
        return array + ways[self.sign]() * most

    def store(self, array: Floats) -> Floats:
        return self.err(array, self.format.u_s * np.abs(array))

    def product(self, x: Floats, w: Floats) -> Floats:
        u = self.format.u
        total = np.zeros((len(x), len(w)))
        for k in range(w.shape[1]):
            term = x[:, k, None] * w[:, k]
            total = total + self.err(term, u * np.abs(term))
            total = self.err(total, u * np.abs(total))
        return total

    def affine(self, x: Floats, w: Floats, b: Floats) -> Floats:
        product = self.product(x, w)
        total = (product if self.order == "biases first" else self.coarse(product)) + b
        return self.coarse(self.err(total, self.format.u * np.abs(total)))

    def coarse(self, array: Floats) -> Floats:
        """Stored, where storage is coarser than accumulation."""
        return array if self.format.u_s == self.format.u else self.store(array)

    def sigmoid(self, z: Floats) -> Floats:
        a = super().sigmoid(z)
        return self.err(a, self.promise * a)

    def tanh(self, z: Floats) -> Floats:
        a = super().tanh(z)
        return self.err(a, self.promise * np.abs(a))

    def rnn(
        self, config: Config, p: dict[str, Floats], x: Floats, h: Floats, c: Floats
    ) -> tuple[Floats, Floats]:
        if config.nonlinearity == "relu":
            # Exact: what is stored already is stored again without an error.
            return np.maximum(self.preactivation(p, x, h), 0.0), c
        return super().rnn(config, p, x, h, c)

    def preactivation(self, p: dict[str, Floats], x: Floats, h: Floats) -> Floats:
        if self.order == "biases last":
            z = self.coarse(self.product(x, p["weight_ih"]))
            z = z + self.coarse(self.product(h, p["weight_hh"]))
            for bias in (p["bias_ih"], p["bias_hh"]):
                z = self.coarse(self.err(z, self.format.u * np.abs(z))) + bias
            return self.coarse(self.err(z, self.format.u * np.abs(z)))
        z = self.affine(x, p["weight_ih"], p["bias_ih"])
        z = z + self.affine(h, p["weight_hh"], p["bias_hh"])
        return self.coarse(self.err(z, self.format.u * np.abs(z)))

    def __call__(self, call: Call) -> dict[str, Floats]:
        with np.errstate(all="ignore"):
            return self.answer(call)


ORDERS = ("biases first", "products first", "biases last")


@pytest.mark.parametrize("sign", ["random", "outwards", "inwards", "upwards", "by unit"])
@pytest.mark.parametrize("dtype", Dtype)
@pytest.mark.parametrize("kind", Kind)
def test_arithmetic_that_errs_as_much_as_it_may_stays_within(
    kind: Kind, dtype: Dtype, sign: str
) -> None:
    for seed in range(30):
        call = random_call(kind, seed, dtype)
        adversary = Adversary(dtype)
        adversary.sign, adversary.order = sign, ORDERS[seed % len(ORDERS)]
        ratio = worst_ratio(call, adversary(call))
        # What errs on purpose is computed in float64, whose own rounding comes on top.
        most = 1.0 + 2.0**-53 / FORMATS[dtype].u
        assert ratio <= most, f"{call} errs by {ratio:.3f} E"


# It is no wider than it need be.


def typical(kind: Kind, seed: int, dtype: Dtype = Dtype.FLOAT32) -> Call:
    """A call of one layer as people make them: fresh parameters are within ±1/sqrt(H)."""
    without = frozenset({Feature.EMPTY_BATCH, Feature.RELU, Feature.MULTI_LAYER})
    call = random_case(kind, seed, dtype, without=without, values=Values.TYPICAL).call()
    rng = np.random.default_rng(seed)
    limit = call.config.hidden_size**-0.5
    fresh = {
        name: rounded(rng.uniform(-limit, limit, array.shape), dtype)
        for name, array in call.parameters.items()
    }
    return call.replace(parameters=fresh)


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind.is_cell])
def test_after_one_step_it_is_less_than_a_hundred_times_what_arithmetic_really_errs(
    kind: Kind,
) -> None:
    ratios = []
    for seed in range(40):
        call = typical(kind, seed)
        due = expected(call)
        error = np.abs(Way(call.dtype)(call)["h_n"] - call.give("h_n", due["h_n"]))
        bound = call.give("h_n", due.bounds["h_n"])
        ratios.append(float(np.median(bound) / np.sqrt(np.mean(error**2))))
    print(f"{kind}: the median bound is {np.median(ratios):.0f} times the error")
    assert np.median(ratios) < 100.0


@pytest.mark.parametrize("kind", Kind)
def test_weights_off_by_a_ten_thousandth_show_in_most_calls(kind: Kind) -> None:
    (deviation,) = [one for one in CATALOGUE if one.name == "parameters off by 1e-4 of themselves"]
    seen = 0
    for seed in range(40):
        call = typical(kind, seed)
        answer = deviation.variant().answer(call)
        got = {name: getattr(answer, name) for name in call.results}
        seen += worst_ratio(call, got) > 1.0
    assert seen > 20, f"seen in {seen} of 40 calls only"


@pytest.mark.parametrize("kind", Kind)
def test_it_grows_with_the_roundoff(kind: Kind) -> None:
    for seed in range(20):
        coarsest = random_call(kind, seed, Dtype.BFLOAT16)
        bounds = [
            expected(coarsest.replace(dtype=dtype)).bounds["h_n"]
            for dtype in (Dtype.FLOAT64, Dtype.FLOAT32, Dtype.BFLOAT16)
        ]
        for finer, coarser in pairwise(bounds):
            assert (finer <= coarser).all(), f"less rounding, but a wider bound: {coarsest}"


# It claims nothing where nothing can be claimed, and all it can elsewhere.


@pytest.mark.parametrize("kind", LAYERS)
def test_it_is_infinite_exactly_on_the_padding(kind: Kind) -> None:
    for seed in range(20):
        case = random_case(kind, seed, needs=frozenset({Feature.PACKED}), values=Values.TYPICAL)
        call = case.call()
        bounds = expected(call).bounds
        exempt = np.isposinf(bounds["output"])
        np.testing.assert_array_equal(
            exempt, np.broadcast_to(~call.steps[:, :, None], exempt.shape)
        )
        assert np.isfinite(bounds["h_n"]).all(), "a final state is never padding"


def single(kind: Kind, dtype: Dtype = Dtype.FLOAT32, **config: str) -> Call:
    """Four steps of three samples in one layer and direction."""
    length = 1 if kind.is_cell else 4
    return Case(
        Config(kind, 3, 5, **config),  # type: ignore[arg-type]
        length,
        3,
        dtype,
        state=State.GIVEN,
        values=Values.TYPICAL,
        seed=5,
    ).call()


def with_input(call: Call, value: float, step: int = 1) -> Call:
    """The same call with this value in one feature of the second sample."""
    data = call.input.copy()
    data[min(step, call.length - 1), 1, 2] = value
    return call.replace(input=data)


@pytest.mark.parametrize("dtype", Dtype)
@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_special_input_exempts_nothing(kind: Kind, dtype: Dtype, value: float) -> None:
    call = with_input(single(kind, dtype), value)
    due = expected(call)
    for name, bound in due.bounds.items():
        assert np.isfinite(bound).all(), f"{name}: no claim after {value}"
    nan = np.isnan(due["output"]).any(axis=2)
    after = np.zeros((4, 3), dtype=bool)
    after[1:, 1] = np.isnan(value)
    np.testing.assert_array_equal(nan, after, "NaN is where it must be, and nowhere else")


@pytest.mark.parametrize("kind", LAYERS)
def test_where_the_truth_is_nan_a_number_is_no_answer(kind: Kind) -> None:
    call = with_input(single(kind), np.nan)
    due = expected(call)
    lost = np.isnan(due["output"])
    assert (due.bounds["output"][lost] == 0.0).all(), "its class is the whole claim"


@pytest.mark.parametrize("kind", LAYERS)
def test_sums_that_may_overflow_on_the_way_are_exempt_with_all_that_follows(kind: Kind) -> None:
    call = single(kind, Dtype.FLOAT16)
    parameters = dict(call.parameters)
    weights = parameters["weight_ih_l0"].copy()
    # Two terms that cancel: added up in another order with others they need not.
    weights[:, 0], weights[:, 1] = 4.0, -4.0
    parameters["weight_ih_l0"] = weights
    data = call.input.copy()
    data[2, 1, :2] = 16384.0
    exempt = np.isposinf(expected(call.replace(parameters=parameters, input=data)).bounds["output"])
    assert exempt[2:, 1].all(), "|W||x| reaches the largest float16"
    assert not exempt[:2].any(), "what came before is as certain as ever"
    assert not exempt[:, [0, 2]].any(), "so are the other samples"


@pytest.mark.parametrize("kind", LAYERS)
def test_huge_sums_that_cannot_overflow_are_not_exempt(kind: Kind) -> None:
    call = with_input(single(kind, Dtype.FLOAT16), 8192.0)
    assert np.isfinite(expected(call).bounds["output"]).all()


def test_a_dead_relu_unit_is_exactly_zero() -> None:
    call = single(Kind.RNN, nonlinearity="relu")
    name = call.config.parameter_name(Role.BIAS_IH, 0, 0)
    due = expected(
        call.replace(parameters={**call.parameters, name: call.parameters[name] - 100.0})
    )
    assert not due["output"].any()
    assert not due.bounds["output"].any(), "far below the kink no rounding wakes a unit"


@pytest.mark.parametrize("kind", Kind)
def test_the_references_own_rounding_is_allowed_for(kind: Kind) -> None:
    call = random_call(kind, 1)
    exact = expected(call).values
    moved = {name: array * (1.0 + 2.0**-53) for name, array in exact.items()}
    assert worst_ratio(call, moved) <= 1.0, "one rounding of a float64 result is legal"


@pytest.mark.parametrize("dtype", [Dtype.FLOAT32, Dtype.FLOAT16, Dtype.BFLOAT16])
@pytest.mark.parametrize("kind", Kind)
def test_the_next_number_but_hundreds_is_wrong(kind: Kind, dtype: Dtype) -> None:
    """Where little is added up the bound is a few roundoffs, not a percentage."""
    call = single(kind, dtype)
    due = expected(call)
    width = 400.0 * FORMATS[dtype].u_s * max(1.0, float(np.abs(due["h_n"]).max()))
    assert np.median(due.bounds["h_n"]) < width


@pytest.mark.parametrize("dtype", Dtype)
def test_rounding_to_a_dtype_is_to_the_nearest(dtype: Dtype) -> None:
    values = np.random.default_rng(0).standard_normal(1000)
    error = np.abs(rounded(values, dtype) - values)
    assert (error <= FORMATS[dtype].u_s * np.abs(values) + FORMATS[dtype].eta).all()

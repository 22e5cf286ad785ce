"""Small defects, and what each measure of error says of a case.

Each defect is computed in float64 and rounded to the dtype: nothing but the defect is
wrong, which makes it harder to see than in an implementation that rounds as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rnn_conformance.deviations.deviation import significant
from rnn_conformance.deviations.precisions import with_small_errors
from rnn_conformance.reference.bounds import forward
from rnn_conformance.reference.derivatives import Adjoint, Backtrace, Slopes
from rnn_conformance.reference.expected import Expected, expected
from rnn_conformance.reference.oracle import Oracle, Trace, Weights
from rnn_conformance.reference.problem import Problem
from rnn_conformance.reference.tolerance import tolerance
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.backward import Backward
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.cases import Values, rounded
from rnn_conformance.spec.config import Config, Dtype, Feature, Kind, Role
from tests.support.random_calls import random_case

Answers: TypeAlias = dict[str, Array]

DEFAULTS = {
    Dtype.FLOAT64: (1e-7, 1e-7),
    Dtype.FLOAT32: (1.3e-6, 1e-5),
    Dtype.FLOAT16: (1e-3, 1e-5),
    Dtype.BFLOAT16: (1.6e-2, 1e-5),
}
"""``rtol`` and ``atol`` of ``torch.testing.assert_close``
(https://docs.pytorch.org/docs/stable/testing.html)."""


@dataclass(frozen=True)
class Verdicts:
    """What each measure says of one case: whether it refuses it."""

    hard: bool
    scatter: bool
    outlier: bool
    fixed: bool
    worst: float


def judged(asked: Call | Backward, got: Mapping[str, Array]) -> Verdicts:
    """By the hard bound, by the scatter, by rank, and by PyTorch's own default tolerances."""
    due = expected(asked)
    rtol, atol = DEFAULTS[due.problem.call.dtype]
    errors = {
        name: np.abs((got[name] - value) - due.low_order.get(name, 0.0))
        for name, value in due.values.items()
    }
    claimed = {name: np.isfinite(bound) for name, bound in due.bounds.items()}
    worst = worst_share(due, errors, claimed)
    ranks = due.scatter.ranks
    return Verdicts(
        hard=any(bool((errors[name] > bound).any()) for name, bound in due.bounds.items()),
        scatter=worst > 1.0,
        outlier=due.scatter.claims and due.scatter.rank(errors) > float(ranks.max()),
        fixed=any(
            bool((errors[name] > atol + rtol * np.abs(value))[claimed[name]].any())
            for name, value in due.values.items()
        ),
        worst=worst,
    )


def worst_share(
    due: Expected, errors: Mapping[str, Array], claimed: Mapping[str, NDArray[np.bool_]]
) -> float:
    """The largest quotient of error and tolerance."""
    worst = 0.0
    for name, some in claimed.items():
        limit, error = tolerance(due, name)[some], errors[name][some]
        with np.errstate(divide="ignore"):  # What must be exact is infinitely wrong.
            shares = np.divide(error, limit, out=np.zeros_like(error), where=error > 0.0)
        worst = max(worst, float(shares.max(initial=0.0)))
    return worst


def every_other(array: Array, by: float) -> Array:
    """Every other element off by so much of itself."""
    return array * np.where(np.arange(array.size) % 2, 1.0, 1.0 + by).reshape(array.shape)


@dataclass(frozen=True)
class OffWeights:
    """All weights off by so much of themselves, every other one more."""

    by: float

    def __call__(self, call: Call) -> Answers:
        changed = {name: every_other(array, self.by) for name, array in call.parameters.items()}
        return plain(call.replace(parameters=changed), Oracle())


class Tanh(Oracle):
    """Another function in the place of tanh."""

    def __init__(self, tanh: Callable[[Array], Array]) -> None:
        super().__init__()
        self.tanh = tanh

    def activation(self, config: Config, z: Array) -> Array:
        return np.maximum(z, 0.0) if config.nonlinearity == "relu" else self.tanh(z)

    def lstm_gates(self, zx: Array, zh: Array) -> Array:
        gates, size = super().lstm_gates(zx, zh), zx.shape[-1] // 4
        gates[:, 2 * size : 3 * size] = self.tanh((zx + zh)[:, 2 * size : 3 * size])
        return gates

    def gru_gates(self, zx: Array, zh: Array) -> Array:
        gates, size = super().gru_gates(zx, zh), zx.shape[-1] // 3
        r = gates[:, :size]
        gates[:, 2 * size :] = self.tanh(zx[:, 2 * size :] + r * zh[:, 2 * size :])
        return gates


class Products(Oracle):
    """Products of rounded factors, or added up with few digits."""

    def __init__(self, factors: int = 53, sums: int = 53) -> None:
        super().__init__()
        self.factors, self.sums = factors, sums

    def product(self, x: Array, w: Array, b: Array) -> Array:
        x, w = significant(x, self.factors), significant(w, self.factors)
        if self.sums == 53:
            exact: Array = x @ w.T + b
            return exact
        total = np.zeros((*x.shape[:-1], len(w))) + b
        for column in range(x.shape[-1]):
            total = significant(total + x[..., column, None] * w[:, column], self.sums)
        return total

    def input_side(self, weights: Weights, x: Array) -> Array:
        return self.product(x, weights.w_ih, weights.b_ih)

    def state_side(self, weights: Weights, h: Array) -> Array:
        return self.product(h, weights.w_hh, weights.b_hh)


def plain(call: Call, oracle: Oracle) -> Answers:
    """The oracle's answer, rounded to the dtype."""
    answer = oracle.answer(call)
    return {name: rounded(getattr(answer, name), call.dtype) for name in call.results}


def lost_bias(by: float) -> Callable[[Call], Answers]:
    """Every bias too small by so much."""

    def answer(call: Call) -> Answers:
        changed = {
            name: call.parameters[name] - by * parameter.role.is_bias
            for name, parameter in call.config.parameters.items()
        }
        return plain(call.replace(parameters=changed), Oracle())

    return answer


def without_the_last_step(call: Call) -> Answers:
    """The last step is not computed, and the state stands still."""

    class Short(Oracle):
        def scan(self, call: Call, layer: int, direction: int, x: Array, steps: Any) -> Trace:
            steps = steps.copy()
            steps[-1] = False
            return super().scan(call, layer, direction, x, steps)

    return plain(call, Short())


def in_single(call: Call) -> Answers:
    """float64 computed in float32."""
    narrow = {name: significant(array, 24) for name, array in call.parameters.items()}
    answer = plain(call.replace(parameters=narrow, input=significant(call.input, 24)), Oracle())
    return {name: significant(array, 24) for name, array in answer.items()}


def with_oracle(make: Callable[[], Oracle]) -> Callable[[Call], Answers]:
    """A defect that is an oracle."""
    return lambda call: plain(call, make())


@dataclass(frozen=True)
class Defect:
    """What is wrong, and in which dtype it is looked for."""

    answer: Callable[[Call], Answers]
    dtype: Dtype = Dtype.FLOAT32
    without: frozenset[Feature] = frozenset()


def clipped(z: Array) -> Array:
    """tanh, its argument cut off at 3."""
    return np.tanh(np.clip(z, -3.0, 3.0))


def rational(z: Array) -> Array:
    """Padé's approximant of tanh."""
    z = np.clip(z, -3.0, 3.0)
    return z * (27.0 + z * z) / (27.0 + 9.0 * z * z)


DEFECTS: dict[str, Defect] = {
    **{f"weights off by {by:g}": Defect(OffWeights(by)) for by in (1e-4, 1e-5, 1e-6)},
    **{
        f"activations off by {by:g}": Defect(with_oracle(with_small_errors(1.0 + by, 0.0, None)))
        for by in (1e-4, 1e-5, 1e-6)
    },
    **{
        f"{by:g} missing in each bias": Defect(
            lost_bias(by), without=frozenset({Feature.BIAS_FREE})
        )
        for by in (1e-4, 1e-5, 1e-6)
    },
    "1e-6 added to activations": Defect(with_oracle(with_small_errors(1.0, 1e-6, None))),
    "added up in bfloat16": Defect(with_oracle(lambda: Products(sums=8))),
    "products as in TF32": Defect(with_oracle(lambda: Products(factors=11))),
    "tanh clipped at 3": Defect(with_oracle(lambda: Tanh(clipped))),
    "rational tanh": Defect(with_oracle(lambda: Tanh(rational))),
    "the last step dropped": Defect(without_the_last_step),
    "float64 computed in float32": Defect(in_single, Dtype.FLOAT64),
    "float16 activations off by 1e-3": Defect(
        with_oracle(with_small_errors(1.0 + 1e-3, 0.0, None)), Dtype.FLOAT16
    ),
    "bfloat16 activations off by 1e-2": Defect(
        with_oracle(with_small_errors(1.0 + 1e-2, 0.0, None)), Dtype.BFLOAT16
    ),
}


class OffSlopes(Adjoint):
    """The derivatives of activations off by so much of themselves."""

    def __init__(self, by: float) -> None:
        super().__init__()
        self.by = by

    def slopes(self, config: Config, trace: Trace) -> Slopes:
        exact = super().slopes(config, trace)
        return replace(exact, x=exact.x * (1.0 + self.by), h=exact.h * (1.0 + self.by))


class OffSums(Adjoint):
    """The gradients of parameters off by so much of themselves, every other one."""

    def __init__(self, by: float) -> None:
        super().__init__()
        self.by = by

    def of_parameters(
        self, call: Call, layer: int, direction: int, trace: Trace, back: Backtrace
    ) -> dict[Role, Array]:
        exact = super().of_parameters(call, layer, direction, trace, back)
        return {role: every_other(array, self.by) for role, array in exact.items()}


def derived(adjoint: Adjoint, backward: Backward) -> dict[str, Array]:
    """The gradients by this derivative, rounded to the dtype."""
    call = backward.call
    gradients = adjoint.derivative(backward, forward(Problem(call)).answer).gradients
    return {name: rounded(gradients[name], call.dtype) for name in backward.arguments}


GRADIENT_DEFECTS: dict[str, tuple[Adjoint, Dtype]] = {
    **{f"slopes off by {by:g}": (OffSlopes(by), Dtype.FLOAT32) for by in (1e-4, 1e-5, 1e-6)},
    **{
        f"gradients of parameters off by {by:g}": (OffSums(by), Dtype.FLOAT32)
        for by in (1e-4, 1e-5, 1e-6)
    },
    "slopes off by 1e-12 in float64": (OffSlopes(1e-12), Dtype.FLOAT64),
}


def typical_calls(
    dtype: Dtype, count: int, seed: int, without: frozenset[Feature] = frozenset()
) -> Iterator[Call]:
    """Of every layer in turn, with values as the checks draw them."""
    layers = [kind for kind in Kind if not kind.is_cell]
    values = (Values.PLAIN, Values.TYPICAL, Values.SATURATED, Values.MIXED, Values.POSITIVE)
    for number in range(seed, seed + count):
        kind = layers[number % len(layers)]
        yield random_case(
            kind, number, dtype, without=without, values=values[number // 3 % len(values)]
        ).call()

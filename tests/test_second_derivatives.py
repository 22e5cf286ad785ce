"""Derivatives of derivatives: the reference, its bound, and what the checks of them catch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rnn_conformance.checking.checks import checks
from rnn_conformance.checking.drawing import examples
from rnn_conformance.checking.examining import examine
from rnn_conformance.checking.second_derivatives import through_the_graph
from rnn_conformance.checking.strategies import cases
from rnn_conformance.checking.subject import PROFILES, Profile, Subject
from rnn_conformance.implementations.tensors import tensor, values
from rnn_conformance.implementations.torch_module import drop_in
from rnn_conformance.mutants.reading import Reading
from rnn_conformance.reference.derivatives import Adjoint
from rnn_conformance.reference.extended import long_double
from rnn_conformance.reference.oracle import Oracle
from rnn_conformance.reference.problem import Problem
from rnn_conformance.reference.second_derivatives import Differentiated, changes, directions
from rnn_conformance.results.records import Outcome
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.backward import Backward, drawn
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.cases import Case
from rnn_conformance.spec.config import Dtype, Kind

CHAPTER = [check for check in checks() if check.id.startswith("conformance/test_second_deri")]
(TRANSFORMS,) = (check for check in CHAPTER if check.id.endswith("functions_in_float64"))
STANDARD = Profile("standard, few cases", PROFILES["standard"].cases, 0)

# A power of two, so that the differences of arguments are exact but for their last digits.
STEP = np.longdouble(2.0**-20)

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported")


def some(kind: Kind, dtype: Dtype, count: int, seed: int) -> list[Case]:
    """Cases of every feature that a kind has."""
    declaration = drop_in(getattr(nn, kind.value)).declaration
    family = cases(layers=(1, 2), length=(2, 3), batch=(2, 3), inputs=(2, 4), hidden=(2, 4),
                   dtypes=[dtype])  # fmt: skip
    return examples(family.strategy(kind, declaration), count, seed)


def moved(backward: Backward, direction: Mapping[str, Array], by: Any) -> dict[str, Any]:
    """Gradients and results of the oracle, all arguments moved along a direction."""
    call = backward.call
    arrays = {"input": call.input, **call.arguments.states, **call.parameters}
    numbers = {
        id(array): long_double(array) + by * long_double(direction[name])
        for name, array in arrays.items()
    }
    # Rows of a state are views, made anew at each look.
    rows = {
        (name, place): numbers[id(state)][place]
        for name, state in call.arguments.states.items()
        for place in range(len(state))
    }

    class Moved(Oracle):
        def numbers(self, array: Array) -> Array:
            found = numbers.get(id(array))
            wide: Array = long_double(array) if found is None else found
            return wide

        def initial_state(self, call: Call, layer: int, direction: int) -> tuple[Array, Array]:
            place = layer * call.config.num_directions + direction
            h, c = super().initial_state(call, layer, direction)
            return rows.get(("h_0", place), h), rows.get(("c_0", place), c)

    class Wide(Adjoint):
        def numbers(self, array: Array) -> Array:
            wide: Array = long_double(array)
            return wide

    answer = Moved().answer(call)
    results = {name: getattr(answer, name) for name in call.results}
    return {**Wide().derivative(backward, answer).gradients, **results}


@pytest.mark.parametrize("kind", Kind)
def test_changes_are_the_limits_of_differences(kind: Kind) -> None:
    compared = 0
    for case in some(kind, Dtype.FLOAT64, 12, 1):
        # A difference across relu's kink has no limit.
        if case.config.nonlinearity == "relu":
            continue
        backward = drawn(case.call(), case.seed)
        direction = directions(case.call(), case.seed)
        due = changes(backward, direction)
        above, below = (moved(backward, direction, by) for by in (STEP, -STEP))
        for name, value in due.values.items():
            quotient = ((above[name] - below[name]) / (2.0 * STEP)).astype(np.float64)
            claimed = np.isfinite(due.bounds[name])
            scale = 1.0 + np.abs(value).max(initial=0.0)
            error = np.abs(np.where(claimed, quotient - value, 0.0)).max(initial=0.0)
            # The third derivative times the square of the step: 1e-12, times thousands.
            assert error <= 1e-7 * scale, (name, case)
            compared += 1
    assert compared > 20


@pytest.mark.parametrize("kind", Kind)
def test_the_tapes_own_gradients_are_the_oracles(kind: Kind) -> None:
    for case in some(kind, Dtype.FLOAT64, 12, 2):
        call = case.call()
        backward = drawn(call, case.seed)
        equations = Differentiated(Problem(call), directions(call, case.seed))
        equations.tape.pass_back(
            [(equations.results[name], array) for name, array in backward.cotangents.items()]
        )
        gradients = Adjoint().derivative(backward, Oracle().answer(call)).gradients
        for name, node in equations.given.items():
            if node.adjoint is None:
                assert not gradients[name].any()
                continue
            number = node.adjoint.number
            assert (np.abs(number.value - gradients[name]) <= 2.0 * number.error).all(), name


def ratios(kind: Kind, dtype: Dtype, count: int, factor: float = 1.0) -> list[float]:
    """torch's errors in multiples of the bound; its derivatives times a factor."""
    found = []
    subject = Subject(drop_in(getattr(nn, kind.value)), kind)
    torch_dtype = getattr(torch, dtype.value)
    for case in some(kind, dtype, count, 3):
        call = case.call()
        backward, direction = drawn(call, case.seed), directions(call, case.seed)
        due = changes(backward, direction)
        along = {
            name: tensor(
                array if name in call.parameters else call.give(name, array), torch_dtype, "cpu"
            )
            for name, array in direction.items()
        }
        got = through_the_graph(subject, subject.module(call), backward, along)
        for name, array in got.items():
            given = np.zeros(1) if array is None else factor * values(array)
            value = due.values[name]
            if array is not None and name not in call.parameters:
                given = call.take(name, given)
            excess = np.abs(given - value) / due.bounds[name]
            found.append(float(np.nan_to_num(excess, posinf=np.inf).max(initial=0.0)))
    return found


@pytest.mark.parametrize("dtype", [Dtype.FLOAT32, Dtype.FLOAT64])
@pytest.mark.parametrize("kind", Kind)
def test_torchs_second_derivatives_are_within_the_bound(kind: Kind, dtype: Dtype) -> None:
    assert max(ratios(kind, dtype, 15)) < 0.5


@pytest.mark.parametrize("kind", Kind)
def test_second_derivatives_off_by_a_thousandth_are_not(kind: Kind) -> None:
    off = ratios(kind, Dtype.FLOAT64, 15, factor=1.001)
    assert sum(ratio > 1.0 for ratio in off) > 0.8 * len(off)


# What a quick run leaves to larger ones.


class Identity(torch.autograd.Function):
    """Right through the graph; torch.func cannot know its context."""

    @staticmethod
    def forward(ctx: Any, array: Tensor) -> Tensor:
        return array.view_as(array)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return gradients[0].clone()


class Still(torch.autograd.Function):
    """Right backwards, zero forwards."""

    @staticmethod
    def forward(array: Tensor) -> Tensor:
        return array.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return gradients[0]

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        return torch.zeros_like(tangents[0])


class OldFashioned(Reading, nn.GRUCell):
    function: Any = Identity

    def one(self, name: str) -> Tensor:
        handed: Tensor = self.function.apply(super().one(name))
        return handed


class Motionless(OldFashioned):
    function = Still


@pytest.mark.parametrize("cls", [OldFashioned, Motionless])
def test_what_shows_under_torch_func_alone_fails_a_larger_run(cls: type[nn.Module]) -> None:
    subject = Subject(drop_in(cls, kind="GRUCell"), Kind.GRU_CELL)
    right = (Outcome.PASSED, Outcome.UNSUPPORTED)
    assert all(examine(check, subject).outcome in right for check in CHAPTER)
    larger = Subject(subject.implementation, Kind.GRU_CELL, STANDARD)
    record = examine(TRANSFORMS, larger)
    assert record.outcome is Outcome.FAILED
    of_torch = examine(TRANSFORMS, Subject(drop_in(nn.GRUCell), Kind.GRU_CELL, STANDARD))
    assert of_torch.outcome is Outcome.PASSED


def test_what_torch_itself_has_not_is_demanded_of_nobody_and_noted() -> None:
    (check,) = (check for check in CHAPTER if check.id.endswith("functions_in_float32"))
    record = examine(check, Subject(drop_in(nn.LSTM), Kind.LSTM, STANDARD))
    assert record.outcome is Outcome.PASSED
    # oneDNN's LSTM has no forward mode in float32.
    assert "torch.func.jvp of the call: torch.nn.LSTM itself has none" in (record.reason or "")

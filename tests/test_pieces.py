"""Long sequences in pieces: the same numbers as in one, bounds too, and in few steps."""

from __future__ import annotations

import numpy as np
import pytest

from rnn_conformance.reference import bounds
from rnn_conformance.reference.bounds import Errors
from rnn_conformance.reference.oracle import Answer, Oracle
from rnn_conformance.reference.pieces import LONG, Pieced, Pieces
from rnn_conformance.reference.problem import Problem
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.cases import Case, State, Values
from rnn_conformance.spec.config import Config, Kind

LENGTH = 300
CASES = [
    pytest.param(
        Case(
            Config(kind, 2, 3, 2, bidirectional=True, nonlinearity=nonlinearity),
            LENGTH,
            3,
            lengths=lengths,
            state=State.GIVEN,
            values=values,
            seed=5,
        ),
        id=f"{kind}-{nonlinearity}-{values}-{'packed' if lengths else 'dense'}",
    )
    for kind, nonlinearity in ((Kind.RNN, "tanh"), (Kind.RNN, "relu"), (Kind.LSTM, "tanh"),
                               (Kind.GRU, "tanh"))
    for values in (Values.PLAIN, Values.SATURATED)
    for lengths in (None, (7, LENGTH, 130))
]  # fmt: skip


def arrays(answer: Answer) -> dict[str, Array]:
    traces = [trace for row in answer.traces for trace in row]
    named = {"output": answer.output, "h_n": answer.h_n}
    for number, trace in enumerate(traces):
        for name in ("x", "zx", "zh", "gates", "h", "c"):
            if (array := getattr(trace, name)) is not None:
                named[f"{name} of trace {number}"] = array
    return named


@pytest.mark.parametrize("case", CASES)
def test_a_sequence_in_pieces_is_what_it_is_in_one(case: Case) -> None:
    whole, pieced = arrays(Oracle().answer(case.call())), arrays(Pieced().answer(case.call()))
    assert whole.keys() == pieced.keys()
    here = np.broadcast_to(case.call().steps[:, :, None], whole["output"].shape)
    for name, array in whole.items():
        assert pieced[name].shape == array.shape, name
        some = here if name == "output" else np.ones_like(array, dtype=bool)
        if array.shape[:2] == (LENGTH, 3) and name != "output":
            # What a step that belongs to no sequence computes is nobody's.
            trace = int(name.rpartition(" ")[2])
            steps = case.call().steps[:: -1 if trace % 2 else 1]
            some = np.broadcast_to(steps[:, :, None], array.shape)
        np.testing.assert_allclose(
            pieced[name][some], array[some], rtol=1e-11, atol=1e-13, err_msg=name
        )


@pytest.mark.parametrize("case", CASES)
def test_bounds_in_pieces_are_what_they_are_in_one(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = Problem(case.call())
    pieced = bounds.forward.__wrapped__(problem)
    monkeypatch.setattr(bounds, "LONG", LENGTH + 1)
    whole = bounds.forward.__wrapped__(problem)
    for one, other in zip(_errors(pieced), _errors(whole), strict=True):
        for name in ("x", "h", "c"):
            np.testing.assert_allclose(
                getattr(one, name), getattr(other, name), rtol=1e-8, err_msg=name
            )


def _errors(computed: bounds.Forward) -> list[Errors]:
    return [errors for row in computed.errors for errors in row]


class Counting(Pieced):
    """Counts the steps that are computed."""

    steps = 0

    def step(self, *arguments: object) -> tuple[Array, Array, Array, Array]:
        self.steps += 1
        return super().step(*arguments)  # type: ignore[arg-type]


def counted(call: Call) -> int:
    oracle = Counting()
    oracle.answer(call)
    return oracle.steps


@pytest.mark.parametrize("kind", [Kind.RNN, Kind.LSTM, Kind.GRU])
def test_a_layer_that_forgets_takes_few_steps(kind: Kind) -> None:
    case = Case(Config(kind, 1, 1), 65537, 1, state=State.GIVEN, values=Values.PLAIN, seed=1)
    assert counted(case.call()) < 3000


def test_a_layer_that_forgets_nothing_takes_no_more_steps_than_one_after_the_other() -> None:
    call = Case(Config(Kind.RNN, 1, 1, nonlinearity="relu"), 1000, 2, state=State.GIVEN).call()
    adding = {name: np.ones_like(array) for name, array in call.parameters.items()}
    call = call.replace(parameters=adding, input=np.abs(call.input), h_0=np.ones((1, 2, 1)))
    pieces = Pieces(1000, 2)
    assert counted(call) <= pieces.size * (pieces.count + 1)
    np.testing.assert_allclose(Pieced().answer(call).output, Oracle().answer(call).output)


@pytest.mark.parametrize("length", [LONG, 97, 128, 1023, 1024, 1025, 65537])
def test_what_is_cut_is_joined_again(length: int) -> None:
    array = np.arange(length * 2 * 3, dtype=np.float64).reshape(length, 2, 3)
    pieces = Pieces(length, 2)
    assert pieces.cut(array).shape == (pieces.size, pieces.count * 2, 3)
    np.testing.assert_array_equal(pieces.joined(pieces.cut(array)), array)
    states = np.concatenate([array[:1] - 1.0, array])
    np.testing.assert_array_equal(pieces.joined_states(pieces.cut_states(states)), states)


def test_nothing_that_is_not_a_number_keeps_pieces_from_settling() -> None:
    call = Case(Config(Kind.LSTM, 1, 1), 200, 1).call()
    data = call.input.copy()
    data[3] = np.nan
    call = call.replace(input=data)
    assert counted(call) < 200 * 2
    assert np.isnan(Pieced().answer(call).output[3:]).all()

"""What everybody shares: it cannot be written to, goes by its content, and survives JSON."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnn_conformance.checking.strategies import cases
from rnn_conformance.implementations.interface import Declaration
from rnn_conformance.reference.expected import Expected, Sum, expected
from rnn_conformance.reference.oracle import Masks
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.backward import Backward, drawn
from rnn_conformance.spec.calls import Arguments, Call, LayerSpec
from rnn_conformance.spec.cases import Case
from rnn_conformance.spec.config import Config, Dtype, Feature, Kind, Level
from tests.support.random_calls import random_call, random_case

LAYERS = [kind for kind in Kind if not kind.is_cell]

SPECIAL = (np.nan, -np.nan, np.inf, -np.inf, -0.0, 2.0**-1074, float(np.finfo(np.float64).max))
"""Numbers that texts lose easily."""


# What is expected.


def arrays_of(due: Expected) -> Iterator[tuple[str, Array]]:
    """Everything that is told of a call or of a backward pass."""
    mappings: dict[str, Mapping[str, Array]] = {
        "value": due.values,
        "bound": due.bounds,
        "low order": due.low_order,
        "spread": due.scatter.spreads,
    }
    for what, mapping in mappings.items():
        for name, array in mapping.items():
            yield f"{what} of {name}", array
    yield "ranks", due.scatter.ranks


ASKED: dict[str, Callable[[Call], Expected]] = {
    "results": expected,
    "results in TF32": lambda call: expected(call, tf32=True),
    "gradients": lambda call: expected(drawn(call, 0)),
    "a sum": lambda call: Sum(expected(drawn(call, 0)), expected(drawn(call, 1))),
}


@pytest.mark.parametrize("dtype", [Dtype.FLOAT32, Dtype.FLOAT64])
@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("what", ASKED)
def test_what_is_expected_cannot_be_written_to(what: str, kind: Kind, dtype: Dtype) -> None:
    due = ASKED[what](random_call(kind, 3, dtype))
    for name, array in arrays_of(due):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = np.inf
        # Nor by way of what it is a view of.
        assert array.base is None or not array.base.flags.writeable, name
    for mapping in (due.values, due.bounds, due.scatter.spreads):
        with pytest.raises(TypeError):
            mapping["h_n"] = np.full(1, np.inf)  # type: ignore[index]


def test_one_check_cannot_switch_off_the_comparisons_of_the_next() -> None:
    call = random_call(Kind.LSTM, 3, Dtype.FLOAT32)
    before = expected(call).bounds["output"].copy()
    with pytest.raises(ValueError, match="read-only"):
        expected(call).bounds["output"][:] = np.inf
    np.testing.assert_array_equal(expected(call).bounds["output"], before)


def twin(call: Call) -> Call:
    """The same call, made of other arrays."""
    return call.replace(
        parameters={name: array.copy() for name, array in call.parameters.items()},
        input=call.input.copy(),
        **{name: state.copy() for name, state in call.arguments.states.items()},
    )


@pytest.mark.parametrize("kind", Kind)
def test_equal_questions_have_one_answer(kind: Kind) -> None:
    call = random_call(kind, 3, Dtype.FLOAT32)
    backward = drawn(call, 0)
    cotangents = {name: array.copy() for name, array in backward.cotangents.items()}
    assert expected(twin(call)) is expected(call)
    assert expected(Backward(twin(call), cotangents)) is expected(backward)


def test_other_questions_have_other_answers() -> None:
    call = random_case(Kind.LSTM, 1, Dtype.FLOAT32, needs=frozenset({Feature.MULTI_LAYER})).call()
    masks = Masks((np.ones(call.shape("output")),) * (call.config.num_layers - 1))
    data = call.input.copy()
    data[0, 0, 0] += 1.0
    questions = [
        expected(call),
        expected(call, masks),
        expected(call, tf32=True),
        expected(call.replace(input=data)),
        expected(call.replace(dtype=Dtype.FLOAT64)),
        expected(drawn(call, 0)),
        expected(drawn(call, 1)),
    ]
    assert len(set(map(id, questions))) == len(questions)


def test_what_is_expected_is_computed_once() -> None:
    due = expected(random_call(Kind.GRU, 4, Dtype.FLOAT64))
    assert due.values is due.values
    assert due.bounds is due.bounds
    assert due.scatter is due.scatter


# Calls.


@pytest.mark.parametrize("kind", Kind)
def test_the_arrays_of_a_call_cannot_be_written_to(kind: Kind) -> None:
    call = random_call(kind, 3)
    backward = drawn(call, 0)
    arrays = [call.input, *call.arguments.states.values(), *call.parameters.values()]
    for array in [*arrays, *backward.cotangents.values()]:
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0.0
    with pytest.raises(TypeError):
        call.parameters["more"] = np.zeros(1)  # type: ignore[index]


def test_what_a_call_was_made_of_may_be_written_to_and_changes_nothing() -> None:
    config = Config(Kind.RNN, 1, 1)
    parameters = {name: np.ones(shape) for name, shape in config.parameter_shapes.items()}
    data = np.ones((2, 1, 1))
    call = Call.of(config, Dtype.FLOAT32, parameters, data[:, :, :])
    same = twin(call)
    data[:] = 7.0
    for array in parameters.values():
        array[...] = 7.0
    assert call.input.tolist() == [[[1.0]], [[1.0]]]
    assert all((array == 1.0).all() for array in call.parameters.values())
    assert call == same


def test_calls_are_compared_by_what_is_in_them_to_the_bit() -> None:
    call = random_call(Kind.GRU, 5)
    assert twin(call) == call
    assert hash(twin(call)) == hash(call)
    zeros = call.replace(input=np.zeros_like(call.input))
    assert zeros != call.replace(input=-np.zeros_like(call.input)), "a sign of zero is a bit"
    not_numbers = np.full_like(call.input, np.nan)
    assert call.replace(input=not_numbers) == call.replace(input=not_numbers.copy())
    assert call.replace(training=True) != call
    assert call != call.layer


# What goes to another process, in any language: a layer's specification and its arguments.


def sprinkled(array: Array, number: float, place: int) -> Array:
    """The array with this number in one place, if it has any."""
    changed = array.copy()
    if changed.size:
        changed.flat[place % changed.size] = number
    return changed


@st.composite
def special_calls(draw: st.DrawFn, kind: Kind, *needs: Feature) -> Call:
    """Calls of every sort with a special number in each array."""
    declaration = Declaration.of([kind], Feature.of(kind), list(Dtype), Level.DROP_IN)
    case: Case = draw(cases(*needs, dtypes=tuple(Dtype)).strategy(kind, declaration))
    call = case.call()

    def some(array: Array) -> Array:
        return sprinkled(array, draw(st.sampled_from(SPECIAL)), draw(st.integers(0, 99)))

    return call.replace(
        parameters={name: some(array) for name, array in call.parameters.items()},
        input=some(call.input),
        **{name: some(state) for name, state in call.arguments.states.items()},
    )


def through_json(record: Mapping[str, Any]) -> Any:
    """As another process reads it, which need not be Python: JSON knows no NaN."""
    return json.loads(json.dumps(record, allow_nan=False))


@pytest.mark.parametrize("needs", [(), (Feature.EMPTY_BATCH,)], ids=["any", "empty"])
@pytest.mark.parametrize("kind", Kind)
def test_layers_and_arguments_survive_json(kind: Kind, needs: tuple[Feature, ...]) -> None:
    @settings(max_examples=60)
    @given(special_calls(kind, *needs))
    def check(call: Call) -> None:
        layer, arguments = call.layer, call.arguments
        assert LayerSpec.from_record(through_json(layer.to_record())) == layer
        assert Arguments.from_record(through_json(arguments.to_record())) == arguments

    check()


def test_a_record_is_read_with_nothing_but_json() -> None:
    call = Case(Config(Kind.LSTM, 1, 2), 2, 1, Dtype.FLOAT16).call()
    record = through_json(call.arguments.to_record())
    assert record["dtype"] == "float16"
    assert record["input"]["shape"] == [2, 1, 1]
    assert record["input"]["numbers"] == call.input.ravel().tolist()
    assert record["h_0"] is None
    layer = through_json(call.layer.to_record())
    assert layer["config"]["hidden_size"] == 2
    assert layer["parameters"]["weight_ih_l0"]["shape"] == [8, 1]


def test_what_is_sent_to_another_process_is_the_same_there() -> None:
    call = Case(Config(Kind.LSTM, 3, 4, bidirectional=True), 2, 3, lengths=(2, 1, 2)).call()
    for value in (call, drawn(call, 0)):
        assert pickle.loads(pickle.dumps(value)) == value

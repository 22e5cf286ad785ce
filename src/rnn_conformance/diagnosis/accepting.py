"""What is accepted that has to be refused, and what is made of it (ERR, CEL-4, TYP-2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from rnn_conformance.checking.comparing import are_close
from rnn_conformance.checking.subject import Subject
from rnn_conformance.diagnosis.causes import Experiments, declared
from rnn_conformance.reference.oracle import Oracle
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.cases import Case, State, Values
from rnn_conformance.spec.config import Config, Dtype, Feature

if TYPE_CHECKING:
    import torch

ACCEPTING = Experiments()

SAMPLES = 3

STATES = "ERR-3 CEL-4"
DTYPES = "ERR-4 TYP-2"


def _call(subject: Subject) -> Call:
    """A call with a state, of two layers where there are such."""
    features = subject.implementation.declaration.features
    layers = 2 if Feature.MULTI_LAYER in features and not subject.kind.is_cell else 1
    config = Config(subject.kind, 3, 4, num_layers=layers)
    length = 1 if subject.kind.is_cell else 2
    case = Case(
        config, length, SAMPLES, Dtype.FLOAT32, state=State.GIVEN, values=Values.TYPICAL, seed=3
    )
    return declared(subject, case).call()


def _states(call: Call) -> dict[str, Array]:
    return {name: array for name in ("h_0", "c_0") if (array := getattr(call, name)) is not None}


def _is(subject: Subject, meant: Call, data: torch.Tensor, *states: torch.Tensor) -> bool:
    import torch

    module = subject.module(meant)
    state = (tuple(states) if len(states) > 1 else states[0],) if states else ()
    with torch.no_grad():
        returned = module(data, *state)
    given = subject.result(meant, returned).h_n
    return are_close(given, Oracle().answer(meant).h_n, 1e-3)


Change = Callable[[Array, Array], Array]
"""Makes of a legal state, and of the illegal one, another."""


def _taken(subject: Subject, illegal: Change, meant: Change) -> bool:
    """Whether illegal states are answered as if they were the ones that are meant.

    Not where nothing is illegal about them.
    """
    call = _call(subject)
    legal = _states(call)
    given = {name: illegal(state, state) for name, state in legal.items()}
    if any(given[name].shape == state.shape for name, state in legal.items()):
        return False
    stand_for = {name: meant(state, given[name]) for name, state in legal.items()}
    data, *_ = subject.arguments(call)
    return _is(subject, call.replace(**stand_for), data, *_tensors(call, given))


LAYERS, OF_SAMPLES, UNITS = 0, 1, 2
"""The axes of a state."""


def _one(axis: int) -> Change:
    return lambda state, given: state.take([0], axis)


def _twice(axis: int) -> Change:
    return lambda state, given: np.repeat(state, 2, axis)


def _for_all(axis: int) -> Change:
    return lambda state, given: np.repeat(given, state.shape[axis], axis)


def _first(axis: int) -> Change:
    return lambda state, given: given.take(range(state.shape[axis]), axis)


AXES = {
    LAYERS: "Raise where a state's first axis is not num_layers times the number of directions.",
    OF_SAMPLES: "Raise where a state's batch size is not the input's: let nothing broadcast.",
    UNITS: "Raise where a state's last axis is not hidden_size, or proj_size for a projection's h.",
}
"""What to do where the size along one is not looked at."""

for axis, name, seen, illegal, meant in (
    (
        OF_SAMPLES,
        "a state of one sample used for every sample",
        f"a state of one sample is answered for {SAMPLES} as if each had it",
        _one,
        _for_all,
    ),
    (
        OF_SAMPLES,
        "a state of more samples of which the first are used",
        f"of a state of {2 * SAMPLES} samples the first {SAMPLES} are used",
        _twice,
        _first,
    ),
    (
        LAYERS,
        "a state of one layer used for every layer",
        "a state of one layer is answered as if each layer had it",
        _one,
        _for_all,
    ),
    (
        LAYERS,
        "a state of more layers of which the first are used",
        "of a state of twice as many layers the first are used",
        _twice,
        _first,
    ),
    (
        UNITS,
        "a state of more units of which the first are used",
        "of a state of twice as many units the first are used",
        _twice,
        _first,
    ),
):

    def _seen(
        subject: Subject,
        axis: int = axis,
        seen: str = seen,
        illegal: Callable[[int], Change] = illegal,
        meant: Callable[[int], Change] = meant,
    ) -> str:
        if axis == LAYERS and subject.kind.is_cell:
            # Its states have no such axis.
            return ""
        return seen * _taken(subject, illegal(axis), meant(axis))

    ACCEPTING.add(name, STATES, fix=AXES[axis])(_seen)


@ACCEPTING.add(
    "an input of another dtype that is cast to the weights'",
    DTYPES,
    fix="Raise where the input's dtype is not the weights': torch.nn casts nothing.",
)
def _cast_input(subject: Subject) -> str:
    import torch

    call = _call(subject)
    data, *_ = subject.arguments(call)
    states = _tensors(call, _states(call))
    cast = _is(subject, call, data.to(torch.float64), *states)
    return "a float64 input is answered by a layer of float32 weights" * cast


@ACCEPTING.add(
    "a state of another dtype that is cast to the weights'",
    DTYPES,
    fix="Raise where a state's dtype is not the weights': torch.nn casts nothing.",
)
def _cast_state(subject: Subject) -> str:
    import torch

    call = _call(subject)
    data, *_ = subject.arguments(call)
    states = [tensor.to(torch.float64) for tensor in _tensors(call, _states(call))]
    cast = _is(subject, call, data, *states)
    return "a float64 state is answered by a layer of float32 weights" * cast


def _tensors(call: Call, states: Mapping[str, Array]) -> list[torch.Tensor]:
    """States as a module takes them."""
    import torch

    return [
        torch.tensor(array[0] if call.config.kind.is_cell else array, dtype=torch.float32)
        for array in states.values()
    ]

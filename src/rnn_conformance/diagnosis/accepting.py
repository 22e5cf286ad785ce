"""What is accepted that has to be refused, and what is made of it (ERR, CEL-4, TYP-2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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


@dataclass(frozen=True, eq=False)
class _Wrong:
    """States that are illegal, canonical, and those of the legal call that they may stand for."""

    given: Mapping[str, Array]
    meant: Mapping[str, Array]


def _taken(subject: Subject, wrong: _Wrong) -> bool:
    """Whether illegal states are answered as if they were others."""
    call = _call(subject)
    data, *_ = subject.arguments(call)
    return _is(subject, call.replace(**wrong.meant), data, *_tensors(call, wrong.given))


def _is(subject: Subject, meant: Call, data: torch.Tensor, *states: torch.Tensor) -> bool:
    import torch

    module = subject.module(meant)
    state = (tuple(states) if len(states) > 1 else states[0],) if states else ()
    with torch.no_grad():
        returned = module(data, *state)
    given = subject.result(meant, returned).h_n
    return are_close(given, Oracle().answer(meant).h_n, 1e-3)


@ACCEPTING.add(
    "a state of one sample used for every sample",
    STATES,
    fix="Raise where a state's batch size is not the input's: let nothing broadcast.",
)
def _one_sample(subject: Subject) -> str:
    states = _states(_call(subject))
    given = {name: array[:, :1] for name, array in states.items()}
    meant = {name: np.repeat(array[:, :1], SAMPLES, 1) for name, array in states.items()}
    return f"a state of one sample is answered for {SAMPLES} as if each had it" * _taken(
        subject, _Wrong(given, meant)
    )


@ACCEPTING.add(
    "a state of more samples of which the first are used",
    STATES,
    fix="Raise where a state's batch size is not the input's.",
)
def _more_samples(subject: Subject) -> str:
    states = _states(_call(subject))
    given = {name: np.repeat(array, 2, 1) for name, array in states.items()}
    meant = {name: array[:, :SAMPLES] for name, array in given.items()}
    return f"of a state of {2 * SAMPLES} samples the first {SAMPLES} are used" * _taken(
        subject, _Wrong(given, meant)
    )


@ACCEPTING.add(
    "a state of one layer used for every layer",
    STATES,
    fix="Raise where a state's first axis is not num_layers times the number of directions.",
)
def _one_layer(subject: Subject) -> str:
    states = _states(_call(subject))
    if any(len(array) == 1 for array in states.values()):
        return ""
    given = {name: array[:1] for name, array in states.items()}
    meant = {name: np.repeat(array[:1], len(array), 0) for name, array in states.items()}
    return "a state of one layer is answered as if each layer had it" * _taken(
        subject, _Wrong(given, meant)
    )


@ACCEPTING.add(
    "a state of more layers of which the first are used",
    STATES,
    fix="Raise where a state's first axis is not num_layers times the number of directions.",
)
def _more_layers(subject: Subject) -> str:
    call = _call(subject)
    if call.config.kind.is_cell:
        return ""
    states = _states(call)
    given = {name: np.repeat(array, 2, 0) for name, array in states.items()}
    meant = {name: array[: call.config.num_states] for name, array in given.items()}
    return "of a state of twice as many layers the first are used" * _taken(
        subject, _Wrong(given, meant)
    )


@ACCEPTING.add(
    "a state of more units of which the first are used",
    STATES,
    fix="Raise where a state's last axis is not hidden_size, or proj_size for a projection's h.",
)
def _more_units(subject: Subject) -> str:
    states = _states(_call(subject))
    given = {name: np.repeat(array, 2, -1) for name, array in states.items()}
    meant = {name: array[..., : states[name].shape[-1]] for name, array in given.items()}
    return "of a state of twice as many units the first are used" * _taken(
        subject, _Wrong(given, meant)
    )


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

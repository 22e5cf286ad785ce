"""How arguments lie in memory, where a layer takes them to lie otherwise (MEM-2)."""

from __future__ import annotations

import numpy as np

from rnn_conformance.checking.comparing import are_close
from rnn_conformance.checking.subject import Subject
from rnn_conformance.diagnosis.causes import Experiments, declared
from rnn_conformance.reference.oracle import Oracle
from rnn_conformance.spec.cases import Case, State, Values
from rnn_conformance.spec.config import Config, Dtype, Feature

LAYING = Experiments()


@LAYING.add(
    "an input that is not contiguous read from its memory as if it were",
    "MEM-2",
    fix="Read the input by its strides, or call contiguous() before its memory is read.",
)
def _strides(subject: Subject) -> str:
    # Loads torch, which whatever has strides is written in.
    import torch

    state = State.OMITTED
    if Feature.OMITTED_STATE not in subject.implementation.declaration.features:
        state = State.GIVEN
    steps = 1 if subject.kind.is_cell else 3
    config = Config(subject.kind, 4, 5)
    case = Case(config, steps, 2, Dtype.FLOAT32, state=state, values=Values.TYPICAL, seed=4)
    call = declared(subject, case).call()
    data, *states = subject.arguments(call)
    # The same numbers, the first axes and the last exchanged in memory.
    strided = data.transpose(0, -1).contiguous().transpose(0, -1)
    lying = np.asarray(strided.transpose(0, -1).reshape(-1).double().numpy())
    module = subject.module(call)
    with torch.no_grad():
        given = subject.result(call, module(strided, *states)).h_n
    meant = call.replace(input=lying.reshape(call.input.shape))
    right = are_close(given, Oracle().answer(call).h_n, 1e-4)
    read = are_close(given, Oracle().answer(meant).h_n, 1e-4)
    return "an input whose axes are exchanged in memory gives what its memory gives in order" * (
        read and not right
    )

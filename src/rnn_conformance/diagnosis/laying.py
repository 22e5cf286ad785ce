"""How arguments lie in memory, where a layer takes them to lie otherwise (MEM-2)."""

from __future__ import annotations

import numpy as np

from rnn_conformance.checking.comparing import are_close
from rnn_conformance.checking.subject import Subject
from rnn_conformance.diagnosis.causes import Experiments, plain_call
from rnn_conformance.reference.oracle import Oracle
from rnn_conformance.spec.config import Dtype

LAYING = Experiments()


@LAYING.add(
    "an input that is not contiguous read from its memory as if it were",
    "MEM-2",
    fix="Read the input by its strides, or call contiguous() before its memory is read.",
)
def _strides(subject: Subject) -> str:
    # Loads torch, which whatever has strides is written in.
    import torch

    call = plain_call(subject, Dtype.FLOAT32, (4, 5), seed=4)
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

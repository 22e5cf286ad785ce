"""Calling a ``torch.nn.Module`` that is already there, whatever was done with it."""

from __future__ import annotations

from typing import Any

import torch

from rnn_conformance.calls import Call, Result
from rnn_conformance.classes import arguments, result_of, tensor, torch_dtype
from rnn_conformance.subject import Subject


def answer(subject: Subject, module: Any, call: Call) -> Result:
    """What it answers, without gradients and in the mode that it is in."""
    with subject.doing(call), torch.no_grad():
        return result_of(call, module(*arguments(call, subject.implementation.device)))


def tensors(subject: Subject, call: Call) -> dict[str, torch.Tensor]:
    """The call's parameters by name, on the device of the implementation."""
    device, dtype = subject.implementation.device, torch_dtype(call.dtype)
    return {name: tensor(array, dtype, device) for name, array in call.parameters.items()}

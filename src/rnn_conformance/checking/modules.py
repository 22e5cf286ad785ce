"""Calling a ``torch.nn.Module`` that is already there, whatever was done with it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch

from rnn_conformance.checking.subject import Subject
from rnn_conformance.implementations.autograd import Graph
from rnn_conformance.implementations.tensors import parameters
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.result import Result


def answer(subject: Subject, module: Any, call: Call) -> Result:
    """What it answers, without gradients and in the mode that it is in."""
    given = subject.arguments(call)
    with subject.doing(call), torch.no_grad():
        returned = module(*given)
    return subject.result(call, returned)


def tensors(subject: Subject, call: Call) -> dict[str, torch.Tensor]:
    """The call's parameters by name, on the device of the implementation."""
    return parameters(call.layer, subject.implementation.device)


def graph(subject: Subject, module: Any, call: Call, *, frozen: Collection[str] = ()) -> Graph:
    """A call of a module as automatic differentiation recorded it.

    What is ``frozen`` asks for no gradient.
    """
    implementation = subject.implementation
    tf32 = implementation.declaration.tf32
    return Graph.of(module, call, implementation.device, frozen=frozen, tf32=tf32)

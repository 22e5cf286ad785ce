"""A drop-in class's layer in training mode, where dropout acts."""

from __future__ import annotations

import torch

from rnn_conformance.checking.modules import graph
from rnn_conformance.checking.subject import Subject
from rnn_conformance.errors import Gap, Unsupported
from rnn_conformance.implementations.devices import seed_generators
from rnn_conformance.implementations.tensors import values
from rnn_conformance.spec.backward import Backward, Gradients
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.config import Level
from rnn_conformance.spec.result import Result


class Training:
    """A module with a call's configuration and parameters, in training mode.

    Raises ``Unsupported`` for what is no ``torch.nn.Module`` class, and for what declares that
    it is for inference alone; what the module raises is the implementation's fault.
    """

    def __init__(self, subject: Subject, call: Call) -> None:
        if subject.implementation.declaration.level is Level.INFERENCE:
            raise Unsupported("is for inference alone, as it declares", Gap.UNDECLARED)
        self.subject, self.call, self.module = subject, call, subject.module(call)
        self.train()

    def train(self, mode: bool = True) -> None:
        """Put the module in training mode, or in evaluation mode."""
        with self.subject.doing(self.call, f"train({mode})"):
            self.module.train(mode)

    def __call__(self, call: Call, *, seed: int | None = None) -> Result:
        """Answer a call in the mode that the module is in.

        With a ``seed``, that is what ``torch.manual_seed`` is called with before.
        """
        subject, given = self.subject, self.subject.arguments(call)
        if seed is not None:
            seed_generators(seed, subject.implementation.device)
        with subject.doing(call), torch.no_grad():
            returned = self.module(*given)
        return subject.result(call, returned)

    def backward(self, backward: Backward) -> tuple[Result, Gradients]:
        """What a call gave, and what its backward pass gives."""
        call = backward.call
        with self.subject.doing(call, "the backward pass in training mode"):
            recorded = graph(self.subject, self.module, call)
            gradients = recorded.gradients(backward)
        given = {name: values(part) for name, part in recorded.results.items()}
        return Result(call, given, {}, {}, tf32=recorded.tf32), gradients

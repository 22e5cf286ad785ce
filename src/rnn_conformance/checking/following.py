"""What follows a succession of calls on a ``torch.nn.Module``, and compares each of them."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import torch

from rnn_conformance.checking.assertions import assert_within_bound
from rnn_conformance.checking.dropout import nothing_kept
from rnn_conformance.checking.modules import by_torchs_names
from rnn_conformance.checking.subject import Subject
from rnn_conformance.checking.successions import Asked, Recording, Succession
from rnn_conformance.errors import NonConforming
from rnn_conformance.implementations.autograd import Graph
from rnn_conformance.implementations.devices import torch_dtype, trains_only
from rnn_conformance.implementations.tensors import assembled, tensors, tensors_of
from rnn_conformance.spec.backward import drawn
from rnn_conformance.spec.calls import Call

GRADIENTS: dict[Recording, type[AbstractContextManager[Any]]] = {
    Recording.OFF: torch.no_grad,
    Recording.INFERENCE: torch.inference_mode,
    Recording.ON: torch.enable_grad,
}


def follow(subject: Subject, succession: Succession) -> None:
    """Make each call; raises ``NonConforming`` at the first that is not answered as if alone."""
    first = succession.call(succession.asked[0])
    module: torch.nn.Module = subject.module(first.replace(training=False))
    for place, asked in enumerate(succession.asked):
        call = succession.call(asked)
        try:
            with subject.doing(call):
                module.train(call.training).to(torch_dtype(call.dtype))
            _ask(subject, module, call, asked)
        except NonConforming as error:
            error.message = _after(succession.asked[:place], asked) + error.message
            error.case = replace(succession, asked=succession.asked[: place + 1])
            raise


def _ask(subject: Subject, module: torch.nn.Module, call: Call, asked: Asked) -> None:
    dropped = call.training and call.config.dropout and call.config.num_layers > 1
    masks = nothing_kept(call) if dropped else None
    device = subject.implementation.device
    # Where torch.nn differentiates in training mode alone, evaluation records nothing.
    recorded = call.training or not trains_only(device)
    recording = asked.circumstances.recording if recorded else Recording.OFF
    given = tensors(call, device)
    leaves = dict(given)
    if recording is Recording.ON:
        leaves |= by_torchs_names(subject, call, dict(module.named_parameters()))
    with subject.doing(call), GRADIENTS[recording]():
        for leaf in given.values():
            leaf.requires_grad_(recording is Recording.ON)
        returned = module(*assembled(call, given))
    assert_within_bound(subject.result(call, returned), expected=subject.expected(call, masks))
    if recording is Recording.ON:
        backward = drawn(call, 0)
        results, _ = tensors_of(call, returned)
        graph = Graph(leaves, results, subject.implementation.declaration.tf32)
        with subject.doing(call, backward.described):
            gradients = graph.gradients(backward)
        assert_within_bound(gradients, expected=subject.expected(backward, masks))


def _after(before: tuple[Asked, ...], asked: Asked) -> str:
    if not before:
        return f"in the first call of a layer, of {asked}: "
    earlier = ", ".join(map(str, before[:-1]))
    return (
        f"in a call of {asked}, right after one of {before[-1]}"
        + (f", and before that {earlier}" if earlier else "")
        + ": "
    )

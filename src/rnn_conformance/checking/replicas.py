"""A module as data-parallel wrappers replicate it, and calls with tensors in parameters' places."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from rnn_conformance.checking.subject import Subject
from rnn_conformance.implementations.autograd import Graph
from rnn_conformance.implementations.tensors import assembled, tensors, tensors_of
from rnn_conformance.spec.backward import Backward, Gradients


def replica(module: torch.nn.Module, given: Mapping[str, torch.Tensor]) -> torch.nn.Module:
    """What ``torch.nn.parallel.replicate`` makes of a module, without its broadcast.

    That needs accelerators. ``given``, by the names of all parameters, are what the replica
    computes with: set as attributes, since they are no parameters.
    """
    copies: dict[torch.nn.Module, Any] = {}
    for inner in module.modules():
        copy: Any = inner._replicate_for_data_parallel()  # type: ignore[no-untyped-call]
        # Kept by the wrapper, so that gradients reach the tensors.
        copy._former_parameters = {}
        copies[inner] = copy
    for prefix, inner in module.named_modules():
        copy = copies[inner]
        for name, child in inner._modules.items():
            copy._modules[name] = None if child is None else copies[child]
        for name, parameter in inner._parameters.items():
            if parameter is None:
                copy._parameters[name] = None
            else:
                tensor = given[f"{prefix}.{name}" if prefix else name]
                setattr(copy, name, tensor)
                copy._former_parameters[name] = tensor
        for name, buffer in inner._buffers.items():
            if buffer is None:
                copy._buffers[name] = None
            else:
                setattr(copy, name, buffer.clone())
    made: torch.nn.Module = copies[module]
    return made


def gradients_through(
    subject: Subject,
    module: Any,
    backward: Backward,
    sources: Mapping[str, torch.Tensor],
    factor: float,
) -> Gradients:
    """The gradients of a call whose parameters are ``factor`` times other tensors.

    ``sources`` are those tensors, by the names of the parameters; what arrives there is
    ``factor`` times the gradient of the parameter, and is divided by it, which is exact for a
    power of two.
    """
    call, implementation = backward.call, subject.implementation
    given = tensors(call, implementation.device)
    for tensor in given.values():
        tensor.requires_grad_()
    results, _ = tensors_of(call, module(*assembled(call, given)))
    graph = Graph({**given, **sources}, results, implementation.declaration.tf32)
    found = graph.gradients(backward)
    undone = {
        name: array / factor if name in sources and array is not None else array
        for name, array in found.given.items()
    }
    return replace(found, given=undone)

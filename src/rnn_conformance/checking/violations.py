"""Illegal constructions and calls, each one departure from a legal call.

A departure is wrong in one place, and where it can be in the ways that tempt an
implementation: a size of one, which broadcasts; a larger one, which could be truncated; a
smaller one. ``torch.nn`` itself is the judge: what it answers is not illegal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from rnn_conformance.checking.subject import Subject
from rnn_conformance.implementations.devices import torch_dtype
from rnn_conformance.implementations.tensors import arguments
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.config import Kind

DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64)


@dataclass(frozen=True, eq=False)
class Violation:
    """What is wrong, in words, and the arguments of the call that does it."""

    why: str
    arguments: tuple[Any, ...]


def torchs_own(call: Call, device: str) -> torch.nn.Module:
    """``torch.nn``'s own layer for the call, with parameters of its own."""
    cls = getattr(torch.nn, call.config.kind.value)
    module: torch.nn.Module = cls(**call.config.arguments()).to(device, torch_dtype(call.dtype))
    return module.eval()


def raised(act: Callable[[], Any]) -> Exception | None:
    """What an action raises; ``None`` where it does not."""
    try:
        act()
    except Exception as error:
        return error
    return None


@torch.no_grad()
def refuses_calls(
    subject: Subject, call: Call, family: Callable[[Call, str], Iterator[Violation]]
) -> None:
    """Each call of a family that ``torch.nn`` refuses is refused; raises ``NonConforming``."""
    module = subject.module(call)
    device = subject.implementation.device
    judge = torchs_own(call, device)
    for violation in family(call, device):
        if (due := raised(partial(judge, *violation.arguments))) is not None:
            subject.must_refuse(call, violation.why, partial(module, *violation.arguments), due)


@torch.no_grad()
def refuses_constructions(subject: Subject, call: Call) -> None:
    """What ``torch.nn``'s constructor refuses is refused by the class's own.

    What that refuses at the call alone, as a cell does an unknown nonlinearity, may be
    refused at either. Raises ``NonConforming``.
    """
    cls, torchs = subject.implementation.module_class, getattr(torch.nn, call.config.kind.value)
    given, device = subject.arguments(call), subject.implementation.device

    def use(cls: Any, keywords: Mapping[str, Any], *, calling: bool) -> Any:
        module = cls(**keywords)
        return module.to(device, torch_dtype(call.dtype))(*given) if calling else module

    for why, keywords in constructions(call):
        for calling in (False, True):
            if (due := raised(partial(use, torchs, keywords, calling=calling))) is not None:
                told = {**subject.implementation.keywords(call.config), **keywords}
                act = partial(use, cls, told, calling=calling)
                subject.must_refuse(call, why, act, due)
                break


def constructions(call: Call) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """ERR-1: what is wrong, and the constructor's arguments, one of them wrong."""
    config = call.config
    size, hidden = config.input_size, config.hidden_size
    wrong: list[tuple[str, Any]] = [
        *(("input_size", value) for value in (0, -1, -size, float(size), size + 0.5)),
        *(("hidden_size", value) for value in (0, -1, -hidden, float(hidden), hidden + 0.5)),
        *(("nonlinearity", value) for value in ("sigmoid", "TANH", "")),
        *(("proj_size", value) for value in (-1, hidden, hidden + 1)),
    ]
    if not config.kind.is_cell:
        wrong += (("num_layers", value) for value in (0, -1, 1.0, 2.5))
        wrong += (("dropout", value) for value in (-0.1, 1.1, 2, float("nan"), True, False))
    if config.kind is not Kind.LSTM:
        wrong += [("proj_size", 1)]
    if config.kind.layer is not Kind.RNN:
        wrong += [("nonlinearity", "relu")]
    for name, value in wrong:
        yield f"{name}={value!r}", {**config.arguments(), name: value}


def inputs(call: Call, device: str) -> Iterator[Violation]:
    """ERR-2, CEL-4: input of a wrong number of features or of dimensions."""
    data, *state = arguments(call, device)
    features = data.data if isinstance(data, PackedSequence) else data
    for other in _resized(features, -1):
        why = f"an input of {other.shape[-1]} features for input_size={call.config.input_size}"
        given = data._replace(data=other) if isinstance(data, PackedSequence) else other
        yield Violation(why, (given, *state))
    if isinstance(data, PackedSequence):
        return
    rank = 2 if call.config.kind.is_cell else 3
    whole = data if data.dim() == rank else data.unsqueeze(-2)
    wrong = [whole[None], whole[None, None], whole.unsqueeze(-2), data.flatten()[0]]
    if not call.config.kind.is_cell:
        wrong.append(data.flatten()[: call.config.input_size])
    for other in wrong:
        why = f"an input of {other.dim()} dimensions"
        yield Violation(why, (other,))
        if state:
            yield Violation(f"{why}, with a state", (other, *state))


def states(call: Call, device: str) -> Iterator[Violation]:
    """ERR-3, CEL-4: a state of a wrong size, number of dimensions or structure."""
    given, legal = _given(call, device)
    for number, name in enumerate(legal):
        for why, other in _misshapen(call, legal[name]):
            changed = {**legal, name: other}
            yield Violation(f"{name} {why}", (given, _state(changed)))
        if len(legal) > 1 and number == 0:
            yield Violation("a lone h_0 for a state", (given, legal[name]))
    h_0 = legal["h_0"]
    yield Violation("a tuple (h_0,) for a state", (given, (h_0,)))
    if len(legal) == 1:
        yield Violation("a tuple (h_0, h_0) for a state", (given, (h_0, h_0)))
        return
    yield Violation("a tuple of three tensors for a state", (given, (*legal.values(), h_0)))
    yield Violation(
        "a tensor of h_0 and c_0 side by side", (given, torch.cat([*legal.values()], -1))
    )


def dtypes(call: Call, device: str) -> Iterator[Violation]:
    """An input or a state of a dtype that is not the weights'."""
    yield from input_dtypes(call, device)
    yield from state_dtypes(call, device)


def input_dtypes(call: Call, device: str) -> Iterator[Violation]:
    """TYP-2: an input of a dtype that is not the weights'."""
    data, legal = _given(call, device)
    for dtype, name in _other_dtypes(call):
        # Not PackedSequence.to, which would leave some of them as they are.
        packed = isinstance(data, PackedSequence)
        cast = data._replace(data=data.data.to(dtype)) if packed else data.to(dtype)
        yield Violation(f"{name} input for {call.dtype} weights", (cast,))
        yield Violation(f"{name} input for {call.dtype} weights and state", (cast, _state(legal)))


def state_dtypes(call: Call, device: str) -> Iterator[Violation]:
    """ERR-4: a state of a dtype that is not the weights'."""
    data, legal = _given(call, device)
    for dtype, name in _other_dtypes(call):
        for state, array in legal.items():
            other = {**legal, state: array.to(dtype)}
            yield Violation(f"{name} {state} for {call.dtype} weights", (data, _state(other)))


def _other_dtypes(call: Call) -> Iterator[tuple[torch.dtype, str]]:
    for dtype in DTYPES:
        if dtype != torch_dtype(call.dtype):
            yield dtype, str(dtype).removeprefix("torch.")


def no_steps(call: Call, device: str) -> Iterator[Violation]:
    """SHP-5: a sequence of no steps, with and without a state; none of a packed one."""
    empty = call.replace(input=call.input[:0], lengths=None)
    data, legal = _given(empty, device)
    yield Violation("a sequence of no steps", (data,))
    yield Violation("a sequence of no steps, with a state", (data, _state(legal)))


def _given(call: Call, device: str) -> tuple[Any, dict[str, Tensor]]:
    """The input, and a legal state for it by name, whether the call has one or not."""
    results = {"h_0": "h_n", "c_0": "c_n"}
    names = ("h_0", "c_0") if call.config.kind.has_cell_state else ("h_0",)
    dtype = torch_dtype(call.dtype)
    legal = {
        name: torch.full(call.given_shape(results[name]), 0.25, dtype=dtype, device=device)
        for name in names
    }
    return arguments(call, device)[0], legal


def _state(tensors: Mapping[str, Tensor]) -> Any:
    """As a layer takes it: a tensor, or a pair for LSTM."""
    return tuple(tensors.values()) if len(tensors) > 1 else tensors["h_0"]


def _misshapen(call: Call, legal: Tensor) -> Iterator[tuple[str, Tensor]]:
    """A state that is wrong in one dimension, or in how many it has."""
    axes = ["features"] if call.unbatched else ["samples", "features"]
    if not call.config.kind.is_cell:
        axes.insert(0, "layers and directions")
    for axis, name in enumerate(axes):
        for other in _resized(legal, axis):
            yield f"of {other.shape[axis]} {name} instead of {legal.shape[axis]}", other
    others = [legal[None], legal[None, None, None], legal[0], legal.unsqueeze(1)]
    if legal.dim() > 1:
        others += [legal[:, 0], legal.transpose(0, 1), legal.transpose(-1, -2)]
    # torch.nn's cells read a 2-D state of unbatched input past its end where its first size
    # is the hidden size: it looks no further before it computes.
    unsafe = call.config.hidden_size if call.config.kind.is_cell and call.unbatched else None
    for other in others:
        if other.dim() == 2 and other.shape[0] == unsafe:
            continue
        if other.shape != legal.shape:
            yield f"of shape {tuple(other.shape)} instead of {tuple(legal.shape)}", other


def _resized(legal: Tensor, axis: int) -> Iterator[Tensor]:
    """The same along one axis with one element, one fewer, one more and twice as many."""
    size = legal.shape[axis]
    for other in sorted({1, max(size - 1, 1), size + 1, 2 * size} - {size}):
        yield legal.index_select(axis, torch.arange(other, device=legal.device) % size)

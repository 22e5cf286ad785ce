"""Illegal constructions and calls, each one departure from a legal call.

A departure is wrong in one place, and where it can be in the ways that tempt an
implementation: a size of one, which broadcasts; a larger one, which could be truncated; a
smaller one; none at all. Of a pair of states each is wrong alone, and both alike, which who
compares them with each other does not see. ``torch.nn`` itself is the judge: what it answers is
not illegal.
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


def refused(judge: Callable[[], Any]) -> Exception | None:
    """What ``torch.nn`` raises, whichever of its kernels it has; ``None`` where one answers.

    A ``c_0`` of another dtype is refused by oneDNN alone, which some builds and calls do without.
    """
    error = raised(judge)
    if error is None:
        return None
    # Its context manager sets the precision, too, and warns of that.
    mkldnn: Any = torch.backends.mkldnn
    enabled = mkldnn.enabled
    mkldnn.enabled = False
    try:
        return error if raised(judge) is not None else None
    finally:
        mkldnn.enabled = enabled


@torch.no_grad()
def refuses_calls(
    subject: Subject, call: Call, family: Callable[[Call, str], Iterator[Violation]]
) -> None:
    """Each call of a family that ``torch.nn`` refuses is refused; raises ``NonConforming``."""
    module = subject.module(call)
    device = subject.implementation.device
    judge = torchs_own(call, device)
    for violation in family(call, device):
        if (due := refused(partial(judge, *violation.arguments))) is not None:
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
    wrong = [whole[None], whole[None, None], whole.unsqueeze(-2), data.new_zeros(())]
    if not call.config.kind.is_cell:
        wrong.append(data.new_zeros(call.config.input_size))
    for other in wrong:
        why = f"an input of {other.dim()} dimensions"
        yield Violation(why, (other,))
        if state:
            yield Violation(f"{why}, with a state", (other, *state))


def states(call: Call, device: str) -> Iterator[Violation]:
    """ERR-3, CEL-4: a state of a wrong size, number of dimensions or structure."""
    given, legal = _given(call, device)
    for why, change in _changes(call):
        changed = {name: change(state) for name, state in legal.items()}
        wrong = [name for name in legal if changed[name].shape != legal[name].shape]
        if not wrong or any(_unsafe(call, state, device) for state in changed.values()):
            continue
        for name in wrong:
            state = _state({**legal, name: changed[name]})
            yield Violation(f"{name} {why} ({_shapes(legal, changed, name)})", (given, state))
        if len(wrong) > 1:
            shapes = _shapes(legal, changed, *wrong)
            yield Violation(f"h_0 and c_0 {why} ({shapes})", (given, _state(changed)))
    if len(legal) > 1:
        yield Violation("a lone h_0 for a state", (given, legal["h_0"]))
    h_0 = legal["h_0"]
    yield Violation("a tuple (h_0,) for a state", (given, (h_0,)))
    if len(legal) == 1:
        yield Violation("a tuple (h_0, h_0) for a state", (given, (h_0, h_0)))
        return
    yield Violation("a tuple of three tensors for a state", (given, (*legal.values(), h_0)))
    yield Violation(
        "a tensor of h_0 and c_0 side by side", (given, torch.cat([*legal.values()], -1))
    )


def input_dtypes(call: Call, device: str) -> Iterator[Violation]:
    """TYP-2: an input of a dtype that is not the weights'."""
    data, legal = _given(call, device)
    for dtype, name in _other_dtypes(call):
        # Not PackedSequence.to, which would leave some of them as they are.
        packed = isinstance(data, PackedSequence)
        cast = data._replace(data=data.data.to(dtype)) if packed else data.to(dtype)
        yield Violation(f"{name} input for {call.dtype} weights", (cast,))
        yield Violation(f"{name} input for {call.dtype} weights and state", (cast, _state(legal)))
        others = _state({state: array.to(dtype) for state, array in legal.items()})
        yield Violation(f"{name} input and state for {call.dtype} weights", (cast, others))


def state_dtypes(call: Call, device: str) -> Iterator[Violation]:
    """ERR-4: a state of a dtype that is not the weights'."""
    data, legal = _given(call, device)
    for dtype, name in _other_dtypes(call):
        others = {state: array.to(dtype) for state, array in legal.items()}
        for state, array in others.items():
            other = {**legal, state: array}
            yield Violation(f"{name} {state} for {call.dtype} weights", (data, _state(other)))
        if len(legal) > 1:
            why = f"{name} h_0 and c_0 for {call.dtype} weights"
            yield Violation(why, (data, _state(others)))


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


def _changes(call: Call) -> Iterator[tuple[str, Callable[[Tensor], Tensor]]]:
    """What makes a state wrong in one dimension, or in how many it has, and what that is."""
    axes = ["features"] if call.unbatched else ["samples", "features"]
    if not call.config.kind.is_cell:
        axes.insert(0, "layers and directions")
    for axis, name in enumerate(axes):
        for words, size in SIZES.items():
            yield f"of {words} {name}", partial(_cycled, axis=axis, size=size)
    yield "of one dimension more", lambda state: state[None]
    yield "of three dimensions more", lambda state: state[None, None, None]
    yield "with an axis in between", lambda state: state.unsqueeze(1)
    yield "for three samples", lambda state: state.expand(3, *state.shape).movedim(0, -2)
    yield "without the first axis", lambda state: state.new_full(state.shape[1:], 0.25)
    if len(axes) > 1:
        yield (
            "without the second axis",
            lambda state: state.new_full((len(state), *state.shape[2:]), 0.25),
        )
        yield "with its first axes swapped", lambda state: state.transpose(0, 1)
        yield "with its last axes swapped", lambda state: state.transpose(-1, -2)


SIZES: dict[str, Callable[[int], int]] = {
    "no": lambda size: 0,
    "one of the": lambda size: 1,
    "too few": lambda size: max(size - 1, 1),
    "too many": lambda size: size + 1,
    "twice as many": lambda size: 2 * size,
}
"""Wrong sizes, where they are not right ones."""


def _shapes(legal: Mapping[str, Tensor], changed: Mapping[str, Tensor], *names: str) -> str:
    return ", ".join(
        f"{tuple(changed[name].shape)} instead of {tuple(legal[name].shape)}" for name in names
    )


def _unsafe(call: Call, state: Tensor, device: str) -> bool:
    """Whether torch.nn reads it past its end.

    Its cells do with a 2-D state of unbatched input where its first size is the hidden size: they
    look no further before they compute. Its layers sort a state as the packed sequences are
    sorted before they look at its size; on an accelerator, whose kernels cannot refuse, that
    stops the device for the rest of the process.
    """
    if call.config.kind.is_cell:
        return call.unbatched and state.dim() == 2 and state.shape[0] == call.config.hidden_size
    return device != "cpu" and call.lengths is not None


def _resized(legal: Tensor, axis: int) -> Iterator[Tensor]:
    """The same along one axis with none, one element, one fewer, one more and twice as many."""
    size = legal.shape[axis]
    for other in sorted({change(size) for change in SIZES.values()} - {size}):
        yield _cycled(legal, axis, lambda size, other=other: other)  # type: ignore[misc]


def _cycled(legal: Tensor, axis: int, size: Callable[[int], int]) -> Tensor:
    """Of another size along one axis, the numbers over again; any, where there are none."""
    shape = list(legal.shape)
    shape[axis] = size(legal.shape[axis])
    if not legal.shape[axis]:
        return legal.new_full(shape, 0.25)
    index = torch.arange(shape[axis], device=legal.device) % legal.shape[axis]
    return legal.index_select(axis, index)

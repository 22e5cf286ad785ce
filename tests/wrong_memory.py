"""Functions over NumPy arrays that are wrong in what they do with memory, or with threads."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

from wrong_declarations import function

from rnn_conformance.functions import FunctionImplementation
from rnn_conformance.spec import Config


def flat(returned: Any) -> list[Any]:
    """The arrays that came back."""
    if isinstance(returned, tuple):
        return [array for each in returned for array in flat(each)]
    return [returned]


def rebuilt(returned: Any, arrays: list[Any]) -> Any:
    """Other arrays in the same structure."""
    if isinstance(returned, tuple):
        return tuple(rebuilt(each, arrays) for each in returned)
    return arrays.pop(0)


def scales_in_place(layer: Callable[..., Any], config: Config) -> Callable[..., Any]:
    """The input is scaled where it lies."""

    def called(input: Any, *rest: Any) -> Any:
        input *= 0.5
        return layer(input, *rest)

    return called


def writes_the_state_back(layer: Callable[..., Any], config: Config) -> Callable[..., Any]:
    """The caller's state becomes the final one."""

    def called(input: Any, state: Any = None, *rest: Any) -> Any:
        returned = layer(input, state, *rest)
        if state is not None:
            given = flat(state)
            for old, new in zip(given, flat(returned)[-len(given) :], strict=True):
                old[...] = new
        return returned

    return called


def returns_its_buffer(layer: Callable[..., Any], config: Config) -> Callable[..., Any]:
    """Results lie where those of the next call will lie."""
    buffers: dict[Any, Any] = {}

    def called(*arguments: Any) -> Any:
        returned = layer(*arguments)
        kept = []
        for number, array in enumerate(flat(returned)):
            buffer = buffers.setdefault((number, array.shape, array.dtype), array)
            buffer[...] = array
            kept.append(buffer)
        return rebuilt(returned, kept)

    return called


def reads_contiguously(layer: Callable[..., Any], config: Config) -> Callable[..., Any]:
    """Reads as many numbers as there are from where the input's memory begins."""

    def called(input: Any, *rest: Any) -> Any:
        base = input
        while base.base is not None:
            base = base.base
        numbers = base.ravel(order="K")[: input.size]
        return layer(numbers.reshape(input.shape) if numbers.size == input.size else input, *rest)

    return called


def sometimes_stale(layer: Callable[..., Any], config: Config) -> Callable[..., Any]:
    """Now and then, something is added."""

    def called(*arguments: Any) -> Any:
        returned = layer(*arguments)
        wrong = 0.25 * (random.random() < 0.1)
        return rebuilt(returned, [array + array.dtype.type(wrong) for array in flat(returned)])

    return called


def shares_scratch(layer: Callable[..., Any], config: Config) -> Callable[..., Any]:
    """All calls put their arguments into the same place."""
    scratch: list[Any] = [()]

    def called(*arguments: Any) -> Any:
        scratch[0] = arguments
        time.sleep(0.0)
        return layer(*scratch[0])

    return called


WRONG_FUNCTIONS: dict[str, tuple[FunctionImplementation, str]] = {
    change.__name__: (function(change), clause)
    for change, clause in (
        (scales_in_place, "MEM-1"),
        (writes_the_state_back, "MEM-1"),
        (returns_its_buffer, "MEM-3"),
        (reads_contiguously, "MEM-2"),
        (sometimes_stale, "DET-1"),
        (shares_scratch, "DET-2"),
    )
}

"""Functions over NumPy arrays that are wrong in their memory, threads or gradients' shapes."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from rnn_conformance.implementations.interface import Declaration
from rnn_conformance.implementations.numpy_function import FunctionImplementation
from rnn_conformance.mutants.equations import Equations, differentiated
from rnn_conformance.mutants.mutant import Chapter
from rnn_conformance.spec.config import Config, Dtype, Feature, Kind, Level

FUNCTIONS = Chapter("Functions over arrays")

Change = Callable[[Callable[..., Any], Config], Callable[..., Any]]
"""From a layer to what is called in its place."""


def function(
    name: str,
    kind: Kind,
    change: Change,
    *,
    without: Feature | None = None,
    config: Callable[[Config], Config] = lambda config: config,
) -> FunctionImplementation:
    """The oracle as a function, changed around its layer and in its configuration."""

    def build(asked: Config, parameters: Mapping[str, Any]) -> Callable[..., Any]:
        made = config(asked)
        weights = {name: parameters[name] for name in made.parameter_shapes if name in parameters}
        return change(Equations(made, weights), asked)

    declaration = Declaration(
        frozenset({kind}),
        Feature.of(kind) - {Feature.DROPOUT, without},
        frozenset({Dtype.FLOAT32, Dtype.FLOAT64}),
        Level.INFERENCE,
    )
    return FunctionImplementation(name, declaration, build_layer=build)


def _add(name: str, breaks: str) -> Callable[[Change], Change]:
    def add(change: Change) -> Change:
        FUNCTIONS.put(name, breaks, partial(_make, name, change))
        return change

    return add


def _make(name: str, change: Change, kind: Kind) -> FunctionImplementation:
    return function(name, kind, change)


def flat(returned: Any) -> list[Any]:
    """The arrays that came back."""
    if isinstance(returned, tuple):
        return [array for item in returned for array in flat(item)]
    return [returned]


def rebuilt(returned: Any, arrays: list[Any]) -> Any:
    """Other arrays in the same structure."""
    if isinstance(returned, tuple):
        return tuple(rebuilt(item, arrays) for item in returned)
    return arrays.pop(0)


@_add("the input array scaled where it lies", "MEM-1")
def _scales_in_place(layer: Callable[..., Any], config: Config) -> Callable[..., Any]:
    def called(input: Any, *rest: Any) -> Any:
        input *= 0.5
        return layer(input, *rest)

    return called


@_add("the final state written into the caller's array", "MEM-1")
def _writes_the_state_back(layer: Callable[..., Any], config: Config) -> Callable[..., Any]:
    def called(input: Any, state: Any = None, *rest: Any) -> Any:
        returned = layer(input, state, *rest)
        if state is not None:
            given = flat(state)
            for old, new in zip(given, flat(returned)[-len(given) :], strict=True):
                old[...] = new
        return returned

    return called


@_add("result arrays that the next call uses again", "MEM-3")
def _returns_its_buffer(layer: Callable[..., Any], config: Config) -> Callable[..., Any]:
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


@_add("input arrays read from where their memory begins, whatever their strides", "MEM-2")
def _reads_contiguously(layer: Callable[..., Any], config: Config) -> Callable[..., Any]:
    def called(input: Any, *rest: Any) -> Any:
        base = input
        while base.base is not None:
            base = base.base
        numbers = base.ravel(order="K")[: input.size]
        return layer(numbers.reshape(input.shape) if numbers.size == input.size else input, *rest)

    return called


# Counted over all layers of one implementation, since a check may build one for each case.
def _sometimes_stale(name: str, kind: Kind) -> FunctionImplementation:
    calls = itertools.count()

    def change(layer: Callable[..., Any], config: Config) -> Callable[..., Any]:
        def called(*arguments: Any) -> Any:
            returned = layer(*arguments)
            wrong = 0.25 * (next(calls) % 7 == 6)
            return rebuilt(returned, [array + array.dtype.type(wrong) for array in flat(returned)])

        return called

    return function(name, kind, change)


_STALE = "an array of stale numbers counted in at every seventh call"
FUNCTIONS.put(_STALE, "DET-1", partial(_sometimes_stale, _STALE))


@_add("its argument arrays kept in a place that threads share", "DET-2")
def _shares_scratch(layer: Callable[..., Any], config: Config) -> Callable[..., Any]:
    scratch: list[Any] = [()]

    def called(*arguments: Any) -> Any:
        scratch[0] = arguments
        time.sleep(0.0)
        return layer(*scratch[0])

    return called


class _FlattensAGradient(Equations):
    def vjp(self, cotangents: Mapping[str, Any], *arguments: Any) -> dict[str, Any]:
        gradients = super().vjp(cotangents, *arguments)
        return gradients | {"input": gradients["input"].reshape(-1)}


_FLAT = "the gradient of its input array in one axis"
FUNCTIONS.put(_FLAT, "GRD-1", lambda kind: differentiated(_FLAT, kind, build=_FlattensAGradient))

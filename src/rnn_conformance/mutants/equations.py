"""The oracle as somebody's implementation, so that nothing but its one deviation is wrong.

It computes in float64, and rounds to the dtype what it hands over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rnn_conformance.deviations import Deviant
from rnn_conformance.implementations.interface import Declaration, Implementation, Layer
from rnn_conformance.implementations.numpy_function import FunctionImplementation
from rnn_conformance.reference.derivatives import Adjoint
from rnn_conformance.reference.oracle import Oracle
from rnn_conformance.spec.backward import Backward
from rnn_conformance.spec.calls import Arguments, Call, LayerSpec
from rnn_conformance.spec.cases import rounded
from rnn_conformance.spec.config import Config, Dtype, Feature, Kind, Level, Role
from rnn_conformance.spec.result import Result

Floats: TypeAlias = NDArray[Any]
Answering: TypeAlias = Callable[[Call], tuple[dict[str, Floats], dict[str, str]]]
"""From a call to its results, in the call's layout, and their dtypes."""


@dataclass(frozen=True, eq=False)
class Miniature(Implementation):
    """An implementation for inference, of one kind, with everything that ``torch.nn``'s has.

    ``start`` makes the function that answers the calls of one layer.
    """

    start: Callable[[], Answering] = field(kw_only=True)

    @classmethod
    def of(cls, name: str, kind: Kind, start: Callable[[], Answering]) -> Miniature:
        """With the declaration that is due."""
        declaration = Declaration(
            frozenset({kind}), Feature.of(kind), frozenset(Dtype), Level.INFERENCE
        )
        return cls(name, declaration, start=start)

    def build(self, layer: LayerSpec) -> Layer:
        """A layer that has these parameters."""
        function = self.start()

        def answer(arguments: Arguments) -> Result:
            if arguments.length == 0 or arguments.dtype is not layer.dtype:
                raise ValueError("a layer takes at least one step, in its weights' dtype")
            call = Call(layer, arguments)
            return self.result(call, function(call))

        return answer

    def arguments(self, call: Call) -> tuple[Any, ...]:
        """The call itself: there is nothing to adapt to."""
        return (call,)

    def result(self, call: Call, returned: Any) -> Result:
        """From results and their dtypes."""
        given, dtypes = returned
        return Result(
            call,
            {name: array.astype(np.float64) for name, array in given.items()},
            dtypes,
            dict.fromkeys(given, "cpu"),
        )

    def script(self, call: Call) -> None:
        """There is none: it takes calls as this package has them."""


def miniature(name: str, kind: Kind, oracle: type[Deviant]) -> Miniature:
    """What an oracle answers, rounded to the dtype in which it hands it over."""

    def start() -> Answering:
        layer = oracle()

        def function(call: Call) -> tuple[dict[str, Floats], dict[str, str]]:
            dtypes = layer.dtypes(call)
            # Overflow is what rounding a number too large for the dtype must give.
            with np.errstate(over="ignore"):
                given: dict[str, Floats] = {
                    result: rounded(array, Dtype(dtypes[result]))
                    for result, array in layer.results(call).items()
                }
            return given, dtypes

        return function

    return Miniature.of(name, kind, start)


class Equations:
    """The oracle as a function over NumPy arrays, with its derivative for a ``vjp``."""

    adjoint: type[Adjoint] = Adjoint

    def __init__(self, config: Config, parameters: Mapping[str, Any]) -> None:
        self.config = config
        self.parameters = {name: a.astype(np.float64) for name, a in parameters.items()}
        first = parameters[config.parameter_name(Role.WEIGHT_IH, 0, 0)]
        self.dtype = Dtype(str(first.dtype))

    def call(self, input: Any, state: Any = None, lengths: Any = None) -> Call:
        """The canonical call."""
        cell = self.config.kind.is_cell
        unbatched = input.ndim == 2 - cell
        data = input[None] if cell else input
        if unbatched:
            data = data[:, None]
        elif self.config.batch_first:
            data = data.swapaxes(0, 1)
        states = () if state is None else state if isinstance(state, tuple) else (state,)
        full = [s[None] if cell else s for s in states]
        full = [s[:, None] if unbatched else s for s in full]
        h_0, c_0 = ([s.astype(np.float64) for s in full] + [None, None])[:2]
        return Call.of(
            self.config,
            self.dtype,
            self.parameters,
            data.astype(np.float64),
            h_0,
            c_0,
            lengths=None if lengths is None else tuple(map(int, lengths)),
            unbatched=unbatched,
        )

    def given(self, call: Call, name: str, array: Floats) -> Floats:
        """An array as the caller receives it."""
        narrow = rounded(array, self.dtype).astype(self.dtype.value)
        return narrow if name in self.parameters else call.give(name, narrow)

    def __call__(self, *arguments: Any) -> Any:
        """The results."""
        call = self.call(*arguments)
        with np.errstate(invalid="ignore"):
            answer = Oracle().answer(call)
        results = [self.given(call, name, getattr(answer, name)) for name in call.results]
        states = tuple(results[1 - self.config.kind.is_cell :])
        state = states if self.config.kind.has_cell_state else states[0]
        return state if self.config.kind.is_cell else (results[0], state)

    def vjp(self, cotangents: Mapping[str, Any], *arguments: Any) -> dict[str, Any]:
        """The gradients."""
        call = self.call(*arguments)
        canonical = {n: call.take(n, a).astype(np.float64) for n, a in cotangents.items()}
        backward = Backward(call, canonical)
        with np.errstate(invalid="ignore"):
            answer = Oracle().answer(call)
            gradients = self.adjoint().derivative(backward, answer).gradients
            return {n: self.given(call, n, gradients[n]) for n in backward.arguments}


def differentiated(
    name: str, kind: Kind, adjoint: type[Adjoint] = Adjoint, build: type[Equations] = Equations
) -> FunctionImplementation:
    """An implementation for training: the oracle, and what is taken for its derivative."""

    def build_layer(config: Config, parameters: Mapping[str, Any]) -> Equations:
        layer = build(config, parameters)
        layer.adjoint = adjoint
        return layer

    declaration = Declaration(
        frozenset({kind}),
        Feature.of(kind) - {Feature.DROPOUT},
        frozenset({Dtype.FLOAT32, Dtype.FLOAT64}),
        Level.TRAINING,
    )
    return FunctionImplementation(name, declaration, build_layer=build_layer)

"""A call's backward pass: what goes in at its results, and what comes out at its arguments.

A *cotangent* is the gradient of some scalar with respect to a result; the backward pass
turns the cotangents of the results into the gradients of the arguments and parameters,
which makes it a vector-Jacobian product. Arrays are canonical (see ``calls``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import ClassVar

import numpy as np

from rnn_conformance.errors import NonConforming, Sort
from rnn_conformance.spec.arrays import Array, ByValue, frozen
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.config import Shape
from rnn_conformance.spec.result import Quantity


@dataclass(frozen=True, eq=False)
class Backward(ByValue):
    """A backward pass through ``call``.

    ``cotangents`` are those of the results that are used, by name; a result without one
    is not used at all. They are zero on the padding, which belongs to no sequence.

    Raises ``ValueError`` for cotangents that do not fit the call's results.
    """

    call: Call
    cotangents: Mapping[str, Array]

    def __post_init__(self) -> None:
        expected = {name: self.call.shape(name) for name in self.call.results}
        shapes = {name: array.shape for name, array in self.cotangents.items()}
        if not shapes or not shapes.items() <= expected.items():
            raise ValueError(f"cotangents {shapes} are not some of {expected}")
        if "output" in shapes and self.cotangents["output"][~self.call.steps].any():
            raise ValueError("the padding has no cotangent but zero")
        kept = {name: frozen(array) for name, array in self.cotangents.items()}
        object.__setattr__(self, "cotangents", MappingProxyType(kept))

    @property
    def arguments(self) -> tuple[str, ...]:
        """What has a gradient: ``input``, the states that are given, the parameters."""
        return ("input", *self.call.arguments.states, *self.call.parameters)

    def shape(self, argument: str) -> Shape:
        """The shape of an argument's gradient as the caller must receive it: its own."""
        if argument in self.call.parameters:
            return self.call.parameters[argument].shape
        return self.call.give(argument, getattr(self.call, argument)).shape

    @property
    def described(self) -> str:
        """What is done, in words."""
        return f"the backward pass through {' and '.join(self.cotangents)}"


def gradient_of(argument: str) -> str:
    """What an argument's gradient is called in messages and records."""
    return f"gradient of {argument}"


@dataclass(frozen=True, eq=False)
class Gradients:
    """What an implementation's backward pass gave.

    ``given`` are the gradients by argument, in the layout in which they came; ``None``,
    or nothing, where no gradient arrived, which is how frameworks say zero. ``tf32`` as in
    a :class:`~rnn_conformance.spec.result.Result`.
    """

    backward: Backward
    given: Mapping[str, Array | None]
    tf32: bool = False

    quantity: ClassVar[Quantity] = Quantity.GRADIENTS

    @property
    def call(self) -> Call:
        """The call through which was passed back."""
        return self.backward.call

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the arguments that have a gradient."""
        return self.backward.arguments

    def __getitem__(self, argument: str) -> Array:
        """The gradient of this argument, canonical; raises ``NonConforming`` for its shape."""
        call, expected = self.call, self.backward.shape(argument)
        array = self.given.get(argument)
        if array is None:
            array = np.zeros(expected)
        if array.shape != expected:
            raise NonConforming(
                f"the {gradient_of(argument)} has the shape {array.shape} instead of {expected}",
                sort=Sort.SHAPE,
                calls=(call,),
                array=argument,
                gradient=True,
                expected=expected,
                got=array.shape,
                backward=self.backward,
            )
        return array if argument in call.parameters else call.take(argument, array)


@lru_cache(maxsize=1024)
def drawn(call: Call, seed: int, *results: str) -> Backward:
    """A backward pass with normal cotangents at the results of these names (default: all).

    Multiples of a sixteenth, which every dtype represents; none is zero.
    """
    rng = np.random.default_rng([seed, 1])
    cotangents = {}
    for name in call.results:
        values = np.rint(16.0 * rng.standard_normal(call.shape(name))) / 16.0
        values[values == 0.0] = 0.0625
        if name == "output":
            values[~call.steps] = 0.0
        if not results or name in results:
            cotangents[name] = values
    return Backward(call, cotangents)

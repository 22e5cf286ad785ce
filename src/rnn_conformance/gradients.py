"""A call's backward pass: what goes in at its results, and what comes out at its arguments.

A *cotangent* is the gradient of some scalar with respect to a result; the backward pass
turns the cotangents of the results into the gradients of the arguments and parameters,
which makes it a vector-Jacobian product. Arrays are canonical (see ``calls``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from rnn_conformance.calls import Array, Call
from rnn_conformance.errors import NonConforming
from rnn_conformance.spec import Shape

GRADIENT = "gradient of "
"""What the name of an argument's gradient begins with, in messages and records."""


@dataclass(frozen=True, eq=False)
class Backward:
    """A backward pass through ``call``.

    ``cotangents`` are those of the results that are used, by name; a result without one
    is not used at all. They are zero on the padding, which belongs to no sequence.
    Compared by identity, as calls are.

    Raises ``ValueError`` for cotangents that do not fit the call's results.
    """

    call: Call
    cotangents: Mapping[str, Array]

    def __post_init__(self) -> None:
        due = {name: self.call.shape(name) for name in self.call.results}
        found = {name: array.shape for name, array in self.cotangents.items()}
        if not found or not found.items() <= due.items():
            raise ValueError(f"cotangents {found} are not some of {due}")
        if "output" in found and self.cotangents["output"][~self.call.steps].any():
            raise ValueError("the padding has no cotangent but zero")

    @property
    def arguments(self) -> tuple[str, ...]:
        """What has a gradient: ``input``, the states that are given, the parameters."""
        states = [name for name in ("h_0", "c_0") if getattr(self.call, name) is not None]
        return ("input", *states, *self.call.parameters)

    def shape(self, argument: str) -> Shape:
        """The shape of an argument's gradient as the caller must receive it: its own."""
        if argument in self.call.parameters:
            return self.call.parameters[argument].shape
        return self.call.give(argument, getattr(self.call, argument)).shape

    @property
    def described(self) -> str:
        """What is done, in words."""
        return f"the backward pass through {' and '.join(self.cotangents)}"


@dataclass(frozen=True, eq=False)
class Gradients:
    """What an implementation's backward pass gave.

    ``given`` are the gradients by argument, in the layout in which they came; ``None``,
    or nothing, where no gradient arrived, which is how frameworks say zero.
    """

    backward: Backward
    given: Mapping[str, Array | None]

    def __getitem__(self, argument: str) -> Array:
        """The gradient of this argument, canonical; raises ``NonConforming`` for its shape."""
        call, due = self.backward.call, self.backward.shape(argument)
        array = self.given.get(argument)
        if array is None:
            array = np.zeros(due)
        if array.shape != due:
            raise NonConforming(
                f"the {GRADIENT}{argument} has the shape {array.shape} instead of {due}",
                calls=(call,),
                array=GRADIENT + argument,
                expected=due,
                got=array.shape,
            )
        return array if argument in call.parameters else call.take(argument, array)


@lru_cache(maxsize=1024)
def drawn(call: Call, seed: int, *results: str) -> Backward:
    """A backward pass with normal cotangents at the results of these names (default: all).

    Multiples of a sixteenth, which every dtype represents; none is zero. The same object
    while it is in use.
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

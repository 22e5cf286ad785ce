"""What came back from a call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from rnn_conformance.errors import NonConforming, Sort
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.config import Shape, Storage


class Quantity(StrEnum):
    """What an implementation gives: the results of a call, or the gradients of one."""

    RESULTS = "results"
    GRADIENTS = "gradients"


@dataclass(frozen=True, eq=False)
class Result:
    """What an implementation answered to a call.

    ``given`` are the arrays by name, in the layout in which they came; as attributes
    they are canonical. ``dtypes`` and ``devices`` are theirs as they came. ``packed`` is
    the bookkeeping of a packed output (``batch_sizes``, ``sorted_indices``,
    ``unsorted_indices``), where the implementation packs. ``tf32`` says that, as declared,
    float32 numbers were multiplied in TF32, ``weights`` in what the weights are kept.
    """

    call: Call
    given: Mapping[str, Array]
    dtypes: Mapping[str, str]
    devices: Mapping[str, str]
    packed: Mapping[str, tuple[int, ...] | None] | None = None
    tf32: bool = False
    weights: Storage | None = None
    quantity: ClassVar[Quantity] = Quantity.RESULTS

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the arrays."""
        return self.call.results

    def __getitem__(self, name: str) -> Array:
        """The array of this name, canonical.

        Its shape is checked when it is asked for, so that a wrong shape of one result
        does not hide what is right with another. Raises ``NonConforming``.
        """
        array = self.given[name]
        shaped_as_due(self.call, name, array.shape)
        return self.call.take(name, array)

    @property
    def output(self) -> Array:
        """``(L, N, D*H_out)``; a cell's output is its ``h``."""
        return self["h_n" if self.call.config.kind.is_cell else "output"]

    @property
    def h_n(self) -> Array:
        """``(D*K, N, H_out)``."""
        return self["h_n"]

    @property
    def c_n(self) -> Array:
        """``(D*K, N, H)``, for LSTM alone."""
        return self["c_n"]


def shaped_as_due(call: Call, name: str, shape: Shape) -> None:
    """A result of this name came in the shape that is due; raises ``NonConforming``."""
    expected = call.given_shape(name)
    if shape != expected:
        raise NonConforming(
            f"{name} has the shape {shape} instead of {expected}" + _hint(call, name, shape),
            sort=Sort.SHAPE,
            calls=(call,),
            array=name,
            expected=expected,
            got=shape,
        )


def _hint(call: Call, name: str, shape: Shape) -> str:
    """What a wrong shape looks like, where it looks like a known mistake."""
    expected = call.given_shape(name)
    if len(expected) == 3 and shape == (expected[1], expected[0], expected[2]):
        if name == "output":
            return ": steps and samples are swapped, as with the other batch_first"
        return ": states are never batch-first"
    if name == "output" and len(expected) == 3:
        if len(shape) == 2 and shape[0] == expected[0] * expected[1]:
            return ": steps and samples are concatenated into one axis"
        if len(shape) == 3 and shape[:2] == expected[:2]:
            return ": right steps and samples, but not D * H_out features"
    if name != "output" and len(expected) == 3 and shape == expected[1:]:
        return ": the axis of layers and directions is missing; one layer has it too"
    return ""

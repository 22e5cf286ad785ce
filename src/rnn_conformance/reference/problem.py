"""What the reference is asked: a call, and what it alone has to know of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rnn_conformance.reference.formats import Format
from rnn_conformance.reference.oracle import Masks
from rnn_conformance.spec.arrays import ByValue
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.config import Storage


@dataclass(frozen=True, eq=False)
class Problem(ByValue):
    """A call; ``masks``, what dropout drew in it, if it acted; and the arithmetic.

    ``tf32`` says that the implementation multiplies float32 numbers in TF32, ``weights`` in
    what it keeps its weights, if in fewer digits than it computes.

    Raises ``ValueError`` for masks that do not fit the call.
    """

    call: Call
    masks: Masks | None = None
    tf32: bool = False
    weights: Storage | None = None

    def __post_init__(self) -> None:
        if self.masks is not None and [mask.shape for mask in self.masks.factors] != [
            self.call.shape("output")
        ] * (self.call.config.num_layers - 1):
            raise ValueError("there must be a mask of the output's shape between any two layers")

    def samples(self, chosen: slice | NDArray[np.int_]) -> Problem:
        """The problem of some samples of the batch; of several, they have an axis of their own."""
        call = self.call.replace(unbatched=False) if self.call.unbatched else self.call
        masks = None if self.masks is None else self.masks.samples(chosen)
        return replace(self, call=call.samples(chosen), masks=masks)

    @property
    def format(self) -> Format:
        """The arithmetic in which the call is computed."""
        return Format.of(self.call.dtype, tf32=self.tf32)

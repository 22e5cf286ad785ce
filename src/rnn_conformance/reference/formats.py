"""The arithmetic of each dtype: what the bounds are made of.

Model of arithmetic (Higham, "Accuracy and Stability of Numerical Algorithms", 2nd ed.,
ch. 2–3): ``fl(a op b) = (a op b)(1 + d) + e``, ``|d| <= u``, ``|e| <= eta``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.config import Dtype


@dataclass(frozen=True)
class Format:
    """A dtype's arithmetic.

    ``u`` unit roundoff of accumulation: the half types accumulate in float32.
    ``u_s`` unit roundoff of storage. ``eta`` the largest error of an underflow: half the
    smallest subnormal of float16, and the smallest normal number of the others, since
    flushing subnormals to zero is allowed. ``largest`` the largest finite number.
    ``u_m`` roundoff of the factors of a product before they are multiplied.
    """

    u: float
    u_s: float
    eta: float
    largest: float
    u_m: float = 0.0

    @classmethod
    def of(cls, dtype: Dtype, *, tf32: bool = False) -> Format:
        """The arithmetic of a dtype; with ``tf32``, of float32 whose products are in TF32."""
        return TF32 if tf32 and dtype is Dtype.FLOAT32 else FORMATS[dtype]

    def gamma(self, terms: int) -> float:
        """``(1 + u_m)^2 (1 + gamma_n) - 1``: the relative error of a sum of ``n`` products."""
        accumulated = terms * self.u / (1.0 - terms * self.u)
        return accumulated if not self.u_m else (1.0 + self.u_m) ** 2 * (1.0 + accumulated) - 1.0

    def masking(self, mask: Array) -> float:
        """The relative error of a product with a mask, whose elements are 0 or ``1 / (1 - p)``.

        ``1 - p`` of a rounded ``p`` is off by ``u / (1 - p)``; rounded are its reciprocal and the
        product; the third unit covers the terms of higher order.
        """
        return self.u_s * (float(mask.max(initial=0.0)) + 3.0)

    def own_error(self, u: float) -> float:
        """The factor by which a bound grows by the reference's own error, at its roundoff ``u``.

        The bound is convex in the roundoff and what is left at zero roundoff is part of it,
        so at the reference's roundoff it is at most ``u / self.u`` of its value.
        """
        return 1.0 + u / self.u


FORMATS = {
    Dtype.FLOAT64: Format(2.0**-53, 2.0**-53, 2.0**-1022, float(np.finfo(np.float64).max)),
    Dtype.FLOAT32: Format(2.0**-24, 2.0**-24, 2.0**-126, float(np.finfo(np.float32).max)),
    Dtype.FLOAT16: Format(2.0**-24, 2.0**-11, 2.0**-25, 65504.0),
    Dtype.BFLOAT16: Format(2.0**-24, 2.0**-8, 2.0**-126, (2 - 2.0**-7) * 2.0**127),
}

TF32 = replace(FORMATS[Dtype.FLOAT32], u_m=2.0**-10)
"""float32 whose products see 11 bits of each factor, cut off or rounded, as the matrix units
of accelerators do (https://docs.pytorch.org/docs/stable/notes/numerical_accuracy.html)."""

KAPPA = 8.0
"""Roundoffs that an activation function may be off by: four units in the last place,
what the vector libraries in use (SLEEF's 3.5-ulp and 1-ulp versions, Intel SVML's and
libmvec's) promise, and a little for the composition of two of them."""

"""What weights lose that are kept in fewer digits: a bound on the error of each.

An implementation that is given a weight ``w`` computes with a ``w'`` of its own:

- float16 and bfloat16, all parameters: ``|w' - w| <= u |w| + eta`` by rounding to nearest, with
  the format's unit roundoff and the largest error of an underflow. What is rounded to infinity
  is lost.
- int8, the matrices, one scale each or finer: with ``m`` the largest magnitude of a matrix,
  ``w' = s round(w / s)``, ``s = m / 127``, is off by half a step, ``m / 254``. With a zero point,
  the step is the range, 0 in it and so at most ``2 m``, by 255. ``s`` and ``w / s`` are rounded
  themselves, as in float32: by ``127 * 2^-22`` of a step together, which the factor in
  :data:`HALF_A_STEP` covers. Biases are not quantized.

A sum of products inherits ``|(W + D)(x + e) - W x| <= |D| |x| + (|W| + |D|) |e|``, and its rounding
is that of terms of magnitude ``(|W| + |D|)(|x| + |e|)``.
"""

from __future__ import annotations

import numpy as np

from rnn_conformance.reference.formats import FORMATS
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.config import Dtype, Storage

HALF_A_STEP = (1.0 + 2.0**-10) / 254.0
"""By how much an element of an int8 matrix may be off, in its largest magnitude."""


def lost(kept: Storage, weight: Array) -> Array:
    """The bound ``|D|`` on what each element of a matrix or of a bias loses."""
    magnitude = np.abs(weight)
    if kept is Storage.INT8:
        step = float(magnitude.max(initial=0.0)) if weight.ndim > 1 else 0.0
        return np.full(weight.shape, HALF_A_STEP * step)
    fmt = FORMATS[Dtype(kept.value)]
    loss = fmt.u_s * magnitude + fmt.eta
    return np.where(magnitude + loss <= fmt.largest, loss, np.inf)

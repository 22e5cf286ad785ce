"""Noise of the size of one rounding: the numbers that an ensemble's members are off by."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnn_conformance.reference.formats import Format
from rnn_conformance.spec.arrays import Array

MEMBERS = 32
"""``K``: the relative standard deviation of ``S`` is ``1/sqrt(2 K)``, an eighth."""

UNIFORM = 3.0**-0.5
"""The standard deviation of what is uniform between -1 and 1."""


@cache
def _pool() -> Array:
    """Normal numbers, the same in every run: drawing them anew would cost more than the rest."""
    pool: Array = np.random.default_rng(2020).standard_normal(2**20)
    pool.flags.writeable = False
    return pool


class Noise:
    """Noise for one ensemble, from a pool; no two places share a number until it is used up."""

    def __init__(self, members: int = MEMBERS) -> None:
        self.members = members
        self.position = 0

    def draw(self, *shape: int) -> Array:
        """Standard normal numbers."""
        size, pool = int(np.prod(shape)), _pool()
        if self.position + size > len(pool):
            # Another start each time round, so that what meets again are other neighbours.
            self.position = (self.position * 7919) % 65537
        if size > len(pool) - self.position:
            numbers = np.resize(pool[self.position :], size)
        else:
            numbers = pool[self.position : self.position + size]
        self.position += size
        return numbers.reshape(shape)

    def at(self, scale: Array, gates: int = 1) -> Array:
        """Noise at a place: ``scale`` ``(L, N, U)``, the result ``(L, K*N, U)``.

        The units are those of ``gates`` gates, one after the other.
        """
        length, batch, units = scale.shape
        common = np.repeat(self.draw(self.members, 1, gates), units // gates, axis=-1)
        lasting = self.draw(self.members, 1, units) + common
        noise = self.draw(length, self.members, batch, units) + lasting
        noise *= UNIFORM * scale[:, None]
        return noise.reshape(length, self.members * batch, units)

    def times(self, array: Array, scale: float) -> Array:
        """The array, each element off by so much of itself."""
        return array * (1.0 + scale * self.draw(*array.shape))


def widened(array: NDArray[Any], members: int = MEMBERS) -> NDArray[Any]:
    """``(·, N, ·)`` for every member: ``(·, K*N, ·)``."""
    first, batch, last = array.shape
    copies = np.broadcast_to(array[:, None], (first, members, batch, last))
    return copies.reshape(first, members * batch, last)


def root_of_squares(*terms: Array) -> Array:
    """``sqrt(a^2 + b^2 + …)``."""
    total: Array = np.sqrt(sum(term * term for term in terms))
    return total


def of_activation(a: Array, fmt: Format) -> Array:
    """The scale of the noise of an activation of this value."""
    scale: Array = 2.0 * UNIFORM * fmt.u_s * np.maximum(np.abs(a), 0.5)
    return scale

"""Long sequences cut into pieces that are computed at once, as so many samples.

A recurrence goes step by step, and in NumPy a step costs its calls, hardly its numbers. So the
pieces are run side by side, each from a state that is guessed, and again, each from what the
one before it ended with, until nothing changes. What then stands there obeys the recurrence
from the first step to the last, which is all that the result of a single run does. Each pass
makes one more piece right, so there are as many passes as pieces at most; layers that forget,
as most do within some dozen steps, need three or four. (Jacobi's iteration over time; Song et
al., "Accelerating feedforward computation via parallel nonlinear equation solving", 2021.)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isqrt
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rnn_conformance.reference.oracle import Oracle, Weights
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.config import Config

Pass: TypeAlias = Callable[[tuple[Array, ...]], tuple[Array, ...]]
"""From the states with which the pieces begin to those with which they end."""

LONG = 96
"""Steps from which on pieces pay."""

LEAST, MOST = 32, 256
"""Steps of a piece: about the root of the sequence's, and enough for most layers to forget."""


@dataclass(frozen=True)
class Pieces:
    """How ``length`` steps of ``samples`` samples are cut, into ``count`` pieces of ``size``."""

    length: int
    samples: int

    @property
    def size(self) -> int:
        """Steps of a piece; the last may be shorter."""
        return min(max(isqrt(self.length), LEAST), MOST)

    @property
    def count(self) -> int:
        """How many pieces."""
        return -(-self.length // self.size)

    def cut(self, array: NDArray[Any]) -> NDArray[Any]:
        """``(L, N, …)`` to ``(size, count * N, …)``, filled up with zeros."""
        missing = self.size * self.count - self.length
        filler = np.zeros((missing, *array.shape[1:]), dtype=array.dtype)
        pieces = np.concatenate([array, filler]).reshape(self.count, self.size, *array.shape[1:])
        return pieces.swapaxes(0, 1).reshape(self.size, -1, *array.shape[2:])

    def joined(self, pieces: NDArray[Any]) -> NDArray[Any]:
        """The inverse of :meth:`cut`."""
        apart = pieces.reshape(self.size, self.count, self.samples, *pieces.shape[2:])
        return apart.swapaxes(0, 1).reshape(-1, self.samples, *pieces.shape[2:])[: self.length]

    def cut_states(self, states: Array) -> Array:
        """``(L + 1, N, ·)``, the initial state first, to ``(size + 1, count * N, ·)``, likewise."""
        begins = states[: self.length : self.size].reshape(1, -1, states.shape[2])
        return np.concatenate([begins, self.cut(states[1:])])

    def joined_states(self, pieces: Array) -> Array:
        """The inverse of :meth:`cut_states`."""
        return np.concatenate([pieces[:1, : self.samples], self.joined(pieces[1:])])

    def repeated(self, state: Array) -> Array:
        """``(N, ·)`` for each piece: ``(count * N, ·)``."""
        return np.tile(state, (self.count, 1))

    def settled(self, once: Pass, *initial: Array) -> None:
        """Pass over the pieces until each begins with what the one before it ended with.

        ``initial`` are the states ``(N, ·)`` before the first of them.
        """
        begins = tuple(self.repeated(state) for state in initial)
        for _ in range(self.count):
            ends = once(begins)
            then = tuple(
                np.concatenate([state, end[: -self.samples]])
                for state, end in zip(initial, ends, strict=True)
            )
            if all(map(_same, begins, then)):
                return
            begins = then


def _same(first: Array, second: Array) -> bool:
    # NaN is as good as NaN; numbers of more digits than float64 know no isnan.
    return bool(np.all((first == second) | ((first != first) & (second != second))))


class Pieced(Oracle):
    """The oracle, which takes long sequences in pieces."""

    def recur(
        self,
        config: Config,
        weights: Weights,
        zx: Array,
        h: Array,
        c: Array,
        steps: NDArray[np.bool_],
    ) -> tuple[Array, Array, Array, Array]:
        """See :meth:`Oracle.recur`."""
        length, samples = steps.shape
        if length < LONG:
            return super().recur(config, weights, zx, h, c, steps)
        pieces = Pieces(length, samples)
        zx, steps = pieces.cut(zx), pieces.cut(steps)
        apart: tuple[Array, Array, Array, Array]
        recur = super().recur

        def once(begins: tuple[Array, ...]) -> tuple[Array, ...]:
            nonlocal apart
            apart = recur(config, weights, zx, begins[0], begins[1], steps)
            return apart[2][-1], apart[3][-1]

        pieces.settled(once, h, c)
        zh, gates, hs, cs = apart
        joined = pieces.joined(zh), pieces.joined(gates)
        return *joined, pieces.joined_states(hs), pieces.joined_states(cs)

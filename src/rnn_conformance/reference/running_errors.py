"""Numbers known within a bound, their derivatives along a direction, and a tape of both.

Running error analysis (Higham, "Accuracy and Stability of Numerical Algorithms", 2nd ed.,
sec. 3.3) of automatic differentiation, forward over reverse (Griewank & Walther, "Evaluating
Derivatives", 2nd ed., ch. 5): every number carries a bound on the error of *any* correct way
to compute it, every node of the tape a number and its derivative along a direction.

A sum that is grouped in another way meets other partial sums; each is no larger than the sum
of the magnitudes of all terms, which every number carries too. It is kept along everything
that is linear, so that no cancellation makes a bound smaller than some order of summation
allows, and begins anew at an activation and its derivatives, which everybody computes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from rnn_conformance.reference.bounds import sigmoid_error, tanh_error
from rnn_conformance.reference.formats import Format
from rnn_conformance.reference.oracle import sigmoid
from rnn_conformance.spec.arrays import Array

ROUNDINGS = 3.0
"""Roundings of an operation: its own, one by which it may be written differently
(``d - d t^2`` for ``d (1 - t^2)``), and one for terms of higher order."""


@dataclass(frozen=True, eq=False, slots=True)
class Known:
    """A number, a bound on the error of any correct way to compute it, and its magnitude.

    The magnitude is at least that of the number and its error together.
    """

    value: Array
    error: Array
    magnitude: Array

    @classmethod
    def exactly(cls, value: Array) -> Known:
        """What is given."""
        return cls(value, np.zeros(value.shape), np.abs(value))

    @classmethod
    def within(cls, value: Array, error: Array) -> Known:
        """What everybody computes as such."""
        return cls(value, error, np.abs(value) + error)

    def moved(self, move: Callable[[Array], Array]) -> Known:
        """The same numbers in other places."""
        return Known(move(self.value), move(self.error), move(self.magnitude))


@dataclass(frozen=True, eq=False, slots=True)
class Dual:
    """A number and its derivative along the direction; ``None`` is zero."""

    number: Known
    along: Known | None = None

    def moved(self, move: Callable[[Array], Array]) -> Dual:
        """The same numbers in other places."""
        return Dual(self.number.moved(move), None if self.along is None else self.along.moved(move))


Pull: TypeAlias = Callable[[Dual], Dual]
"""From the adjoint of what was computed to that of one of its factors or terms."""


@dataclass(eq=False, slots=True)
class Node:
    """A number on the tape, the adjoint that has been gathered, and how it is handed on.

    ``parents`` are what it was computed from, each with the way of its adjoint and the place
    where that is added.
    """

    dual: Dual
    parents: list[tuple[Node, Pull, Any]] = field(default_factory=list)
    adjoint: Dual | None = None


class Arithmetic:
    """The operations on known numbers, in one format."""

    def __init__(self, fmt: Format) -> None:
        self.fmt, self.rounding = fmt, ROUNDINGS * fmt.u_s

    def add(self, a: Known, b: Known) -> Known:
        """``a + b``."""
        magnitude = a.magnitude + b.magnitude
        return Known(a.value + b.value, a.error + b.error + self.rounding * magnitude, magnitude)

    def multiply(self, a: Known, b: Known) -> Known:
        """``a b``: ``|a| Eb + |b| Ea + Ea Eb``, and rounded."""
        magnitude = a.magnitude * b.magnitude
        inherited = a.magnitude * b.error + a.error * b.magnitude
        error = inherited + self.rounding * magnitude + self.fmt.eta
        return Known(a.value * b.value, error, magnitude)

    def matmul(self, a: Known, b: Known) -> Known:
        """``a @ b``, in any order of summation."""
        terms = a.value.shape[-1]
        magnitude = a.magnitude @ b.magnitude
        inherited = a.magnitude @ b.error + a.error @ b.magnitude
        error = inherited + self.fmt.gamma(terms + 2) * magnitude + terms * self.fmt.eta
        return Known(a.value @ b.value, error, magnitude)

    def summed(self, a: Known) -> Known:
        """Over all axes but the last, in any order."""
        axes = tuple(range(a.value.ndim - 1))
        value, error, magnitude = (
            array.sum(axis=axes) for array in (a.value, a.error, a.magnitude)
        )
        terms = a.value.size // max(1, a.value.shape[-1])
        return Known(value, error + terms * self.rounding * magnitude, magnitude)

    def tanh(self, z: Known) -> tuple[Known, Known, Known]:
        """``t = tanh z``, ``1 - t^2`` and ``-2 t (1 - t^2)``."""
        value = np.tanh(z.value)
        t = Known.within(value, tanh_error(z.value, value, z.error, self.fmt))
        # The square is rounded: an absolute error where |t| is near 1.
        slope = Known.within(
            1.0 - value * value,
            t.error * (2.0 * np.abs(value) + t.error) + 2.0 * self.rounding + self.fmt.eta,
        )
        return t, slope, self.multiply(t.moved(lambda array: 2.0 * array), _negative(slope))

    def sigmoid(self, z: Known) -> tuple[Known, Known, Known]:
        """``s``, ``s (1 - s)`` and ``s (1 - s) (1 - 2 s)``."""
        value = sigmoid(z.value)
        s = Known.within(value, sigmoid_error(z.value, value, z.error, self.fmt))
        apart = 1.0 - 2.0 * value
        slope = Known.within(
            value * (1.0 - value),
            s.error * (np.abs(apart) + s.error) + self.rounding + self.fmt.eta,
        )
        rest = Known.within(apart, 2.0 * s.error + 2.0 * self.rounding)
        return s, slope, self.multiply(slope, rest)

    def relu(self, z: Known) -> tuple[Known, Known, None]:
        """``max(z, 0)`` and its slope, which is 0 or 1, whichever where the sign is in doubt.

        A sum of nothing but zeros is zero without error, and the slope at zero is zero.
        """
        doubt = (np.abs(z.value) <= z.error) & (z.magnitude > 0.0)
        slope = Known.within(np.where(z.value > 0.0, 1.0, 0.0), np.where(doubt, 1.0, 0.0))
        error = np.where(z.value + z.error < 0.0, 0.0, z.error)
        return Known.within(np.maximum(z.value, 0.0), error), slope, None


def _negative(a: Known) -> Known:
    return Known(-a.value, a.error, a.magnitude)


class Tape:
    """Computes with nodes, and passes adjoints back through all that was computed."""

    def __init__(self, fmt: Format) -> None:
        self.known, self.nodes = Arithmetic(fmt), list[Node]()

    def node(self, dual: Dual, *parents: tuple[Node, Pull, Any]) -> Node:
        """What was computed, on the tape."""
        made = Node(dual, list(parents))
        self.nodes.append(made)
        return made

    def given(self, value: Array, direction: Array | None) -> Node:
        """What is given, and the direction along which is differentiated."""
        along = None if direction is None else Known.exactly(direction)
        return self.node(Dual(Known.exactly(value), along))

    def added(self, a: Node, b: Node) -> Node:
        """``a + b``."""
        return self.node(self._sum(a.dual, b.dual), (a, _same, ...), (b, _same, ...))

    def multiplied(self, a: Node, b: Node) -> Node:
        """``a b``."""
        return self.node(
            self._product(a.dual, b.dual),
            (a, lambda g: self._product(g, b.dual), ...),
            (b, lambda g: self._product(g, a.dual), ...),
        )

    def rest(self, a: Node) -> Node:
        """``1 - a``."""
        number, along = a.dual.number, a.dual.along
        error = number.error + self.known.rounding * (1.0 + number.magnitude)
        dual = Dual(
            Known.within(1.0 - number.value, error), None if along is None else _negative(along)
        )
        return self.node(dual, (a, _minus, ...))

    def affine(self, x: Node, weight: Node, bias: Node | None = None) -> Node:
        """``x W^T + b`` over the last axis."""
        product = self._matmul(x.dual, _transposed(weight.dual))
        parents: list[tuple[Node, Pull, Any]] = [
            (x, lambda g: self._matmul(g, weight.dual), ...),
            (weight, lambda g: self._matmul(_transposed(_rows(g)), _rows(x.dual)), ...),
        ]
        if bias is not None:
            product = self._sum(product, bias.dual)
            parents.append((bias, self._summed, ...))
        return self.node(product, *parents)

    def activated(self, z: Node, name: str) -> Node:
        """``tanh``, ``sigmoid`` or ``relu``."""
        number, slope, curvature = getattr(self.known, name)(z.dual.number)
        along, bent = z.dual.along, None
        if along is not None and curvature is not None:
            bent = self.known.multiply(curvature, along)
        slopes = Dual(slope, bent)
        moved = None if along is None else self.known.multiply(slope, along)
        return self.node(Dual(number, moved), (z, lambda g: self._product(g, slopes), ...))

    def part(self, a: Node, place: Any) -> Node:
        """``a[place]``."""
        return self.node(a.dual.moved(lambda array: array[place]), (a, _same, place))

    def joined(self, nodes: Sequence[Node], *, axis: int) -> Node:
        """One after the other along an axis that they have."""
        along = [node.dual.along for node in nodes]
        number = _concatenated([node.dual.number for node in nodes], axis)
        given = [a for a in along if a is not None]
        # The direction moves everything that is computed, or nothing.
        whole = Dual(number, _concatenated(given, axis) if len(given) == len(nodes) else None)
        parents: list[tuple[Node, Pull, Any]] = []
        begin = 0
        for node in nodes:
            end = begin + node.dual.number.value.shape[axis]
            parents.append((node, _taking((*[slice(None)] * axis, slice(begin, end))), ...))
            begin = end
        return self.node(whole, *parents)

    def chosen(self, here: Array, a: Node, b: Node) -> Node:
        """``a`` where it is ``here``, else ``b``."""

        def either(one: Known | None, two: Known | None) -> Known | None:
            if one is None or two is None:
                return None
            return Known(
                np.where(here, one.value, two.value),
                np.where(here, one.error, two.error),
                np.where(here, one.magnitude, two.magnitude),
            )

        number = either(a.dual.number, b.dual.number)
        assert number is not None
        return self.node(
            Dual(number, either(a.dual.along, b.dual.along)),
            (a, lambda g: g.moved(lambda array: np.where(here, array, 0.0)), ...),
            (b, lambda g: g.moved(lambda array: np.where(here, 0.0, array)), ...),
        )

    def pass_back(self, cotangents: Sequence[tuple[Node, Array]]) -> None:
        """Gather the adjoints of all that was computed, from those of some results."""
        for node, cotangent in cotangents:
            self._gather(node, Dual(Known.exactly(cotangent)), ...)
        for node in reversed(self.nodes):
            if node.adjoint is not None:
                for parent, pull, place in node.parents:
                    self._gather(parent, pull(node.adjoint), place)

    def _gather(self, node: Node, adjoint: Dual, place: Any) -> None:
        shape = node.dual.number.value.shape
        if node.adjoint is None:
            zeros = Known.exactly(np.zeros(shape))
            node.adjoint = Dual(zeros, Known.exactly(np.zeros(shape)))
        assert node.adjoint.along is not None
        for total, term in (
            (node.adjoint.number, adjoint.number),
            (node.adjoint.along, adjoint.along),
        ):
            if term is not None:
                total.value[place] += term.value
                total.magnitude[place] += term.magnitude
                total.error[place] += term.error + self.known.rounding * total.magnitude[place]

    def _sum(self, a: Dual, b: Dual) -> Dual:
        along = b.along if a.along is None else a.along
        if a.along is not None and b.along is not None:
            along = self.known.add(a.along, b.along)
        return Dual(self.known.add(a.number, b.number), along)

    def _product(self, a: Dual, b: Dual) -> Dual:
        return self._bilinear(self.known.multiply, a, b)

    def _matmul(self, a: Dual, b: Dual) -> Dual:
        return self._bilinear(self.known.matmul, a, b)

    def _bilinear(self, product: Callable[[Known, Known], Known], a: Dual, b: Dual) -> Dual:
        along = None if a.along is None else product(a.along, b.number)
        if b.along is not None:
            other = product(a.number, b.along)
            along = other if along is None else self.known.add(along, other)
        return Dual(product(a.number, b.number), along)

    def _summed(self, g: Dual) -> Dual:
        along = None if g.along is None else self.known.summed(g.along)
        return Dual(self.known.summed(g.number), along)


def _taking(place: tuple[slice, ...]) -> Pull:
    """What belongs to one of those that were joined."""

    def take(array: Array) -> Array:
        return array[place]

    return lambda g: g.moved(take)


def _same(g: Dual) -> Dual:
    return g


def _minus(g: Dual) -> Dual:
    return Dual(_negative(g.number), None if g.along is None else _negative(g.along))


def _transposed(dual: Dual) -> Dual:
    return dual.moved(lambda array: array.swapaxes(-1, -2))


def _rows(dual: Dual) -> Dual:
    return dual.moved(lambda array: array.reshape(-1, array.shape[-1]))


def _concatenated(parts: Sequence[Known], axis: int) -> Known:
    return Known(
        np.concatenate([part.value for part in parts], axis),
        np.concatenate([part.error for part in parts], axis),
        np.concatenate([part.magnitude for part in parts], axis),
    )

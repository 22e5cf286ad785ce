"""A deviation of the backward pass in a scope, as ``scoped`` makes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from rnn_conformance.deviations.scopes import Mask, Scope
from rnn_conformance.reference.derivatives import Adjoint, Backtrace, Derivative, Slopes
from rnn_conformance.reference.oracle import Answer, Trace, Weights
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.backward import Backward
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.config import Config, Role


def chosen(mask: Mask, wrong: Array, exact: Array) -> Array:
    """The one where the mask is, the other elsewhere; raises ``ValueError`` for other shapes."""
    if mask.all() or not mask.any():
        return wrong if mask.any() else exact
    if wrong.shape != exact.shape:
        raise ValueError(f"{wrong.shape} cannot stand for parts of {exact.shape}")
    return np.where(mask, wrong, exact)


def scoped_adjoint(variant: type[Adjoint], scope: Scope, elsewhere: type[Adjoint]) -> type[Adjoint]:
    """The variant where the scope is, and another elsewhere.

    Its ``derivative`` raises ``TypeError`` for a call of which that says nothing.
    """
    if scope.units is not None:
        raise TypeError("gradients are not told unit by unit")

    class Scoped(_ScopedAdjoint):
        wrongly = variant
        otherwise = elsewhere
        where = scope

    return Scoped


class _ScopedAdjoint(Adjoint):
    """Two adjoints side by side; each decision is left to the one whose turn it is.

    What is a sum over steps and samples, a parameter's gradient or what two directions hand on,
    is the sum of both, each given what is its own: an adjoint is linear in what arrives.
    """

    wrongly: type[Adjoint]
    otherwise: type[Adjoint]
    where: Scope

    def __init__(self) -> None:
        super().__init__()
        self.wrong, self.exact = self.wrongly(), self.otherwise()
        self.both = (self.wrong, self.exact)
        self.layer = 0
        self.mask: Mask = np.zeros((0, 0), dtype=bool)
        self.layers: dict[int, int] = {}

    def derivative(self, backward: Backward, answer: Answer) -> Derivative:
        call, where = backward.call, self.where
        if where.calls is not None and not where.calls(call, 1):
            return self.exact.derivative(backward, answer)
        if where.of_calls_alone:
            return self.wrong.derivative(backward, answer)
        if self._differs("derivative"):
            return self._by_argument(call, *(one.derivative(backward, answer) for one in self.both))
        self.layers = {
            id(trace): layer for layer, traces in enumerate(answer.traces) for trace in traces
        }
        return super().derivative(backward, answer)

    def cotangent(self, backward: Backward, name: str) -> Array:
        call = backward.call
        mask = (
            self.where.of_output(call, call.config.num_layers - 1, call.config.output_size)
            if name == "output"
            else self.where.of_states(call)
        )
        return self._chosen(mask, lambda one: one.cotangent(backward, name))

    def half(self, call: Call, direction: int, trace: Trace, above: Array) -> Array:
        self.layer = self.layers[id(trace)]
        mask = self.where.inside(call, self.layer, direction)[:, :, None]
        return self._chosen(mask, lambda one: one.half(call, direction, trace, above))

    def backtrace(
        self,
        call: Call,
        layer: int,
        direction: int,
        trace: Trace,
        output: Array,
        h_n: Array,
        c_n: Array,
    ) -> Backtrace:
        self.mask = self.where.inside(call, layer, direction)
        if self._differs("backtrace"):
            if self.mask.any() and not self.mask.all():
                raise TypeError("a way back through all steps is taken as a whole")
            turn = self._turn(self.mask)
            return turn.backtrace(call, layer, direction, trace, output, h_n, c_n)
        return super().backtrace(call, layer, direction, trace, output, h_n, c_n)

    def slopes(self, config: Config, trace: Trace) -> Slopes:
        mask = self.mask[:, :, None]
        if mask.all() or not mask.any():
            return self._turn(mask).slopes(config, trace)
        wrong, exact = (vars(one.slopes(config, trace)) for one in self.both)
        mixed: dict[str, Any] = {
            name: None if array is None else chosen(mask, wrong[name], array)
            for name, array in exact.items()
        }
        return Slopes(**mixed)

    def step(
        self, config: Config, weights: Weights, by: Slopes, t: int, h: Array, c: Array
    ) -> tuple[Array, Array, Array, Array]:
        here = self.mask[t][:, None]
        if here.all() or not here.any():
            return self._turn(here).step(config, weights, by, t, h, c)
        taken = [one.step(config, weights, by, t, h, c) for one in self.both]
        upstream, zh, past, cell = (chosen(here, *pair) for pair in zip(*taken, strict=True))
        return upstream, zh, past, cell

    def to_input(self, weights: Weights, zx: Array) -> Array:
        return self._chosen(self.mask[:, :, None], lambda one: one.to_input(weights, zx))

    def of_parameters(
        self, call: Call, layer: int, direction: int, trace: Trace, back: Backtrace
    ) -> dict[Role, Array]:
        inside = self.where.inside(call, layer, direction)[:, :, None]
        if inside.all() or not inside.any():
            return self._turn(inside).of_parameters(call, layer, direction, trace, back)
        parts = [
            one.of_parameters(call, layer, direction, trace, _within(back, mask))
            for one, mask in zip(self.both, (inside, ~inside), strict=True)
        ]
        return {role: array + parts[1][role] for role, array in parts[0].items()}

    def joined(self, call: Call, parts: list[Array]) -> Array:
        masks = [
            self.where.inside(call, self.layer, direction)[:: -1 if direction else 1, :, None]
            for direction in range(len(parts))
        ]
        inside = [np.where(mask, part, 0.0) for mask, part in zip(masks, parts, strict=True)]
        outside = [np.where(mask, 0.0, part) for mask, part in zip(masks, parts, strict=True)]
        return self.wrong.joined(call, inside) + self.exact.joined(call, outside)

    def dropped(self, call: Call, layer: int, above: Array) -> Array:
        mask = self.where.of_output(call, layer, call.config.output_size)
        return self._chosen(mask, lambda one: one.dropped(call, layer, above))

    def _turn(self, mask: Mask) -> Adjoint:
        return self.wrong if mask.any() else self.exact

    def _chosen(self, mask: Mask, of: Callable[[Adjoint], Array]) -> Array:
        if mask.all() or not mask.any():
            return of(self._turn(mask))
        return chosen(mask, of(self.wrong), of(self.exact))

    def _differs(self, name: str) -> bool:
        return getattr(self.wrongly, name) is not getattr(self.otherwise, name)

    def _by_argument(self, call: Call, wrong: Derivative, exact: Derivative) -> Derivative:
        """Each gradient by the one whose it is, where that is one of the two."""
        config, gradients = call.config, dict(exact.gradients)
        for name, array in exact.gradients.items():
            mask: Mask
            if np.array_equal(wrong.gradients[name], array, equal_nan=True):
                continue
            parameter = config.parameters.get(name)
            if name in ("h_0", "c_0"):
                mask = self.where.of_states(call)
            elif parameter is not None:
                mask = self.where.inside(call, parameter.layer, parameter.direction)
            else:
                mask = self.where.inside(call, 0, 0)[:, :, None]
                if self.where.direction is not None and config.bidirectional:
                    raise TypeError("what both directions hand on is of neither")
            if parameter is not None and mask.any() and not mask.all():
                raise TypeError("a parameter's gradient is summed over all steps and samples")
            gradients[name] = chosen(mask, wrong.gradients[name], array)
        return replace(exact, gradients=gradients)


def _within(back: Backtrace, mask: Mask) -> Backtrace:
    """What is summed over steps and samples, and zero outside of the mask ``(L, N, 1)``."""
    d_h, zx, zh = (np.where(mask, array, 0.0) for array in (back.d_h, back.zx, back.zh))
    return replace(back, d_h=d_h, zx=zx, zh=zh)

"""A deviation in a scope: wrong there, and right everywhere else.

Site, alternative and scope compose: ``scoped`` makes of any deviation and any scope a variant of
the oracle, or of its derivative, that deviates there alone, since each of their methods is one
decision, taken for one layer and direction, and a step for one step and sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from rnn_conformance.deviations.deviation import Deviant
from rnn_conformance.deviations.scoped_gradients import chosen, scoped_adjoint
from rnn_conformance.deviations.scopes import Mask, Scope
from rnn_conformance.reference.derivatives import Adjoint
from rnn_conformance.reference.oracle import Answer, Oracle, Trace
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.calls import Call

HANDING_OVER = ("present", "results", "dtypes")
"""What a deviation does to a call's results as a whole, whatever computed them."""

WHOLE_LAYER = ("direction", "scan", "recur")
"""What it does to all steps of a direction at once."""


def overrides(variant: type[Any], *names: str) -> bool:
    """Whether a variant takes one of these decisions in a way of its own, in a scope or not."""
    if issubclass(variant, _Scoped):
        return overrides(variant.wrongly, *names) or overrides(variant.otherwise, *names)
    return any(getattr(variant, name) is not getattr(Deviant, name) for name in names)


def scoped(variant: type[Any], scope: Scope, elsewhere: type[Any] | None = None) -> type[Any]:
    """The variant where the scope is, and another ``elsewhere``, which is right unless told.

    The same class each time. Raises ``TypeError`` where that is nothing: a deviation of whole calls
    in a part of one.
    """
    right = Adjoint if issubclass(variant, Adjoint) else Deviant
    return _scoped(variant, scope, elsewhere or right)  # type: ignore[arg-type]  # they have hashes


@lru_cache(maxsize=4096)
def _scoped(variant: type[Any], scope: Scope, elsewhere: type[Any]) -> type[Any]:
    if issubclass(variant, Adjoint):
        return scoped_adjoint(variant, scope, elsewhere)
    handing_over = overrides(variant, *HANDING_OVER) or overrides(elsewhere, *HANDING_OVER)
    if not scope.of_calls_alone and handing_over:
        raise TypeError("what is handed over is handed over as a whole")

    whole = overrides(variant, "answer", "aligned", "join", "final_states", *WHOLE_LAYER)
    nested = issubclass(variant, _Scoped) or issubclass(elsewhere, _Scoped)
    if scope.units is not None and (whole or nested):
        raise TypeError("what is done to a layer as a whole is done to all of its units")

    class Scoped(_Scoped):
        wrongly = variant
        otherwise = elsewhere
        where = scope

    return Scoped


class _Scoped(Deviant):
    """Two oracles side by side; each decision is left to the one whose turn it is."""

    wrongly: type[Deviant]
    otherwise: type[Deviant]
    where: Scope

    def __init__(self) -> None:
        super().__init__()
        self.wrong, self.exact = self.wrongly(), self.otherwise()
        self.calls = self.layer = 0
        self.call: Call | None = None

    def _concerns(self, call: Call, number: int) -> bool:
        return self.where.calls is None or self.where.calls(call, number)

    def dtypes(self, call: Call) -> dict[str, str]:
        # Asked before the results are.
        layer = self.wrong if self._concerns(call, self.calls + 1) else self.exact
        return layer.dtypes(call)

    def results(self, call: Call) -> dict[str, Array]:
        self.calls += 1
        if not self._concerns(call, self.calls):
            return self.exact.results(call)
        if self.where.of_calls_alone:
            return self.wrong.results(call)
        return super().results(call)

    def answer(self, call: Call) -> Answer:
        if not self._differs("answer"):
            self._begin(call)
            return super().answer(call)
        wrong, exact = self.wrong.answer(call), self.exact.answer(call)
        return replace(
            exact,
            output=chosen(
                self.where.of_output(call, call.config.num_layers - 1, call.config.output_size),
                wrong.output,
                exact.output,
            ),
            h_n=chosen(self.where.of_states(call), wrong.h_n, exact.h_n),
            c_n=None
            if exact.c_n is None or wrong.c_n is None
            else chosen(self.where.of_states(call), wrong.c_n, exact.c_n),
        )

    def _differs(self, name: str) -> bool:
        return overrides(self.wrongly, name) or overrides(self.otherwise, name)

    def _begin(self, call: Call) -> None:
        self.call = call
        for one in (self.wrong, self.exact):
            if isinstance(one, _Scoped):
                one._begin(call)

    def direction(self, call: Call, layer: int, direction: int, x: Array) -> Trace:
        self.layer = layer
        mask = self.where.inside(call, layer, direction)
        if not mask.any() or (mask.all() and self.where.units is None):
            return self._of(bool(mask.any())).direction(call, layer, direction, x)
        nested = issubclass(self.wrongly, _Scoped) or issubclass(self.otherwise, _Scoped)
        if nested or any(map(self._differs, WHOLE_LAYER)):
            wrong = self.wrong.direction(call, layer, direction, x)
            exact = self.exact.direction(call, layer, direction, x)
            after = np.concatenate([mask[:1], mask])[:, :, None]
            return replace(
                exact,
                h=chosen(after, wrong.h, exact.h),
                c=None if exact.c is None or wrong.c is None else chosen(after, wrong.c, exact.c),
            )
        own = call.steps[::-1] if direction else call.steps
        return self._mixed(call, layer, direction, x[::-1] if direction else x, own, mask)

    def _mixed(
        self, call: Call, layer: int, direction: int, x: Array, own: Mask, mask: Mask
    ) -> Trace:
        """Each step of each sample by the one whose turn it is, from the state that there is."""
        both, units = (self.wrong, self.exact), self._units(call)
        weights = [oracle.weights(call, layer, direction) for oracle in both]
        sides = [o.input_side(w, x) for o, w in zip(both, weights, strict=True)]
        states = [oracle.initial_state(call, layer, direction) for oracle in both]
        # Each sequence starts as it goes on at its first own step.
        first = np.take_along_axis(mask, own.argmax(axis=0)[None], axis=0)[0][:, None] & units
        of_blocks = np.tile(units, len(call.config.kind.gates) if len(units) > 1 else 1)
        # A projection mixes the units: it comes after they are chosen, and before the first step.
        w_hr = None if self.where.units is None else weights[1].w_hr
        (wrong_h, h), of_c = zip(*states, strict=True)
        h, c = h if w_hr is not None else chosen(first, wrong_h, h), chosen(first, *of_c)
        stepping = [w if w_hr is None else replace(w, w_hr=None) for w in weights]
        hs, cs, zhs, gates = [h], [c], [], []
        for t in range(len(x)):
            taken = [
                oracle.step(call.config, weight, side[t], hs[-1], cs[-1])
                for oracle, weight, side in zip(both, stepping, sides, strict=True)
            ]
            here, runs = mask[t][:, None] & units, own[t][:, None]
            of_gates = mask[t][:, None] & of_blocks
            zh, gate, h, c = (
                chosen(where, *pair)
                for where, pair in zip(
                    (of_gates, of_gates, here, here), zip(*taken, strict=True), strict=True
                )
            )
            h = h if w_hr is None else h @ w_hr.T
            zhs.append(zh)
            gates.append(gate)
            hs.append(np.where(runs, h, hs[-1]))
            cs.append(np.where(runs, c, cs[-1]))
        zx = chosen(mask[:, :, None] & of_blocks, *sides)
        has_c = call.config.kind.has_cell_state
        return Trace(
            weights[1],
            x,
            zx,
            np.stack(zhs),
            np.stack(gates),
            np.stack(hs),
            np.stack(cs) if has_c else None,
            own,
        )

    def _units(self, call: Call) -> Mask:
        """``(H,)``, or ``(1,)`` for all."""
        if self.where.units is None:
            return np.ones(1, dtype=bool)
        return self.where.units(call.config.hidden_size)

    def aligned(self, trace: Trace, direction: int) -> Array:
        exact = self.exact.aligned(trace, direction)
        if not self._differs("aligned"):
            return exact
        assert self.call is not None
        mask = self.where.inside(self.call, self.layer, direction)
        mask = mask[:: -1 if direction else 1, :, None]
        return chosen(mask, self.wrong.aligned(trace, direction), exact)

    def join(self, halves: Sequence[Array]) -> Array:
        exact = self.exact.join(halves)
        if not self._differs("join"):
            return exact
        assert self.call is not None
        mask = self.where.of_output(self.call, self.layer, halves[0].shape[-1])
        return chosen(mask, self.wrong.join(halves), exact)

    def final_states(self, finals: Sequence[Array]) -> Array:
        assert self.call is not None
        mask = self.where.of_states(self.call)
        return chosen(mask, self.wrong.final_states(finals), self.exact.final_states(finals))

    def _of(self, wrongly: bool) -> Oracle:
        return self.wrong if wrongly else self.exact

"""The scatter of correct implementations: the second layer of the tolerance.

The hard bound (``bounds``) is what the worst order of rounding could do; what rounding
does is some thirty times smaller. How small is measured for each case, by Monte Carlo
arithmetic (Parker, "Monte Carlo Arithmetic", 1997; Vignes' CESTAC before it): the oracle
is run ``MEMBERS`` times with noise of the size of one rounding wherever an implementation
rounds. The root mean square ``S`` of what comes of it is the scatter of one element.

The noise at a place is ``s (a + b + c) / sqrt(3)``, all three normal: ``a`` drawn afresh for
every number, ``b`` once for a layer, direction and unit, ``c`` once for a layer, direction
and gate. The last two stand for rounding that is correlated, as with constant weights,
constant inputs or gates that stay saturated. An error uniform in ``±u|x|`` has the standard
deviation ``u|x|/sqrt(3)``, which gives the scales ``s``:

- a sum of ``n`` products, ``s^2 = (u^2/3) n (sum of the squares of its terms, and of itself)``:
  each of ``n`` partial sums is rounded, and few are larger than that;
- an activation, ``2 u_s / sqrt(3)`` times itself, or times 1/2 where it is smaller: two
  roundings, with the absolute floor of ``bounds``, so that ``1/2 + tanh(z/2)/2`` and
  ``2 sigmoid(2z) - 1`` are legal here too;
- a sum or product that is stored, ``u_s / sqrt(3)`` times the root of the sum of the squares of
  what was rounded on the way.

All deviations are proportional to the roundoff as long as they are small. The noise is
therefore injected at a roundoff that float64 resolves, and what comes of it is scaled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from rnn_conformance.reference.bounds import Forward, forward
from rnn_conformance.reference.noise import (
    MEMBERS,
    UNIFORM,
    Noise,
)
from rnn_conformance.reference.oracle import Answer, Masks, Oracle, Trace, Weights
from rnn_conformance.reference.problem import Problem
from rnn_conformance.reference.sites import Scales, Sites
from rnn_conformance.spec.arrays import Array, frozen
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.config import Config

RESOLVED = 2.0**-40
"""The least roundoff at which noise is injected: float64's own is 2^-13 of it, so that
the members' own rounding is no more than that share of their scatter."""

NUMBERS = 2**18
"""How many numbers an ensemble's gates may be, over all its steps: what a case costs is mostly
proportional to it, and a case as they are drawn has fewer."""

UNDERFLOWS = 200.0
"""Underflows, each ``eta``, that an element may have met besides: two hundred, more than an
element meets in any case that is drawn, and nothing beside any number that is normal."""

SMALL = 0.125
"""The scatter up to which a deviation is taken to be proportional to its cause: beyond, what
is injected moves activations by a share of their range, and nothing is claimed."""


def widened_problem(problem: Problem) -> Problem:
    """The problem with every sample once for each member, the members one after the other."""
    return problem.samples(np.tile(np.arange(problem.call.batch), MEMBERS))


class Members(Oracle):
    """The oracle with noise at every place of a rounding; a member is a share of the batch.

    ``masks`` are those of all members.
    """

    here: Sites

    def __init__(self, problem: Problem, exact: Forward, masks: Masks | None) -> None:
        super().__init__(masks)
        fmt = problem.format
        self.factor = max(1.0, RESOLVED / fmt.u)
        self.fmt = replace(fmt, u=fmt.u * self.factor, u_s=fmt.u_s * self.factor)
        self.noise = Noise()
        scales = Scales(problem.call.config, self.fmt, self.noise)
        self.sites = [
            [scales.along(trace, errors) for trace, errors in zip(*row, strict=True)]
            for row in zip(exact.answer.traces, exact.errors, strict=True)
        ]
        self.t = 0

    def dropped(self, call: Call, layer: int, below: Array) -> Array:
        """With the rounding of the products with the mask."""
        through = super().dropped(call, layer, below)
        if self.masks is None:
            return through
        rounding = self.fmt.masking(self.masks.above(layer - 1))
        return self.noise.times(through, UNIFORM * rounding)

    def scan(
        self, call: Call, layer: int, direction: int, x: Array, steps: NDArray[np.bool_]
    ) -> Trace:
        """As the oracle's, with the noise of this layer and direction."""
        self.here, self.t = self.sites[layer][direction], 0
        return super().scan(call, layer, direction, x, steps)

    def input_side(self, weights: Weights, x: Array) -> Array:
        """With the noise of both sides, where they are added up anyway."""
        return super().input_side(weights, x) + self.here.z

    def state_side(self, weights: Weights, h: Array) -> Array:
        """With its own noise where it is multiplied before it is added."""
        zh = super().state_side(weights, h)
        if self.here.q is not None:
            zh[:, -self.here.q.shape[-1] :] += self.here.q[self.t]
        return zh

    def rnn_step(self, config: Config, zx: Array, zh: Array) -> Array:
        """With the activation's noise; where relu may bend, it does not."""
        h = self.activation(config, zx + zh)
        if self.here.bends is not None:
            h = np.where(self.here.bends[self.t], h, zx + zh)
        noisy: Array = h + self.here.m[self.t]
        return noisy

    def lstm_gates(self, zx: Array, zh: Array) -> Array:
        """With the activations' noise."""
        noisy: Array = super().lstm_gates(zx, zh) + self.here.gates[self.t]
        return noisy

    def lstm_step(self, gates: Array, c: Array, w_hr: Array | None) -> tuple[Array, Array]:
        """With the noise of ``c'``, of ``o tanh(c')`` and of its projection."""
        assert self.here.c is not None
        size = c.shape[-1]
        i, f, g, o = (gates[:, k * size : (k + 1) * size] for k in range(4))
        c = f * c + i * g + self.here.c[self.t]
        h = o * np.tanh(c) + self.here.m[self.t]
        if w_hr is not None:
            assert self.here.h is not None
            h = h @ w_hr.T + self.here.h[self.t]
        return h, c

    def gru_gates(self, zx: Array, zh: Array) -> Array:
        """With the activations' noise."""
        noisy: Array = super().gru_gates(zx, zh) + self.here.gates[self.t]
        return noisy

    def gru_step(self, gates: Array, h: Array) -> Array:
        """With the noise of ``h'``."""
        noisy: Array = super().gru_step(gates, h) + self.here.m[self.t]
        return noisy

    def step(
        self, config: Config, weights: Weights, zx: Array, h: Array, c: Array
    ) -> tuple[Array, Array, Array, Array]:
        """One step, and on to the next one's noise."""
        after = super().step(config, weights, zx, h, c)
        self.t += 1
        return after


@dataclass(frozen=True, eq=False)
class Ensemble:
    """How far correct implementations of one call scatter.

    ``spreads`` are the root mean squares ``S`` of the members' deviations, by result and
    canonical; ``inf`` where nothing is claimed. ``ranks`` ``(K,)`` are the members' own root
    mean squares of deviation by spread, each with the spread of the others.
    """

    spreads: Mapping[str, Array]
    ranks: Array

    def __post_init__(self) -> None:
        kept = {name: frozen(spread) for name, spread in self.spreads.items()}
        object.__setattr__(self, "spreads", MappingProxyType(kept))
        object.__setattr__(self, "ranks", frozen(self.ranks))

    @property
    def claims(self) -> bool:
        """Whether anything is claimed."""
        return bool(len(self.ranks))

    def rank(self, errors: Mapping[str, Array]) -> float:
        """``R``, the root mean square of error by spread over all that is claimed."""
        total, count = 0.0, 0
        for name, spread in self.spreads.items():
            claimed = np.isfinite(spread)
            ratio = errors[name][claimed] / spread[claimed]
            total, count = total + float(ratio @ ratio), count + ratio.size
        return float(np.sqrt(total / count)) if count else 0.0


def nothing(shapes: Mapping[str, tuple[int, ...]]) -> Ensemble:
    """No claim at all."""
    spreads = {name: np.full(shape, np.inf) for name, shape in shapes.items()}
    return Ensemble(spreads, np.zeros(0))


def gathered(
    deviations: Mapping[str, Array], claimed: Mapping[str, NDArray[np.bool_]], members: Members
) -> Ensemble:
    """Of the members' deviations, by name ``(K, …)``, scaled back to their roundoff."""
    fmt = members.fmt
    spreads, squares, count = {}, np.zeros(MEMBERS), 0
    for name, unscaled in deviations.items():
        deviation = unscaled / members.factor
        square = deviation * deviation
        total = square.sum(axis=0)
        spread = np.sqrt(total / MEMBERS) + UNDERFLOWS * fmt.eta
        some = claimed[name] & np.isfinite(spread)
        spreads[name] = np.where(some, spread, np.inf)
        chosen = square[:, some]
        # By the spread of the others: who takes part in the measure looks small beside it.
        others = (total[some] - chosen) / (MEMBERS - 1)
        alone = np.maximum(others, (UNDERFLOWS * fmt.eta) ** 2)
        ratios = np.divide(chosen, alone, out=np.zeros_like(chosen), where=alone > 0.0)
        squares += ratios.sum(axis=1)
        count += chosen.shape[1]
    if not count:
        return Ensemble(spreads, np.zeros(0))
    return Ensemble(spreads, np.sqrt(squares / count))


def exempt(exact: Forward) -> bool:
    """Whether anything is not finite, or may overflow: the hard bound alone says which.

    What is read counts, too: an infinite input that saturates its gates leaves results finite.
    """
    return any(
        not all(np.isfinite(a).all() for a in (errors.h, trace.h, trace.x[trace.steps]))
        for traces, row in zip(exact.answer.traces, exact.errors, strict=True)
        for trace, errors in zip(traces, row, strict=True)
    )


@dataclass(frozen=True, eq=False)
class MembersRun:
    """The members, the call that all of them answer at once, and what they answered."""

    members: Members
    call: Call
    answer: Answer


@lru_cache(maxsize=8)
def run(problem: Problem) -> MembersRun:
    """Kept for a moment: what goes forwards is soon asked for backwards."""
    wide = widened_problem(problem)
    members = Members(problem, forward(problem), wide.masks)
    return MembersRun(members, wide.call, members.answer(wide.call))


def affordable(call: Call) -> int:
    """How many samples the ensemble is run on."""
    config = call.config
    places = config.num_layers * config.num_directions
    numbers = MEMBERS * call.length * places * len(config.kind.gates) * config.hidden_size
    return min(call.batch, max(1, NUMBERS // numbers))


@lru_cache(maxsize=256)
def ensemble(problem: Problem) -> Ensemble:
    """The scatter for this call; kept, since implementations and checks share it.

    Nothing is claimed of the padding, of what scatters by more than :data:`SMALL`, of a call in
    which anything is not finite or may overflow, of weights that are kept in fewer digits, which
    are off in one way throughout a call and not at random, and of more samples than are
    :func:`affordable`: samples do not depend on one another, and what is wrong with one is
    wrong with the next.
    """
    call = problem.call
    shapes = {name: call.shape(name) for name in call.results}
    if problem.weights is not None:
        return nothing(shapes)
    if not call.length or not call.batch:
        return nothing(shapes)
    if (samples := affordable(call)) < call.batch:
        some = ensemble(problem.samples(slice(0, samples)))
        spreads = {name: np.full(shape, np.inf) for name, shape in shapes.items()}
        for name, spread in some.spreads.items():
            spreads[name][:, :samples] = spread
        return Ensemble(spreads, some.ranks)
    exact = forward(problem)
    if exempt(exact):
        return nothing(shapes)
    # What is not finite now is in the padding, of which nothing is claimed.
    with np.errstate(invalid="ignore"):
        noisy = run(problem)
    deviations, claimed = {}, {}
    for name, shape in shapes.items():
        expected: Array = getattr(exact.answer, name)
        answers: Array = getattr(noisy.answer, name)
        apart = answers.reshape(shape[0], MEMBERS, *shape[1:]) - expected[:, None]
        deviations[name] = apart.swapaxes(0, 1)
        claimed[name] = np.abs(apart).max(axis=1) <= SMALL * np.maximum(1.0, np.abs(expected))
        if name == "output":
            claimed[name] &= call.steps[:, :, None]
    return gathered(deviations, claimed, noisy.members)

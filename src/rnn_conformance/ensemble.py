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

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnn_conformance.bounds import Errors, Format, Forward, forward, masking
from rnn_conformance.calls import Array, Call
from rnn_conformance.oracle import Answer, Oracle, Trace, Weights
from rnn_conformance.spec import Config, Kind

MEMBERS = 32
"""``K``: the relative standard deviation of ``S`` is ``1/sqrt(2 K)``, an eighth."""

RESOLVED = 2.0**-40
"""The least roundoff at which noise is injected: float64's own is 2^-13 of it, so that
the members' own rounding is no more than that share of their scatter."""

NUMBERS = 2**18
"""How many numbers an ensemble's gates may be, over all its steps: what a case costs is mostly
proportional to it, and a case as they are drawn has fewer."""

UNIFORM = 3.0**-0.5
"""The standard deviation of what is uniform between -1 and 1."""

UNDERFLOWS = 200.0
"""Underflows, each ``eta``, that an element may have met besides: two hundred, more than an
element meets in any case that is drawn, and nothing beside any number that is normal."""

SMALL = 0.125
"""The scatter up to which a deviation is taken to be proportional to its cause: beyond, what
is injected moves activations by a share of their range, and nothing is claimed."""


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
            found = np.resize(pool[self.position :], size)
        else:
            found = pool[self.position : self.position + size]
        self.position += size
        return found.reshape(shape)

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


def widened_call(call: Call) -> Call:
    """The call with every sample once for each member."""
    return replace(
        call,
        input=widened(call.input),
        h_0=None if call.h_0 is None else widened(call.h_0),
        c_0=None if call.c_0 is None else widened(call.c_0),
        lengths=None if call.lengths is None else call.lengths * MEMBERS,
        masks=None if call.masks is None else tuple(widened(mask) for mask in call.masks),
        unbatched=False,
    )


def root_of_squares(*terms: Array) -> Array:
    """``sqrt(a^2 + b^2 + …)``."""
    total: Array = np.sqrt(sum(term * term for term in terms))
    return total


def of_activation(a: Array, fmt: Format) -> Array:
    """The scale of the noise of an activation of this value."""
    scale: Array = 2.0 * UNIFORM * fmt.u_s * np.maximum(np.abs(a), 0.5)
    return scale


@dataclass(frozen=True, eq=False)
class Sites:
    """The noise along one layer and direction, for every member, in the trace's order of time.

    ``z`` ``(L, K*N, G*H)`` on the pre-activation, ``gates`` on the activations; ``c`` on a cell
    state, ``m`` ``(L, K*N, H)`` on what the step gives, ``h`` on its projection; ``q`` on the
    hidden side of a GRU's new gate, which the reset gate multiplies. ``bends``
    ``(L, K*N, H)`` is false where relu's pre-activation may have either sign.
    """

    z: Array
    gates: Array
    m: Array
    c: Array | None = None
    h: Array | None = None
    q: Array | None = None
    bends: NDArray[np.bool_] | None = None


class _Sites:
    """The scales of the noise along one trace, which give its :class:`Sites`."""

    def __init__(self, config: Config, fmt: Format, noise: Noise) -> None:
        self.config, self.fmt, self.noise = config, fmt, noise

    def along(self, trace: Trace, errors: Errors) -> Sites:
        """The noise for one layer and direction."""
        gates = len(self.config.kind.gates)
        match self.config.kind.layer:
            case Kind.LSTM:
                return self.lstm(trace)
            case Kind.GRU:
                return self.gru(trace)
        z = self.preactivation(trace)
        if self.config.nonlinearity == "relu":
            # Exact, and a unit that noise might wake counts as awake.
            bends = np.abs(trace.zx + trace.zh) > errors.inner
            stored = self.noise.at(self.stored(trace.gates))
            return Sites(self.noise.at(z), np.zeros((1, 1, 1)), stored, bends=widened(bends))
        return Sites(
            self.noise.at(z, gates),
            np.zeros((1, 1, 1)),
            self.noise.at(of_activation(trace.gates, self.fmt)),
        )

    def stored(self, *terms: Array) -> Array:
        """``u_s / sqrt(3)`` times the root of the sum of the squares."""
        return UNIFORM * self.fmt.u_s * root_of_squares(*terms)

    def side(self, x: Array, weight: Array, bias: Array, total: Array) -> Array:
        """The variance of ``W x + b`` but for the factor ``n u^2 / 3``: its squares added up."""
        squares: Array = (x * x) @ (weight * weight).T + bias * bias + total * total
        return squares

    def sides(self, trace: Trace) -> tuple[Array, Array]:
        """The variances of both sides of the pre-activation."""
        w, fmt = trace.weights, self.fmt
        x = self.side(trace.x, w.w_ih, w.b_ih, trace.zx)
        h = self.side(trace.h[:-1], w.w_hh, w.b_hh, trace.zh)
        n = w.w_ih.shape[1] + w.w_hh.shape[1] + 2
        # What the factors lose before they are multiplied, in TF32, is of one sign where it
        # is cut off: as large as the whole in each factor, and no smaller for being summed.
        rounded = n * fmt.u**2 / 3.0 + 4.0 * fmt.u_m**2
        x, h = rounded * x, rounded * h
        if fmt.u_s != fmt.u:
            # Each product is stored, and each side with its bias, before they are added.
            x = x + fmt.u_s**2 / 3.0 * (trace.zx**2 + (trace.zx - w.b_ih) ** 2 + w.b_ih**2)
            h = h + fmt.u_s**2 / 3.0 * (trace.zh**2 + (trace.zh - w.b_hh) ** 2 + w.b_hh**2)
        return x, h

    def preactivation(self, trace: Trace) -> Array:
        """The scale of ``z = zx + zh``."""
        x, h = self.sides(trace)
        total = self.stored(trace.zx + trace.zh) if self.fmt.u_s != self.fmt.u else 0.0
        scale: Array = np.sqrt(x + h + total * total)
        return scale

    def lstm(self, trace: Trace) -> Sites:
        assert trace.c is not None
        noise, size = self.noise, trace.c.shape[-1]
        i, f, g, o = (trace.gates[..., k * size : (k + 1) * size] for k in range(4))
        t = np.tanh(trace.c[1:])
        m = o * t
        c = self.stored(f * trace.c[:-1], i * g, trace.c[1:])
        h = None
        if (w_hr := trace.weights.w_hr) is not None:
            terms = self.side(m, w_hr, np.zeros(len(w_hr)), trace.h[1:])
            squared = size * self.fmt.u**2 / 3.0 + 4.0 * self.fmt.u_m**2
            h = noise.at(np.sqrt(squared * terms + self.stored(trace.h[1:]) ** 2))
        return Sites(
            noise.at(self.preactivation(trace), 4),
            noise.at(of_activation(trace.gates, self.fmt), 4),
            # The activation of the cell state reaches nothing but this.
            noise.at(root_of_squares(o * of_activation(t, self.fmt), self.stored(m))),
            noise.at(c),
            h,
        )

    def gru(self, trace: Trace) -> Sites:
        noise, size, fmt = self.noise, trace.h.shape[-1], self.fmt
        r, z, n = (trace.gates[..., k * size : (k + 1) * size] for k in range(3))
        x, h = self.sides(trace)
        q, new = trace.zh[..., 2 * size :], slice(2 * size, None)
        zn = trace.zx[..., new] + r * q
        own = np.sqrt(x[..., new] + self.stored(r * q, zn) ** 2)
        rest = slice(0, 2 * size)
        stored = self.stored((trace.zx + trace.zh)[..., rest]) if fmt.u_s != fmt.u else 0.0
        both = np.sqrt(x[..., rest] + h[..., rest] + stored * stored)
        return Sites(
            noise.at(np.concatenate([both, own], axis=-1), 3),
            noise.at(of_activation(trace.gates, fmt), 3),
            # (1 - z) n + z h, or n + z (h - n): products, differences and the sum.
            noise.at(math.sqrt(3.0) * self.stored(n, z * trace.h[:-1])),
            q=noise.at(np.sqrt(h[..., new])),
        )


class Members(Oracle):
    """The oracle with noise at every place of a rounding; a member is a share of the batch."""

    here: Sites

    def __init__(self, call: Call, right: Forward) -> None:
        fmt = Format.of(call)
        self.factor = max(1.0, RESOLVED / fmt.u)
        self.fmt = replace(fmt, u=fmt.u * self.factor, u_s=fmt.u_s * self.factor)
        self.noise = Noise()
        sites = _Sites(call.config, self.fmt, self.noise)
        self.sites = [
            [sites.along(trace, each) for trace, each in zip(*row, strict=True)]
            for row in zip(right.answer.traces, right.errors, strict=True)
        ]
        self.t = 0

    def dropped(self, call: Call, layer: int, below: Array) -> Array:
        """With the rounding of the products with the mask."""
        through = super().dropped(call, layer, below)
        if call.masks is None:
            return through
        return self.noise.times(through, UNIFORM * masking(call.masks[layer - 1], self.fmt))

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
        found = super().step(config, weights, zx, h, c)
        self.t += 1
        return found


@dataclass(frozen=True, eq=False)
class Ensemble:
    """How far correct implementations of one call scatter.

    ``spreads`` are the root mean squares ``S`` of the members' deviations, by result and
    canonical; ``inf`` where nothing is claimed. ``ranks`` ``(K,)`` are the members' own root
    mean squares of deviation by spread, each with the spread of the others.
    """

    spreads: Mapping[str, Array]
    ranks: Array

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
        own = square[:, some]
        # By the spread of the others: who takes part in the measure looks small beside it.
        others = (total[some] - own) / (MEMBERS - 1)
        alone = np.maximum(others, (UNDERFLOWS * fmt.eta) ** 2)
        squares += np.divide(own, alone, out=np.zeros_like(own), where=alone > 0.0).sum(axis=1)
        count += own.shape[1]
    if not count:
        return Ensemble(spreads, np.zeros(0))
    return Ensemble(spreads, np.sqrt(squares / count))


def exempt(right: Forward) -> bool:
    """Whether anything is not finite, or may overflow: the hard bound alone says which."""
    return any(
        not (np.isfinite(errors.h).all() and np.isfinite(trace.h).all())
        for traces, row in zip(right.answer.traces, right.errors, strict=True)
        for trace, errors in zip(traces, row, strict=True)
    )


@dataclass(frozen=True, eq=False)
class MembersRun:
    """The members, the call that all of them answer at once, and what they answered."""

    members: Members
    call: Call
    answer: Answer


@lru_cache(maxsize=8)
def run(call: Call) -> MembersRun:
    """Kept for a moment: what goes forwards is soon asked for backwards."""
    members = Members(call, forward(call))
    wide = widened_call(call)
    return MembersRun(members, wide, members.answer(wide))


def affordable(call: Call) -> int:
    """How many samples the ensemble is run on."""
    config = call.config
    places = config.num_layers * config.num_directions
    numbers = MEMBERS * call.length * places * len(config.kind.gates) * config.hidden_size
    return min(call.batch, max(1, NUMBERS // numbers))


def of_first(call: Call, samples: int) -> Call:
    """The call with its first samples alone."""

    def first(array: Array | None) -> Array | None:
        return None if array is None else array[:, :samples]

    return replace(
        call,
        input=call.input[:, :samples],
        h_0=first(call.h_0),
        c_0=first(call.c_0),
        lengths=None if call.lengths is None else call.lengths[:samples],
        masks=None if call.masks is None else tuple(mask[:, :samples] for mask in call.masks),
    )


@lru_cache(maxsize=256)
def ensemble(call: Call) -> Ensemble:
    """The scatter for this call; kept, since implementations and checks share it.

    Nothing is claimed of the padding, of what scatters by more than :data:`SMALL`, of a call in
    which anything is not finite or may overflow, and of more samples than are
    :func:`affordable`: samples do not depend on one another, and what is wrong with one is
    wrong with the next.
    """
    shapes = {name: call.shape(name) for name in call.results}
    if (samples := affordable(call)) < call.batch:
        some = ensemble(of_first(call, samples))
        spreads = nothing(shapes).spreads
        for name, spread in some.spreads.items():
            spreads[name][:, :samples] = spread
        return Ensemble(spreads, some.ranks)
    right = forward(call)
    if not call.batch or exempt(right):
        return nothing(shapes)
    found_by = run(call)
    deviations, claimed = {}, {}
    for name, shape in shapes.items():
        due: Array = getattr(right.answer, name)
        found: Array = getattr(found_by.answer, name)
        apart = found.reshape(shape[0], MEMBERS, *shape[1:]) - due[:, None]
        deviations[name] = apart.swapaxes(0, 1)
        claimed[name] = np.abs(apart).max(axis=1) <= SMALL * np.maximum(1.0, np.abs(due))
        if name == "output":
            claimed[name] &= call.steps[:, :, None]
    return gathered(deviations, claimed, found_by.members)

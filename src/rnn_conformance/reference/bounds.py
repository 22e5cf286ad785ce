"""The hard bound: how far any correct implementation can be from the equations.

Next to the float64 reference runs, for each element, a bound ``E`` on the error of
*any* correct implementation in the working precision, whatever its order of
summation, blocking, fused multiply-add or fused biases. ``|error| > E`` proves that
an implementation does not compute these equations in this precision. There is no
``rtol`` and no ``atol``.

Model of arithmetic (Higham, "Accuracy and Stability of Numerical Algorithms", 2nd
ed., ch. 2–3): ``fl(a op b) = (a op b)(1 + d) + e``, ``|d| <= u``, ``|e| <= eta``; a sum
of ``n`` products in any order is off by at most ``gamma_n = n u / (1 - n u)`` times the
sum of their magnitudes. Inputs are exact, and weights but for what they lose where they are
kept in fewer digits (see ``storage``). Written below as ``Ex`` for the
bound on the error of ``x``; products are elementwise in magnitudes.

What is exempt: where the bound is ``inf`` nothing is claimed. That is the padding of a
packed sequence, and what lies downstream of a sum whose finite terms reach the dtype's
largest number, since the order of summation then decides whether it overflows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import lru_cache, reduce
from itertools import combinations
from types import EllipsisType
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from rnn_conformance.reference.formats import KAPPA, Format
from rnn_conformance.reference.oracle import Answer, Oracle, Trace
from rnn_conformance.reference.pieces import LONG, Pieced, Pieces
from rnn_conformance.reference.problem import Problem
from rnn_conformance.reference.storage import lost
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.config import Config, Kind, Storage

Advance: TypeAlias = Callable[[int, Array, Array], tuple[Array, Array]]
"""One step of a bound: the index, ``Eh`` and ``Ec`` before it; both after it."""


@dataclass(frozen=True, eq=False)
class Errors:
    """The bounds along one trace, shaped and ordered in time like what they belong to.

    ``x``, ``h``, ``c`` and ``gates`` are those of the trace's arrays of that name. ``inner``
    ``(L, N, H)`` is the bound on what is kept nowhere else: on the pre-activation of an
    Elman network, on an LSTM's ``tanh c'``, on a GRU's ``U_n h + b'_n``.
    """

    x: Array
    h: Array
    c: Array
    gates: Array
    inner: Array


@dataclass(frozen=True, eq=False)
class Forward:
    """The oracle's answer to a call with the bounds along its traces, in their order."""

    answer: Answer
    errors: tuple[tuple[Errors, ...], ...]


@dataclass(frozen=True, eq=False)
class _Side:
    """Error of one side ``W x + b`` of a pre-activation, for all steps at once.

    ``constant`` is the part that does not depend on the recurrent error; ``magnitude``
    is ``|W||x| + |b|`` over the finite terms.
    """

    constant: Array
    magnitude: Array


def _finite(array: Array) -> Array:
    return np.where(np.isfinite(array), array, 0.0)


@dataclass(frozen=True, eq=False)
class _Kept:
    """A matrix or a bias as an implementation has it: the most it can be, and what it lost."""

    magnitude: Array
    lost: Array | None

    @classmethod
    def of(cls, weight: Array, kept: Storage | None) -> _Kept:
        """Transposed."""
        if kept is None:
            return cls(np.abs(weight).T, None)
        loss = lost(kept, weight).T
        return cls(np.abs(weight).T + loss, loss)

    @property
    def is_finite(self) -> bool:
        """Whether it can be told what it is."""
        return self.lost is None or bool(np.isfinite(self.lost).all())


def _side(weight: _Kept, bias: _Kept, x: Array, error: Array | None, gamma: float) -> _Side:
    """``|D||x| + |W| Ex + gamma (|W|(|x| + Ex) + |b|)``: the sum's inherited and own error.

    ``|W|`` and ``|b|`` are the most they can be, and ``|D|`` what they lost.
    """
    magnitude = np.abs(x) @ weight.magnitude + bias.magnitude
    constant = gamma * magnitude
    if weight.lost is not None and bias.lost is not None:
        constant = constant + np.abs(x) @ weight.lost + bias.lost
    if error is not None:
        constant = constant + (1.0 + gamma) * (error @ weight.magnitude)
    return _Side(constant, magnitude)


@dataclass(frozen=True, eq=False)
class _Activation:
    """The error of an activation ``a`` of ``z``, by that of ``z``; arrays are of all steps.

    Mean value theorem, with the derivative taken where it is largest within ``Ez`` of ``z``, at
    ``lo = max(|z| - Ez, 0)``: ``steepness e / (1 + e)^2`` with ``e = exp(-decay lo)``. ``most``
    is the largest error there can be, and ``rounding`` the activation's own.
    """

    distance: Array
    decay: Array | float
    steepness: Array | float
    most: Array
    rounding: Array
    factor: float

    @classmethod
    def sigmoid(cls, z: Array, a: Array, fmt: Format) -> _Activation:
        """It lies in [0, 1].

        The floor of half a ``kappa u`` is absolute because ``1/2 + tanh(z/2)/2`` is a legal way
        to compute it.
        """
        return cls(np.abs(z), 1.0, 1.0, np.maximum(a, 1.0 - a), *_own(a, fmt))

    @classmethod
    def tanh(cls, z: Array, a: Array, fmt: Format) -> _Activation:
        """It lies in [-1, 1]. The absolute floor makes ``2 sigma(2 z) - 1`` legal."""
        magnitude = np.abs(a)
        return cls(np.abs(z), 2.0, 4.0, 1.0 + magnitude, *_own(magnitude, fmt))

    @classmethod
    def lstm(cls, z: Array, a: Array, fmt: Format) -> _Activation:
        """The four gates side by side, of which the third is a tanh: a step is one computation."""
        size = z.shape[-1] // 4
        cell = slice(2 * size, 3 * size)
        gates, tanh = cls.sigmoid(z, a, fmt), cls.tanh(z[..., cell], a[..., cell], fmt)
        decay, steepness = np.ones(4 * size), np.ones(4 * size)
        decay[cell], steepness[cell] = tanh.decay, tanh.steepness
        gates.most[..., cell], gates.rounding[..., cell] = tanh.most, tanh.rounding
        return replace(gates, decay=decay, steepness=steepness)

    def error(self, t: int | EllipsisType, ez: Array) -> Array:
        """In one step."""
        e = np.exp(-self.decay * np.maximum(self.distance[t] - ez, 0.0))
        inherited = np.minimum(self.steepness * ez * e / (1.0 + e) ** 2, self.most[t])
        return self.factor * inherited + self.rounding[t]


def _own(magnitude: Array, fmt: Format) -> tuple[Array, float]:
    """An activation's rounding, and by what it makes the inherited error grow."""
    kappa = KAPPA * fmt.u_s
    return kappa * np.maximum(magnitude, 0.5) + fmt.eta, 1.0 + kappa


def sigmoid_error(z: Array, a: Array, ez: Array, fmt: Format) -> Array:
    """That of a sigmoid ``a`` of ``z``."""
    return _Activation.sigmoid(z, a, fmt).error(..., ez)


def tanh_error(z: Array, a: Array, ez: Array, fmt: Format) -> Array:
    """That of a tanh ``a`` of ``z``."""
    return _Activation.tanh(z, a, fmt).error(..., ez)


def largest(arrays: Iterable[Array]) -> Array:
    """The largest magnitude in each place; infinite ones and NaN count for nothing."""
    return reduce(np.maximum, (np.abs(_finite(array)) for array in arrays))


class _Scan:
    """The bound along one layer and direction, in the trace's own order of time.

    ``initial`` is the state before the first step of all, where the trace is one of pieces.
    """

    def __init__(
        self,
        config: Config,
        trace: Trace,
        error: Array | None,
        fmt: Format,
        initial: Array | None = None,
        kept: Storage | None = None,
    ) -> None:
        weights = trace.weights
        self.config, self.trace, self.fmt = config, trace, fmt
        self.initial = trace.h[0] if initial is None else initial
        self.width = weights.w_ih.shape[1] + weights.w_hh.shape[1] + 2
        self.gamma = fmt.gamma(self.width)
        # What is rounded carries an error already, and that is rounded with it: nothing in
        # float32, but a percentage in bfloat16. A factor for each rounding on the way.
        self.rounded = 1.0 + fmt.u_s
        self.sum_rounded = 1.0 if fmt.u_s == fmt.u else self.rounded**4
        w_ih, w_hh, b_ih, b_hh = (
            _Kept.of(weight, kept)
            for weight in (weights.w_ih, weights.w_hh, weights.b_ih, weights.b_hh)
        )
        self.w_hr = None if weights.w_hr is None else _Kept.of(weights.w_hr, kept)
        self.recurrent = self.sum_rounded * (1.0 + self.gamma) * w_hh.magnitude
        h = trace.h[:-1]
        special = not (np.isfinite(trace.x).all() and np.isfinite(trace.h).all())
        x = _finite(trace.x) if special else trace.x
        self.x = _side(w_ih, b_ih, x, error, self.gamma)
        h = _finite(h) if special else h
        self.h = _side(w_hh, b_hh, h, None, self.gamma)
        magnitude = self.x.magnitude + self.h.magnitude
        self.ambiguous = magnitude >= fmt.largest
        below = error is not None and not np.isfinite(error).all()
        unknown = not all(
            weight is None or weight.is_finite for weight in (w_ih, w_hh, b_ih, b_hh, self.w_hr)
        )
        self.special = special or below or unknown or bool(self.ambiguous.any())
        self.nothing = np.zeros((trace.h.shape[1], config.hidden_size), dtype=bool)
        self.errors = Errors(
            np.zeros_like(trace.x) if error is None else error,
            np.zeros_like(trace.h),
            np.zeros_like(trace.h if trace.c is None else trace.c),
            np.empty_like(trace.gates),
            np.empty((*trace.gates.shape[:2], config.hidden_size)),
        )

    def stored(self, *terms: Array) -> Array | float:
        """Storage of intermediate results, where it is coarser than accumulation."""
        if self.fmt.u_s == self.fmt.u:
            return 0.0
        stored: Array = sum((np.abs(_finite(term)) for term in terms), np.zeros(()))
        return self.fmt.u_s * stored

    def exempt(self, t: int, ez: Array) -> NDArray[np.bool_]:
        """Units ``(N, H)`` of which nothing is claimed.

        Some gate's sum may have overflowed, or reads what is exempt: its error is infinite.
        """
        if not self.special:
            return self.nothing
        gates = len(self.config.kind.gates)
        lost = self.ambiguous[t] | ~np.isfinite(ez)
        some: NDArray[np.bool_] = lost.reshape(len(ez), gates, -1).any(axis=1)
        return some

    def settle(self, error: Array, value: Array, exempt: NDArray[np.bool_]) -> Array:
        """No claim where exempt; where the reference is not finite its class is the claim."""
        if not self.special:
            return error
        error = np.where(np.isnan(error), np.inf, error)
        error = np.where(np.isfinite(value), error, 0.0)
        return np.where(exempt, np.inf, error)

    def advance(self) -> Advance:
        """One step of it."""
        step = {Kind.LSTM: self.lstm, Kind.GRU: self.gru, Kind.RNN: self.rnn}
        return step[self.config.kind.layer]()

    def run(self) -> Errors:
        """All bounds along the trace; the initial states are exact."""
        self.go(self.advance())
        return self.errors

    def go(self, advance: Advance) -> None:
        """All steps, from the errors of the states that stand there."""
        trace, eh, ec = self.trace, self.errors.h, self.errors.c
        held = not trace.steps.all()
        for t in range(trace.zx.shape[0]):
            new_h, new_c = advance(t, eh[t], ec[t])
            if held:
                here = trace.steps[t][:, None]
                new_h, new_c = np.where(here, new_h, eh[t]), np.where(here, new_c, ec[t])
            eh[t + 1], ec[t + 1] = new_h, new_c

    def preactivation(self) -> tuple[Array, Array]:
        """``z`` and the part of ``Ez`` that does not depend on the recurrent error.

        ``Ez = |W| Ex + |U| Eh + gamma_n (|W|(|x| + Ex) + |b| + |U|(|h| + Eh) + |b'|) + n eta``
        and what is stored on the way, in the half types: ``W x``, ``U h``, two partial sums of
        these and the biases, which are the largest there are since the order is free, and ``z``.
        """
        trace, weights = self.trace, self.trace.weights
        z = trace.zx + trace.zh
        ez = self.x.constant + self.h.constant + self.width * self.fmt.eta
        if self.fmt.u_s != self.fmt.u:
            wx, uh = trace.zx - weights.b_ih, trace.zh - weights.b_hh
            terms = (wx, uh, weights.b_ih, weights.b_hh)
            sums = (reduce(np.add, some) for n in (2, 3) for some in combinations(terms, n))
            partial = largest(sums)
            ez = ez + self.stored(wx, uh, partial, partial, z)
        return z, self.sum_rounded * ez

    def rnn(self) -> Advance:
        z, ez0 = self.preactivation()
        relu = self.config.nonlinearity == "relu"
        tanh = _Activation.tanh(z, self.trace.gates, self.fmt)

        def advance(t: int, eh: Array, ec: Array) -> tuple[Array, Array]:
            ez = ez0[t] + eh @ self.recurrent
            value = self.trace.gates[t]
            self.errors.inner[t] = ez
            # relu is 1-Lipschitz, and exact where even z + Ez stays below the kink.
            error = np.where(z[t] + ez < 0.0, 0.0, ez) if relu else tanh.error(t, ez)
            self.errors.gates[t] = error
            return self.settle(error, value, self.exempt(t, ez)), ec

        return advance

    def lstm(self) -> Advance:
        z, ez0 = self.preactivation()
        trace, fmt, w_hr = self.trace, self.fmt, self.w_hr
        assert trace.c is not None
        size = trace.c.shape[-1]
        tanh_c = np.tanh(trace.c[1:])
        gate = _Activation.lstm(z, trace.gates, fmt)
        tanh = _Activation.tanh(trace.c[1:], tanh_c, fmt)
        abs_c, abs_tanh = np.abs(trace.c), np.abs(tanh_c)
        gates = np.abs(trace.gates)
        i, f, g, o = (gates[..., k * size : (k + 1) * size] for k in range(4))
        m = o * abs_tanh
        forgotten, added = f * abs_c[:-1], i * g
        # One storage error of each product and of the sum.
        c_rounding = fmt.u_s * (forgotten + added + abs_c[1:]) + 3.0 * fmt.eta
        m_rounding = fmt.u_s * m + fmt.eta
        if w_hr is not None:
            projection, gamma = w_hr.magnitude, fmt.gamma(size)
            h_rounding = gamma * (m @ projection) + fmt.u_s * np.abs(trace.h[1:]) + size * fmt.eta
            if w_hr.lost is not None:
                h_rounding = h_rounding + m @ w_hr.lost

        def advance(t: int, eh: Array, ec: Array) -> tuple[Array, Array]:
            ez = ez0[t] + eh @ self.recurrent
            self.errors.gates[t] = ea = gate.error(t, ez)
            exempt = self.exempt(t, ez)
            ei, ef, eg, eo = (ea[:, k * size : (k + 1) * size] for k in range(4))
            assert trace.c is not None
            # Ec' = (f + Ef) Ec + |c| Ef + (i + Ei) Eg + |g| Ei + rounding
            new_c = (f[t] + ef) * ec + abs_c[t] * ef + (i[t] + ei) * eg + g[t] * ei + c_rounding[t]
            new_c = self.settle(self.rounded**2 * new_c, trace.c[t + 1], exempt)
            # Em = (o + Eo) Et + |tanh c'| Eo + rounding, Et the error of tanh c'
            self.errors.inner[t] = et = tanh.error(t, new_c)
            em = self.rounded * ((o[t] + eo) * et + abs_tanh[t] * eo + m_rounding[t])
            if w_hr is not None:
                em = self.settle(em, m[t], exempt)
                em = self.rounded * ((1.0 + gamma) * (em @ projection) + h_rounding[t])
                return self.settle(em, trace.h[t + 1], ~np.isfinite(em)), new_c
            return self.settle(em, trace.h[t + 1], exempt), new_c

        return advance

    def gru(self) -> Advance:
        trace, fmt, weights = self.trace, self.fmt, self.trace.weights
        size = trace.h.shape[-1]
        new = slice(2 * size, 3 * size)
        z, ez0 = self.preactivation()
        r, update, n = (trace.gates[..., k * size : (k + 1) * size] for k in range(3))
        q, zn_x = trace.zh[..., new], trace.zx[..., new]
        zn = zn_x + r * q
        # The new gate's two sides meet only after the product with r, so they are apart.
        # Either's product is stored, and its sum with the bias, or W x with r q before that.
        product = zn_x - weights.b_ih[new]
        ex_n = self.x.constant[..., new] + self.width * fmt.eta
        ex_n = ex_n + self.stored(product, largest([zn_x, product + r * q]))
        eq0 = self.h.constant[..., new] + self.width * fmt.eta
        eq0 = eq0 + self.stored(q - weights.b_hh[new], q)
        gate = _Activation.sigmoid(z[..., : 2 * size], trace.gates[..., : 2 * size], fmt)
        tanh = _Activation.tanh(zn, n, fmt)
        abs_q, abs_n, abs_h = np.abs(q), np.abs(n), np.abs(trace.h[:-1])
        # An infinite sum is exact: were its rounding infinite too, nothing would be claimed.
        rq_rounding = fmt.u_s * np.abs(_finite(r * q))
        zn_rounding = fmt.u_s * np.abs(_finite(zn))
        # (1 - z) n + z h and n + z (h - n) are both legal: four roundings of their terms.
        h_rounding = 4.0 * fmt.u_s * ((1.0 + update) * abs_n + update * abs_h) + 4.0 * fmt.eta
        cap = np.abs(trace.h[1:]) + np.maximum(1.0, np.abs(self.initial))

        def advance(t: int, eh: Array, ec: Array) -> tuple[Array, Array]:
            recurrent = eh @ self.recurrent
            ez = ez0[t] + recurrent
            exempt, ez = self.exempt(t, ez), ez[:, : 2 * size]
            ea = gate.error(t, ez)
            er, eu = ea[:, :size], ea[:, size:]
            eq = self.rounded**2 * eq0[t] + recurrent[:, new]
            self.errors.inner[t] = eq
            e_rq = self.rounded * (r[t] * eq + abs_q[t] * er + er * eq + rq_rounding[t])
            ezn = self.rounded**3 * (ex_n[t] + e_rq + zn_rounding[t])
            en = tanh.error(t, ezn)
            self.errors.gates[t, :, : 2 * size], self.errors.gates[t, :, new] = ea, en
            error = self.rounded**4 * (
                (1.0 - update[t]) * en
                + update[t] * eh
                + np.abs(trace.h[t] - n[t]) * eu
                + eu * (eh + en)
            )
            # A convex combination of n and h never leaves their range.
            error = np.minimum(error, cap[t]) + h_rounding[t]
            return self.settle(error, trace.h[t + 1], exempt), ec

        return advance


def _along(problem: Problem, trace: Trace, error: Array | None) -> Errors:
    """The bound along a trace, of a long one in pieces."""
    config, fmt, kept = problem.call.config, problem.format, problem.weights
    length, samples = trace.steps.shape
    if length < LONG:
        return _Scan(config, trace, error, fmt, kept=kept).run()
    pieces = Pieces(length, samples)
    apart = Trace(
        trace.weights,
        x=pieces.cut(trace.x),
        zx=pieces.cut(trace.zx),
        zh=pieces.cut(trace.zh),
        gates=pieces.cut(trace.gates),
        h=pieces.cut_states(trace.h),
        c=None if trace.c is None else pieces.cut_states(trace.c),
        steps=pieces.cut(trace.steps),
    )
    below = None if error is None else pieces.cut(error)
    scan = _Scan(config, apart, below, fmt, pieces.repeated(trace.h[0]), kept)
    errors, advance = scan.errors, scan.advance()

    def once(begins: tuple[Array, ...]) -> tuple[Array, ...]:
        errors.h[0], errors.c[0] = begins
        scan.go(advance)
        return errors.h[-1], errors.c[-1]

    pieces.settled(once, *(np.zeros((samples, e.shape[2])) for e in (errors.h, errors.c)))
    return Errors(
        pieces.joined(errors.x),
        pieces.joined_states(errors.h),
        pieces.joined_states(errors.c),
        pieces.joined(errors.gates),
        pieces.joined(errors.inner),
    )


def _scanned(problem: Problem, answer: Answer) -> tuple[tuple[Errors, ...], ...]:
    """The bounds along each trace: those of a layer's output are those of the next's input."""
    oracle, fmt = Oracle(), problem.format
    below: Array | None = None
    rows = []
    for layer, traces in enumerate(answer.traces):
        if below is not None and problem.masks is not None:
            mask = problem.masks.above(layer - 1)
            rounding = fmt.masking(mask)
            below = (1.0 + rounding) * mask * below + rounding * np.abs(traces[0].x)
        row, halves = [], []
        for direction, trace in enumerate(traces):
            order = slice(None, None, -1) if direction else slice(None)
            error = None if below is None else below[order]
            row.append(_along(problem, trace, error))
            halves.append(row[-1].h[1:][order])
        below = oracle.join(halves)
        rows.append(tuple(row))
    return tuple(rows)


def assembled(problem: Problem, computed: Forward) -> dict[str, Array]:
    """The bounds of the results by name: joined and stacked like the values."""
    oracle = Oracle()
    last = computed.errors[-1]
    places = [errors for row in computed.errors for errors in row]
    bounds = {
        "output": oracle.join([e.h[:0:-1] if d else e.h[1:] for d, e in enumerate(last)]),
        "h_n": oracle.final_states([errors.h[-1] for errors in places]),
        "c_n": oracle.final_states([errors.c[-1] for errors in places]),
    }
    return {name: bounds[name] for name in problem.call.results}


@lru_cache(maxsize=32)
def forward(problem: Problem) -> Forward:
    """The oracle's answer and all bounds on the way; few are kept, for they are large."""
    # Overflow and NaN are part of what is computed here, not accidents.
    with np.errstate(all="ignore"):
        answer = Pieced(problem.masks).answer(problem.call)
        return Forward(answer, _scanned(problem, answer))

"""How well one answer agrees with the equations, and when many of them agree too badly.

Of one case, an element's error may be ``t`` times its scatter ``S`` (``ensemble``). Were the
implementation one more member of the ensemble, their quotient would follow Student's
distribution with ``K`` degrees of freedom; ``t`` is its quantile at ``ALPHA / 2N``, so that any of
the ``N`` elements of a case exceeds it with a probability of at most ``ALPHA``.

Of many cases no distribution is assumed: one more member would be the worst of all, by the
root mean square of its quotients, in one case of ``K + 1``. That happens more often than
:func:`most_outliers` says with a probability of at most ``RANK_ALPHA``.

Both are far on the safe side: implementations round less than the noise supposes, and
their errors come to a third of their scatter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from rnn_conformance.reference.expected import Expected
from rnn_conformance.reference.formats import FORMATS
from rnn_conformance.reference.noise import MEMBERS
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.config import Dtype
from rnn_conformance.spec.result import Quantity

ALPHA = 1e-6
"""The probability at which a case may be refused that is one more member of the ensemble."""

RANK_ALPHA = 1e-9
"""The same for all cases of a check together."""

EXPONENTS = range(-9, 1)
"""The upper edges, as powers of two, of the classes of error by tolerance; below, a class for
what is smaller and one for what is exact."""

ULPS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 1024.0)
"""The upper edges of the classes of error in units of the last place; besides, one for what is
exact and one for what is larger."""


@cache
def student(elements: int) -> float:
    """``t``: how many times its scatter an element may be off, of so many in a case."""
    # Not loaded by whoever starts a run: it takes as long as the rest of the suite.
    from scipy.special import stdtrit

    return float(-stdtrit(MEMBERS, ALPHA / (2.0 * max(1, elements))))


@cache
def most_outliers(cases: int) -> int:
    """In how many of so many cases a correct implementation may be worse than all members."""
    from scipy.special import bdtrc

    chance = 1.0 / (MEMBERS + 1.0)
    for outliers in range(cases + 1):
        # P(more outliers than that)
        if bdtrc(outliers, cases, chance) <= RANK_ALPHA:
            return outliers
    return cases


def tolerance(expected: Expected, name: str) -> Array:
    """``min(E, t S)``; infinite, so that nothing is claimed, wherever ``E`` is."""
    elements = sum(array.size for array in expected.values.values())
    bound, spread = expected.bounds[name], expected.scatter.spreads[name]
    limit: Array = np.where(np.isposinf(bound), np.inf, np.fmin(bound, student(elements) * spread))
    return limit


@dataclass(frozen=True)
class Agreement:
    """How far the errors of one case lie inside what is allowed.

    ``rank`` is the root mean square of error by scatter, ``worst_member`` the greatest of the
    members'; both zero where nothing scatters. ``shares`` and ``ulps`` count the elements in the
    classes of :data:`EXPONENTS` and :data:`ULPS`. ``worst`` is the largest quotient of error and
    tolerance.
    """

    call: Call
    quantity: Quantity
    rank: float
    worst_member: float
    shares: tuple[int, ...]
    ulps: tuple[int, ...]
    worst: float

    @property
    def is_outlier(self) -> bool:
        """Whether it is further off than every member."""
        return self.rank > self.worst_member

    @classmethod
    def measured(
        cls,
        call: Call,
        quantity: Quantity,
        expected: Expected,
        errors: Mapping[str, Array],
        limits: Mapping[str, Array],
    ) -> Agreement:
        """From the errors of one case and what is allowed, by name."""
        claimed = {name: np.isfinite(limit) for name, limit in limits.items()}
        error, limit, value = (
            np.concatenate([arrays[name][some] for name, some in claimed.items()])
            for arrays in (errors, limits, expected.values)
        )
        share = np.divide(error, limit, out=np.zeros_like(error), where=error > 0.0)
        scatter = expected.scatter
        return cls(
            call,
            quantity,
            scatter.rank(errors) if scatter.claims else 0.0,
            float(scatter.ranks.max(initial=0.0)),
            _classes(share, [2.0**exponent for exponent in EXPONENTS]),
            _classes(error / ulp(value, call.dtype), ULPS),
            float(share.max(initial=0.0)),
        )


def ulp(value: Array, dtype: Dtype) -> Array:
    """The distance of neighbouring numbers of this dtype at ``value``."""
    fmt = FORMATS[dtype]
    _, exponent = np.frexp(value)
    # frexp's significand lies in [1/2, 1), so 2^(exponent - 1) is the number's power of two.
    spacing = np.where(value == 0.0, 0.0, np.ldexp(2.0 * fmt.u_s, exponent - 1))
    # What underflows may be off by eta, which then is half a unit.
    unit: Array = np.maximum(spacing, 2.0 * fmt.eta)
    return unit


def _classes(values: Array, edges: Sequence[float]) -> tuple[int, ...]:
    """Exact ones first, then those up to each edge, then those beyond the last."""
    places = np.searchsorted(np.asarray(edges), values[values > 0.0], side="left")
    counts = np.bincount(places, minlength=len(edges) + 1)
    return (int(np.count_nonzero(values == 0.0)), *(int(count) for count in counts))


def worse_than_chance(agreements: Sequence[Agreement]) -> tuple[list[Agreement], int] | None:
    """The outliers, worst first, and how many there may be; ``None`` if there are no more."""
    scattering = [agreement for agreement in agreements if agreement.worst_member > 0.0]
    outliers = sorted(
        (agreement for agreement in scattering if agreement.is_outlier),
        key=lambda agreement: -agreement.rank / agreement.worst_member,
    )
    allowed = most_outliers(len(scattering))
    return (outliers, allowed) if len(outliers) > allowed else None


def summary(agreements: Iterable[tuple[Any, Agreement]]) -> tuple[dict[str, Any], ...]:
    """By dtype and by what was compared, as plain values, from the cases and their agreements."""
    groups: dict[tuple[str, str], list[tuple[Any, Agreement]]] = {}
    for case, agreement in agreements:
        key = str(agreement.call.dtype), str(agreement.quantity)
        groups.setdefault(key, []).append((case, agreement))
    summaries = []
    for (dtype, quantity), members in groups.items():
        case, worst = max(members, key=lambda member: member[1].worst)
        summaries.append(
            {
                "dtype": dtype,
                "of": quantity,
                "cases": len(members),
                "hits": sum(agreement.is_outlier for _, agreement in members),
                "shares": _added(agreement.shares for _, agreement in members),
                "ulps": _added(agreement.ulps for _, agreement in members),
                "worst": worst.worst,
                "worst_call": str(worst.call),
                "worst_case": case.to_record(),
            }
        )
    return tuple(summaries)


def _added(counts: Iterable[tuple[int, ...]]) -> list[int]:
    return [sum(column) for column in zip(*counts, strict=True)]

"""Which known deviation, or which two, would give what an implementation gave.

A deviation that fits has to fit everything: what is off as well as what is right. Where one
of them alone does not, two are tried together, each as a variant of the other: beginning
with the smallest evidence, on which few deviations show at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice, permutations
from typing import Any

from rnn_conformance.deviations import Deviation
from rnn_conformance.deviations.gradients import GradientDeviation
from rnn_conformance.evidence import Evidence

SMALL = 12
"""How many of the smallest wrong ones are looked at for what explains them singly."""

LEADS = 12
"""How many deviations that explain some of it are tried together with every other."""

PAIRS = 30_000
"""How many pairs are tried at most: a number, not a time, so that it is the same everywhere."""


@dataclass(frozen=True)
class Suspect:
    """One deviation or two, the first a variant of the second, which is one of the oracle."""

    deviations: tuple[Deviation | GradientDeviation, ...]

    @property
    def variant(self) -> type[Any]:
        """The oracle, or its derivative, with all of them."""
        return composed(tuple(variant_of(each) for each in self.deviations))


def variant_of(deviation: Deviation | GradientDeviation) -> type[Any]:
    """What a deviation is a variant of the oracle as, or of its derivative."""
    return deviation.oracle if isinstance(deviation, Deviation) else deviation.adjoint


@cache
def composed(variants: tuple[type[Any], ...]) -> type[Any]:
    """A variant that deviates in all of these ways; raises ``TypeError`` if it cannot."""
    return variants[0] if len(variants) == 1 else type("Composed", variants, {})


def suspects(
    evidence: Sequence[Evidence], candidates: Sequence[Deviation | GradientDeviation]
) -> list[Suspect]:
    """All that fit the whole evidence; single ones if there are any, or else pairs.

    Empty if none does, or if nothing is far enough off to be told.
    """
    wrong = _by_size(each for each in evidence if each.told)
    right = _by_size(each for each in evidence if not each.wrong)
    if not wrong:
        return []
    single = [Suspect((each,)) for each in candidates]
    found = [each for each in single if _fits(each, wrong) and _fits(each, right)]
    return found or _pairs(single, wrong, right)


def _by_size(evidence: Iterable[Evidence]) -> list[Evidence]:
    return sorted(evidence, key=lambda each: each.probe.size)


def _fits(suspect: Suspect, evidence: Iterable[Evidence]) -> bool:
    try:
        variant = suspect.variant
    except TypeError:
        return False
    return all(each.fits(variant) for each in evidence)


def _pairs(
    single: Sequence[Suspect], wrong: Sequence[Evidence], right: Sequence[Evidence]
) -> list[Suspect]:
    """The pairs that fit and have one half in common; empty if there is none."""
    small = wrong[:SMALL]
    explained = {
        suspect: {n for n, each in enumerate(small) if each.fits(suspect.variant)}
        for suspect in single
    }
    leads = sorted((each for each in single if explained[each]), key=lambda e: -len(explained[e]))
    for lead in leads[:LEADS]:
        rest = [each for n, each in enumerate(small) if n not in explained[lead]] or wrong
        found = [
            pair
            for other in single
            for pair in _both(lead, other)
            if _fits(pair, rest) and _fits(pair, wrong) and _fits(pair, right)
        ]
        if found:
            return found
    alone = set[int]().union(*explained.values())
    for number, each in enumerate(small):
        if number not in alone:
            # Here both of them show, whichever they are.
            showing = _distinct(single, each)
            every = islice(permutations(showing, 2), PAIRS)
            pairs = (Suspect((*one.deviations, *other.deviations)) for one, other in every)
            fit = (e for e in pairs if _fits(e, [each]) and _fits(e, wrong) and _fits(e, right))
            return list(islice(fit, 1))
    return []


def _both(first: Suspect, second: Suspect) -> tuple[Suspect, ...]:
    """Each as a variant of the other."""
    if first is second:
        return ()
    pair = (*first.deviations, *second.deviations)
    return Suspect(pair), Suspect(pair[::-1])


def _distinct(single: Sequence[Suspect], evidence: Evidence) -> list[Suspect]:
    """Those that show in this evidence, one of each sort that is the same there."""
    seen: dict[bytes, Suspect] = {}
    for suspect in single:
        try:
            given = evidence.predict(suspect.variant)
        except Exception:  # It may not be made for what is asked here.
            continue
        if not evidence.alike(given, evidence.right):
            key = b"".join(array.tobytes() for array in given.arrays.values())
            seen.setdefault(key, suspect)
    return list(seen.values())


def partial(
    evidence: Sequence[Evidence], candidates: Sequence[Deviation | GradientDeviation]
) -> tuple[Suspect, int] | None:
    """The deviation that fits most of what is wrong, at least half, and all that is right."""
    wrong = _by_size(each for each in evidence if each.told)
    right = _by_size(each for each in evidence if not each.wrong)
    found = [
        (suspect, fits)
        for suspect in (Suspect((each,)) for each in candidates)
        if (fits := sum(one.fits(suspect.variant) for one in wrong[:SMALL])) * 2 >= len(wrong[:SMALL])
        and (fits := sum(one.fits(suspect.variant) for one in wrong)) * 2 >= len(wrong)
        and _fits(suspect, right)
    ]
    return max(found, key=lambda each: each[1], default=None)

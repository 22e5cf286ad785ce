"""Which known deviation, or which two, would give what an implementation gave.

A deviation that fits has to fit everything: what is off as well as what is right. Where one
of them alone does not, two are tried together, each as a variant of the other: beginning
with the smallest evidence, on which few deviations show at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice, permutations
from typing import Any

from rnn_conformance.deviations import Deviation
from rnn_conformance.deviations.gradients import GradientDeviation
from rnn_conformance.evidence import Evidence
from rnn_conformance.spec import Feature

SMALL = 12
"""How many of the smallest wrong ones are looked at for what explains them singly."""

LEADS = 8
"""How many deviations that explain some of it are tried together with every other."""

ENOUGH = 3
"""How much must be off in a part of the evidence that is explained by itself."""

FEATURES = {
    Feature.BIDIRECTIONAL: "a reverse direction",
    Feature.MULTI_LAYER: "a second layer",
    Feature.BATCH_FIRST: "batch_first",
    Feature.BIAS_FREE: "bias=False",
    Feature.INITIAL_STATE: "an initial state",
    Feature.UNBATCHED: "unbatched input",
    Feature.PACKED: "packed sequences",
    Feature.PROJECTION: "a projection",
    Feature.RELU: "relu",
    Feature.DROPOUT: "dropout",
    Feature.EMPTY_BATCH: "an empty batch",
}
"""What a call has that needs the feature."""

RESULTS = {"output": ("output",), "h_n and c_n": ("h_n", "c_n"), "h_n": ("h_n",), "c_n": ("c_n",)}

PAIRS = 20_000
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


@lru_cache(maxsize=1024)
def composed(variants: tuple[type[Any], ...]) -> type[Any]:
    """A variant that deviates in all of these ways; raises ``TypeError`` if it cannot."""
    return variants[0] if len(variants) == 1 else type("Composed", variants, {})


def suspects(
    evidence: Sequence[Evidence],
    candidates: Sequence[Deviation | GradientDeviation],
    *,
    pairs: bool = True,
) -> list[Suspect]:
    """All that fit the whole evidence; single ones if there are any, or else ``pairs``.

    Empty if none does, or if nothing is far enough off to be told.
    """
    wrong = _by_size(each for each in evidence if each.told)
    right = _by_size(each for each in evidence if not each.wrong)
    if not wrong:
        return []
    single = [Suspect((each,)) for each in candidates]
    found = [each for each in single if _fits(each, wrong) and _fits(each, right)]
    return found or (_pairs(single, wrong, right) if pairs else [])


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


def restricted(evidence: Sequence[Evidence]) -> Iterator[tuple[str, list[Evidence]]]:
    """Parts of the evidence, and which they are in words, in which something is off.

    With and without each feature; then each result by itself.
    """
    for feature, words in FEATURES.items():
        for having in (True, False):
            part = [each for each in evidence if (feature in each.features) is having]
            if len(part) < len(evidence):
                yield f"in calls with{'' if having else 'out'} {words}", part
    for words, names in RESULTS.items():
        yield f"as to {words}", [each.only(*names) for each in evidence]


def conditional(
    evidence: Sequence[Evidence], candidates: Sequence[Deviation | GradientDeviation]
) -> tuple[str, list[Evidence], list[Suspect]] | None:
    """The part of the evidence that single deviations fit, with most that is off; if any is.

    A part in which little is off may be fitted by chance.
    """
    parts = [
        (words, part)
        for words, part in restricted(evidence)
        if sum(each.told for each in part) >= ENOUGH
    ]
    parts.sort(key=lambda each: (sum(e.told for e in each[1]), len(each[1])), reverse=True)
    for words, part in parts:
        if found := suspects(part, candidates, pairs=False):
            return words, part, found
    return None

"""Which known deviation, or which two, would give what an implementation gave.

A deviation that fits has to fit everything: what is off as well as what is right. Where one
of them alone does not, two are tried together, each as a variant of the other: beginning
with the smallest evidence, on which few deviations show at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice, permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnn_conformance.deviations import Deviation
from rnn_conformance.deviations.scoped import scoped
from rnn_conformance.deviations.scopes import SCOPES, Scope, from_on, larger, narrowed
from rnn_conformance.diagnosis.evidence import Evidence, Place
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.config import Feature

SMALL = 12
"""How many of the smallest wrong ones are looked at for what explains them singly."""

LEADS = 8
"""How many deviations that explain some of it are tried together with every other."""

ENOUGH = 3
"""How much must be off in a part of the evidence that is explained by itself."""

CONFINED = 12_000
"""How many deviations confined to scopes are tried at most, the likeliest scopes first."""

TWICE = 1_500
"""How many confined to two scopes at once."""

MOSTLY = 0.8
"""The share of what is off that a deviation must explain to be told though it is not all."""

IN_PART = 120
"""How many at most for each part of the evidence."""

SIZES: dict[str, Callable[[Call], int]] = {
    "units": lambda call: call.config.hidden_size,
    "input features": lambda call: call.config.input_size,
    "samples": lambda call: call.batch,
    "steps": lambda call: call.length,
    "layers": lambda call: call.config.num_layers,
}
"""Where code has been seen to change its ways."""

LED = 600
"""How many pairs with one of these are tried at most."""

NEAR = 2
"""How many that come near everything are tried together with every other."""

PAIRS = 1_500
"""How many pairs are tried at most on the smallest evidence that takes two: a number, not a time,
so that it is the same everywhere."""


@dataclass(frozen=True)
class Suspect:
    """One deviation or two, the first a variant of the second, which is one of the oracle."""

    deviations: tuple[Deviation[Any], ...]
    made: type[Any] | None = None
    """What has all of them, where that is more than each as a variant of the next."""
    calls: Scope | None = None
    """The calls in which it shows, where what they are was made up to fit."""

    @property
    def variant(self) -> type[Any]:
        """The oracle, or its derivative, with all of them."""
        return self.made or composed(tuple(deviation.variant for deviation in self.deviations))


@lru_cache(maxsize=1024)
def composed(variants: tuple[type[Any], ...]) -> type[Any]:
    """A variant that deviates in all of these ways; raises ``TypeError`` if it cannot."""
    return variants[0] if len(variants) == 1 else type("Composed", variants, {})


def suspects(
    evidence: Sequence[Evidence],
    candidates: Sequence[Deviation[Any]],
    scopes: Sequence[Scope] = SCOPES,
) -> Iterator[list[Suspect]]:
    """Those that fit the whole evidence, and could not be told apart by it: the likeliest first.

    Single ones, then each in a scope. None if nothing is far enough off to be told.
    """
    wrong = by_size(piece for piece in evidence if piece.telling)
    passing = by_size(piece for piece in evidence if not piece.wrong)
    if not wrong:
        return
    if single := singly(evidence, candidates):
        yield single
    possible, able = _possible(scopes, evidence), able_in(candidates, wrong)
    yield from _alike(in_scopes(likeliest(possible, evidence), able, wrong, passing))


def combined(
    evidence: Sequence[Evidence],
    candidates: Sequence[Deviation[Any]],
    scopes: Sequence[Scope] = SCOPES,
) -> Iterator[list[Suspect]]:
    """The same of two deviations that show together or not at all, and of one in two places.

    In calls that meet several conditions, or in a place in such calls, it was looked for before
    (``conditions``).
    """
    wrong = by_size(piece for piece in evidence if piece.telling)
    passing = by_size(piece for piece in evidence if not piece.wrong)
    if not wrong:
        return
    if pairs := _pairs([Suspect((candidate,)) for candidate in candidates], wrong, passing):
        yield pairs
    possible, able = _possible(scopes, evidence), able_in(candidates, wrong)
    places = [scope for scope in possible if scope.condition is None]
    twice = [scope for scope in narrowed(places) if _could_be(scope, evidence)]
    yield from _alike(in_scopes(likeliest(twice, evidence), able, wrong, passing, TWICE))


def _possible(scopes: Sequence[Scope], evidence: Sequence[Evidence]) -> list[Scope]:
    """Those in which all that is wrong can be, and those that the sizes suggest."""
    return [scope for scope in (*scopes, *_sizes(evidence)) if _could_be(scope, evidence)]


def able_in(
    candidates: Sequence[Deviation[Any]], wrong: Sequence[Evidence]
) -> list[Deviation[Any]]:
    """Those that could show in all that is wrong."""
    return [one for one in candidates if all(one.needs <= piece.features for piece in wrong)]


def likeliest(scopes: Sequence[Scope], evidence: Sequence[Evidence]) -> list[Scope]:
    """First those in which least is right."""

    def right(scope: Scope) -> int:
        return sum(
            any(part for part, _ in covered(scope, piece)) for piece in evidence if not piece.wrong
        )

    return sorted(scopes, key=right)


def singly(evidence: Sequence[Evidence], candidates: Sequence[Deviation[Any]]) -> list[Suspect]:
    """The deviations that fit all of it as they are."""
    wrong = by_size(piece for piece in evidence if piece.telling)
    passing = by_size(piece for piece in evidence if not piece.wrong)
    every = [Suspect((candidate,)) for candidate in candidates] if wrong else []
    return [*_fitting(every, wrong, passing)]


def mostly(
    evidence: Sequence[Evidence],
    candidates: Sequence[Deviation[Any]],
    answers: Sequence[Evidence] = (),
) -> list[Suspect]:
    """The deviations that fit most of what is off, all of ``answers`` and all that is right.

    Those that fit as much as the one that fits most. What is left over is small beside it: of
    another cause, or of special values and few digits, in which ways to compute the same differ.
    """
    wrong = by_size(piece for piece in evidence if piece.telling)
    passing = by_size(piece for piece in evidence if not piece.wrong)
    if len(wrong) < ENOUGH:
        return []
    found: dict[int, list[Suspect]] = {}
    # Of all sizes: those of the smallest may be off for a reason of their own.
    some = wrong[:: max(1, len(wrong) // SMALL)]
    for suspect in (Suspect((candidate,)) for candidate in candidates):
        # By chance fewer of a few than of all: a half is enough to go on.
        if not _fits_share(suspect, some, 0.5) or not _fits(suspect, answers):
            continue
        if _fits_share(suspect, wrong, MOSTLY) and _fits(suspect, passing):
            found.setdefault(explained(suspect, wrong), []).append(suspect)
    return found[max(found)] if found else []


def _fits_share(suspect: Suspect, evidence: Sequence[Evidence], share: float) -> bool:
    """Whether it fits so many of them: tried until too many are seen that it does not fit."""
    misses = (piece for piece in evidence if not piece.fits(suspect.variant))
    allowed = int((1.0 - share) * len(evidence))
    return next(islice(misses, allowed, None), None) is None


def explained(suspect: Suspect, evidence: Iterable[Evidence]) -> int:
    """How many pieces of evidence are what a suspect gives."""
    return sum(piece.fits(suspect.variant) for piece in evidence)


@lru_cache(maxsize=2**16)
def covered(scope: Scope, piece: Evidence) -> tuple[tuple[bool, bool], ...]:
    """For each call, whether it is in a scope, in part at least, and as a whole."""
    return tuple(scope.covers(call, number) for number, call in enumerate(piece.probe.calls, 1))


def _could_be(scope: Scope, evidence: Sequence[Evidence]) -> bool:
    """Whether all that is wrong is in a scope, in part at least, and something is not."""
    elsewhere = False
    for piece in evidence:
        parts = covered(scope, piece)
        if piece.wrong and not any(part for part, _ in parts):
            return False
        elsewhere |= not all(whole for _, whole in parts)
    return elsewhere


def _sizes(evidence: Sequence[Evidence]) -> Iterator[Scope]:
    """The sizes only above which something is wrong; and the samples."""
    for words, of in SIZES.items():
        wrong = [max(map(of, piece.probe.calls)) for piece in evidence if piece.wrong]
        passing = [max(map(of, piece.probe.calls)) for piece in evidence if not piece.wrong]
        # Above it something may be right all the same, as where a loop leaves nothing over.
        if smaller := [size for size in passing if size < min(wrong, default=0)]:
            yield larger(words, of, max(smaller))
    if (first := min(map(_first_sample, (p for p in evidence if p.wrong)), default=0)) > 1:
        yield from_on(first)


def _first_sample(piece: Evidence) -> int:
    """The first sample of which something is off; 0 where that cannot be told."""
    firsts = [
        int(np.argmax(mask.any(axis=(0, 2)))) if mask is not None and mask.ndim == 3 else 0
        for off in piece.off
        for mask in off.values()
    ]
    return min(firsts, default=0)


def in_scopes(
    scopes: Sequence[Scope],
    candidates: Sequence[Deviation[Any]],
    wrong: Sequence[Evidence],
    passing: Sequence[Evidence],
    most: int = CONFINED,
) -> Iterator[tuple[Scope, list[Deviation[Any]]]]:
    """Deviations that fit everything if each is confined to a scope, scope by scope.

    ``most`` are tried.
    """
    plainly: dict[Evidence, list[Deviation[Any]]] = {}
    tried = 0
    for scope in scopes:
        # Where a scope is everything, a deviation in it is the deviation itself.
        whole = [piece for piece in wrong if is_whole(scope, piece)][:1]
        left = candidates
        for piece in whole:
            if piece not in plainly:
                plainly[piece] = [one for one in candidates if piece.fits(one.variant)]
            left = plainly[piece]
        rest = [piece for piece in wrong if piece not in whole]
        fitting: list[Deviation[Any]] = []
        for piece, places in islice(apart(scope, wrong), 2):
            left = [one for one in left if piece.fits_at(one.variant, places)]
        for candidate in left:
            tried += 1
            if tried > most:
                return
            try:
                suspect = Suspect((confined(candidate, scope),))
            except TypeError:
                continue
            if _fits(suspect, rest) and _fits(suspect, passing):
                fitting.append(candidate)
        if fitting:
            yield scope, fitting


def _alike(found: Iterable[tuple[Scope, list[Deviation[Any]]]]) -> Iterator[list[Suspect]]:
    """What fits in a scope, as suspects."""
    for scope, fitting in found:
        yield [Suspect((confined(deviation, scope),)) for deviation in fitting]


def apart(
    scope: Scope, wrong: Sequence[Evidence]
) -> Iterator[tuple[Evidence, dict[Place, NDArray[np.bool_]]]]:
    """Evidence in which a part shows what the deviation gives everywhere, and that part.

    So a candidate is ruled out by what was computed of it already.
    """
    for piece in wrong:
        if len(piece.probe.calls) != 1 or piece.probe.backward is not None:
            continue
        call = piece.probe.calls[0]
        masks = scope.as_everywhere(call)
        if any(mask.any() for mask in masks.values()):
            given = {name: call.give(name, mask.astype(float)) for name, mask in masks.items()}
            yield piece, {(0, name): mask > 0 for name, mask in given.items()}


def is_whole(scope: Scope, piece: Evidence) -> bool:
    """Whether all calls of it are in a scope as a whole."""
    return all(whole for _, whole in covered(scope, piece))


def confined(deviation: Deviation[Any], scope: Scope | None) -> Deviation[Any]:
    """The deviation in a scope, and so called; raises ``TypeError`` where that is nothing."""
    if scope is None:
        return deviation
    name, variant = f"{deviation.name}, {scope.words}", scoped(deviation.variant, scope)
    return replace(deviation, name=name, variant=variant)


def by_size(evidence: Iterable[Evidence]) -> list[Evidence]:
    """The smallest first: in small ones few deviations show."""
    return sorted(evidence, key=lambda piece: piece.probe.size)


def _fits(suspect: Suspect, evidence: Iterable[Evidence]) -> bool:
    try:
        variant = suspect.variant
    except TypeError:
        return False
    return all(piece.fits(variant) for piece in evidence)


def _pairs(
    single: Sequence[Suspect], wrong: Sequence[Evidence], passing: Sequence[Evidence]
) -> list[Suspect]:
    """The pairs that fit and have one half in common; empty if there is none."""
    small = wrong[:SMALL]
    explained = {
        suspect: {n for n, piece in enumerate(small) if piece.fits(suspect.variant)}
        for suspect in single
    }
    leads = sorted(
        (suspect for suspect in single if explained[suspect]),
        key=lambda suspect: -len(explained[suspect]),
    )
    # First with what explains some of it, too: of two faults, each shows alone somewhere.
    others = leads + [suspect for suspect in single if not explained[suspect]]
    left = LED
    for lead in leads[:LEADS]:
        rest = [piece for n, piece in enumerate(small) if n not in explained[lead]] or wrong
        both = [pair for other in others for pair in _both(lead, other)][:left]
        left -= len(both) // 2
        if fitting := [*_fitting(both, rest, wrong, passing)]:
            return fitting
    # Of a large fault and a small one, the large one alone comes near everywhere.
    near = (one for one in single if all(piece.nearer(one.variant) for piece in small))
    for lead in islice(near, NEAR):
        beside = (pair for other in single for pair in _both(lead, other))
        if fitting := [*_fitting(beside, small, wrong, passing)]:
            return fitting
    alone = set[int]().union(*explained.values())
    for number, piece in enumerate(small):
        if number not in alone:
            # Here both of them show, whichever they are.
            showing = _distinct(single, piece)
            every = islice(permutations(showing, 2), PAIRS)
            pairs = (Suspect((*one.deviations, *other.deviations)) for one, other in every)
            return list(islice(_fitting(pairs, [piece], wrong, passing), 1))
    return []


def _fitting(tried: Iterable[Suspect], *evidence: Sequence[Evidence]) -> Iterator[Suspect]:
    """Those that fit all of it, what rules out most first."""
    return (one for one in tried if all(_fits(one, some) for some in evidence))


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
        if not evidence.alike(given, evidence.exact):
            key = b"".join(array.tobytes() for array in given.arrays.values())
            seen.setdefault(key, suspect)
    return list(seen.values())


@dataclass(frozen=True)
class Part:
    """Some of the evidence: calls with or without a feature, or some of the results of all."""

    words: str
    feature: Feature | None = None
    having: bool = True
    names: tuple[str, ...] = ()

    def has(self, features: frozenset[Feature]) -> bool:
        """Whether a call with these features is among it."""
        return self.feature is None or (self.feature in features) is self.having

    def holds(self, answers: Iterable[Evidence]) -> bool:
        """Whether all that is off in these answers is in it."""
        return all(
            self.has(answer.features)
            and (not self.names or all(set(off) <= set(self.names) for off in answer.off))
            for answer in answers
        )

    def of(self, evidence: Iterable[Evidence]) -> list[Evidence]:
        """This part of it."""
        pieces = [piece for piece in evidence if self.has(piece.features)]
        return [piece.only(*self.names) for piece in pieces] if self.names else pieces


PARTS = (
    *(
        Part(f"in calls with{'' if having else 'out'} {words}", feature, having)
        for feature, words in {
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
        }.items()
        for having in (True, False)
    ),
    Part("as to output", names=("output",)),
    Part("as to h_n and c_n", names=("h_n", "c_n")),
    Part("as to h_n", names=("h_n",)),
    Part("as to c_n", names=("c_n",)),
)
"""What a deviation may fit alone."""


def conditional(
    evidence: Sequence[Evidence],
    candidates: Sequence[Deviation[Any]],
    scopes: Sequence[Scope],
    answers: Sequence[Evidence],
    least: int = ENOUGH,
) -> Iterator[tuple[Part, list[Suspect]]]:
    """The parts of the evidence that a deviation fits; first those with most that is off.

    Where there are ``answers``, those parts that have them; and those in which at least so much is
    off. First deviations as they are, then each in a scope.
    """
    telling = {part: sum(piece.telling for piece in part.of(evidence)) for part in PARTS}
    parts = [
        part
        for part in sorted(PARTS, key=lambda part: -telling[part])
        if telling[part] >= least and part.holds(answers)
    ]
    for part in parts:
        if fitting := singly(part.of(evidence), candidates):
            yield part, fitting
    for part in parts:
        some = part.of(evidence)
        wrong = by_size(piece for piece in some if piece.telling)
        passing = by_size(piece for piece in some if not piece.wrong)
        possible = [scope for scope in scopes if _could_be(scope, some)]
        found = in_scopes(
            likeliest(possible, some), able_in(candidates, wrong), wrong, passing, IN_PART
        )
        yield from ((part, fitting) for fitting in _alike(found))

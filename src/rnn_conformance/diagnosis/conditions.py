"""One deviation in calls that meet several conditions, such as of packed sequences with a state.

What is wrong says which deviation it is, in a place or everywhere: each wrong case meets every
condition, so that it shows there as if there were none. What is right although the deviation would
show in it says what the conditions are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, zip_longest
from typing import Any

from rnn_conformance.deviations import Deviation
from rnn_conformance.deviations.scopes import Scope, all_of, any_of, fewer, larger
from rnn_conformance.diagnosis.evidence import Evidence
from rnn_conformance.diagnosis.suspects import (
    ENOUGH,
    SIZES,
    Suspect,
    able_in,
    by_size,
    confined,
    covered,
    in_scopes,
    is_whole,
    likeliest,
)

CONDITIONS = 3
"""How many at most: more would be a list of what happens to be wrong."""

ALTERNATIVES = 2
"""How many of which one must be met."""

PLACED = 2_500
"""How many deviations confined to places are tried at most."""


def conditioned(
    evidence: Sequence[Evidence], candidates: Sequence[Deviation[Any]], scopes: Sequence[Scope]
) -> Iterator[list[Suspect]]:
    """Those that fit everything in calls that meet some conditions: in a place, or everywhere.

    None where little is wrong: many a deviation fits that.
    """
    wrong = by_size(piece for piece in evidence if piece.telling)
    passing = by_size(piece for piece in evidence if not piece.wrong)
    if len(wrong) < ENOUGH:
        return
    # Of several calls of a layer, some may meet the conditions and others not.
    single = [piece for piece in wrong if len(piece.probe.calls) == 1]
    telling = single if len(single) >= ENOUGH else wrong
    calls = [scope for scope in scopes if scope.condition]
    others = (scope for scope in scopes if not scope.condition)
    places = [scope for scope in others if all(_meets(piece, scope) for piece in wrong)]
    able = able_in(candidates, telling)
    everywhere = [one for one in able if all(piece.fits(one.variant) for piece in telling)]
    # First those that all of something wrong is in, which rules out most: see ``in_scopes``.
    places = sorted(
        likeliest(places, evidence),
        key=lambda place: not any(is_whole(place, piece) for piece in telling),
    )
    placed = in_scopes(places, able, telling, (), PLACED)
    for place, fitting in chain([(None, everywhere)] if everywhere else [], placed):
        found = [
            [
                suspect
                for suspect in _in_calls(one, place, calls, telling, passing)
                if all(piece.fits(suspect.variant) for piece in (*wrong, *passing))
            ]
            for one in fitting
        ]
        # First what is likeliest of each; those that are the same are told apart, or together.
        yield from ([one for one in some if one is not None] for some in zip_longest(*found))


def _in_calls(
    deviation: Deviation[Any],
    place: Scope | None,
    calls: Sequence[Scope],
    wrong: Sequence[Evidence],
    passing: Sequence[Evidence],
) -> Iterator[Suspect]:
    """The deviation in the place, in calls of the conditions that what is right asks for."""
    variant = confined(deviation, place).variant
    several = any(len(piece.probe.calls) > 1 for piece in wrong)
    against = [
        piece
        for piece in passing
        if not piece.fits(variant) and (several or len(piece.probe.calls) == 1)
    ]
    sizes = list(_sizes(wrong, against))
    every = (*_conditions(calls, wrong, against), *_conditions([*calls, *sizes], wrong, against))
    for conditions in {scope.words: scope for scope in every}.values():
        try:
            scope = conditions if place is None else place & conditions
            yield Suspect((confined(deviation, scope),), calls=conditions)
        except TypeError:
            continue


def _conditions(
    calls: Sequence[Scope], wrong: Sequence[Evidence], against: Sequence[Evidence]
) -> Iterator[Scope]:
    """What all that is wrong meets, and nothing of what is against it: as few as it takes.

    First those that leave out most each; then fewer of them, and some of which one is met.
    """
    met = [scope for scope in calls if all(_meets(piece, scope) for piece in wrong)]
    chosen: list[Scope] = []
    left = list(against)
    some: list[tuple[tuple[Scope, ...], list[Evidence]]] = []
    while left and len(chosen) < CONDITIONS:
        some.append((tuple(chosen), left))
        best = max(met, key=lambda scope: _count(left, scope, meeting=False), default=None)
        if best is None or not _count(left, best, meeting=False):
            break
        chosen.append(best)
        left = [piece for piece in left if _meets(piece, best)]
    if chosen and not left:
        yield all_of(*chosen)
    for most, others in reversed(some):
        if (either := _either(calls, wrong, others)) is not None:
            yield all_of(*most, either)


def _either(
    calls: Sequence[Scope], wrong: Sequence[Evidence], against: Sequence[Evidence]
) -> Scope | None:
    """Conditions of which all that is wrong meets one, and nothing of what is against it any."""
    # A size again, since what is against it is less than it was.
    every = [*calls, *_sizes(wrong, against)]
    free = [scope for scope in every if not _count(against, scope, meeting=True)]
    chosen: list[Scope] = []
    left = list(wrong)
    while left and len(chosen) < ALTERNATIVES:
        best = max(free, key=lambda scope: _count(left, scope, meeting=True), default=None)
        if best is None or not _count(left, best, meeting=True):
            break
        chosen.append(best)
        left = [piece for piece in left if not _meets(piece, best)]
    return None if left else any_of(*chosen)


def _meets(piece: Evidence, scope: Scope) -> bool:
    return any(part for part, _ in covered(scope, piece))


def _count(pieces: Sequence[Evidence], scope: Scope, *, meeting: bool) -> int:
    return sum(_meets(piece, scope) is meeting for piece in pieces)


def _sizes(wrong: Sequence[Evidence], against: Sequence[Evidence]) -> Iterator[Scope]:
    """Beyond the sizes of what is against it, and of what is wrong."""
    for words, of in SIZES.items():
        right = [of(call) for piece in against for call in piece.probe.calls]
        off = [of(call) for piece in wrong for call in piece.probe.calls]
        if right and off:
            if max(off) > max(right):
                yield larger(words, of, max(right))
            if min(off) < min(right):
                yield fewer(words, of, min(right))
            if min(off) > min(right):
                yield larger(words, of, min(off) - 1)
            if max(off) < max(right):
                yield fewer(words, of, max(off) + 1)

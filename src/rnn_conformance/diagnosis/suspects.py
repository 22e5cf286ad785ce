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

from rnn_conformance.deviations import Deviation
from rnn_conformance.deviations.scopes import SCOPES, Scope, larger, narrowed, scoped
from rnn_conformance.diagnosis.evidence import Evidence
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.config import Feature

SMALL = 12
"""How many of the smallest wrong ones are looked at for what explains them singly."""

LEADS = 8
"""How many deviations that explain some of it are tried together with every other."""

ENOUGH = 3
"""How much must be off in a part of the evidence that is explained by itself."""

CONFINED = 20_000
"""How many deviations confined to scopes are tried at most."""

SIZES: dict[str, Callable[[Call], int]] = {
    "units": lambda call: call.config.hidden_size,
    "input features": lambda call: call.config.input_size,
    "samples": lambda call: call.batch,
    "steps": lambda call: call.length,
    "layers": lambda call: call.config.num_layers,
}
"""Where code has been seen to change its ways."""

PAIRS = 6_000
"""How many pairs are tried at most: a number, not a time, so that it is the same everywhere."""


@dataclass(frozen=True)
class Suspect:
    """One deviation or two, the first a variant of the second, which is one of the oracle."""

    deviations: tuple[Deviation[Any], ...]

    @property
    def variant(self) -> type[Any]:
        """The oracle, or its derivative, with all of them."""
        return composed(tuple(deviation.variant for deviation in self.deviations))


@lru_cache(maxsize=1024)
def composed(variants: tuple[type[Any], ...]) -> type[Any]:
    """A variant that deviates in all of these ways; raises ``TypeError`` if it cannot."""
    return variants[0] if len(variants) == 1 else type("Composed", variants, {})


def suspects(
    evidence: Sequence[Evidence],
    candidates: Sequence[Deviation[Any]],
    scopes: Sequence[Scope] = SCOPES,
) -> list[Suspect]:
    """All that fit the whole evidence: single ones; or else one in a scope, or two; or in two.

    Empty if none does, or if nothing is far enough off to be told.
    """
    wrong = _by_size(piece for piece in evidence if piece.telling)
    passing = _by_size(piece for piece in evidence if not piece.wrong)
    if not wrong:
        return []
    single = singly(evidence, candidates)
    if single:
        return single
    possible = [scope for scope in (*scopes, *_sizes(evidence)) if _could_be(scope, evidence)]
    return (
        _in_scopes(possible, candidates, wrong, passing)
        or _pairs([Suspect((candidate,)) for candidate in candidates], wrong, passing)
        or _in_scopes(list(narrowed(possible)), candidates, wrong, passing)
    )


def singly(evidence: Sequence[Evidence], candidates: Sequence[Deviation[Any]]) -> list[Suspect]:
    """The deviations that fit all of it as they are."""
    wrong = _by_size(piece for piece in evidence if piece.telling)
    passing = _by_size(piece for piece in evidence if not piece.wrong)
    every = [Suspect((candidate,)) for candidate in candidates] if wrong else []
    return [suspect for suspect in every if _fits(suspect, wrong) and _fits(suspect, passing)]


def _numbered(piece: Evidence) -> Iterator[tuple[int, Call]]:
    return enumerate(piece.probe.calls, 1)


def _could_be(scope: Scope, evidence: Sequence[Evidence]) -> bool:
    """Whether all that is wrong is in a scope, in part at least, and something is not."""
    elsewhere = False
    for piece in evidence:
        covered = [scope.covers(call, number) for number, call in _numbered(piece)]
        if piece.wrong and not any(part for part, _ in covered):
            return False
        elsewhere |= not all(whole for _, whole in covered)
    return elsewhere


def _sizes(evidence: Sequence[Evidence]) -> Iterator[Scope]:
    """The sizes above which, and only above which, something is wrong."""
    for words, of in SIZES.items():
        wrong = [max(map(of, piece.probe.calls)) for piece in evidence if piece.wrong]
        passing = [max(map(of, piece.probe.calls)) for piece in evidence if not piece.wrong]
        if wrong and passing and min(wrong) > max(passing):
            yield larger(words, of, max(passing))


def _in_scopes(
    scopes: Sequence[Scope],
    candidates: Sequence[Deviation[Any]],
    wrong: Sequence[Evidence],
    passing: Sequence[Evidence],
) -> list[Suspect]:
    """Deviations that fit everything if each is confined to a scope."""
    plainly: dict[Evidence, list[Deviation[Any]]] = {}
    fitting: list[Suspect] = []
    tried = 0
    for scope in scopes:
        # Where a scope is everything, a deviation in it is the deviation itself.
        whole = [piece for piece in wrong if _is_whole(scope, piece)][:1]
        left = candidates
        for piece in whole:
            if piece not in plainly:
                plainly[piece] = [one for one in candidates if piece.fits(one.variant)]
            left = plainly[piece]
        rest = [piece for piece in wrong if piece not in whole]
        for candidate in left:
            tried += 1
            if tried > CONFINED:
                return fitting
            try:
                variant = scoped(candidate.variant, scope)
            except TypeError:
                continue
            confined = replace(candidate, name=f"{candidate.name}, {scope.words}", variant=variant)
            suspect = Suspect((confined,))
            if _fits(suspect, rest) and _fits(suspect, passing):
                fitting.append(suspect)
    return fitting


def _is_whole(scope: Scope, piece: Evidence) -> bool:
    return all(scope.covers(call, number)[1] for number, call in _numbered(piece))


def _by_size(evidence: Iterable[Evidence]) -> list[Evidence]:
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
    for lead in leads[:LEADS]:
        rest = [piece for n, piece in enumerate(small) if n not in explained[lead]] or wrong
        fitting = [
            pair
            for other in single
            for pair in _both(lead, other)
            if _fits(pair, rest) and _fits(pair, wrong) and _fits(pair, passing)
        ]
        if fitting:
            return fitting
    alone = set[int]().union(*explained.values())
    for number, piece in enumerate(small):
        if number not in alone:
            # Here both of them show, whichever they are.
            showing = _distinct(single, piece)
            every = islice(permutations(showing, 2), PAIRS)
            pairs = (Suspect((*one.deviations, *other.deviations)) for one, other in every)
            fit = (
                pair
                for pair in pairs
                if _fits(pair, [piece]) and _fits(pair, wrong) and _fits(pair, passing)
            )
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
    evidence: Sequence[Evidence], candidates: Sequence[Deviation[Any]]
) -> Iterator[tuple[Part, list[Suspect]]]:
    """The parts of the evidence that single deviations fit; first those with most that is off."""
    telling = {part: sum(piece.telling for piece in part.of(evidence)) for part in PARTS}
    for part in sorted(PARTS, key=lambda part: -telling[part]):
        if telling[part] >= ENOUGH and (fitting := singly(part.of(evidence), candidates)):
            yield part, fitting

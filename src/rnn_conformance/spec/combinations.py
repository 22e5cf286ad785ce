"""Features of which each can be had, and not all in one call."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import combinations

from rnn_conformance.spec.config import Feature

LAYOUTS = (Feature.PACKED, Feature.UNBATCHED, Feature.EMPTY_BATCH)
"""What lays out the input; a call has one of them, or none."""

STATED = frozenset({Feature.INITIAL_STATE, Feature.BIDIRECTIONAL})
"""Together a feature of its own (:attr:`Feature.BIDIRECTIONAL_STATE`)."""


@dataclass(frozen=True)
class Combination:
    """Two features or more, as in ``bidirectional+packed``.

    Raises ``ValueError`` for such as no call can have, and for what is a feature by itself.
    """

    features: frozenset[Feature]

    def __post_init__(self) -> None:
        if len(self.features) < 2:
            raise ValueError("a combination is of two features or more")
        if finer := [feature for feature in self.features if feature.is_finer]:
            raise ValueError(f"{finer[0]} is left out by itself")
        if len(self.features & frozenset(LAYOUTS)) > 1:
            raise ValueError("no call has all of these")
        if self.features == STATED:
            raise ValueError(f"that is {Feature.BIDIRECTIONAL_STATE}")

    @classmethod
    def of(cls, value: str) -> Combination:
        """Of what :attr:`value` is; raises ``ValueError`` for anything else."""
        return cls(frozenset(Feature(name) for name in value.split("+")))

    @property
    def value(self) -> str:
        """How it is declared to be left out: the names in order, with a plus between them."""
        return "+".join(sorted(self.features))

    def __str__(self) -> str:
        return self.value

    def pairs(self) -> Iterator[Combination]:
        """All that two of its features make, in order."""
        for both in combinations(sorted(self.features), 2):
            if frozenset(both) != STATED:
                yield Combination(frozenset(both))


def accompanied(asked: Collection[Feature], declared: Collection[Feature]) -> set[Feature]:
    """What a call must have to show what is asked for, of what is declared to have it with.

    What a finer feature is within; layers for dropout, which in a single one does nothing, and some
    classes refuse it there; and a state where none may be omitted.
    """
    features = set(asked).union(*(feature.within for feature in asked))
    if Feature.DROPOUT in features and Feature.MULTI_LAYER in declared:
        features.add(Feature.MULTI_LAYER)
    if Feature.OMITTED_STATE not in {*declared, *features}:
        features.add(Feature.INITIAL_STATE)
    return features


def largest(features: Collection[Feature]) -> Iterator[frozenset[Feature]]:
    """The largest sets of these features that one call can have: any two that can be are in one.

    Of the finer ones there are none: they are parts of these, or of calls of their own.
    """
    whole = frozenset(feature for feature in features if not feature.is_finer)
    stated = Feature.BIDIRECTIONAL_STATE in features or not whole >= STATED
    rest = whole - frozenset(LAYOUTS)
    for one in [{layout} for layout in LAYOUTS if layout in whole] or [set[Feature]()]:
        yield from [rest | one] if stated else [rest - {other} | one for other in sorted(STATED)]

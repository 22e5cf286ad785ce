"""Successions of calls of one layer, so that each kind of call comes right after each other.

What a layer keeps of a call and should not shows in a later call of some kind: a zero state
made for the first batch, in one of another size; weights prepared without gradients, in one
that wants them. Drawn programs hardly ever meet the right two. So each run calls in the order
of Williams' designs ("Experimental designs balanced for the estimation of residual effects of
treatments", 1949): of ``n`` kinds, ``n`` rows, each a permutation in which every kind follows
every other exactly once. Each row is a fresh layer, so that every kind also comes first.

A kind of call is its *form* (what is handed over) and its *circumstances* (what is set around
it). Either goes through a design of its own, with rows that belong to other rows in every run.
What is kept for calls of one form shows only in the next of that form, so that each row begins
with two of its first: in circumstances that follow one another in :data:`TURNS`, of which each
turn is taken with a state and without.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from functools import lru_cache
from itertools import pairwise, product
from typing import Any

import numpy as np

from rnn_conformance.checking.subject import Subject
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.cases import Case, State
from rnn_conformance.spec.config import Config, Dtype, Feature, Level

STEPS, SAMPLES = 3, 3


class Shape(StrEnum):
    """What the input is, beside the first dense one of so many steps and samples."""

    DENSE = "dense input"
    OTHER_BATCH = "dense input of one sample more"
    OTHER_LENGTH = "dense input of one step more"
    UNBATCHED = "unbatched input"
    PACKED = "packed input"
    OTHER_ORDER = "packed input with its lengths in another order"
    PACKED_OTHER_BATCH = "packed input of one sample more"

    @property
    def lengths(self) -> tuple[int, ...] | None:
        """Of packed sequences."""
        return LENGTHS.get(self)

    @property
    def features(self) -> frozenset[Feature]:
        """Those that it needs."""
        if self is Shape.UNBATCHED:
            return frozenset({Feature.UNBATCHED})
        return frozenset({Feature.PACKED} if self.lengths else ())


LENGTHS = {
    Shape.PACKED: (2, 3, 1),
    Shape.OTHER_ORDER: (1, 2, 3),
    Shape.PACKED_OTHER_BATCH: (3, 1, 2, 2),
}


@dataclass(frozen=True)
class Form:
    """What is handed over: input of a shape, with a state or without."""

    shape: Shape
    given: bool

    def __str__(self) -> str:
        return f"{self.shape} {'with a' if self.given else 'without a'} state"


class Recording(StrEnum):
    """What becomes of gradients."""

    OFF = "under no_grad"
    INFERENCE = "in inference mode"
    ON = "with a backward pass"


@dataclass(frozen=True)
class Circumstances:
    """What is set around a call."""

    recording: Recording
    training: bool
    dtype: Dtype

    def __str__(self) -> str:
        mode = "training" if self.training else "evaluation"
        return f"{self.recording}, in {mode}, {self.dtype}"


TURNS = (
    (Recording.INFERENCE, False),
    (Recording.ON, True),
    (Recording.OFF, False),
    (Recording.ON, False),
    (Recording.OFF, True),
)
"""What becomes of gradients and whether in training, one after the other and round again."""


def asked_for(subject: Subject, recording: Recording, training: bool) -> bool:
    """Whether it is due: inference mode is for evaluation, and what is for inference alone too."""
    if subject.implementation.declaration.level.rank < Level.TRAINING.rank:
        return not training and recording is not Recording.ON
    return not (training and recording is Recording.INFERENCE)


@dataclass(frozen=True)
class Asked:
    """One call of a succession."""

    form: Form
    circumstances: Circumstances

    def __str__(self) -> str:
        return f"{self.form} ({self.circumstances})"


@dataclass(frozen=True)
class Succession:
    """A fresh layer, described by a case, and what it is asked, one call after the other."""

    case: Case
    asked: tuple[Asked, ...]

    def call(self, asked: Asked) -> Call:
        """One of the calls."""
        around = asked.circumstances
        return _call(self.case, asked.form, around.dtype, training=around.training)

    def to_record(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**self.case.to_record(), "asked": [asdict(asked) for asked in self.asked]}


@lru_cache(maxsize=128)
def _call(case: Case, form: Form, dtype: Dtype, *, training: bool) -> Call:
    """Kept, for each is made many times; a cell takes one step of all."""
    shape = form.shape
    more = shape in (Shape.OTHER_BATCH, Shape.PACKED_OTHER_BATCH)
    steps = STEPS + (shape is Shape.OTHER_LENGTH)
    described = replace(
        case,
        length=1 if case.config.kind.is_cell else steps,
        batch=None if shape is Shape.UNBATCHED else SAMPLES + more,
        lengths=shape.lengths,
        state=State.GIVEN if form.given else State.OMITTED,
    )
    # The arrays are float32's in any dtype, so that casting changes nothing.
    return described.call().replace(dtype=dtype, training=training)


def design(size: int) -> list[list[int]]:
    """Williams' design of an even number of kinds: the rows are cyclic shifts of one zigzag."""
    zigzag = [(place + 1) // 2 if place % 2 else -place // 2 for place in range(size)]
    return [[(kind + shift) % size for kind in zigzag] for shift in range(size)]


@dataclass(frozen=True)
class Successions:
    """Successions in which each form, and each circumstances, follow each other."""

    def members(self, subject: Subject, rng: np.random.Generator) -> list[Succession]:
        """A design of each sort; in larger profiles again, on other layers."""
        forms, around = self.forms(subject), self.circumstances(subject)
        turns = [turn for turn in TURNS if asked_for(subject, *turn)]
        size = max(len(forms), len(around))
        size += size % 2
        rows, listed, begun = design(size), [], {True: 0, False: 0}
        for _ in range(5 if subject.profile.whole else 1):
            case, dtypes = self.case(subject, rng), self.dtypes(subject)
            order, others = rng.permutation(size), rng.permutation(size)
            for row, other in zip(rows, rng.permutation(size), strict=True):
                pairs = [
                    Asked(forms[order[f] % len(forms)], around[others[c] % len(around)])
                    for f, c in zip(row, rows[other], strict=True)
                ]
                first = pairs[0].form
                turn = begun[first.given] = begun[first.given] + 1
                dtype = dtypes[int(rng.integers(len(dtypes)))]
                beginning = [
                    Asked(first, Circumstances(*turns[place % len(turns)], dtype))
                    for place in (turn, turn + 1)
                ]
                listed.append(Succession(case, (*beginning, *pairs, pairs[-1])))
        return listed

    def forms(self, subject: Subject) -> list[Form]:
        """Those that are declared."""
        cell, declared = subject.kind.is_cell, subject.features
        shapes = [
            shape
            for shape in Shape
            if shape.features <= declared and not (cell and shape is Shape.OTHER_LENGTH)
        ]
        states = (False, True) if Feature.INITIAL_STATE in declared else (False,)
        return [Form(shape, given) for shape, given in product(shapes, states)]

    def circumstances(self, subject: Subject) -> list[Circumstances]:
        """In the dtypes that are declared."""
        dtypes = self.dtypes(subject)
        return [
            Circumstances(recording, training, dtype)
            for recording, training, dtype in product(Recording, (False, True), dtypes)
            if asked_for(subject, recording, training)
        ]

    def dtypes(self, subject: Subject) -> list[Dtype]:
        """Of float32 and float64, those that are declared; else whatever is."""
        declared = subject.implementation.declaration.dtypes
        usual = [dtype for dtype in (Dtype.FLOAT32, Dtype.FLOAT64) if dtype in declared]
        return list(usual) or [min(declared)]

    def case(self, subject: Subject, rng: np.random.Generator) -> Case:
        """The layer: everything dropped in training where it can be, so that the mode shows."""
        # Not relu, nor without biases: a state of zeros does not show that it is kept.
        possible = [Feature.BIDIRECTIONAL, Feature.BATCH_FIRST]
        features = {feature for feature in possible if rng.random() < 0.5}
        features |= {Feature.MULTI_LAYER, Feature.DROPOUT}
        features &= subject.features
        if Feature.MULTI_LAYER not in features:
            features -= {Feature.DROPOUT}
        config = Config.having(subject.kind, features, 2, 3, dropout=1.0)
        return Case.having(features, config, STEPS, SAMPLES, seed=int(rng.integers(2**16)))

    def simpler(self, member: Succession) -> Iterator[Succession]:
        """One of the calls and the last, which is what failed; then all without one of them."""
        *before, last = member.asked
        if len(before) > 1:
            for one in reversed(before):
                yield replace(member, asked=(one, last))
        for place in range(len(before)):
            yield replace(member, asked=(*before[:place], *before[place + 1 :], last))


def pairs(listed: Sequence[Succession]) -> set[tuple[Asked, Asked]]:
    """Which calls follow which."""
    return {pair for one in listed for pair in pairwise(one.asked)}

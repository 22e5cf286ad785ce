"""Copies of a layer: how they are made, after what, and that neither then minds the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np

from rnn_conformance.checking.subject import Subject
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.cases import Case, State
from rnn_conformance.spec.config import Config, Dtype, Feature

STEPS, SAMPLES, LENGTHS = 3, 3, (2, 3, 1)


class Way(StrEnum):
    """How a copy is made."""

    DEEP = "copy.deepcopy"
    TWICE = "copy.deepcopy of a deep copy"
    PICKLE = "pickle"
    SAVE = "torch.save and torch.load"
    LOAD = "load_state_dict of another layer"
    SHALLOW = "copy.copy"


class History(StrEnum):
    """What was done with the layer before that."""

    NOTHING = "nothing"
    CALLED = "a call"
    WITHOUT_STATE = "a call without a state"
    PACKED = "a packed call"
    BACKWARD = "a call with gradients, of which the graph is still there"
    TRAINED = "a step of training"
    CAST = "a call in another dtype, in which it is left"


@dataclass(frozen=True)
class Copy:
    """A layer, described by a case, what is done with it, and how it is then copied.

    ``dtype`` is the one in which it is, ``packs`` says whether it takes packed sequences.
    """

    case: Case
    history: History
    way: Way
    dtype: Dtype
    packs: bool

    def call(self, *, given: bool = True, packed: bool = False, times: int = 0) -> Call:
        """A call in its dtype; the parameters were multiplied with -1/2 so many times."""
        return _call(self.case, self.dtype, given=given, packed=packed, times=times)

    def calls(self, times: int = 0) -> list[Call]:
        """Such as a copy is asked: with a state, without, and packed where that can be."""
        kinds = [(True, False), (False, False)]
        if self.packs:
            kinds.append((False, True))
        return [self.call(given=given, packed=packed, times=times) for given, packed in kinds]

    def to_record(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**self.case.to_record(), "history": str(self.history), "way": str(self.way)}


@lru_cache(maxsize=128)
def _call(case: Case, dtype: Dtype, *, given: bool, packed: bool, times: int) -> Call:
    """Kept, for each is made many times."""
    described = replace(
        case,
        lengths=LENGTHS if packed else None,
        state=case.state if given else State.OMITTED,
    )
    call = described.call().replace(dtype=dtype)
    factor = (-0.5) ** times
    scaled = {name: factor * array for name, array in call.parameters.items()}
    return call.replace(parameters=scaled)


@dataclass(frozen=True)
class Copies:
    """Each way after half of the histories; in larger profiles after all, of several layers."""

    def members(self, subject: Subject, rng: np.random.Generator) -> list[Copy]:
        """Those that what is declared allows; raises ``Unsupported`` without float32 and 64."""
        dtypes = subject.full_dtypes
        packs = Feature.PACKED in subject.features
        histories = [
            history
            for history in History
            if not (history is History.PACKED and not packs)
            and not (history is History.CAST and len(dtypes) < 2)
        ]
        if subject.profile.whole:
            tried, cases = list(product(histories, Way)), 5
        else:
            # As on a chessboard: each history with every other way, in other runs the others.
            white, cases = int(rng.integers(2)), 1
            board = product(enumerate(histories), enumerate(Way))
            tried = [(h, w) for (row, h), (column, w) in board if (row + column) % 2 == white]
        return [
            Copy(case, history, way, dtypes[-(history is History.CAST)], packs)
            for case in (self.case(subject, rng) for _ in range(cases))
            for history, way in tried
        ]

    def case(self, subject: Subject, rng: np.random.Generator) -> Case:
        """A small layer."""
        # Not relu: a state of zeros does not show that it is kept.
        possible = (Feature.BIDIRECTIONAL, Feature.BATCH_FIRST, Feature.MULTI_LAYER)
        traits = {trait for trait in possible if rng.random() < 0.5}
        features = (traits | {Feature.INITIAL_STATE}) & subject.features
        config = Config.having(subject.kind, features, 2, 3)
        return Case.having(features, config, STEPS, SAMPLES, seed=int(rng.integers(2**16)))

    def simpler(self, member: Copy) -> Iterator[Copy]:
        """The same way after less."""
        for history in (History.NOTHING, History.CALLED):
            if history is not member.history and member.history is not History.NOTHING:
                yield replace(member, history=history)

"""A batch with a sequence of every length.

A length that is handed on as a share of the longest, in fewer digits, or in a small integer, is
right for most lengths and off by one for some.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rnn_conformance.checking.subject import Subject
from rnn_conformance.errors import Gap, Unsupported
from rnn_conformance.spec.cases import Case, State
from rnn_conformance.spec.config import Config, Dtype, Feature

LONGEST, MORE = 55, (41, 79, 300)
"""7 of 55 shares ``l / 55`` in float32 come to less than ``l`` when they are multiplied by 55, more
than of any shorter batch. In larger profiles the next such, and one that no eight bits count."""

SHORTEST = 22
"""The least of which one does (13 of 22): for what unrolls and compiles its steps."""


@dataclass(frozen=True)
class EveryLength:
    """One call of as many sequences as there are steps, each of its own length, in no order."""

    def members(self, subject: Subject, rng: np.random.Generator) -> list[Case]:
        """One, and in larger profiles some; raises ``Unsupported`` for what packs nothing."""
        if subject.kind.is_cell:
            raise Unsupported(f"{subject.kind} has one step", Gap.NOT_IN_KIND)
        if Feature.PACKED not in subject.features:
            raise Unsupported("does not declare packed", Gap.UNDECLARED)
        dtype = subject.full_dtypes[0]
        compiles = subject.implementation.declaration.compiles_per_shape
        sizes = (SHORTEST if compiles else LONGEST, *(MORE if subject.profile.whole else ()))
        return [self.case(subject, rng.permutation(size) + 1, dtype) for size in sizes]

    def case(self, subject: Subject, lengths: NDArray[np.int64], dtype: Dtype) -> Case:
        """A call of a small layer."""
        features = {Feature.PACKED}
        if Feature.OMITTED_STATE not in subject.features:
            features.add(Feature.INITIAL_STATE)
        ordered = sorted(map(int, lengths), reverse=True)
        return Case.having(
            features,
            Config.having(subject.kind, features, 1, 2),
            len(lengths),
            len(lengths),
            list(map(int, lengths)) if Feature.UNSORTED in subject.features else ordered,
            dtype=dtype,
            state=State.GIVEN,
        )

    def simpler(self, case: Case) -> Iterator[Case]:
        """The same with fewer sequences: the shortest of them."""
        assert case.lengths is not None
        for most in range(2, len(case.lengths)):
            lengths = [length for length in case.lengths if length <= most]
            yield Case.having(
                case.features, case.config, most, most, lengths, dtype=case.dtype, state=case.state
            )

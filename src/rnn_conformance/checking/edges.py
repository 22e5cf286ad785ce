"""Calls at the edges: empty, of one element, unbatched, packed.

Arguments are looked at there, too; and whoever looks at them before these are told apart from
others, or after, may not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from rnn_conformance.checking.subject import Subject
from rnn_conformance.spec.cases import Case, State
from rnn_conformance.spec.config import Config, Dtype, Feature

PLAIN = frozenset[Feature]()
EMPTY, UNBATCHED, PACKED = (
    frozenset({feature}) for feature in (Feature.EMPTY_BATCH, Feature.UNBATCHED, Feature.PACKED)
)

TRAITS = (
    Feature.BIDIRECTIONAL,
    Feature.MULTI_LAYER,
    Feature.BATCH_FIRST,
    Feature.PROJECTION,
    Feature.BIAS_FREE,
)


@dataclass(frozen=True)
class Edges:
    """One call at each edge, without a state; in larger profiles ten, of other layers.

    ``packed`` says whether packed ones are among them.
    """

    packed: bool = True

    def members(self, subject: Subject, rng: np.random.Generator) -> list[Case]:
        """Those that are declared; raises ``Unsupported`` without float32 and float64."""
        dtypes = subject.full_dtypes
        edges = [
            (features, sizes)
            for features, sizes in (
                (EMPTY, (3, 4)),
                # With one of all a size of one is no sign of anything.
                (PLAIN, (1, 1)),
                (UNBATCHED, (3, 1)),
                (PACKED, (3, 3)),
            )
            if features <= subject.features and (self.packed or features is not PACKED)
        ]
        return [
            self.case(subject, rng, features, *sizes, dtypes[-(round_ % 2)])
            for round_ in range(10 if subject.profile.whole else 1)
            for features, sizes in edges
        ]

    def case(
        self,
        subject: Subject,
        rng: np.random.Generator,
        features: frozenset[Feature],
        length: int,
        batch: int,
        dtype: Dtype,
    ) -> Case:
        """A call of a small layer."""
        traits = {trait for trait in TRAITS if rng.random() < 0.5}
        features = features | (traits & subject.features)
        config = Config.having(subject.kind, features, 5, 4, proj_size=2)
        lengths = (2, 3, 1)
        return Case.having(
            features, config, length, batch, lengths, dtype=dtype, state=State.OMITTED
        )

    def simpler(self, member: Case) -> Iterator[Case]:
        """None: they are few and small."""
        return iter(())

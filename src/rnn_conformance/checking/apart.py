"""What is declared to be had, and not in one call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnn_conformance.checking.subject import Subject
from rnn_conformance.errors import Gap, Unsupported
from rnn_conformance.spec.cases import Case, Values
from rnn_conformance.spec.combinations import Combination, accompanied
from rnn_conformance.spec.config import Config, Dtype, Feature


@dataclass(frozen=True)
class Together:
    """A combination of features, and a case that has all of them, and nothing else."""

    combination: Combination
    case: Case

    def to_record(self) -> dict[str, Any]:
        """As in ``results.json``."""
        return self.case.to_record()


class Apart:
    """Each combination that is not declared, in a plain case."""

    def members(self, subject: Subject, rng: np.random.Generator) -> Sequence[Together]:
        """In order; raises ``Unsupported`` where there is none."""
        declaration = subject.implementation.declaration
        parted = declaration.parted(subject.features)
        if not parted:
            raise Unsupported("declares no features apart", Gap.DECLARED)
        dtypes = [dtype for dtype in Dtype if dtype in declaration.dtypes]
        # By a seed that is drawn in order: the same for the same declaration.
        return [
            Together(one, _case(subject, one, dtypes[0], int(rng.integers(2**16))))
            for one in sorted(parted, key=str)
        ]

    def simpler(self, member: Together) -> Iterator[Together]:
        """None: it has nothing but what is asked for."""
        yield from ()


def _case(subject: Subject, combination: Combination, dtype: Dtype, seed: int) -> Case:
    features = accompanied(combination.features, subject.features)
    lengths = (2, 4, 1) if Feature.UNSORTED in subject.features else (4, 2, 1)
    config = Config.having(subject.kind, features, 2, 5, proj_size=4)
    return Case.having(
        features, config, 4, 3, lengths, dtype=dtype, values=Values.TYPICAL, seed=seed
    )

"""What is known of a layer that is wrong in one way, and how chapters of them are written."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypedDict, TypeVar

from rnn_conformance.spec.clauses import ALL, CLAUSES
from rnn_conformance.spec.config import Feature, Kind

COMMON = "common mistake"
"""The source of what nobody in particular reported."""


@dataclass(frozen=True)
class Defect:
    """A way in which a layer is wrong.

    ``name`` completes "a layer with …". ``breaks`` are the ids of the clauses that it
    breaks, ``kinds`` those that it exists in, ``needs`` the features without which it cannot
    show. ``source`` is where it was seen: an issue thread, a paper, another framework's
    convention, or :data:`COMMON`. Raises ``ValueError`` for what cannot be.
    """

    name: str
    breaks: frozenset[str]
    kinds: frozenset[Kind]
    needs: frozenset[Feature]
    source: str

    def __post_init__(self) -> None:
        if not (self.name and self.source):
            raise ValueError(f"a defect has a name and a source: {self}")
        if unknown := sorted(self.breaks - set(CLAUSES)):
            raise ValueError(f"{self.name} breaks {', '.join(unknown)}, which is no clause")
        if not self.kinds:
            raise ValueError(f"{self.name} exists in no kind")
        for kind in sorted(self.kinds):
            if not self.clauses(kind):
                raise ValueError(f"{self.name} breaks no clause that applies to {kind}")
            if missing := sorted(self.needs - Feature.of(kind)):
                raise ValueError(f"{self.name} needs {', '.join(missing)}, which {kind} has not")

    def clauses(self, kind: Kind) -> frozenset[str]:
        """The clauses that it breaks in one of its kinds."""
        return frozenset(clause for clause in self.breaks if kind in CLAUSES[clause].kinds)


class Facts(TypedDict, total=False):
    """What may be said of a defect beside its name and the clauses that it breaks."""

    kinds: Iterable[Kind]
    needs: Iterable[Feature]
    source: str


D = TypeVar("D", bound=Defect)


class Chapter(list[D]):
    """The defects of one chapter, in the order in which they are added."""

    @staticmethod
    def described(
        name: str,
        breaks: str,
        *,
        kinds: Iterable[Kind] = ALL,
        needs: Iterable[Feature] = (),
        source: str = COMMON,
    ) -> dict[str, Any]:
        """The fields of a :class:`Defect`; ``breaks`` are clause ids separated by blanks."""
        return {
            "name": name,
            "breaks": frozenset(breaks.split()),
            "kinds": frozenset(kinds),
            "needs": frozenset(needs),
            "source": source,
        }

"""What a run tests: which implementations, in which kinds, on which checks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

from rnn_conformance.clauses import CHAPTERS, CLAUSES
from rnn_conformance.errors import Unsupported, UsageError
from rnn_conformance.interface import Implementation
from rnn_conformance.registry import load, registered, unique
from rnn_conformance.results import Entry
from rnn_conformance.spec import Dtype, Feature, Kind, Level
from rnn_conformance.subject import PROFILES, Subject
from rnn_conformance.suite import Check


@dataclass(frozen=True)
class Selection:
    """The choices of a run; empty means everything.

    ``without`` are features that the implementations are taken not to declare. Raises
    ``UsageError`` for a kind, level, feature, clause, chapter or profile that does not exist.
    """

    targets: tuple[str, ...] = ()
    registered: bool = False
    kinds: tuple[str, ...] = ()
    level: str = ""
    clauses: tuple[str, ...] = ()
    profile: str = "quick"
    seed: int = 0
    without: tuple[str, ...] = ()
    device: str = "cpu"

    def __post_init__(self) -> None:
        for given, what, known in (
            (self.kinds, "kind", list(Kind)),
            ([self.level] if self.level else [], "level", list(Level)),
            (self.without, "feature", list(Feature)),
            ([self.profile], "profile", list(PROFILES)),
        ):
            for each in given:
                if each not in known:
                    raise UsageError(f"there is no {what} {each!r}; choose {', '.join(known)}")
        for each in self.clauses:
            if each not in CLAUSES and each not in CHAPTERS:
                raise UsageError(
                    f"there is no clause or chapter {each!r}; chapters are "
                    f"{', '.join(CHAPTERS)}; see `rnn-conformance list --clauses`"
                )
        if self.device == "meta":
            raise UsageError("the device 'meta' computes no values that could be compared")

    def subjects(self) -> list[Subject]:
        """Load what is to be tested, one subject for each implementation and kind.

        Raises ``UsageError`` if a target cannot be loaded or none has a kind asked for.
        """
        kind = self.kinds[0] if len(self.kinds) == 1 else ""
        loaded = [self.placed(each) for target in self.targets for each in load(target, kind)]
        if self.registered:
            loaded += self.placeable(registered()[0])
        found = [
            Subject(implementation, kind, PROFILES[self.profile], self.seed)
            for implementation in map(self.narrowed, unique(loaded))
            for kind in Kind
            if kind in implementation.declaration.kinds
            and (not self.kinds or kind.value in self.kinds)
        ]
        if not found:
            wanted = " or ".join(self.kinds)
            names = ", ".join(implementation.name for implementation in loaded) or "nothing"
            raise UsageError(f"no {wanted or 'implementation'} among what was loaded: {names}")
        return found

    def placed(self, implementation: Implementation) -> Implementation:
        """The implementation on the device asked for.

        Raises ``UsageError`` if there is no such device, or the implementation knows none.
        """
        try:
            return implementation.on(self.device)
        except Unsupported as reason:
            raise UsageError(
                f"{implementation.name} {reason}; run it without --device {self.device}"
            ) from reason

    def placeable(self, implementations: Iterable[Implementation]) -> Iterator[Implementation]:
        """Those that know devices, on the one asked for; the others were not asked for by name."""
        for implementation in implementations:
            with suppress(Unsupported):
                yield implementation.on(self.device)

    def narrowed(self, implementation: Implementation) -> Implementation:
        """The implementation with what is left out no longer declared."""
        declaration = implementation.declaration
        features = declaration.features - frozenset(map(Feature, self.without))
        return replace(implementation, declaration=replace(declaration, features=features))

    def level_of(self, subject: Subject) -> Level:
        """The level to which a subject is held: what it claims, or less if so chosen."""
        claimed = subject.implementation.declaration.level
        return min(claimed, Level(self.level or claimed), key=lambda level: level.rank)

    def applicable(self, check: Check, subjects: Iterable[Subject]) -> list[Subject]:
        """The subjects on which a check is to be run."""
        chosen = not self.clauses or any(
            clause in self.clauses or CLAUSES[clause].chapter in self.clauses
            for clause in check.clauses
        )
        level = max(CLAUSES[clause].level.rank for clause in check.clauses)
        return [
            subject
            for subject in subjects
            if chosen and subject.kind in check.kinds and level <= self.level_of(subject).rank
        ]

    def entry(self, subject: Subject) -> Entry:
        """The subject as the results list it."""
        declaration = subject.implementation.declaration
        return Entry(
            name=subject.implementation.name,
            kind=str(subject.kind),
            target=subject.implementation.target,
            level=str(self.level_of(subject)),
            features=tuple(sorted(declaration.features & Feature.of(subject.kind))),
            dtypes=tuple(dtype for dtype in Dtype if dtype in declaration.dtypes),
            fails_on_purpose=declaration.fails_on_purpose,
        )

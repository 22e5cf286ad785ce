"""What a run tests: which implementations, in which kinds, on which checks."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

from rnn_conformance.checking.checks import Check, checks
from rnn_conformance.checking.subject import PROFILES, Subject
from rnn_conformance.errors import Refusal, Unsupported, UsageError
from rnn_conformance.implementations.interface import Declaration, Implementation
from rnn_conformance.implementations.registry import load, registered, unique
from rnn_conformance.results.records import Entry
from rnn_conformance.spec.clauses import CHAPTERS, CLAUSES
from rnn_conformance.spec.config import Dtype, Feature, Kind, Level
from rnn_conformance.texts import meant, suggested


def require(given: Iterable[str], what: str, known: Collection[str]) -> tuple[str, ...]:
    """What was given, as it is spelt; raises ``UsageError`` for what is not known."""
    return tuple(_required(name, what, known, f"choose {', '.join(known)}") for name in given)


def require_clauses(given: Iterable[str]) -> tuple[str, ...]:
    """What was given, as it is spelt; raises ``UsageError`` for what is no clause or chapter."""
    choose = f"chapters are {', '.join(CHAPTERS)}; see `rnn-conformance list --clauses`"
    known = (*CHAPTERS, *CLAUSES)
    return tuple(_required(name, "clause or chapter", known, choose) for name in given)


def _required(name: str, what: str, known: Collection[str], choose: str) -> str:
    if (spelt := meant(name, known)) is None:
        raise UsageError(f"there is no {what} {name!r}; {choose}{suggested(name, known)}")
    return spelt


def selects(chosen: Collection[str], clause: str) -> bool:
    """Whether a clause is among the clauses and chapters chosen; nothing chosen is everything."""
    return not chosen or clause in chosen or CLAUSES[clause].chapter in chosen


@dataclass(frozen=True)
class Selection:
    """The choices of a run; empty means everything.

    ``without`` are features that the implementations are taken not to declare; ``engines``: what is
    registered are those, too. Raises
    ``UsageError`` for a kind, level, feature, clause, chapter or profile that does not exist;
    kinds and clauses are taken in any case, and kept as they are spelt.
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
    engines: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "kinds", require(self.kinds, "kind", list(Kind)))
        require([self.level] if self.level else [], "level", list(Level))
        require([name for name in self.without if "+" not in name], "feature", list(Feature))
        Declaration.of((), without=[name for name in self.without if "+" in name])
        require([self.profile], "profile", list(PROFILES))
        object.__setattr__(self, "clauses", require_clauses(self.clauses))
        if self.device == "meta":
            raise UsageError(
                "the device 'meta' computes no values that could be compared", Refusal.DEVICE
            )

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Selection:
        """From plain values, as ``asdict`` gives and JSON keeps them."""
        fields: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in record.items()
        }
        return cls(**fields)

    def described(self, target: str, kind: str, asked: bool) -> list[dict[str, Any]]:
        """What a target holds, in the order of loading it, as plain values.

        Each has the ``position`` and the ``entry`` of one implementation in one kind, and the
        checks ``due``, with their clauses. What was not ``asked`` for by name may lack the
        device. Raises ``UsageError`` if the target cannot be loaded.
        """
        candidates = []
        for position, implementation in enumerate(load(target, kind)):
            placed = [self.placed(implementation)] if asked else [*self.placeable([implementation])]
            for subject in self._subjects(map(self.narrowed, placed)):
                due = [
                    [check.id, check.clauses]
                    for check in checks()
                    if self.applicable(check, [subject])
                ]
                entry = asdict(self.entry(subject))
                candidates.append({"position": position, "entry": entry, "due": due})
        return candidates

    def subjects(self) -> list[Subject]:
        """Load what is to be tested, one subject for each implementation and kind.

        Raises ``UsageError`` if a target cannot be loaded or none has a kind asked for.
        """
        kind = self.kinds[0] if len(self.kinds) == 1 else ""
        loaded = [
            self.placed(implementation)
            for target in self.targets
            for implementation in load(target, kind)
        ]
        if self.registered:
            loaded += self.placeable(registered(self.engines)[0])
        subjects = self._subjects(map(self.narrowed, unique(loaded)))
        if not subjects:
            wanted = " or ".join(self.kinds)
            names = ", ".join(implementation.name for implementation in loaded) or "nothing"
            raise UsageError(
                f"no {wanted or 'implementation'} among what was loaded: {names}", Refusal.TARGET
            )
        return subjects

    def _subjects(self, implementations: Iterable[Implementation]) -> list[Subject]:
        return [
            Subject(implementation, kind, PROFILES[self.profile], self.seed)
            for implementation in implementations
            for kind in Kind
            if kind in implementation.declaration.kinds
            and (not self.kinds or kind.value in self.kinds)
        ]

    def placed(self, implementation: Implementation) -> Implementation:
        """The implementation on the device asked for.

        Raises ``UsageError`` if there is no such device, or the implementation knows none.
        """
        try:
            return implementation.on(self.device)
        except Unsupported as reason:
            raise UsageError(
                f"{implementation.name} {reason}; run it without --device {self.device}",
                Refusal.DEVICE,
            ) from reason

    def placeable(self, implementations: Iterable[Implementation]) -> Iterator[Implementation]:
        """Those that know devices, on the one asked for; the others were not asked for by name."""
        for implementation in implementations:
            with suppress(Unsupported):
                yield implementation.on(self.device)

    def narrowed(self, implementation: Implementation) -> Implementation:
        """The implementation with what is left out no longer declared."""
        return replace(implementation, declaration=implementation.declaration.without(self.without))

    def level_of(self, subject: Subject) -> Level:
        """The level to which a subject is held: what it claims, or less if so chosen."""
        claimed = subject.implementation.declaration.level
        return min(claimed, Level(self.level or claimed), key=lambda level: level.rank)

    def applicable(self, check: Check, subjects: Iterable[Subject]) -> list[Subject]:
        """The subjects on which a check is to be run."""
        chosen = any(selects(self.clauses, clause) for clause in check.clauses)
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
            excluded=dict(declaration.excluded),
            versions=dict(declaration.versions),
            notes=declaration.notes,
        )

"""Several deviations at once, each where it is: found one after the other.

Of several faults, most show alone somewhere. So what explains the smallest evidence and contradicts
nothing that is right is a lead; what is left over has another cause, which acts beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from rnn_conformance.deviations import Deviation
from rnn_conformance.deviations.deviation import Deviant
from rnn_conformance.deviations.scoped import scoped
from rnn_conformance.deviations.scopes import Scope
from rnn_conformance.diagnosis.evidence import Evidence
from rnn_conformance.diagnosis.suspects import (
    Suspect,
    apart,
    by_size,
    composed,
    confined,
    covered,
    is_whole,
    likeliest,
)
from rnn_conformance.reference.derivatives import Adjoint

MOST = 3
"""How many deviations at once are looked for."""

EVALUATIONS = 10_000
"""How many variants are tried on pieces of evidence at most."""

FROM_EACH = 600
"""How many of these at most for one piece of evidence that scopes cut."""

SMALL, ENOUGH, CUT = 12, 2, 2
"""Of what is left over so many of the smallest are looked at; until so many are explained; and so
many of them in scopes that cut them."""

SURE = 3
"""How many each deviation of what explains a part must explain beyond the others."""

LEADS = 6
"""How many leads are followed at each depth, those first that explain most."""


@dataclass(frozen=True)
class Lead:
    """Deviations, each in a scope or everywhere, and which of the wrong evidence they explain."""

    parts: tuple[tuple[Deviation[Any], Scope | None], ...]
    explained: frozenset[int]
    gained: int = 0
    """The fewest that one of the deviations explains beyond those before it."""

    @property
    def suspect(self) -> Suspect:
        """With their scopes in their names."""
        return Suspect(
            tuple(confined(deviation, scope) for deviation, scope in self.parts), made(self.parts)
        )


def made(parts: Sequence[tuple[Deviation[Any], Scope | None]]) -> type[Any]:
    """A variant in which each acts where it is; raises ``TypeError`` where that is nothing.

    What is confined to whole calls is outermost, since a choice between calls is made before all
    others; then layers and directions, samples, steps and units, which are the innermost.
    """
    right = Adjoint if parts and issubclass(parts[0][0].variant, Adjoint) else Deviant

    def having(acting: tuple[type[Any], ...], rest: Sequence[Any]) -> type[Any]:
        if not rest:
            return composed(acting) if acting else right
        (deviation, scope), *others = rest
        inside = having((*acting, deviation.variant), others)
        return inside if scope is None else scoped(inside, scope, having(acting, others))

    return having((), sorted(parts, key=_depth))


def _depth(part: tuple[Deviation[Any], Scope | None]) -> int:
    scope = part[1]
    if scope is None or scope.calls is not None:
        return 0
    if scope.units is not None:
        return 4
    if scope.steps is not None or scope.running is not None:
        return 3
    return 1 if scope.samples is None else 2


def _can_be(parts: Sequence[tuple[Deviation[Any], Scope | None]]) -> bool:
    try:
        made(parts)
    except TypeError:
        return False
    return True


@dataclass
class Covering:
    """The search in some evidence; what it tries is counted.

    ``best`` is what has explained most so far, and contradicts nothing that is right.
    """

    evidence: Sequence[Evidence]
    candidates: Sequence[Deviation[Any]]
    scopes: Sequence[Scope]
    left: int = EVALUATIONS
    best: Lead = Lead((), frozenset())
    wrong: list[Evidence] = field(init=False)
    passing: list[Evidence] = field(init=False)

    def __post_init__(self) -> None:
        self.wrong = by_size(piece for piece in self.evidence if piece.telling)
        self.passing = by_size(piece for piece in self.evidence if not piece.wrong)
        self.scopes = likeliest(self.scopes, self.evidence)

    def leads(self, lead: Lead) -> list[Lead]:
        """What explains more beside a lead, those first that explain most.

        Of the smallest evidence that is left over, two pieces that something explains are enough.
        """
        left_over = [one for n, one in enumerate(self.wrong) if n not in lead.explained][:SMALL]
        found: list[Lead] = []
        enough = 0
        for piece in left_over:
            more = list(self._longer(lead, self._as_a_whole(lead, piece)))
            found += [one for one in more if one not in found]
            enough += bool(more)
            if enough == ENOUGH:
                break
        for piece in left_over[:CUT]:
            more = list(self._longer(lead, self._in_parts(lead, piece)))
            found += [one for one in more if one not in found]
        # Where they explain the same, what needs no scope is likelier.
        return sorted(found, key=lambda one: (-len(one.explained), one.parts[-1][1] is not None))

    def _longer(
        self, lead: Lead, explaining: Iterable[tuple[Deviation[Any], Scope | None]]
    ) -> Iterator[Lead]:
        """The lead with each of these beside it, if that contradicts nothing that is right."""
        for deviation, scope in explaining:
            parts = (*lead.parts, (deviation, scope))
            if not _can_be(parts) or not all(
                self._is(right, (), deviation, scope) for right in self.passing
            ):
                continue
            explained = frozenset(
                n
                for n, wrong in enumerate(self.wrong)
                if self._is(wrong, lead.parts, deviation, scope)
            )
            if explained > lead.explained:
                more = len(explained) - len(lead.explained)
                yield Lead(parts, explained, min(more, lead.gained) if lead.parts else more)

    def _is(
        self,
        piece: Evidence,
        parts: tuple[tuple[Deviation[Any], Scope | None], ...],
        deviation: Deviation[Any],
        scope: Scope | None,
    ) -> bool:
        """Whether a piece is as these parts and another one give it."""
        inside = () if scope is None else covered(scope, piece)
        if scope is not None and not any(part for part, _ in inside):
            # As it is without the other one.
            return piece.fits(made(parts)) if parts else not piece.wrong
        if all(whole for _, whole in inside):
            scope = None
            if not parts:
                # Tried already, without a scope.
                return piece.fits(deviation.variant)
        return self._tried(piece, (*parts, (deviation, scope)))

    def _as_a_whole(
        self, lead: Lead, piece: Evidence
    ) -> Iterator[tuple[Deviation[Any], Scope | None]]:
        """What fits a piece as it is, and in each scope in which all of the piece is."""
        able = (one for one in self.candidates if one.needs <= piece.features)
        plain = [one for one in able if self._tried(piece, (*lead.parts, (one, None)))]
        yield from ((one, None) for one in plain)
        for scope in self.scopes:
            if is_whole(scope, piece):
                yield from ((one, scope) for one in plain)

    def _in_parts(
        self, lead: Lead, piece: Evidence
    ) -> Iterator[tuple[Deviation[Any], Scope | None]]:
        """What fits a piece in scopes that cut it."""
        able = [one for one in self.candidates if one.needs <= piece.features]
        cutting = (
            scope
            for scope in self.scopes
            if any(part for part, _ in covered(scope, piece)) and not is_whole(scope, piece)
        )
        tried = (
            (scope, one) for scope in cutting for one in self._possible(lead, piece, scope, able)
        )
        for scope, deviation in islice(tried, FROM_EACH):
            if self._tried(piece, (*lead.parts, (deviation, scope))):
                yield deviation, scope

    def _possible(
        self, lead: Lead, piece: Evidence, scope: Scope, able: Sequence[Deviation[Any]]
    ) -> Sequence[Deviation[Any]]:
        """Those that a part of the piece, in which each shows as it does everywhere, allows."""
        for _, places in apart(scope, [piece]):
            return [
                one
                for one in able
                if _can_be(parts := (*lead.parts, (one, None)))
                and piece.fits_at(made(parts), places)
            ]
        return able

    def _tried(
        self, piece: Evidence, parts: tuple[tuple[Deviation[Any], Scope | None], ...]
    ) -> bool:
        self.left -= 1
        try:
            return self.left > 0 and piece.fits(made(parts))
        except TypeError:
            return False

    def whole(self) -> Iterator[list[Suspect]]:
        """Those leads that explain everything, as few at once as it takes."""
        level = [Lead((), frozenset())]
        for _ in range(MOST):
            following: list[Lead] = []
            for lead in level:
                longer = self.leads(lead)
                if complete := [one for one in longer if self._is_complete(one)]:
                    self.best = complete[0]
                    yield [one.suspect for one in complete]
                following += longer
            following.sort(key=lambda lead: -len(lead.explained))
            level = _distinct(following)[:LEADS]
            # What explains a single case more may do so by chance.
            sure = [lead for lead in following if lead.gained >= SURE]
            self.best = max([self.best, *sure], key=lambda lead: len(lead.explained))

    def _is_complete(self, lead: Lead) -> bool:
        return len(lead.explained) == len(self.wrong)


def _distinct(leads: Sequence[Lead]) -> list[Lead]:
    """One of each sort that explains the same."""
    seen: dict[frozenset[int], Lead] = {}
    for lead in leads:
        seen.setdefault(lead.explained, lead)
    return list(seen.values())

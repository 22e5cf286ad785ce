"""What is wrong with an implementation that fails, as far as it can be known.

Its answers to probes are compared with those of every known deviation (``suspects``). One
that gives the same, to all probes and to fresh cases, is named, with what mends it; those
that gave the same as it are named beside it. Where none does, what is said is where the
defect shows and what makes it go away (``symptoms``). Nothing is asked of an implementation
that conforms.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from itertools import chain, islice
from typing import Any

from rnn_conformance.checking.subject import Subject
from rnn_conformance.deviations import GRADIENT_DEVIATIONS, Deviant, Deviation, deviations_of
from rnn_conformance.deviations.castings import castings
from rnn_conformance.deviations.gradient_limits import gradient_limits
from rnn_conformance.deviations.gradient_orders import part_gradient_orders
from rnn_conformance.deviations.limits import limits
from rnn_conformance.deviations.part_functions import part_functions
from rnn_conformance.deviations.part_orders import part_orders
from rnn_conformance.deviations.part_rows import part_rows
from rnn_conformance.deviations.scopes import SCOPES, Scope, narrowed
from rnn_conformance.deviations.tails import BLOCK_WIDTHS, BLOCKS
from rnn_conformance.deviations.windows import STEPS, gradient_windows, windows
from rnn_conformance.diagnosis.accepting import ACCEPTING
from rnn_conformance.diagnosis.activations import measured_functions
from rnn_conformance.diagnosis.adding import ADDING
from rnn_conformance.diagnosis.beginnings import BEGINNINGS
from rnn_conformance.diagnosis.causes import Cause, cause_of
from rnn_conformance.diagnosis.conditions import conditioned
from rnn_conformance.diagnosis.covering import EVALUATIONS, Covering
from rnn_conformance.diagnosis.dropping import DROPPING
from rnn_conformance.diagnosis.evidence import Evidence, ask
from rnn_conformance.diagnosis.laying import LAYING
from rnn_conformance.diagnosis.plain import facts, measured
from rnn_conformance.diagnosis.probes import Probe, differentiable, fresh, passes, probes
from rnn_conformance.diagnosis.roundings import Rounding, are_small, rounding_of
from rnn_conformance.diagnosis.suspects import (
    ENOUGH,
    Part,
    Suspect,
    combined,
    conditional,
    explained,
    mostly,
    singly,
    suspects,
)
from rnn_conformance.diagnosis.symptoms import arguments, bisected, located, raised, repeated
from rnn_conformance.diagnosis.using import USING
from rnn_conformance.errors import NonConforming, Sort
from rnn_conformance.implementations.interface import Implementation
from rnn_conformance.spec.backward import drawn
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.cases import Case
from rnn_conformance.spec.clauses import CLAUSES
from rnn_conformance.spec.config import Kind
from rnn_conformance.spec.result import Quantity

CAUSES = (*DROPPING, *BEGINNINGS, *USING, *ACCEPTING, *LAYING, *ADDING)
"""What experiments show, where results and gradients are right."""

OF_ANSWERS = frozenset(
    {Sort.VALUE, Sort.SHAPE, Sort.TYPE, Sort.STRUCTURE, Sort.ACCURACY, Sort.RAISED}
)
"""Failures by what came of a legal call; others follow from no wrong value."""

CONFIRMING = 20
"""Fresh cases that a finding must stand, and twice as many more where there are several."""

CHANCES = 3
"""Failing cases that are asked again: none of them gives the same if it is by chance."""

PLAINLY = 10
"""Failing cases of which something is plain without a search: in a few, it has a cause."""

SHARE = 0.05
"""Of what no search has explained, the least that a part is told of where no failure asks for it:
in a few cases many things come to the same."""

AXES = ("length", "batch", "input_size", "hidden_size", "num_layers")
"""Sizes beyond which code has been seen to change its ways."""

SMALL_SIZES = 16
"""Drawn cases have sizes up to this one, and all of them: they show what is wrong among these."""

EQUALS = 3
"""Of what is the same in every case tried, so many are named."""

SEARCHES = 3
"""Searches for one implementation at most; each failure that none has explained begins one."""


@dataclass(frozen=True)
class Known:
    """A known deviation that gives an implementation's results; fields as of ``Deviation``.

    ``same`` are the names of others that gave the same in every case tried.
    """

    name: str
    fix: str
    clauses: tuple[str, ...]
    source: str
    same: tuple[str, ...] = ()


@dataclass(frozen=True)
class Diagnosis:
    """What is wrong, how far it was verified, and what to do.

    ``known`` are one deviation, two that act together, or none. Of ``failing`` cases that
    were tried they explain ``explained``; ``passing`` others are right, as they are with the
    deviations. ``where`` is the part of all cases of which that is said, empty for the whole.
    ``plain`` is what needs no explanation, such as that all is zero; where there is any, nothing
    was searched for. ``measured`` says how ``known`` was seen where that is no matter of results
    (``causes``): nothing was counted then. ``symptoms`` are sentences without a capital and a
    full stop, as it is. ``of`` is ``results`` or ``gradients``.
    """

    of: Quantity
    where: str
    known: tuple[Known, ...]
    explained: int
    failing: int
    passing: int
    symptoms: tuple[str, ...] = ()
    plain: str = ""
    measured: str = ""

    @property
    def text(self) -> str:
        """All of it, in words; what is true of most first."""
        symptoms = [f"{symptom[:1].upper()}{symptom[1:]}." for symptom in self.symptoms]
        # What fits a small part is not what is wrong with most.
        small = bool(self.known) and 2 * self.explained < self.failing
        said = [*symptoms, *self._named()] if small else [*self._named(), *symptoms]
        return " ".join(said)

    def _named(self) -> Iterator[str]:
        if self.plain:
            tried = self.failing + self.passing
            yield (
                f"{self.plain[:1].upper()}{self.plain[1:]}, in each of the {self.failing} failing "
                f"of {tried} cases tried."
            )
            return
        if not self.known:
            yield (
                f"No known deviation, and no two of them, give these {self.of}; "
                f"{self.failing} of {self.failing + self.passing} cases tried fail."
            )
            return
        if self.measured:
            (cause,) = self.known
            name = f"{cause.name[:1].upper()}{cause.name[1:]}"
            yield f"{name} ({', '.join(cause.clauses)}): {self.measured}."
            yield cause.fix
            return
        names = " and with ".join(known.name for known in self.known)
        clauses = ", ".join(dict.fromkeys(id for known in self.known for id in known.clauses))
        subject = f"{self.where}, its {self.of}" if self.where else f"its {self.of}"
        yield (
            f"{subject[:1].upper()}{subject[1:]} equal those of a layer with {names} ({clauses}): "
            f"in {self.explained} of {self.failing} failing cases, and in the {self.passing} that "
            f"are right{' there' if self.where else ''}."
        )
        yield from dict.fromkeys(known.fix for known in self.known)
        for known in self.known:
            if known.same:
                others = [*known.same[:EQUALS]]
                if len(known.same) > EQUALS:
                    others.append(f"{len(known.same) - EQUALS} more")
                yield f"In every case tried, {known.name} is the same as {'; '.join(others)}."

    def to_record(self) -> dict[str, Any]:
        """Plain JSON values, ``text`` among them."""
        return {**asdict(self), "of": str(self.of), "text": self.text}


@dataclass(frozen=True, eq=False)
class _Search:
    """One search: what it found, in which ``part``, and whether it went by the probes alone."""

    suspects: Sequence[Suspect]
    diagnosis: Diagnosis
    by_probes: bool
    part: Part | None = None

    def explains(self, answers: Sequence[Evidence]) -> bool:
        """Whether what was found gives this too; where nothing fits the probes, nothing will."""
        if not self.suspects:
            return self.by_probes
        variant = self.suspects[0].variant
        if self.part is None:
            return all(answer.fits(variant) for answer in answers)
        return self.part.holds(answers) and all(
            answer.fits(variant) for answer in self.part.of(answers)
        )


@dataclass(frozen=True, eq=False)
class _Questions:
    """How an implementation is asked: for its results, or for its gradients."""

    of: Quantity
    candidates: Sequence[Deviation[Any]]
    first: Callable[[], Iterator[Evidence]]
    ask: Callable[[Case], Evidence | None]
    searches: list[_Search] = field(default_factory=list)
    confirming: dict[int, list[Evidence]] = field(default_factory=dict)

    @cached_property
    def evidence(self) -> list[Evidence]:
        """What the probes gave."""
        return list(self.first())


class Diagnostician:
    """Diagnoses the failures of one kind of one implementation; what it has found it keeps.

    ``without`` are names of deviations and words of scopes that it is not to know: so it is
    measured what it says of what is unknown.
    """

    def __init__(
        self, implementation: Implementation, kind: Kind, without: Collection[str] = ()
    ) -> None:
        self.subject = Subject(implementation, kind)
        self.kind, self.declaration = kind, implementation.declaration
        self.causes: dict[frozenset[str], tuple[Cause, str] | None] = {}
        self.scopes = [scope for scope in SCOPES if scope.words not in without]
        results = [one for one in deviations_of(kind) if one.name not in without]
        gradients = [
            one for one in GRADIENT_DEVIATIONS if kind in one.kinds and one.name not in without
        ]
        self.results = _Questions(Quantity.RESULTS, results, self._answers, self._answer)
        self.gradients = _Questions(Quantity.GRADIENTS, gradients, self._passes, self._pass)

    def diagnose(self, error: NonConforming, clauses: Collection[str]) -> Diagnosis | None:
        """What is behind a failure of a check of these clauses, if it can be told.

        ``None`` where the failing calls and backward pass are right by themselves, and nothing
        is known to be wrong with all results and to break one of the clauses.
        """
        # What is plain of all results is behind whatever comes of them, and in the way of
        # experiments.
        plainly = error.sort in OF_ANSWERS and self._plainly_wrong
        if not plainly and (measured := self._measured(clauses)) is not None:
            return measured
        if error.sort not in OF_ANSWERS:
            return self._by_clause(clauses, values=False)
        # Dropout is out of the way, so that it can be told what follows from something else.
        called = error.calls if error.backward is None else (*error.calls, error.backward.call)
        calls = [call.replace(training=False) for call in called]
        asked = [Probe((call,)) for call in calls if self._answerable(call)]
        answers = [answer for probe in asked if (answer := ask(self.subject, probe)) is not None]
        if any(answer.wrong for answer in answers):
            return self._explained(self.results, answers, error.case)
        if error.backward is not None and self._answerable(error.backward.call):
            evaluated = error.backward.call.replace(training=False)
            backward = ask(self.subject, Probe.back(replace(error.backward, call=evaluated)))
            if backward is not None and backward.wrong:
                return self._explained(self.gradients, [backward], error.case)
        return self._by_nearness(answers) or self._by_clause(clauses, values=True)

    @cached_property
    def _plainly_wrong(self) -> bool:
        """Whether something is plain of all results."""
        return self._plain(self.results, self.results.evidence) is not None

    def _by_nearness(self, answers: Sequence[Evidence]) -> Diagnosis | None:
        """What explains all results, where it explains these too, which are off by little.

        A check may allow less than the bound, such as what correct implementations scatter by.
        """
        if answers and any(piece.wrong for piece in self.results.evidence):
            self._explained(self.results, [], None)
            for search in self.results.searches:
                if search.suspects and search.part is None:
                    variant = search.suspects[0].variant
                    if all(answer.nearer(variant) for answer in answers):
                        return search.diagnosis
        return None

    def _by_clause(self, clauses: Collection[str], *, values: bool) -> Diagnosis | None:
        """What is wrong with all results or gradients, if that is known to break one of these.

        What is wrong in later calls of a layer alone is behind all values that are right when they
        are asked for again, of a fresh layer.
        """
        for how in (self.results, self.gradients):
            wrong = [piece for piece in how.evidence if piece.wrong]
            if wrong:
                diagnosis = self._explained(how, [], None)
                known = () if diagnosis is None else diagnosis.known
                breaks = {clause for deviation in known for clause in deviation.clauses}
                later = values and all(len(piece.probe.calls) > 1 for piece in wrong)
                if (known and later) or not breaks.isdisjoint(clauses):
                    return diagnosis
        return None

    def _measured(self, clauses: Collection[str]) -> Diagnosis | None:
        """What an experiment shows that is made for failures of these clauses."""
        key = frozenset(clauses)
        if key not in self.causes:
            self.causes[key] = cause_of(self.subject, key, CAUSES)
        found = self.causes[key]
        if found is None:
            return None
        cause, seen = found
        breaks = tuple(sorted(id for id in cause.clauses if self.kind in CLAUSES[id].kinds))
        known = Known(cause.name, cause.fix, breaks, cause.source)
        return Diagnosis(Quantity.RESULTS, "", (known,), 0, 0, 0, measured=seen)

    def _explained(
        self, how: _Questions, answers: Sequence[Evidence], case: Any
    ) -> Diagnosis | None:
        known = any(piece.wrong for piece in how.evidence)
        if known and not how.searches:
            # By the probes alone: whichever check failed first, the diagnosis is the same.
            how.searches.append(self._search(how, [*how.evidence], by_probes=True))
        for search in how.searches:
            if search.explains(answers):
                return search.diagnosis
        if len(how.searches) == SEARCHES:
            return None
        if known:
            # All of it was searched for already: a part has these failures, or nothing has.
            how.searches.append(self._search_parts(how, [*how.evidence], answers))
            return how.searches[-1].diagnosis
        evidence = [*how.evidence, *answers]
        if isinstance(case, Case) and not known:
            # What the probes do not show may need something that this case has.
            case = self._shrunk(how, case)
            others = [replace(case, seed=case.seed + n) for n in range(CONFIRMING)]
            asked = map(how.ask, (*others, *_of_other_sizes(case)))
            evidence += [answer for answer in asked if answer is not None]
        how.searches.append(self._search(how, evidence, by_probes=False))
        return how.searches[-1].diagnosis

    def _shrunk(self, how: _Questions, case: Case) -> Case:
        """The case with the smallest sizes that it takes: every candidate runs through them.

        By bisection, as if what fails with some fails with more.
        """
        if case.lengths is not None:
            return case
        for axis in AXES:
            right, wrong = 0, _size(case, axis)
            while wrong - right > 1:
                middle = (right + wrong) // 2
                changed = _resized(case, axis, middle)
                answer = None if changed is None else how.ask(changed)
                right, wrong = (right, middle) if answer and answer.wrong else (middle, wrong)
            case = _resized(case, axis, wrong) or case
        return case

    def _search(self, how: _Questions, evidence: list[Evidence], by_probes: bool) -> _Search:
        if plain := self._plain(how, evidence):
            return _Search((), plain, by_probes)
        candidates = how.candidates
        if not singly(evidence, candidates):
            candidates = [*self._measured_functions(how), *candidates]
        every = tuple(evidence), candidates, self.scopes
        groups = chain(suspects(*every), conditioned(*every))
        whole = self._first_confirmed(how, groups, evidence)
        if not whole and len(evidence) > len(every[0]):
            # Again with the fresh cases that contradicted what fitted before.
            again = conditioned(tuple(evidence), *every[1:])
            whole = self._first_confirmed(how, again, evidence)
        if not whole:
            unlisted = self._unlisted(how, evidence)
            others = suspects(tuple(evidence), unlisted, self.scopes)
            whole = self._first_confirmed(how, others, evidence)
        if not whole:
            rounding = rounding_of(evidence, (*self.scopes, *narrowed(self.scopes)))
            if rounding is not None:
                return _Search((), self._by_rounding(how, rounding, evidence), by_probes)
        if not whole:
            groups = chain(Covering(*every).whole(), combined(*every))
            whole = self._first_confirmed(how, groups, evidence)
        if not whole:
            return self._search_parts(how, evidence, ())
        return _Search(whole, self._concluded(how, "", whole, evidence, evidence), by_probes)

    def _measured_functions(self, how: _Questions) -> list[Deviation[Any]]:
        """Deviations of what gates were measured to be put through, that have no other name."""
        if how is not self.results:
            return []
        listed = {one.name for one in how.candidates}
        return [one for one in self.functions[0] if one.name not in listed]

    def _unlisted(self, how: _Questions, evidence: Sequence[Evidence]) -> list[Deviation[Any]]:
        """Those that are too many for the catalogue, as far as they could be what is wrong."""
        wrong = [piece for piece in evidence if piece.wrong]
        long = min(map(_longest, wrong)) > min(STEPS)
        if how is not self.results:
            backward = [*gradient_limits(), *(gradient_windows() if long else ())]
            return [*backward, *part_gradient_orders(self.kind)]
        listed = {one.name for one in how.candidates}
        every = [*part_rows(self.kind), *part_orders(self.kind)]
        every += [*part_functions(self.kind), *limits(self.kind)]
        every += windows() if long else ()
        every += castings(self.kind) if are_small(wrong) else ()
        if min(map(_widest, wrong)) > min(BLOCK_WIDTHS):
            every += [one for one in BLOCKS if self.kind in one.kinds]
        return [one for one in every if one.name not in listed]

    def _search_parts(
        self, how: _Questions, evidence: list[Evidence], answers: Sequence[Evidence]
    ) -> _Search:
        """What fits a part of it, the answers among that; or else what the symptoms are."""
        evidence += [one for one in self._fresh(how, CONFIRMING) if one not in evidence]
        measured = self.functions[0] if how is self.results else ()
        candidates = [*measured, *how.candidates]
        most = mostly(evidence, [*candidates, *self._unlisted(how, evidence)], answers)
        telling = [piece for piece in evidence if piece.telling]
        least = max(ENOUGH, explained(most[0], telling)) if most else ENOUGH
        for part, some in conditional(evidence, candidates, self.scopes, answers, least):
            fitting = [
                one for one in some if all(answer.fits(one.variant) for answer in part.of(answers))
            ]
            if fitting and (fitting := self._confirmed_in(how, part, fitting, evidence)):
                inside = part.of(evidence)
                concluded = self._concluded(how, part.words, fitting, inside, evidence)
                return _Search(fitting, concluded, by_probes=False, part=part)
        if most:
            concluded = self._concluded(how, "", most, evidence, evidence)
            return _Search(most, concluded, by_probes=False)
        if fitting := self._covering_most(how, candidates, evidence, answers):
            concluded = self._concluded(how, "", fitting, evidence, evidence)
            return _Search(fitting, concluded, by_probes=False)
        return _Search((), self._concluded(how, "", (), evidence, evidence), by_probes=True)

    def _covering_most(
        self,
        how: _Questions,
        candidates: Sequence[Deviation[Any]],
        evidence: Sequence[Evidence],
        answers: Sequence[Evidence],
    ) -> list[Suspect]:
        """What explains most of what no search has, the answers among that; empty if not enough."""
        found = [search.suspects[0].variant for search in how.searches if search.suspects]
        left_over = [
            piece
            for piece in evidence
            if not piece.wrong or not any(piece.fits(variant) for variant in found)
        ]
        covering = Covering(left_over, candidates, self.scopes, EVALUATIONS // 4)
        wrong = sum(piece.wrong for piece in left_over)
        enough = ENOUGH if answers else max(ENOUGH, SHARE * wrong)
        if any(covering.whole()) or len(covering.best.explained) >= enough:
            suspect = covering.best.suspect
            right = (piece for piece in evidence if not piece.wrong)
            if all(piece.fits(suspect.variant) for piece in (*right, *answers)):
                pieces = [piece for piece in left_over if piece.fits(suspect.variant)]
                return self._told_apart([suspect], pieces)
        return []

    def _concluded(
        self,
        how: _Questions,
        where: str,
        fitting: Sequence[Suspect],
        inside: Sequence[Evidence],
        evidence: Sequence[Evidence],
    ) -> Diagnosis:
        wrong = [piece for piece in evidence if piece.wrong]
        telling = [piece for piece in inside if piece.telling]
        count = explained(fitting[0], telling) if fitting else 0
        whole = bool(fitting) and not where and count == len(telling)
        return Diagnosis(
            how.of,
            where,
            _known(fitting, self.kind) if fitting else (),
            explained=count,
            failing=len(wrong),
            passing=sum(not piece.wrong for piece in inside),
            symptoms=tuple(_beside(wrong) if whole else self._symptoms(how, wrong)),
        )

    def _plain(self, how: _Questions, evidence: Sequence[Evidence]) -> Diagnosis | None:
        """What needs no search, if there is such a thing."""
        wrong = [piece for piece in evidence if piece.wrong]
        if how is not self.results or len(wrong) < PLAINLY:
            return None
        found = [fact.words for fact in facts(wrong) if fact.whole]
        if not found and self._by_chance(wrong):
            found = ["the same call of a layer made anew gives something else each time"]
        if not found:
            return None
        return Diagnosis(
            how.of,
            "",
            (),
            explained=0,
            failing=len(wrong),
            passing=len(evidence) - len(wrong),
            symptoms=tuple(raised(wrong)),
            plain=found[0],
        )

    def _by_rounding(
        self, how: _Questions, rounding: Rounding, evidence: Sequence[Evidence]
    ) -> Diagnosis:
        wrong = sum(piece.wrong for piece in evidence)
        results = how is self.results
        name = rounding.name if results else f"gradients in {rounding.name}"
        return Diagnosis(
            how.of,
            "",
            (Known(name, rounding.fix, ("EQ-6" if results else "GRD-1",), "common mistake"),),
            explained=wrong,
            failing=wrong,
            passing=len(evidence) - wrong,
            measured=f"in {wrong} of {len(evidence)} cases tried the errors are of the size of "
            f"{rounding.coarser}'s rounding, and the others are right",
        )

    @cached_property
    def functions(self) -> tuple[list[Deviation[Deviant]], list[str]]:
        """Those of gates that are others than they should be; and those that cannot be told.

        None where weights have fewer digits, since what is measured passes through them.
        """
        return ([], []) if self.declaration.weights else measured_functions(self.subject)

    def _by_results(self, wrong: Sequence[Evidence]) -> bool:
        """Whether the results of most calls whose gradients are wrong are wrong as well.

        Results that are wrong elsewhere, as of NaN in the padding, have no part in gradients.
        """
        if not any(piece.wrong for piece in self.results.evidence):
            return False
        some = wrong[:: max(1, len(wrong) // CHANCES)]
        asked = [ask(self.subject, Probe(piece.probe.calls)) for piece in some]
        off = [piece.wrong for piece in asked if piece is not None]
        return 2 * sum(off) > len(off)

    def _by_chance(self, wrong: Sequence[Evidence]) -> bool:
        """Whether what is wrong is another thing each time, whatever is the same."""
        answered = [piece for piece in wrong if piece.given is not None][:CHANCES]
        again = [ask(self.subject, piece.probe) for piece in answered]
        return bool(answered) and all(
            other is not None and other.given is not None and not piece.near(other.given)
            for piece, other in zip(answered, again, strict=True)
        )

    def _confirmed_in(
        self, how: _Questions, part: Part, fitting: list[Suspect], evidence: list[Evidence]
    ) -> list[Suspect]:
        """Those that fit as many fresh cases of a part, too, in which little may be off."""
        asked = self._drawn(how, lambda case: part.has(case.features))
        evidence += asked
        answers = [answer for answer in part.of(asked) if not answer.raised]
        fitting = [
            suspect
            for suspect in fitting
            if all(answer.fits(suspect.variant) for answer in answers)
        ]
        return self._told_apart(fitting, part.of(evidence))

    def _drawn(self, how: _Questions, chosen: Callable[[Case], bool]) -> list[Evidence]:
        """What fresh cases of a sort gave."""
        cases = filter(chosen, fresh(self.kind, self.declaration, 10 * CONFIRMING, seed=3))
        asked = map(how.ask, islice(cases, CONFIRMING))
        return [answer for answer in asked if answer is not None]

    def _first_confirmed(
        self, how: _Questions, groups: Iterable[list[Suspect]], evidence: list[Evidence]
    ) -> list[Suspect]:
        confirmed = (self._confirmed(how, group, evidence) for group in groups)
        return next(filter(None, confirmed), [])

    def _confirmed(
        self, how: _Questions, fitting: list[Suspect], evidence: list[Evidence]
    ) -> list[Suspect]:
        """Those that fit fresh cases too; more of them as long as there are several."""
        for count in (CONFIRMING, 2 * CONFIRMING):
            asked = self._fresh(how, count)
            # Asked once, though several groups may be confirmed by it.
            evidence += [answer for answer in asked if answer not in evidence]
            answers = [answer for answer in asked if not answer.raised]
            fitting = [
                suspect
                for suspect in fitting
                if all(answer.fits(suspect.variant) for answer in answers)
            ]
            if len(fitting) < 2:
                break
        fitting = [
            one
            for one in fitting
            if one.calls is None or self._shows(how, one, one.calls, evidence)
        ]
        return self._told_apart(fitting, evidence)

    def _shows(
        self, how: _Questions, suspect: Suspect, calls: Scope, evidence: list[Evidence]
    ) -> bool:
        """Whether it fits fresh cases in which it shows, too, which few of all cases may be."""
        asked = self._drawn(how, lambda case: calls.covers(case.call(), 1)[0])
        evidence += asked
        return any(answer.telling for answer in asked) and all(
            answer.fits(suspect.variant) for answer in asked if not answer.raised
        )

    def _told_apart(self, fitting: list[Suspect], evidence: Sequence[Evidence]) -> list[Suspect]:
        """Those that are far nearer than what is right to most of what is off.

        Asked where weights have fewer digits: the bounds are wide enough then for much to fit.
        """
        if not self.declaration.weights:
            return fitting
        telling = [piece for piece in evidence if piece.telling]
        return [
            suspect
            for suspect in fitting
            if 2 * sum(piece.nearer(suspect.variant) for piece in telling) > len(telling)
        ]

    def _fresh(self, how: _Questions, count: int) -> list[Evidence]:
        """What cases gave that no probe was."""
        if count not in how.confirming:
            asked = map(how.ask, fresh(self.kind, self.declaration, count, seed=count))
            how.confirming[count] = [answer for answer in asked if answer is not None]
        return how.confirming[count]

    def _symptoms(self, how: _Questions, wrong: Sequence[Evidence]) -> Iterator[str]:
        if how is self.gradients and self._by_results(wrong):
            yield "results are wrong too, and gradients may be off because of that: mend them first"
        answers = [answer for answer in wrong if not answer.raised]
        # What is true of most is said first.
        mostly_raised = 2 * len(answers) <= len(wrong)
        if mostly_raised:
            yield from raised(wrong)
        yield from repeated(wrong, self._twice)
        if how is self.results:
            yield from self.functions[1]
            yield from (fact.words for fact in facts(wrong))
            yield from measured(answers)
        if answers:
            yield from located(answers) if how is self.results else arguments(answers)
        yield from bisected(wrong, how.ask, self._declared)
        if not mostly_raised:
            yield from raised(wrong)

    def _declared(self, case: Case) -> bool:
        return self.declaration.allows(case.features) and case.dtype in self.declaration.dtypes

    def _answerable(self, call: Call) -> bool:
        """Whether a call is one for this kind, declared, and determined by its arguments."""
        return (
            call.config.kind is self.kind
            and call.length > 0
            and self.declaration.allows(call.features)
            and call.dtype in self.declaration.dtypes
        )

    def _answers(self) -> Iterator[Evidence]:
        every = (ask(self.subject, probe) for probe in probes(self.kind, self.declaration))
        return (answer for answer in every if answer is not None)

    def _answer(self, case: Case) -> Evidence | None:
        return ask(self.subject, Probe.of(case))

    def _twice(self, case: Case) -> Evidence | None:
        return ask(self.subject, Probe((case.call(), case.call())))

    def _passes(self) -> Iterator[Evidence]:
        every = (ask(self.subject, probe) for probe in passes(self.kind, self.declaration))
        return (answer for answer in every if answer is not None)

    def _pass(self, case: Case) -> Evidence | None:
        if not list(differentiable([case])):
            return None
        return ask(self.subject, Probe.back(drawn(case.call(), case.seed), case))


def _size(case: Case, axis: str) -> int:
    size: int = getattr(case if axis in ("length", "batch") else case.config, axis) or 0
    return size


def _widest(piece: Evidence) -> int:
    """The most units or input features in it."""
    configs = [call.config for call in piece.probe.calls]
    return max(max(config.hidden_size, config.layer_input_size(0)) for config in configs)


def _longest(piece: Evidence) -> int:
    return max(call.length for call in piece.probe.calls)


def _resized(case: Case, axis: str, size: int) -> Case | None:
    """The case with another size; ``None`` where there is no such case."""
    changes: dict[str, Any] = {axis: size}
    if _size(case, axis) in (0, size) or (case.config.kind.is_cell and axis == "length"):
        return None
    try:
        if axis in ("length", "batch"):
            return replace(case, **changes)
        return replace(case, config=replace(case.config, **changes))
    # A projection is narrower than the units.
    except ValueError:
        return None


def _of_other_sizes(case: Case) -> Iterator[Case]:
    """The case with sizes about its own, from few to twice as many, where that is not a small one.

    A power of two away or next to it, so that what is left over past a multiple of one is told
    from what is past a multiple of another, and both from what is past a limit.
    """
    for axis in AXES:
        size = _size(case, axis)
        if case.lengths is not None or size <= SMALL_SIZES:
            continue
        steps = [1 << power for power in range(1, (size - 1).bit_length())]
        smaller, larger = [size - step for step in steps], [size + step - 1 for step in steps]
        for other in (size - 1, *smaller, *larger, size + 2, 2 * size):
            if (changed := _resized(case, axis, other)) is not None:
                yield changed


def _beside(wrong: Sequence[Evidence]) -> Iterator[str]:
    """What those failing cases are that a deviation that fits everything does not explain."""
    yield from raised(wrong)
    if little := sum(not piece.telling and not piece.raised for piece in wrong):
        others = "one failing case is" if little == 1 else f"{little} failing cases are"
        yield f"{others} off by too little to tell what by"


def _known(fitting: Sequence[Suspect], kind: Kind) -> tuple[Known, ...]:
    """The first of what fits; beside each of its parts, what fits in the part's place."""
    first = fitting[0].deviations
    known = []
    for part in first:
        rest = {deviation.name for deviation in first if deviation is not part}
        same = [
            deviation.name
            for suspect in fitting
            for deviation in suspect.deviations
            if len(suspect.deviations) == len(first)
            and rest < {other.name for other in suspect.deviations}
            and deviation.name not in rest | {part.name}
            # That it shows in a scope alone is nothing else.
            and not deviation.name.startswith(f"{part.name}, ")
        ]
        known.append(
            Known(
                part.name,
                part.fix,
                tuple(sorted(clause for clause in part.breaks if kind in CLAUSES[clause].kinds)),
                part.source,
                tuple(dict.fromkeys(same)),
            )
        )
    return tuple(known)

"""Runs a property on drawn cases; a check is made of one::

    @clause("DIR-3")
    @for_all(cases(Feature.BIDIRECTIONAL))
    def test_the_final_states_are_the_ends_of_the_output(subject, case): ...

pytest collects and schedules the checks; ``examining`` runs one without pytest.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterator, Sequence
from time import monotonic
from typing import Any, Protocol, TypeAlias

import hypothesis
import numpy as np
from hypothesis import Phase
from hypothesis import strategies as st

from rnn_conformance.checking.checks import Test
from rnn_conformance.checking.drawing import from_the_seed_alone, generating
from rnn_conformance.checking.recalling import (
    Draws,
    forgotten,
    leads_to,
    listed,
    nth,
    path,
)
from rnn_conformance.checking.subject import Subject
from rnn_conformance.errors import Gap, NonConforming, Sort, Unsupported
from rnn_conformance.implementations.interface import Declaration
from rnn_conformance.implementations.process import take_stock
from rnn_conformance.reference.noise import MEMBERS
from rnn_conformance.reference.tolerance import RANK_ALPHA, Agreement, worse_than_chance
from rnn_conformance.spec.config import Kind

SHRINK_SECONDS = 0.25
"""Seconds for each case that shrinking may try, together: ten times what ``torch.nn`` takes."""

Property: TypeAlias = Callable[[Subject, Any], Agreement | None]

TWICE = 2.0
"""How much further off than ``torch.nn`` on the same device a value may be to be as it is there:
two that are each as far off as the other's kernel allows, on either side."""

TRIES = 4
"""How often ``torch.nn``'s class is asked: cuDNN draws other masks each time, from no seed of ours,
and a wrong one is seen in half of them."""


class Family(Protocol):
    """What is drawn for a check, narrowed to one kind of one implementation."""

    def strategy(self, kind: Kind, declaration: Declaration) -> st.SearchStrategy[Any]:
        """Draws that are comparable and have a ``to_record``; may raise ``Unsupported``."""

    def conclude(self) -> None:
        """When nothing failed: may raise ``Unsupported`` where that is no pass."""


def for_all(family: Family, *, examples: float = 1.0) -> Callable[[Property], Test]:
    """Try a property on drawn cases; the first failure is shrunk, and is what is raised.

    ``examples`` multiplies the profile's number of cases, for a property that needs more
    of them or whose cases cost more than most. The draws depend on the run's seed and on
    the property, not on the implementation, so that references are shared and two
    implementations are shown the same cases.

    A property may return how well its case agreed with the equations; when all have passed,
    their agreements are judged together.
    """

    def decorate(check: Property) -> Test:
        def test(subject: Subject) -> None:
            strategy = family.strategy(subject.kind, subject.implementation.declaration)
            # Whoever runs us may have changed functions since the last check.
            take_stock()
            failed: dict[Any, NonConforming] = {}
            unsupported: list[Unsupported] = []
            skipped: list[Unsupported] = []
            tried = 0
            agreements: list[tuple[Any, Agreement]] = []
            draws = Draws(subject.draw)
            phases = (Phase.reuse,) if subject.draw else (Phase.generate, Phase.shrink)
            patience = _Patience(subject.profile.shrinks)

            def attempt(case: Any) -> None:
                nonlocal tried
                draws.case = case
                if case in failed:
                    raise failed[case]
                if subject.draw and not leads_to(subject.draw, case):
                    return
                if unsupported or (failed and patience.ended()):
                    return
                subject.tally.begin(case)
                tried += 1
                try:
                    agreement = check(subject, case)
                    if agreement is not None:
                        agreements.append((case, agreement))
                        subject.tally.agreements.append((case, agreement))
                except NonConforming as error:
                    if (reason := excuse(subject, check, case, error)) is not None:
                        skipped.append(reason)
                        return
                    error.case = case
                    failed[case] = error
                    # Hypothesis looks at all that led to it, and an implementation's exception
                    # may not bear that; it is kept in error.exception.
                    error.__cause__ = error.__context__ = None
                    raise
                except Unsupported as reason:
                    # Not raised to Hypothesis, which would try it again and shrink it. What a
                    # case needs and is not declared, the next one may not need.
                    needs_more = reason.gap is Gap.UNDECLARED
                    (skipped if needs_more else unsupported).append(reason)

            decide = hypothesis.given(strategy)(attempt)
            decide = hypothesis.seed(seed_of(subject, check))(decide)
            count = max(1, round(subject.profile.cases * examples))
            try:
                with from_the_seed_alone():
                    generating(count, phases, draws)(decide)()
            except NonConforming as error:
                error.draw = draws.draw(error.case)
                raise
            if subject.draw and not tried:
                raise forgotten()
            if unsupported:
                raise unsupported[0]
            if skipped and len(skipped) == tried:
                raise skipped[0]
            judged_together(subject, check, agreements)
            family.conclude()

        return named_after(check, test)

    return decorate


class Listing(Protocol):
    """What is listed for a check rather than drawn, since all of it counts."""

    def members(self, subject: Subject, rng: np.random.Generator) -> Sequence[Any]:
        """As many as the profile takes; may raise ``Unsupported``."""

    def simpler(self, member: Any) -> Iterator[Any]:
        """Such as are simpler than a member, the simplest first."""


def for_each(listing: Listing) -> Callable[[Property], Test]:
    """Try a property on each member of a list, which ``rng`` orders by the seed and the property.

    The first failure is made simpler as long as what is simpler fails too, and is what is
    raised.
    """

    def decorate(check: Property) -> Test:
        def test(subject: Subject) -> None:
            # Whoever runs us may have changed functions since the last check.
            take_stock()
            skipped: list[Unsupported] = []
            tried = 0

            def failure(member: Any) -> NonConforming | None:
                subject.tally.begin(member)
                try:
                    check(subject, member)
                except NonConforming as error:
                    if (reason := excuse(subject, check, member, error)) is not None:
                        skipped.append(reason)
                        return None
                    # A part of it, where the property tells which.
                    error.case = member if error.case is None else error.case
                    return error
                except Unsupported as reason:
                    # What a member needs and is not declared, the next one may not need.
                    if reason.gap is not Gap.UNDECLARED:
                        raise
                    skipped.append(reason)
                return None

            rng = np.random.default_rng(seed_of(subject, check))
            members = listing.members(subject, rng)
            if subject.draw:
                if (again := _again(subject.draw, members, failure, listing)) is not None:
                    raise again
                return
            for number, member in enumerate(members):
                tried += 1
                if (found := failure(member)) is not None:
                    found.draw = listed([number], member)
                    raise _simplest(found, failure, listing, subject.profile.shrinks)
            if skipped and len(skipped) == tried:
                raise skipped[0]

        return named_after(check, test)

    return decorate


def excuse(
    subject: Subject, check: Property, case: Any, error: NonConforming
) -> Unsupported | None:
    """Why a failure on an accelerator is none: ``torch.nn``'s own class fails there in that way.

    What ``torch.nn`` does on a device is what its kernels do: cuDNN's activations are good to some
    1e-5, it takes no state that is not contiguous, and draws its masks as it likes. On the CPU
    ``torch.nn`` fails nothing, and nothing is excused.
    """
    if subject.implementation.device == "cpu":
        return None
    # Loads torch, which whatever lies on a device has loaded.
    from rnn_conformance.checking.deployment import fails_itself, torchs

    own = torchs(subject)
    for _ in range(TRIES):
        try:
            check(own, case)
        except Unsupported:
            return None
        except NonConforming as failure:
            as_large = error.error is None or error.error <= TWICE * (failure.error or 0.0)
            if failure.sort is error.sort and as_large:
                reason = fails_itself(subject, failure)
                subject.tally.notes[f"left out where {reason}"] = None
                return reason
    return None


def _simplest(
    found: NonConforming,
    failure: Callable[[Any], NonConforming | None],
    listing: Listing,
    tries: int,
) -> NonConforming:
    """The failure of the simplest member that fails, after so many tries at most."""
    candidates = enumerate(listing.simpler(found.case))
    patience = _Patience(tries)
    while not patience.ended():
        if (candidate := next(candidates, None)) is None:
            break
        number, simple = candidate
        if (simpler := failure(simple)) is not None:
            simpler.draw = listed([*path(found.draw), number], simple)
            found, candidates = simpler, enumerate(listing.simpler(simpler.case))
    return found


def _again(
    draw: str,
    members: Sequence[Any],
    failure: Callable[[Any], NonConforming | None],
    listing: Listing,
) -> NonConforming | None:
    """The failure of a listed case that failed before, by the way that led to it.

    What is simpler follows from what failed, which may be a part of a member: so each step is
    tried. Raises ``Untested`` if it leads elsewhere now.
    """
    first, *steps = path(draw)
    case = nth(members, first)
    found = failure(case)
    for step in steps:
        case = nth(listing.simpler(case if found is None else found.case), step)
        found = failure(case)
    if not leads_to(draw, case):
        raise forgotten()
    if found is not None:
        found.draw = draw
    return found


class _Patience:
    """How long a counterexample is made smaller: so many cases, begun with the first question.

    Cases, not seconds: the same seed gives the same counterexample on every machine. Only what
    takes many times as long as ``torch.nn`` meets ``SHRINK_SECONDS`` before.
    """

    def __init__(self, cases: int) -> None:
        self.cases = self.left = cases
        self.begun = 0.0

    def ended(self) -> bool:
        """Whether it is; asked once a case."""
        self.begun = self.begun or monotonic()
        self.left -= 1
        return self.left < 0 or monotonic() - self.begun > SHRINK_SECONDS * self.cases


def seed_of(subject: Subject, check: Property) -> int:
    """A seed for what is drawn: of the run's and the property, not of the implementation."""
    digest = hashlib.sha256(f"{subject.seed} {_origin(check)} {check.__name__}".encode()).digest()
    return int.from_bytes(digest[:8], "big")


def named_after(check: Property, test: Test) -> Test:
    """The test with the name and the place of its property, for pytest and reports."""
    # Not functools.wraps: pytest would follow it and take `case` for a fixture.
    functools.update_wrapper(test, check)
    del test.__wrapped__  # type: ignore[attr-defined]
    # What is drawn is no argument of the test.
    test.__annotations__ = {"subject": Subject, "return": None}
    test.origin = _origin(check)  # type: ignore[attr-defined]
    return test


def _origin(check: Property) -> str:
    return check.__code__.co_filename.replace("\\", "/").rpartition("/")[2]


def judged_together(
    subject: Subject, check: Property, agreements: Sequence[tuple[Any, Agreement]]
) -> None:
    """Raises ``NonConforming`` if too many cases agree worse than every noisy run."""
    judged = worse_than_chance([agreement for _, agreement in agreements])
    if judged is None or _as_noisy_itself(subject, check, agreements):
        return
    outliers, allowed = judged
    worst = outliers[0]
    error = NonConforming(
        f"in {len(outliers)} of {len(agreements)} cases the errors of all {worst.quantity} "
        f"together are larger than those of each of {MEMBERS} runs of the equations with the noise "
        f"of rounding, in this one {worst.rank:.3g} times the scatter where the worst run has "
        f"{worst.worst_member:.3g}; chance would do that in at most {allowed} cases, with a "
        f"probability of {RANK_ALPHA:g}. No error is large, but they are not those of rounding",
        sort=Sort.ACCURACY,
        calls=(worst.call,),
    )
    error.case = next(case for case, agreement in agreements if agreement is worst)
    raise error


def _as_noisy_itself(
    subject: Subject, check: Property, agreements: Sequence[tuple[Any, Agreement]]
) -> bool:
    """Whether ``torch.nn``'s own class on the same accelerator agrees no better."""
    if subject.implementation.device == "cpu":
        return False
    from rnn_conformance.checking.deployment import torchs

    own = torchs(subject)
    try:
        others = [check(own, case) for case, _ in agreements]
    except (NonConforming, Unsupported):
        return True
    return (
        worse_than_chance([agreement for agreement in others if agreement is not None]) is not None
    )

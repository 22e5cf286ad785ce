"""Runs a property on drawn cases; a check is made of one::

    @clause("DIR-3")
    @for_all(cases(Feature.BIDIRECTIONAL))
    def test_the_final_states_are_the_ends_of_the_output(subject, case): ...

pytest collects and schedules the checks; ``examining`` runs one without pytest.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

import hypothesis
from hypothesis import Phase
from hypothesis import strategies as st

from rnn_conformance.checking.checks import Test
from rnn_conformance.checking.drawing import from_the_seed_alone, generating
from rnn_conformance.checking.subject import Subject
from rnn_conformance.errors import Gap, NonConforming, Sort, Unsupported
from rnn_conformance.implementations.interface import Declaration
from rnn_conformance.implementations.process import take_stock
from rnn_conformance.reference.noise import MEMBERS
from rnn_conformance.reference.tolerance import RANK_ALPHA, Agreement, worse_than_chance
from rnn_conformance.spec.config import Kind

Property: TypeAlias = Callable[[Subject, Any], Agreement | None]


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
            shrinks = iter(range(subject.profile.shrinks))

            def attempt(case: Any) -> None:
                nonlocal tried
                if case in failed:
                    raise failed[case]
                # Shrinking ends after a number of cases, not of seconds: the same seed
                # gives the same counterexample on every machine.
                if unsupported or (failed and next(shrinks, None) is None):
                    return
                subject.tally.begin(case)
                tried += 1
                try:
                    agreement = check(subject, case)
                    if agreement is not None:
                        agreements.append((case, agreement))
                        subject.tally.agreements.append((case, agreement))
                except NonConforming as error:
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

            digest = hashlib.sha256(f"{subject.seed} {origin} {check.__name__}".encode()).digest()
            decide = hypothesis.given(strategy)(attempt)
            decide = hypothesis.seed(int.from_bytes(digest[:8], "big"))(decide)
            count = max(1, round(subject.profile.cases * examples))
            with from_the_seed_alone():
                generating(count, (Phase.generate, Phase.shrink))(decide)()
            if unsupported:
                raise unsupported[0]
            if skipped and len(skipped) == tried:
                raise skipped[0]
            judged_together(agreements)
            family.conclude()

        origin = check.__code__.co_filename.replace("\\", "/").rpartition("/")[2]
        # Not functools.wraps: pytest would follow it and take `case` for a fixture.
        functools.update_wrapper(test, check)
        del test.__wrapped__  # type: ignore[attr-defined]
        # What is drawn is no argument of the test.
        test.__annotations__ = {"subject": Subject, "return": None}
        test.origin = origin  # type: ignore[attr-defined]
        return test

    return decorate


def judged_together(agreements: Sequence[tuple[Any, Agreement]]) -> None:
    """Raises ``NonConforming`` if too many cases agree worse than every noisy run."""
    judged = worse_than_chance([agreement for _, agreement in agreements])
    if judged is None:
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

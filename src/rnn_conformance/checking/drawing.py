"""How Hypothesis draws for us: from the seed and from nothing else in the process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar
from unittest.mock import patch

import hypothesis
from hypothesis import strategies as st
from hypothesis.internal.conjecture.providers import HypothesisProvider

from rnn_conformance.checking.recalling import KEY, Draws

T = TypeVar("T")


@contextmanager
def from_the_seed_alone() -> Iterator[None]:
    """While it is entered, whatever Hypothesis draws depends on its seed alone.

    Hypothesis draws constants too, among them those that it finds in the source files of what
    is in ``sys.modules``. So what is drawn would depend on what is imported, and a module that
    is loaded lazily, which may raise anything when it is looked at, would end the check.
    """
    # Hypothesis has no setting for it. A version without this method draws no constants.
    with patch.object(HypothesisProvider, "_maybe_draw_constant", _no_constant, create=True):
        yield


def _no_constant(*args: Any, **keywords: Any) -> None:
    """In place of a constant: draw as usual."""


def examples(strategy: st.SearchStrategy[T], count: int, seed: int) -> list[T]:
    """So many draws, the same for the same seed; fewer where there are no more."""
    draws: list[T] = []

    @generating(count)
    @hypothesis.seed(seed)
    @hypothesis.given(strategy)
    def collect(drawn: T) -> None:
        draws.append(drawn)

    with from_the_seed_alone():
        collect()
    return draws


def generating(
    count: int,
    phases: Sequence[hypothesis.Phase] = (hypothesis.Phase.generate,),
    draws: Draws | None = None,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Settings under which what is drawn depends on the seed alone.

    ``draws`` are told what led to failures, and say in ``Phase.reuse`` what is drawn again.
    """
    settings = hypothesis.settings(
        max_examples=count,
        # A case's cost is the implementation's, and the run has a limit of its own.
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
        # Not on what earlier runs left behind.
        database=draws,
        phases=phases,
        report_multiple_bugs=False,
        print_blob=False,
    )

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        # The key in a database: Hypothesis makes it of the test's source, and takes longer to
        # read that than for ten draws.
        key = None if draws is None else KEY
        test._hypothesis_internal_database_key = key  # type: ignore[attr-defined]
        return settings(test)

    return decorate

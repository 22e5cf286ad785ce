"""Statistical tests whose probability of a false alarm is bounded, not estimated.

A correct implementation draws at random, so any statement on what it draws can fail by
chance. Each test here fails a correct one with a probability of at most ``FALSE_ALARM``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

FALSE_ALARM = 1e-14
"""Of one test. A run makes fewer than 1e5 of them (some ten a case, at most a few hundred
cases a check, for each implementation), so it gives a false alarm with a probability of at
most 1e-9, by the union bound and however the tests depend on each other."""


def improbable(successes: int, trials: int, probability: float) -> bool:
    """Whether so many of ``trials`` independent trials succeed with at most ``FALSE_ALARM``.

    Two-sided, by the Chernoff–Hoeffding bound, which holds for every number of trials:
    ``P(S >= s) <= exp(-n KL(s/n || p))`` for ``s >= n p``, and likewise below (Hoeffding,
    "Probability inequalities for sums of bounded random variables", 1963, theorem 1).
    """
    if not trials:
        return False
    share = successes / trials
    exponent = trials * (_term(share, probability) + _term(1.0 - share, 1.0 - probability))
    return exponent > math.log(2.0 / FALSE_ALARM)


def _term(a: float, b: float) -> float:
    """``a ln(a / b)``, of which two make the Kullback–Leibler divergence of two coins."""
    if a == 0.0:
        return 0.0
    return math.inf if b == 0.0 else a * math.log(a / b)


def gap(values: NDArray[Any], low: float, high: float) -> float:
    """The largest distance of the values' distribution from the uniform one, from 0 to 1.

    The Kolmogorov–Smirnov statistic.
    """
    due = np.clip((np.sort(values.ravel()) - low) / (high - low), 0.0, 1.0)
    steps = np.arange(values.size + 1) / values.size
    return float(max((steps[1:] - due).max(), (due - steps[:-1]).max()))


def allowed_gap(count: int) -> float:
    """What :func:`gap` exceeds with at most ``FALSE_ALARM`` for ``count`` independent draws.

    ``P(gap > e) <= 2 exp(-2 n e**2)``, for every ``n`` (Massart, "The tight constant in the
    Dvoretzky–Kiefer–Wolfowitz inequality", 1990).
    """
    return math.sqrt(math.log(2.0 / FALSE_ALARM) / (2.0 * count))

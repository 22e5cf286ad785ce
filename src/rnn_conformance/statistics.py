"""Statistical tests whose probability of a false alarm is bounded, not estimated.

A correct implementation draws at random, so any statement on what it draws can fail by
chance. Each test here fails a correct one with a probability of at most ``FALSE_ALARM``.
"""

from __future__ import annotations

import math

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

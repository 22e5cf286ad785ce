"""What the server loads from which the processes of implementations are forked.

All that such a process needs and that costs more than a moment: torch, the suite, and what
Hypothesis looks up at its first draw.
"""

import gc

import hypothesis
import torch
from hypothesis import strategies as st

from rnn_conformance.checking.checks import checks
from rnn_conformance.checking.drawing import generating
from rnn_conformance.diagnosis.diagnosis import Diagnostician
from rnn_conformance.running.session import Session

__all__ = ["Diagnostician", "Session", "torch"]

checks()


@generating(1)
@hypothesis.given(st.integers(0, 10))
def _draw(number: int) -> None:
    """Nothing is tried: it is drawn."""


_draw()
# What all have in common no process needs to search for garbage.
gc.freeze()

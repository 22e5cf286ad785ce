"""What the server loads from which the processes of implementations are forked.

All that such a process needs and that costs more than a moment: torch, and the suite with it.
"""

import torch

from rnn_conformance.checking.checks import checks
from rnn_conformance.running.session import Session

__all__ = ["Session", "torch"]

checks()

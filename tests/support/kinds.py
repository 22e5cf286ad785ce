"""In which of its kinds a defect is tried each time: one, and with ``--every-kind`` in all."""

from __future__ import annotations

from collections.abc import Collection
from hashlib import sha256

import pytest

from rnn_conformance.spec.config import Kind


def marks(name: str, kind: Kind, kinds: Collection[Kind]) -> list[pytest.MarkDecorator]:
    """None for the kind that is tried each time, which follows from the defect's name.

    What a defect is called has nothing to do with its kinds, so each has its share of all.
    """
    turn = int.from_bytes(sha256(name.encode()).digest()[:4], "big") % len(kinds)
    return [] if sorted(kinds)[turn] is kind else [pytest.mark.another_kind]

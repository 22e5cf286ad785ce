"""The sorts of document that there are, and their versions."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DocumentFormat:
    """A sort of document: its ``name`` in words, which is that of its schema, and its version."""

    name: str
    version: int


RESULTS = DocumentFormat("results", 1)
"""``results.json``: what a run found."""

POWER = DocumentFormat("power", 1)
"""``power.json``: the kill matrix."""

BENCH = DocumentFormat("bench", 1)
"""``bench.json``: how fast implementations are, beside ``torch.nn``."""

JOURNAL = DocumentFormat("journal", 1)
"""``records.jsonl``: the records of a run, written as it goes."""

BASELINE = DocumentFormat("baseline", 1)
"""What of a run's results has to stay as good."""

STORE = DocumentFormat("store", 1)
"""``failures.json``: the failures that are remembered, to be tried first."""

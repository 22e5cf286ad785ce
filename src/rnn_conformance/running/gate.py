"""What a run is held to beside the clauses: a baseline, and what is known to fail."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from rnn_conformance.errors import Refusal, UsageError
from rnn_conformance.results.baseline import CHOICES, Baseline, read_baseline
from rnn_conformance.results.difference import differences
from rnn_conformance.results.known import KnownFailure, held
from rnn_conformance.results.records import plain
from rnn_conformance.results.verdict import Extent
from rnn_conformance.results.writing import probe, write
from rnn_conformance.running.selection import Selection


@dataclass(frozen=True)
class Gate:
    """``baseline`` is the file that a run is compared with, which ``update`` writes anew.

    ``known`` are the failures that are known. Raises ``UsageError`` for an update of nothing.
    """

    baseline: Path | None = None
    update: bool = False
    known: tuple[KnownFailure, ...] = ()

    def __post_init__(self) -> None:
        if self.update and self.baseline is None:
            raise UsageError("--update-baseline writes the file of --baseline; name that too")

    def prepared(self, selection: Selection) -> Baseline | None:
        """The baseline, read before anything is run.

        Raises ``UsageError`` for one that is not there, cannot be read or is of other choices
        than the run's, which would take what was not asked for as gone.
        """
        if self.baseline is None:
            return None
        if self.update:
            probe(self.baseline)
        if not self.baseline.exists():
            if self.update:
                return None
            raise UsageError(
                f"there is no {self.baseline} to compare with; --update-baseline makes it",
                Refusal.FILE,
            )
        baseline = read_baseline(self.baseline)
        if not self.update and (others := baseline.other_choices(_choices(selection))):
            raise UsageError(
                f"{self.baseline} is of another selection: {'; '.join(others)}; run with the same "
                "choices, or with --update-baseline",
                Refusal.FILE,
            )
        return baseline

    def applied(self, document: dict[str, Any], baseline: Baseline | None) -> dict[str, Any]:
        """The document with what came of it; writes the baseline, where that is to be done.

        A run that was cut short is no baseline.
        """
        today = datetime.fromisoformat(document["run"]["started"]).date()
        document = held(document, self.known, today)
        if self.baseline is None:
            return document
        now = Baseline.of(document)
        changes = [] if baseline is None else differences(baseline, now)
        updated = self.update and Extent.of(document["run"]) is Extent.WHOLE
        if updated:
            write(self.baseline, json.dumps(now.to_record(), indent=1))
        compared = {
            "file": str(self.baseline),
            "updated": updated,
            "changes": [change.to_record() for change in changes],
        }
        return {**document, "baseline": compared}


UNGATED = Gate()
"""Nothing but the clauses."""


def _choices(selection: Selection) -> Mapping[str, Any]:
    """A selection's choices, as a document tells them."""
    chosen = asdict(selection)
    chosen["select"] = chosen["clauses"]
    choices: Mapping[str, Any] = plain({name: chosen[name] for name in CHOICES})
    return choices

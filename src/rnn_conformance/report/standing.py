"""What of an implementation's checks tells against it, for whoever reads a green or a red sign."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rnn_conformance.results.records import Outcome
from rnn_conformance.results.verdict import FAILING, Judgement, counts, required


def pardon(
    implementation: Mapping[str, Any], judgement: Judgement, check: Mapping[str, Any]
) -> str:
    """Why a check that did not pass does not tell against an implementation; empty if it does.

    So a sign is red only where the exit code says so: for one that is to fail, failures are as they
    should be; those that are known, with a reason, are told by the gate; and what is optional
    counts for no verdict.
    """
    if check["outcome"] not in FAILING | {Outcome.NOT_RUN}:
        return str(check["reason"] or check["outcome"])
    if judgement is Judgement.INTENDED:
        return f"fails as intended: {implementation['fails_on_purpose']}"
    for entry in implementation.get("known", ()):
        if check["check"] in entry["checks"]:
            return f"{entry['standing']}: {entry['reason']}"
    if not required(check["clauses"]):
        return "counts for no verdict"
    return ""


def share(implementation: Mapping[str, Any]) -> tuple[int, int]:
    """How many clauses pass, of how many that count and were asked for and answered or not.

    What is unsupported was not claimed, and what is untested was not chosen.
    """
    counted = [
        outcome
        for clause, outcome in implementation["clauses"].items()
        if outcome not in (Outcome.UNSUPPORTED, Outcome.UNTESTED) and counts(clause)
    ]
    return counted.count(Outcome.PASSED), len(counted)

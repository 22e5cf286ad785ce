"""The one policy: what conforms, what is green, and what the command returns.

An exit code, a word, a colour or a truth value that says how a run went follows from here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import IntEnum, StrEnum
from typing import Any

from rnn_conformance.errors import Fault
from rnn_conformance.results.records import Outcome
from rnn_conformance.spec.clauses import CLAUSES

FAILING = frozenset({Outcome.CRASHED, Outcome.TIMEOUT, Outcome.FAILED, Outcome.ERROR})
"""Outcomes of a check or a clause that have something to show."""


class Verdict(StrEnum):
    """What the clauses' outcomes say of an implementation; a document records it."""

    CONFORMS = "conforms"
    FAILS = "fails"
    ERROR = "error"

    @classmethod
    def of(cls, outcomes: Mapping[str, Outcome]) -> Verdict:
        """``fails`` if any clause in the verdict does, ``error`` if a check could not run.

        ``outcomes`` are those of the clauses, by id; optional clauses do not count. What was
        given up, as not run, has failed: it was because of the implementation.
        """
        counted = {outcome for clause, outcome in outcomes.items() if not CLAUSES[clause].optional}
        if counted & ((FAILING - {Outcome.ERROR}) | {Outcome.NOT_RUN}):
            return cls.FAILS
        # Nothing passed: a run in which nothing was shown shows no conformance.
        if Outcome.ERROR in counted or Outcome.PASSED not in counted:
            return cls.ERROR
        return cls.CONFORMS


class Known(StrEnum):
    """What came of a failure that is known, with a reason; a document records it."""

    MET = "fails as known"
    OTHERWISE = "fails otherwise"
    PASSES = "passes now"
    EXPIRED = "expired"
    NOT_RUN = "not run"

    @property
    def strict(self) -> bool:
        """Whether what is known is still so; what was not run may be."""
        return self in (Known.MET, Known.NOT_RUN)


class Judgement(StrEnum):
    """A verdict, in view of what was intended and of how far the run came."""

    CONFORMS = "conforms"
    SELECTED = "conforms as selected"
    EXCLUDING = "conforms but for what it excludes"
    INTENDED = "fails as intended"
    KNOWN = "fails as known"
    OUTDATED = "not as known"
    UNDECIDED = "undecided"
    FAILS = "fails"
    UNINTENDED = "conforms, should fail"
    ERROR = "error"
    SHARD = "fails nothing in this shard"

    @property
    def green(self) -> bool:
        """Whether it is as it should be."""
        return self in (
            Judgement.CONFORMS,
            Judgement.SELECTED,
            Judgement.EXCLUDING,
            Judgement.INTENDED,
            Judgement.KNOWN,
            Judgement.SHARD,
        )


class Extent(StrEnum):
    """How much of what was asked for was run."""

    WHOLE = "complete"
    SHARD = "one shard"
    MISSING = "shards missing"
    CUT_SHORT = "cut short"

    @classmethod
    def of(cls, run: Mapping[str, Any]) -> Extent:
        """Of a document's run."""
        if run.get("missing"):
            return cls.MISSING
        if not run["complete"]:
            return cls.CUT_SHORT
        return cls.SHARD if run.get("shard") else cls.WHOLE


class Exit(IntEnum):
    """What the command returns."""

    GREEN = 0
    """Everything run conforms."""
    NOT_GREEN = 1
    """Something does not, or not everything was run."""
    USAGE = 2
    """The call is wrong, or a target cannot be loaded."""
    FAULT = 3
    """A fault of the suite itself."""


def judge(implementation: Mapping[str, Any], run: Mapping[str, Any]) -> Judgement:
    """What is to be said of an implementation of a document, and of the run that tested it."""
    intended = bool(implementation["fails_on_purpose"])
    verdict, extent = Verdict(implementation["verdict"]), Extent.of(run)
    if verdict is Verdict.FAILS:
        if intended:
            return Judgement.INTENDED
        if not implementation.get("known") or unknown(implementation):
            return Judgement.FAILS
        return Judgement.OUTDATED if outdated(implementation) else Judgement.KNOWN
    if extent is Extent.SHARD and not _in_error(implementation):
        # What passes, or what is due to fail, may lie in another shard.
        return Judgement.SHARD
    if verdict is Verdict.ERROR:
        return Judgement.ERROR
    if extent is not Extent.WHOLE:
        return Judgement.UNDECIDED
    if intended:
        return Judgement.UNINTENDED
    if outdated(implementation):
        return Judgement.OUTDATED
    # What is excluded is shown and reaches no level; it does not stop a run from being green,
    # since it was said, with a reason, before.
    if implementation.get("excluded"):
        return Judgement.EXCLUDING
    return Judgement.SELECTED if run["select"] else Judgement.CONFORMS


def counts(clause: str) -> bool:
    """Whether a clause counts for the verdict; one of a later version, not known here, does."""
    return not (clause in CLAUSES and CLAUSES[clause].optional)


def required(clauses: Iterable[str]) -> bool:
    """Whether a check of these clauses counts for the verdict: not if all are optional."""
    return any(map(counts, clauses))


def unknown(implementation: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The checks that count, failed or were given up, and are not known to."""
    known = {check for entry in implementation.get("known", ()) for check in entry["checks"]}
    return [
        check
        for check in implementation["checks"]
        if check["outcome"] in FAILING | {Outcome.NOT_RUN}
        and check["check"] not in known
        and required(check["clauses"])
    ]


def outdated(implementation: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What is known of an implementation, and is not so any more."""
    return [
        entry for entry in implementation.get("known", ()) if not Known(entry["standing"]).strict
    ]


def source(document: Mapping[str, Any], implementation: Mapping[str, Any]) -> Mapping[str, Any]:
    """The run that tested an implementation: in merged results, the one that it comes from."""
    runs = document.get("sources", [document["run"]])
    run: Mapping[str, Any] = runs[implementation.get("source", 0)]
    return run


def judgements(document: Mapping[str, Any]) -> list[Judgement]:
    """One an implementation, in the order of the document."""
    return [
        judge(implementation, source(document, implementation))
        for implementation in document["implementations"]
    ]


def green(document: Mapping[str, Any]) -> bool:
    """Whether everything was run, and all of it is as it should be; nothing is not green."""
    judged = judgements(document)
    return (
        Extent.of(document["run"]) is Extent.WHOLE
        and bool(judged)
        and all(judgement.green for judgement in judged)
    )


def exit_code(document: Mapping[str, Any]) -> Exit:
    """What ``rnn-conformance run`` returns.

    Beside a baseline only what is worse counts, and what is known and not so any more, of a
    run of which nothing is missing. Of a shard, which may be empty, whether all is well in it;
    whether all is well is told by the shards together.
    """
    faults = {
        Fault(check["failure"]["fault"])
        for implementation in document["implementations"]
        for check in implementation["checks"]
        if check["failure"]
    }
    if Fault.SUITE in faults:
        return Exit.FAULT
    extent = Extent.of(document["run"])
    if baseline := document.get("baseline"):
        worse = any(change["worse"] for change in baseline["changes"]) and not baseline["updated"]
        well = (
            extent is Extent.WHOLE
            and bool(document["implementations"])
            and not worse
            and not any(map(outdated, document["implementations"]))
        )
    else:
        well = green(document) or (
            extent is Extent.SHARD and all(judgement.green for judgement in judgements(document))
        )
    return Exit.GREEN if well else Exit.NOT_GREEN


def _in_error(implementation: Mapping[str, Any]) -> bool:
    """Whether a check could not run, where none failed."""
    return any(
        outcome == Outcome.ERROR and not CLAUSES[clause].optional
        for clause, outcome in implementation["clauses"].items()
    )


def failing_clauses(implementation: Mapping[str, Any]) -> list[str]:
    """The clauses of an implementation's record that failed, in the order of the document."""
    return [clause for clause, outcome in implementation["clauses"].items() if outcome in FAILING]

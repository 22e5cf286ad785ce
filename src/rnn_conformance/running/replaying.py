"""Recorded failures again: each as it was found, by the check that found it, and nothing else."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from rnn_conformance.checking.subject import PROFILES
from rnn_conformance.errors import Refusal, UsageError
from rnn_conformance.results.records import Recipe
from rnn_conformance.results.verdict import FAILING
from rnn_conformance.running.isolation import warm
from rnn_conformance.running.jobs import Candidate, Found, Trying, limited
from rnn_conformance.running.local import Executor, Here, Processes
from rnn_conformance.running.planning import plan
from rnn_conformance.running.schedule import Schedule
from rnn_conformance.running.selection import Selection
from rnn_conformance.spec.config import Kind
from rnn_conformance.texts import LINE, bounded, meant, suggested


@dataclass(frozen=True)
class CaseName:
    """Which recorded failures are meant: those of a clause or a check, of one kind and name.

    As a text it is ``LSTM/mine.py:MyLSTM/EQ-2``, or ``EQ-2`` for every kind and name.
    """

    what: str
    kind: str = ""
    name: str = ""

    @classmethod
    def of(cls, case: str) -> CaseName:
        """From its text; the name may have slashes, as a check's place has one."""
        kind, slash, rest = case.partition("/")
        if not slash or (spelt := meant(kind, list(Kind))) is None:
            return cls(case)
        name, _, what = rest.rpartition("/")
        *above, folder = name.split("/")
        if folder == "conformance":
            name, what = "/".join(above), f"{folder}/{what}"
        return cls(what, spelt, name)

    def of_check(self, check: Mapping[str, Any]) -> bool:
        """Whether a check's record is meant."""
        return self.what.upper() in check["clauses"] or self.what in (
            check["check"],
            check["check"].rpartition("::")[2],
        )

    def of_implementation(self, implementation: Mapping[str, Any]) -> bool:
        """Whether an implementation of a document is meant."""
        return self.kind in ("", implementation["kind"]) and self.name in (
            "",
            implementation["name"],
        )


def replay(
    target: str, case: CaseName, document: Mapping[str, Any], workers: int = 1
) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """The recorded failures that are meant, each as it was and as it is now.

    Raises ``UsageError`` where none is recorded, where what is recorded does not say how it is had
    again, and where the target holds none of what failed.
    """
    recorded = _recorded(case, document)
    kinds = tuple(dict.fromkeys(check["kind"] for check in recorded))
    run = document["run"]
    selection = Selection(
        (target,),
        kinds=kinds,
        without=tuple(run.get("without") or ()),
        device=run.get("device") or "cpu",
    )
    limits = limited(selection.profile, {})
    executor: Executor = Processes(workers) if workers else Here()
    if workers:
        warm()
    candidates = plan(selection, executor, limits)
    was: dict[tuple[str, str, str], Mapping[str, Any]] = {}
    chosen = []
    for candidate in candidates:
        mine = {check["check"]: check for check in recorded if _is(candidate, check, candidates)}
        due = tuple(
            replace(one, recipe=Recipe(**mine[one.check]["failure"]["recipe"]), alone=True)
            for one in candidate.due
            if one.check in mine
        )
        if due:
            chosen.append(replace(candidate, due=due))
            was |= {(*candidate.key, one.check): mine[one.check] for one in due}
    if not chosen:
        names = ", ".join(dict.fromkeys(candidate.entry.name for candidate in candidates))
        failed = ", ".join(dict.fromkeys(check["implementation"] for check in recorded))
        raise UsageError(
            f"{target} holds {names}; what failed is of {bounded(failed, LINE)}", Refusal.TARGET
        )
    schedule = Schedule(
        chosen, Trying(PROFILES["quick"], 0, selection.without), limits, explain=False
    )
    now = {
        (*event.job.candidate.key, event.check): event.record
        for event in executor.perform(schedule)
        if isinstance(event, Found) and event.record is not None
    }
    return [(was[place], now[place]) for place in was if place in now]


def _recorded(case: CaseName, document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    implementations = document["implementations"]
    failed = [
        check
        for implementation in implementations
        if case.of_implementation(implementation)
        for check in implementation["checks"]
        if check["outcome"] in FAILING
    ]
    meant_ones = [check for check in failed if case.of_check(check)]
    if not meant_ones:
        clauses: Collection[str] = dict.fromkeys(id for one in failed for id in one["clauses"])
        raise UsageError(
            f"no failure of {case.what!r} is recorded; those that are, are of "
            f"{', '.join(clauses) or 'nothing'}{suggested(case.what, clauses)}",
            Refusal.FILE,
        )
    had = [check for check in meant_ones if check["failure"].get("recipe")]
    if not had:
        raise UsageError(
            f"how {case.what} failed was not recorded, by an older version or because the check "
            "could not run; run again",
            Refusal.FILE,
        )
    return had


def _is(candidate: Candidate, check: Mapping[str, Any], candidates: list[Candidate]) -> bool:
    """Whether a recorded check is of a candidate: by name, or as the only one of its kind."""
    key = check["implementation"], check["kind"]
    if any(one.key == key for one in candidates):
        return candidate.key == key
    of_kind = [one for one in candidates if one.entry.kind == check["kind"]]
    return of_kind == [candidate]

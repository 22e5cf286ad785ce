"""What is to be tested, found out without loading any of it here: each target describes itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rnn_conformance.errors import Refusal, UsageError
from rnn_conformance.implementations.registry import registered_targets
from rnn_conformance.results.records import Entry
from rnn_conformance.running.isolation import Death
from rnn_conformance.running.jobs import Candidate, Due, Limits, Source
from rnn_conformance.running.local import Executor
from rnn_conformance.running.selection import Selection


@dataclass(frozen=True)
class Asked:
    """A target; ``by_name`` if somebody named it, and not because it is registered."""

    target: str
    by_name: bool


def plan(selection: Selection, executor: Executor, limits: Limits) -> list[Candidate]:
    """The candidates of a selection, in the order of the targets.

    Raises ``UsageError`` if a target cannot be loaded, or nothing is left to test. What is
    registered and needs a package that is not installed is left out.
    """
    asked = [Asked(target, by_name=True) for target in selection.targets]
    if selection.registered:
        asked += [
            Asked(target, by_name=False) for _, target in registered_targets(selection.engines)
        ]
    kind = selection.kinds[0] if len(selection.kinds) == 1 else ""
    folder = str(Path.cwd())
    requests = [
        {
            "do": "describe",
            "selection": asdict(selection),
            "target": target.target,
            "kind": kind,
            "asked": target.by_name,
            "folder": folder,
        }
        for target in asked
    ]
    candidates = []
    for target, answer in zip(asked, executor.describe(requests, limits), strict=True):
        for described in _described(target, answer):
            source = Source(target.target, described["position"], kind, selection.device, folder)
            due = tuple(Due(check, tuple(clauses)) for check, clauses in described["due"])
            candidates.append(Candidate(Entry.of_record(described["entry"]), source, due))
    if not candidates:
        wanted = " or ".join(selection.kinds) or "implementation"
        names = ", ".join(target.target for target in asked if target.by_name) or "nothing"
        raise UsageError(f"no {wanted} among what was loaded: {names}", Refusal.TARGET)
    if not any(candidate.due for candidate in candidates):
        kinds = ", ".join(dict.fromkeys(candidate.entry.kind for candidate in candidates))
        chosen = ", ".join(selection.clauses)
        raise UsageError(f"no check of {chosen} is of the kind {kinds}", Refusal.TARGET)
    # Of a kind that no chosen clause is of there is nothing to say.
    return unique([candidate for candidate in candidates if candidate.due])


def _described(asked: Asked, answer: Mapping[str, Any] | Death | None) -> Sequence[Any]:
    """What a target holds; raises ``UsageError`` if it did not say so."""
    if isinstance(answer, Death):
        lost = UsageError(
            f"{asked.target} cannot be imported: {answer.message}; mend it, or run with --debug "
            "for what it had written",
            Refusal.BROKEN,
        )
        lost.add_note(answer.output)
        raise lost
    if answer is None:
        raise KeyboardInterrupt
    if "refusal" in answer:
        message, reason, missing, trace = answer["refusal"]
        refusal = Refusal(reason)
        if refusal is Refusal.PACKAGE and not asked.by_name:
            return ()
        error = UsageError(message, refusal, missing)
        # Shown with --debug: what happened, happened in another process.
        error.add_note(trace)
        raise error
    if "fault" in answer:
        error = UsageError(f"{asked.target} cannot be described", Refusal.BROKEN)
        error.add_note(answer["fault"])
        raise error
    candidates: Sequence[Any] = answer["candidates"]
    return candidates


def unique(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Each candidate once; implementations of one name are told apart by their targets."""
    sources: dict[str, set[Source]] = {}
    for candidate in candidates:
        sources.setdefault(candidate.entry.name, set()).add(candidate.source)
    chosen: dict[tuple[str, str], Candidate] = {}
    for candidate in candidates:
        if len(sources[candidate.entry.name]) > 1:
            entry = replace(candidate.entry, name=candidate.entry.target)
            candidate = replace(candidate, entry=entry)
        chosen.setdefault(candidate.key, candidate)
    return list(chosen.values())

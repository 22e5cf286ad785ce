"""The kill matrix: which mutants the checks kill, as plain records and what follows from them.

:func:`document` folds the records of ``power`` into ``power.json``, of which everything that a
person sees is rendered. Its JSON schema is ``power.schema.json`` beside this file. A *trial* is
one mutant in one kind; it is killed if a check of a clause that the mutant breaks fails.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rnn_conformance.clauses import CHAPTERS, CLAUSES
from rnn_conformance.documents import DocumentFormat

POWER = DocumentFormat("power", 1, "power.schema.json")
"""``power.json``."""


@dataclass(frozen=True)
class Attempt:
    """One check of one mutant in one kind.

    ``outcome`` is that of the check; ``kill`` says whether it counts as one. ``message`` is
    what a check that did not pass says.
    """

    check: str
    outcome: str
    kill: bool
    cases: int
    seconds: float
    message: str | None = None


@dataclass(frozen=True)
class Trial:
    """One mutant in one kind: what the checks found, in the order in which they ran.

    ``clauses`` are those that the mutant breaks in this kind.
    """

    mutant: str
    kind: str
    clauses: tuple[str, ...]
    attempts: tuple[Attempt, ...]

    @property
    def killed(self) -> bool:
        """Whether a check counts as a kill."""
        return any(attempt.kill for attempt in self.attempts)

    def to_record(self) -> dict[str, Any]:
        """Plain JSON values, with the time and the cases up to the first kill."""
        first = next((n for n, each in enumerate(self.attempts) if each.kill), None)
        spent = self.attempts[: first + 1] if first is not None else self.attempts
        return {
            **asdict(self),
            "killed": self.killed,
            "first": None if first is None else self.attempts[first].check,
            "cases": sum(each.cases for each in spent),
            "seconds": sum(each.seconds for each in spent),
        }


@dataclass(frozen=True)
class Power:
    """How the records came about; empty choices mean everything.

    ``full`` says that every check ran that can kill, not only those up to the first kill.
    ``cases`` is the number of cases a check. ``complete`` is false for what was cut short.
    """

    seed: int
    full: bool
    cases: int
    kinds: tuple[str, ...]
    select: tuple[str, ...]
    mutant: str
    versions: Mapping[str, str]
    started: str
    seconds: float
    complete: bool


def document(
    run: Power,
    mutants: Sequence[Mapping[str, Any]],
    checks: Mapping[str, Sequence[str]],
    trials: Iterable[Trial],
) -> dict[str, Any]:
    """``power.json``.

    ``mutants`` are plain records with a name; ``checks`` maps the id of each check that could
    run to its clauses. A mutant that was not tried is left out.
    """
    by_mutant: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for trial in trials:
        by_mutant[trial.mutant].append(trial.to_record())
    tried = [
        {**mutant, "trials": by_mutant[mutant["name"]]}
        for mutant in mutants
        if mutant["name"] in by_mutant
    ]
    whole = {
        "schema_version": POWER.version,
        "run": asdict(run),
        "clauses": [
            {"id": each.id, "chapter": CHAPTERS[each.chapter], "title": each.title}
            for each in CLAUSES.values()
        ],
        "checks": [{"id": each, "clauses": list(ids)} for each, ids in checks.items()],
        "mutants": tried,
    }
    whole["summary"] = summary(whole)
    plain: dict[str, Any] = json.loads(json.dumps(whole, allow_nan=False))
    return plain


def summary(whole: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers, the survivors, and what the kills say of the checks and the clauses.

    ``redundant`` are checks that kill nothing that others do not kill: each by itself could
    be left out, which can be told where every check ran alone, else ``None``. ``silent`` are
    checks that kill nothing at all, though they ran. ``alone`` maps a clause that mutants break,
    and all whose kills come from a single check, to it; ``unbroken`` are the clauses of the kinds
    tried that no mutant breaks, ``None`` where not all mutants were asked for.
    """
    trials = [trial for mutant in whole["mutants"] for trial in mutant["trials"]]
    clauses = {check["id"]: set(check["clauses"]) for check in whole["checks"]}
    killers: dict[str, set[str]] = defaultdict(set)
    needed, broken = set[str](), set[str]()
    for trial in trials:
        killing = [each["check"] for each in trial["attempts"] if each["kill"]]
        needed |= set(killing) if len(killing) == 1 else set()
        broken |= set(trial["clauses"])
        for clause in trial["clauses"]:
            killers[clause] |= {each for each in killing if clause in clauses.get(each, ())}
    kills = {each["check"] for trial in trials for each in trial["attempts"] if each["kill"]}
    idle = {"unsupported", "untested"}
    ran = {
        each["check"]
        for trial in trials
        for each in trial["attempts"]
        if each["outcome"] not in idle
    }
    full = whole["run"]["full"]
    return {
        "mutants": len(whole["mutants"]),
        "trials": len(trials),
        "killed": sum(trial["killed"] for trial in trials),
        "survivors": [
            {"mutant": trial["mutant"], "kind": trial["kind"]}
            for trial in trials
            if not trial["killed"]
        ],
        "redundant": sorted(kills - needed) if full else None,
        "silent": sorted(ran - kills) if full else None,
        "alone": {
            clause: next(iter(found))
            for clause, found in sorted(killers.items())
            if len(found) == 1
        }
        if full
        else None,
        "unbroken": None
        if whole["run"]["mutant"] or whole["run"]["select"]
        else [
            each
            for each, clause in CLAUSES.items()
            if each not in broken and {trial["kind"] for trial in trials} & clause.kinds
        ],
    }


def is_power(path: Path) -> bool:
    """Whether a file says of itself that it is a kill matrix."""
    try:
        loaded = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(loaded, dict) and "mutants" in loaded

"""The kill matrix: which mutants the checks kill, as plain records and what follows from them.

:func:`document` folds the records of ``power`` into ``power.json``, of which everything that a
person sees is rendered. Its JSON schema is ``schemas/power.json`` beside this file. A *trial* is
one mutant in one kind; it is killed if a check of a clause that the mutant breaks fails.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rnn_conformance.errors import Sort
from rnn_conformance.results.formats import POWER
from rnn_conformance.results.records import Outcome, plain
from rnn_conformance.spec.clauses import CHAPTERS, CLAUSES


@dataclass(frozen=True)
class Attempt:
    """One check of one mutant in one kind.

    ``outcome`` is that of the check; ``kill`` says whether it counts as one. ``message`` is
    what a check that did not pass says, ``sort`` what is wrong if it failed.
    """

    check: str
    outcome: Outcome
    kill: bool
    cases: int
    seconds: float
    message: str | None = None
    sort: Sort | None = None


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
        """Plain values, with the time and the cases up to the first kill."""
        first = next((n for n, attempt in enumerate(self.attempts) if attempt.kill), None)
        needed = self.attempts[: first + 1] if first is not None else self.attempts
        return {
            **asdict(self),
            "killed": self.killed,
            "first": None if first is None else self.attempts[first].check,
            "cases": sum(attempt.cases for attempt in needed),
            "seconds": sum(attempt.seconds for attempt in needed),
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
    """``power.json``, as plain JSON values.

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
    matrix = {
        "schema_version": POWER.version,
        "run": asdict(run),
        "clauses": [
            {"id": clause.id, "chapter": CHAPTERS[clause.chapter], "title": clause.title}
            for clause in CLAUSES.values()
        ],
        "checks": [{"id": check, "clauses": clauses} for check, clauses in checks.items()],
        "mutants": tried,
    }
    written: dict[str, Any] = plain({**matrix, "summary": summary(matrix)})
    return written


def summary(matrix: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers, the survivors, and what the kills say of the checks and the clauses.

    ``redundant`` are checks that kill nothing that others do not kill: each by itself could
    be left out, which can be told where every check ran alone, else ``None``. ``silent`` are
    checks that kill nothing at all, though they ran. ``alone`` maps a clause that mutants break,
    and all whose kills come from a single check, to it; ``unbroken`` are the clauses of the kinds
    tried that no mutant breaks, ``None`` where not all mutants were asked for.
    """
    run = matrix["run"]
    trials = [trial for mutant in matrix["mutants"] for trial in mutant["trials"]]
    clauses = {check["id"]: set(check["clauses"]) for check in matrix["checks"]}
    killers: dict[str, set[str]] = defaultdict(set)
    ran, kills, needed, broken = set[str](), set[str](), set[str](), set[str]()
    for trial in trials:
        attempts = trial["attempts"]
        killing = {attempt["check"] for attempt in attempts if attempt["kill"]}
        kills |= killing
        needed |= killing if len(killing) == 1 else set()
        ran |= {
            attempt["check"]
            for attempt in attempts
            if attempt["outcome"] not in (Outcome.UNSUPPORTED, Outcome.UNTESTED)
        }
        broken |= set(trial["clauses"])
        for clause in trial["clauses"]:
            killers[clause] |= {check for check in killing if clause in clauses.get(check, ())}
    kinds = {trial["kind"] for trial in trials}
    alone = {
        clause: next(iter(checks)) for clause, checks in sorted(killers.items()) if len(checks) == 1
    }
    unbroken = [
        clause.id for clause in CLAUSES.values() if clause.id not in broken and kinds & clause.kinds
    ]
    return {
        "mutants": len(matrix["mutants"]),
        "trials": len(trials),
        "killed": sum(trial["killed"] for trial in trials),
        "survivors": [
            {"mutant": trial["mutant"], "kind": trial["kind"]}
            for trial in trials
            if not trial["killed"]
        ],
        "redundant": sorted(kills - needed) if run["full"] else None,
        "silent": sorted(ran - kills) if run["full"] else None,
        "alone": alone if run["full"] else None,
        "unbroken": None if run["mutant"] or run["select"] else unbroken,
    }

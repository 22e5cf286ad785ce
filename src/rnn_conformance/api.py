"""The command's ``run``, from Python."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rnn_conformance.errors import Refusal, UsageError
from rnn_conformance.report import render
from rnn_conformance.results.document import causes
from rnn_conformance.results.records import Outcome
from rnn_conformance.results.verdict import failing_clauses, green, judgements
from rnn_conformance.running.run import Options
from rnn_conformance.running.run import run as run_checks
from rnn_conformance.running.selection import Selection

LISTED = 6
"""Failing clauses of an implementation that a line lists; all of them are in ``failing``."""


@dataclass(frozen=True)
class Results:
    """What a run found; ``document`` is what ``results.json`` holds. True if it is green."""

    document: dict[str, Any]

    @property
    def conforms(self) -> bool:
        """Whether everything was run, and all of it is as it should be (see ``verdict.green``)."""
        return green(self.document)

    def __bool__(self) -> bool:
        return self.conforms

    @property
    def verdicts(self) -> dict[str, str]:
        """What the report says of each implementation, by ``name[kind]``."""
        judged = judgements(self.document)
        return {name: judgement.value for name, judgement in zip(self._names, judged, strict=True)}

    @property
    def failing(self) -> dict[str, list[str]]:
        """Each implementation's failing clauses, by ``name[kind]``."""
        return {
            name: failing_clauses(implementation)
            for name, implementation in zip(self._names, self._implementations, strict=True)
        }

    @property
    def diagnoses(self) -> dict[str, list[str]]:
        """What is behind each implementation's failures, in words, by ``name[kind]``."""
        return {
            name: [
                cause.diagnosis["text"]
                for cause in causes(implementation)
                if cause.diagnosis is not None
            ]
            for name, implementation in zip(self._names, self._implementations, strict=True)
        }

    def __repr__(self) -> str:
        told = [
            " ".join([name, self.verdicts[name], _listed(clauses)]).rstrip()
            for name, clauses in self.failing.items()
        ]
        return f"<Results: {'; '.join(told)}>"

    def _repr_html_(self) -> str:
        """The report, for a notebook; in a frame, so that its style stays its own."""
        quoted = render(self.document).replace("&", "&amp;").replace('"', "&quot;")
        return f'<iframe srcdoc="{quoted}" style="width:100%;height:40em;border:0"></iframe>'

    @property
    def _implementations(self) -> list[dict[str, Any]]:
        return [*self.document["implementations"]]

    @property
    def _names(self) -> list[str]:
        return [f"{record['name']}[{record['kind']}]" for record in self._implementations]


def run(
    *targets: str | type,
    kinds: str | Sequence[str] = (),
    level: str = "",
    select: str | Sequence[str] = (),
    without: str | Sequence[str] = (),
    profile: str = "quick",
    seed: int = 0,
    device: str = "cpu",
    workers: int = 1,
    output: str | Path | None = None,
) -> Results:
    """Test targets as ``rnn-conformance run`` does; everything registered without any.

    A target may be a class. One of a notebook or of a session exists in this process alone, and
    is tested in it: one that crashes then takes it along. Several words may be given as a list,
    one as it is. Writes into ``output`` where it is given. Raises ``UsageError`` for a call that
    is wrong or a target that cannot be loaded, ``SuiteError`` for a fault of the suite's own.
    """
    try:
        selection = Selection(
            tuple(map(_target, targets)),
            not targets,
            _several(kinds),
            level,
            _several(select),
            profile,
            _whole(seed),
            _several(without),
            device,
        )
        if any(isinstance(target, type) and target.__module__ == "__main__" for target in targets):
            workers = 0
        if output is not None:
            return Results(run_checks(Options(selection, Path(output), workers)))
        with TemporaryDirectory() as scratch:
            return Results(run_checks(Options(selection, Path(scratch), workers)))
    except UsageError as error:
        # The caller's own line is what is wrong; where in here that was found out helps nobody.
        raise error.with_traceback(None) from None


def _listed(clauses: Sequence[str]) -> str:
    more = len(clauses) - LISTED
    return ", ".join(clauses[:LISTED]) + (f" and {more} more" if more > 0 else "")


def _whole(seed: int) -> int:
    """As Python's own; raises ``UsageError`` for what is no whole number."""
    try:
        return operator.index(seed)
    except TypeError:
        raise UsageError(f"a seed is a whole number, not {seed!r}") from None


def _several(words: str | Sequence[str]) -> tuple[str, ...]:
    return (words,) if isinstance(words, str) else tuple(words)


def _target(target: str | type) -> str:
    """How a target is named; raises ``UsageError`` for a class that nobody can name."""
    if isinstance(target, str):
        return target
    if not isinstance(target, type):
        raise UsageError(
            f"a target is a class or its name, not an object of {type(target).__name__}; "
            "give the class",
            Refusal.TARGET,
        )
    if "<locals>" in target.__qualname__:
        raise UsageError(
            f"{target.__qualname__} is made in a function, where it cannot be found again; "
            "put the class at the top level",
            Refusal.TARGET,
        )
    return f"{target.__module__}:{target.__qualname__}"


def replay(target: str, *, kind: str, check: str, seed: int, profile: str, draw: str) -> int:
    """A failure again, by the check's own steps, as a failure's script asks for it.

    ``draw`` is what led to the case (see ``checking.recalling``). What is wrong is printed. 0 if it
    is mended, 1 if it fails or cannot be asked any more. Raises ``UsageError`` for a target that
    cannot be loaded.
    """
    from rnn_conformance.running.replaying import CaseName
    from rnn_conformance.running.replaying import replay as replayed

    failed = {
        "implementation": target,
        "kind": kind,
        "check": check,
        "clauses": [],
        "outcome": Outcome.FAILED.value,
        "failure": {"recipe": {"seed": seed, "profile": profile, "draw": draw}},
    }
    recorded = {"run": {}, "implementations": [{"name": target, "kind": kind, "checks": [failed]}]}
    told = [now for _, now in replayed(target, CaseName(check), recorded)]
    for now in told:
        print(now["failure"]["message"] if now["failure"] else now["reason"] or now["outcome"])
    return 0 if told and all(now["outcome"] == Outcome.PASSED for now in told) else 1

"""The command's ``run``, from Python."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rnn_conformance.report import render
from rnn_conformance.results import Verdict, diagnoses
from rnn_conformance.runner import Options
from rnn_conformance.runner import run as run_checks
from rnn_conformance.selection import Selection


@dataclass(frozen=True)
class Results:
    """What a run found; ``document`` is what ``results.json`` holds."""

    document: dict[str, Any]

    @property
    def conforms(self) -> bool:
        """Whether everything was run and every implementation conforms."""
        return self.document["run"]["complete"] and all(
            each["verdict"] == Verdict.CONFORMS for each in self.document["implementations"]
        )

    @property
    def failing(self) -> dict[str, list[str]]:
        """Each implementation's failing clauses, by ``name[kind]``."""
        return {
            f"{each['name']}[{each['kind']}]": [
                clause for clause, outcome in each["clauses"].items() if outcome == "failed"
            ]
            for each in self.document["implementations"]
        }

    @property
    def diagnoses(self) -> dict[str, list[str]]:
        """What is behind each implementation's failures, in words, by ``name[kind]``."""
        return {
            f"{each['name']}[{each['kind']}]": [found["text"] for found, _ in diagnoses(each)]
            for each in self.document["implementations"]
        }

    def __repr__(self) -> str:
        verdicts = ", ".join(
            f"{each['name']}[{each['kind']}] {each['verdict']}"
            for each in self.document["implementations"]
        )
        return f"<Results: {verdicts}>"

    def _repr_html_(self) -> str:
        """The report, for a notebook; in a frame, so that its style stays its own."""
        quoted = render(self.document).replace("&", "&amp;").replace('"', "&quot;")
        return f'<iframe srcdoc="{quoted}" style="width:100%;height:40em;border:0"></iframe>'


def run(
    *targets: str,
    kinds: Sequence[str] = (),
    level: str = "",
    select: Sequence[str] = (),
    without: Sequence[str] = (),
    profile: str = "quick",
    seed: int = 0,
    device: str = "cpu",
    workers: int = 1,
    output: str | Path | None = None,
) -> Results:
    """Test targets as ``rnn-conformance run`` does; everything registered without any.

    Writes into ``output`` where it is given. Raises ``UsageError`` for a call that is wrong
    or a target that cannot be loaded, ``SuiteError`` for a fault of the suite's own.
    """
    selection = Selection(
        targets,
        not targets,
        tuple(kinds),
        level,
        tuple(select),
        profile,
        seed,
        tuple(without),
        device,
    )
    if output is not None:
        return Results(run_checks(Options(selection, Path(output), workers)))
    with TemporaryDirectory() as scratch:
        return Results(run_checks(Options(selection, Path(scratch), workers)))

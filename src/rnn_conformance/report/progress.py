"""A run as it goes: a bar on a terminal, and elsewhere a line now and then."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from time import monotonic
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from rnn_conformance.report.wording import sentence, shortened
from rnn_conformance.results.verdict import FAILING

SILENCE = 30.0
"""Seconds after which a line is written where there is no terminal."""


class Display:
    """Shows how far a run is, what is being done, and how much has not passed."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.total = self.done = self.bad = 0
        self.doing = "loading"
        self._begun = monotonic()
        self._over = threading.Event()
        self._bar: Progress | None = None
        self._lines: threading.Thread | None = None

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._bar = Progress(
                BarColumn(bar_width=20),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("{task.fields[bad]}"),
                TextColumn("{task.description}"),
                console=self.console,
                transient=True,
            )
            self._task = self._bar.add_task(self.doing, total=None, bad="")
            self._bar.start()
        elif not self.console.quiet:
            self._lines = threading.Thread(target=self._speak, daemon=True)
            self._lines.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        if self._bar is not None:
            self._bar.stop()

    def planned(self, checks: int) -> None:
        """So many checks are to be run."""
        self.total = checks
        self._show()

    def begun(self, name: str, kind: str, check: str, errand: str) -> None:
        """A check, or what explains its failure, was begun."""
        what = {"probe": "asking what it can", "diagnose": "diagnosing: "}.get(errand, "")
        self.doing = f"{shortened(name)} ({kind}): {what}{sentence(check) if check else ''}"
        self._show()

    def found(self, record: Mapping[str, Any]) -> None:
        """A check has ended."""
        self.done += 1
        self.bad += record["outcome"] in FAILING
        self._show()

    def _show(self) -> None:
        if self._bar is not None:
            self._bar.update(
                self._task,
                description=escape(self.doing),
                completed=min(self.done, self.total),
                total=self.total or None,
                bad=f"[red]{self.bad} not passed" if self.bad else "",
            )

    def _speak(self) -> None:
        while not self._over.wait(SILENCE):
            bad = f", {self.bad} not passed" if self.bad else ""
            self.console.print(
                f"{self.done} of {self.total or '?'} checks{bad}, {monotonic() - self._begun:.0f} "
                f"s; {self.doing}",
                highlight=False,
                markup=False,
                soft_wrap=True,
            )

"""A run from the outside: pytest underneath, records as they come, the document at the end."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.resources import files
from io import TextIOWrapper
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import pytest

from rnn_conformance.checking.checks import checks
from rnn_conformance.errors import Fault, Refusal, Sort, SuiteError, UsageError
from rnn_conformance.locations import bundled
from rnn_conformance.report import render
from rnn_conformance.results.document import document
from rnn_conformance.results.records import Entry, Failure, Outcome, Record, Run
from rnn_conformance.running.pytest_plugin import REFUSAL, SUBJECTS, selection_of
from rnn_conformance.running.selection import Selection

TIMEOUT = {"quick": 60, "standard": 300, "thorough": 1800}
"""Seconds that one check of one implementation may take: fifty times what torch takes."""

Progress = Callable[[int, int, str], None]
"""Called with the checks done, the checks in all, and the last one's outcome."""


@dataclass(frozen=True)
class Options:
    """How to run: ``workers`` processes (0: in this one), and where to write."""

    selection: Selection
    output: Path = Path("reports/latest")
    workers: int = 0
    fail_fast: bool = False


@dataclass
class Recorder:
    """The controller's end of the plugin: writes each record as it arrives."""

    stream: TextIOWrapper
    progress: Progress
    records: list[dict[str, Any]] = field(default_factory=list)
    entries: dict[tuple[str, str], Entry] = field(default_factory=dict)
    refusal: UsageError | None = None
    internal: str = ""
    total: int = 0

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """In one process: what was collected."""
        self.total = len(session.items)

    def pytest_xdist_node_collection_finished(self, node: Any, ids: list[str]) -> None:
        """In several: every worker collects the same."""
        self.total = len(ids)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A check is done."""
        if line := getattr(report, "rnn_record", None):
            self.write(json.loads(line))

    def pytest_handlecrashitem(self, crashitem: str, report: object, sched: object) -> None:
        """The process that ran a check is no more."""
        self.write(self.crashed(crashitem).to_record())

    def write(self, record: dict[str, Any]) -> None:
        """One line, at once: what was found survives whatever comes next."""
        self.records.append(record)
        self.stream.write(json.dumps(record, allow_nan=False) + "\n")
        self.stream.flush()
        self.progress(len(self.records), self.total, record["outcome"])

    def crashed(self, item: str) -> Record:
        """The record of a check whose process died: its id in pytest is all there is."""
        path, _, rest = item.partition("::")
        test, _, subject = rest.removesuffix("]").partition("[")
        name, _, kind = subject.removesuffix("]").rpartition("[")
        id = f"conformance/{path.rpartition('/')[2]}::{test}"
        (check,) = (check for check in checks() if check.id == id)
        return Record(
            implementation=name,
            kind=kind,
            check=check.id,
            clauses=check.clauses,
            outcome=Outcome.CRASHED,
            failure=Failure(
                Fault.IMPLEMENTATION,
                Sort.CRASHED,
                "the process died: the implementation crashed it, or hung where it could not "
                "be interrupted",
            ),
        )

    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """What a worker loaded, or why it could not."""
        output = getattr(node, "workeroutput", {})
        for entry in json.loads(output.get("rnn_subjects", "[]")):
            self.enter(Entry(**entry))
        if "rnn_refusal" in output:
            message, refusal, missing, trace = output["rnn_refusal"]
            self.refusal = UsageError(message, Refusal(refusal), missing)
            # Shown with --debug: what happened, happened in another process.
            self.refusal.add_note(trace)

    def pytest_internalerror(self, excrepr: object) -> None:
        """A fault of the suite's own."""
        self.internal = self.internal or str(excrepr)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A chapter that cannot be read is a fault of the suite's own."""
        if report.failed:
            self.internal = self.internal or str(report.longrepr)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """In one process: the same, from the plugin beside."""
        selection = selection_of(session.config)
        for subject in session.config.stash.get(SUBJECTS, []):
            self.enter(selection.entry(subject))
        self.refusal = self.refusal or session.config.stash.get(REFUSAL, None)

    def enter(self, entry: Entry) -> None:
        """An implementation and its kind, once."""
        self.entries[entry.name, entry.kind] = entry


def run(options: Options, progress: Progress = lambda done, total, outcome: None) -> dict[str, Any]:
    """Test, write ``results.json``, ``records.jsonl`` and ``index.html``; the document.

    Raises ``UsageError`` if a target cannot be loaded or the folder cannot be written, and
    ``SuiteError`` if the suite itself failed.
    """
    begun, started = perf_counter(), datetime.now(UTC).isoformat(timespec="seconds")
    output = _folder(options.output)
    with (output / "records.jsonl").open("w", encoding="utf-8") as stream:
        recorder = Recorder(stream, progress)
        complete = _pytest(options, recorder)
    if recorder.refusal:
        raise recorder.refusal
    if recorder.internal:
        raise SuiteError(recorder.internal)
    if not recorder.entries:
        raise UsageError(
            "the process that loads the implementation died before it could test anything; "
            "import it by hand to see why",
            Refusal.BROKEN,
        )
    selection = options.selection
    whole = document(
        Run(
            seed=selection.seed,
            profile=selection.profile,
            select=selection.clauses,
            versions={
                "python": platform.python_version(),
                **{
                    name: version(name)
                    for name in ("rnn-conformance", "torch", "numpy", "hypothesis", "pytest")
                },
            },
            started=started,
            seconds=perf_counter() - begun,
            complete=complete and len(recorder.records) == recorder.total,
            device=selection.device,
        ),
        [recorder.entries[key] for key in sorted(recorder.entries)],
        recorder.records,
    )
    (output / "results.json").write_text(json.dumps(whole, indent=1), encoding="utf-8")
    (output / "index.html").write_text(render(whole), encoding="utf-8")
    return whole


def _folder(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / "records.jsonl"
        probe.touch()
    except OSError as error:
        raise UsageError(
            f"cannot write into {path}: {error.strerror or error}; choose another --output",
            Refusal.FILE,
        ) from error
    return path


def _pytest(options: Options, recorder: Recorder) -> bool:
    """Run the checks; whether all of them were run."""
    selection = options.selection
    conformance = bundled("conformance")
    arguments = [
        str(conformance),
        f"--rootdir={conformance.parent}",
        # A configuration of our own: a user's settings must not change a verdict.
        f"-c={files('rnn_conformance.running').joinpath('pytest.ini')}",
        "-p",
        "rnn_conformance.running.pytest_plugin",
        "-p",
        "xdist",
        "-p",
        "pytest_timeout",
        "-p",
        "no:terminal",
        "-p",
        "no:cacheprovider",
        "--import-mode=importlib",
        f"--timeout={TIMEOUT[selection.profile]}",
        # Of the check alone, not of what finds out afterwards why it failed.
        "-o=timeout_func_only=true",
        f"--rnn-profile={selection.profile}",
        f"--rnn-seed={selection.seed}",
        f"--rnn-device={selection.device}",
        *(f"--rnn={target}" for target in selection.targets),
        *(["--rnn-registered"] if selection.registered else []),
        *(f"--rnn-kind={kind}" for kind in selection.kinds),
        *(f"--rnn-select={clause}" for clause in selection.clauses),
        *(f"--rnn-without={feature}" for feature in selection.without),
        *([f"--rnn-level={selection.level}"] if selection.level else []),
        *(["--exitfirst"] if options.fail_fast else []),
        # "load" hands out runs of neighbours, so a check's subjects mostly meet in one worker,
        # where their references are shared; the schedulers that keep groups together do not
        # survive the death of a worker.
        *([f"-n={options.workers}", "--dist=load"] if options.workers else []),
    ]
    environment = {
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTEST_ADDOPTS": "",
        # Layers this small are slower with threads, and several workers share the cores.
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
    }
    with TemporaryDirectory() as scratch, pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        # Where Hypothesis keeps what it learns of the code; nothing is left in the user's folder.
        patch.setenv("HYPOTHESIS_STORAGE_DIRECTORY", f"{scratch}/hypothesis")
        code = pytest.main([*arguments, f"--basetemp={scratch}/tmp"], plugins=[recorder])
    return code in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)

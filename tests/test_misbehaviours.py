"""Whatever an implementation does, the run ends, says so, and everybody else has their verdict."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from rnn_conformance.errors import Fault, UsageError
from rnn_conformance.report.wording import one_line
from rnn_conformance.results.records import Outcome
from rnn_conformance.results.verdict import Exit, exit_code
from rnn_conformance.running.jobs import MEBIBYTE, Limits
from rnn_conformance.running.run import Options, run
from rnn_conformance.running.selection import Selection
from rnn_conformance.running.session import Session, by_id
from tests.support.misbehaving import crashes, hangs
from tests.support.misbehaving.catalogue import (
    BAD_IMPORTS,
    CATALOGUE,
    BadImport,
    Misbehaviour,
    Trial,
    table,
)

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="signals, /proc and limits are Linux's"
)

LIMITS = Limits(check=3, loading=3, memory=1024 * MEBIBYTE, output=8 * MEBIBYTE)
"""Memory enough for what is right, and small enough to be filled well within the time."""

LARGEST = 5 * MEBIBYTE
"""Bytes of the results of a run."""


@dataclass(frozen=True, eq=False)
class Ran:
    """What a run left: its document, the folder, when it began, and its files for a moment."""

    document: Mapping[str, Any]
    output: Path
    begun: float

    def checks(self, target: str) -> list[Mapping[str, Any]]:
        """The records of a target, but for checks that do not concern it."""
        (found,) = (one for one in self.document["implementations"] if one["target"] == target)
        return [one for one in found["checks"] if one["outcome"] != Outcome.UNSUPPORTED]


class Runs:
    """One run of each trial, with all that it is to show and what is right; and of that alone."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ran: dict[object, Ran] = {}

    def of(self, trial: Trial) -> Ran:
        """All misbehaviours of a trial, beside what is right."""
        targets = [one.target for one in CATALOGUE if one.trial is trial]
        return self._once(trial, targets, trial)

    def alone(self, trial: Trial) -> Ran:
        """What is right, without the others."""
        return self._once((trial, "alone"), [], trial)

    def _once(self, key: object, targets: list[str], trial: Trial) -> Ran:
        if key not in self._ran:
            selection = Selection(
                (*targets, *trial.right), clauses=trial.clauses, profile=trial.profile
            )
            output, begun = self._folder / str(len(self._ran)), time.time()
            options = Options(selection, output, workers=2, limits=LIMITS)
            self._ran[key] = Ran(run(options), output, begun)
        return self._ran[key]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    folder = tmp_path_factory.mktemp("misbehaviours")
    with pytest.MonkeyPatch.context() as patch:
        # What deletes temporary files is to find none but these.
        temporary = folder / "temporary"
        temporary.mkdir()
        patch.setattr(tempfile, "tempdir", str(temporary))
        patch.setenv("TMPDIR", str(temporary))
        yield Runs(folder)


def named(one: Misbehaviour | BadImport | Trial) -> str:
    return one.name if isinstance(one, Misbehaviour | Trial) else one.module


@pytest.mark.timeout(280)
@pytest.mark.parametrize("one", CATALOGUE, ids=named)
def test_what_it_does_is_told_and_blamed_on_it(runs: Runs, one: Misbehaviour) -> None:
    checks = runs.of(one.trial).checks(one.target)
    assert checks
    if one.outcome is Outcome.PASSED:
        assert {check["outcome"] for check in checks} == {Outcome.PASSED}
        return
    shown = [check for check in checks if check["outcome"] != Outcome.PASSED]
    assert {check["outcome"] for check in shown} == {one.outcome}
    for check in shown:
        if one.outcome is Outcome.NOT_RUN:
            assert one.says in check["reason"]
        else:
            failure = check["failure"]
            assert (failure["fault"], failure["sort"]) == (Fault.IMPLEMENTATION, one.sort)
            assert one.says in failure["message"]


@pytest.mark.parametrize("trial", Trial, ids=named)
def test_what_is_beside_it_has_the_records_that_it_has_alone(runs: Runs, trial: Trial) -> None:
    def records(ran: Ran) -> list[dict[str, Any]]:
        return [
            {key: value for key, value in check.items() if not key.startswith("seconds")}
            for one in ran.document["implementations"]
            if one["target"] in trial.right
            for check in one["checks"]
        ]

    alone = records(runs.alone(trial))
    assert Outcome.PASSED in {record["outcome"] for record in alone}
    assert records(runs.of(trial)) == alone


@pytest.mark.parametrize("trial", Trial, ids=named)
def test_the_report_is_written_and_small(runs: Runs, trial: Trial) -> None:
    ran = runs.of(trial)
    for name in ("records.jsonl", "results.json", "index.html"):
        assert 0 < (ran.output / name).stat().st_size < LARGEST
    assert json.loads((ran.output / "results.json").read_text()) == ran.document
    assert ran.document["run"]["complete"]


@pytest.mark.parametrize("trial", Trial, ids=named)
def test_it_is_not_green_and_no_fault_of_the_suite(runs: Runs, trial: Trial) -> None:
    some = {one.exit for one in CATALOGUE if one.trial is trial}
    assert exit_code(runs.of(trial).document) == max(some)
    assert exit_code(runs.alone(trial).document) == Exit.GREEN


@pytest.mark.parametrize("trial", Trial, ids=named)
def test_no_process_and_no_file_is_left(runs: Runs, trial: Trial) -> None:
    ran = runs.of(trial)
    assert list(Path(tempfile.gettempdir()).glob("rnn_conformance_*")) == []
    assert strays(ran.begun) == []


def strays(since: float) -> list[psutil.Process]:
    """What an implementation has started and nobody has ended: it is none of ours any more."""
    known = {os.getpid(), *(one.pid for one in psutil.Process().children())}
    found = []
    for process in psutil.process_iter(["ppid", "create_time", "cmdline", "status"]):
        info = process.info
        line = " ".join(info["cmdline"] or [])
        ours = line == "sleep 1000" or ("forkserver" in line and os.getcwd() in line)
        alive = info["status"] != psutil.STATUS_ZOMBIE and process.pid not in known
        if ours and alive and info["create_time"] >= since:
            found.append(process)
    return found


def test_after_some_deaths_the_rest_is_not_run(tmp_path: Path) -> None:
    target = f"{crashes.__name__}:{crashes.Segfaults.__name__}"
    options = Options(
        Selection((target,), clauses=("CEL-1", "CEL-2", "CEL-3")),
        tmp_path,
        workers=1,
        limits=Limits(check=10, deaths=2),
    )
    (implementation,) = run(options)["implementations"]
    outcomes = [check["outcome"] for check in implementation["checks"]]
    assert outcomes.count(Outcome.CRASHED) == 2
    assert Outcome.NOT_RUN in outcomes


def test_a_crash_is_recorded_with_its_case_its_call_and_the_end_of_its_output(runs: Runs) -> None:
    (check,) = runs.of(Trial.LONG).checks(
        f"{crashes.__name__}:{crashes.SegfaultsIn50thCall.__name__}"
    )
    # The first of the 50 calls were before any check.
    assert 20 < check["cases"] <= 50
    assert check["failure"]["case"]
    assert check["failure"]["calls"]
    assert "segfault" in check["failure"]["output"]


def test_a_fault_of_the_suite_stays_one(monkeypatch: pytest.MonkeyPatch) -> None:
    session = Session()
    session.answer({"do": "hold", "source": {"target": Trial.BACKWARD.right[0]}})
    (check,) = (one for one in by_id() if one.endswith("::test_a_cell_unrolled_equals_the_layer"))
    monkeypatch.setitem(by_id()[check].test.__globals__, "Case", None)
    monkeypatch.setattr("rnn_conformance.checking.properties.judged_together", None)
    answer = session.answer(
        {
            "do": "examine",
            "position": 0,
            "name": "right",
            "kind": "GRUCell",
            "check": check,
            "profile": {"name": "short", "cases": 1, "shrinks": 0},
            "seed": 0,
            "without": [],
        }
    )
    assert answer["record"]["failure"]["fault"] == Fault.SUITE


@pytest.mark.parametrize("one", BAD_IMPORTS, ids=named)
def test_what_cannot_be_imported_is_told_in_one_line(
    runs: Runs, tmp_path: Path, one: BadImport
) -> None:
    options = Options(Selection((one.target,)), tmp_path, workers=1, limits=LIMITS)
    with pytest.raises(UsageError) as refused:
        run(options)
    line = one_line(str(refused.value))
    assert one.says in line
    assert one.target in line
    assert "\n" not in line
    assert len(line) < 700


def test_the_table_says_what_the_catalogue_does() -> None:
    assert Path("docs/misbehaviours.md").read_text() == table()
    assert len(CATALOGUE) + len(BAD_IMPORTS) >= 40


def test_what_holds_the_interpreter_ends_with_a_run_that_is_killed(tmp_path: Path) -> None:
    target = f"{hangs.__name__}:{hangs.HoldsInterpreter.__name__}"
    command = [sys.executable, "-m", "rnn_conformance", "run", target, "--select", "CEL-3"]
    killed = subprocess.Popen(
        [*command, "-n", "1", "--output", str(tmp_path / "run")],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    began = time.monotonic()
    while not any(file.stat().st_size for file in tmp_path.glob("rnn_conformance_*/seen")):
        assert time.monotonic() - began < 120
        assert killed.poll() is None
        time.sleep(0.5)
    # Some calls more, until the one that does not come back.
    time.sleep(5)
    started = psutil.Process(killed.pid).children(recursive=True)
    killed.kill()
    killed.wait()
    _, alive = psutil.wait_procs(started, timeout=30)
    assert alive == []

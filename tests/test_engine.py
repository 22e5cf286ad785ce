"""A run gives the same results however it is performed, and loses nothing when it is stopped."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rnn_conformance.errors import UsageError
from rnn_conformance.report import merge
from rnn_conformance.results.journal import read_journal
from rnn_conformance.results.reading import read
from rnn_conformance.results.verdict import Exit
from rnn_conformance.running.jobs import Limits
from rnn_conformance.running.run import Options, run
from rnn_conformance.running.selection import Selection
from tests.support.run_results import CLAUSES, layers, results, timeless

Run = Callable[..., Path]

DIES_WITHOUT_BIASES = """
import ctypes

import torch


class Dies(torch.nn.GRU):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if not self.bias:
            ctypes.string_at(0)
"""


@pytest.fixture(scope="module")
def performed(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs the four layers, in a folder of its own; what is chosen is kept for another test."""
    folder = tmp_path_factory.mktemp("engine")
    target = str(layers(folder))
    done: dict[str, Path] = {}

    def perform(**options: Any) -> Path:
        name = json.dumps(options, default=str)
        if name not in done:
            done[name] = folder / str(len(done))
            selection = Selection((target,), clauses=CLAUSES)
            run(Options(selection, done[name], **options))
        return done[name]

    return perform


def test_the_workers_change_nothing(performed: Run) -> None:
    assert results(performed(workers=1)) == results(performed(workers=2))


def test_what_dies_is_told_and_the_others_are_tested_to_the_end(performed: Run) -> None:
    document = read(performed(workers=2) / "results.json").content
    verdicts = {
        one["name"].rpartition(":")[2]: {check["outcome"] for check in one["checks"]}
        for one in document["implementations"]
    }
    assert "crashed" in verdicts["Dies"]
    assert "passed" in verdicts["Dies"]
    assert verdicts["Right"] <= {"passed", "unsupported", "untested"}
    assert "failed" in verdicts["Wrong"]


def test_a_death_is_recorded_with_its_signal_its_case_and_its_call(performed: Run) -> None:
    document = read(performed(workers=2) / "results.json").content
    (dies,) = (one for one in document["implementations"] if one["name"].endswith("Dies"))
    failure = next(check["failure"] for check in dies["checks"] if check["outcome"] == "crashed")
    assert "SIGSEGV" in failure["message"]
    assert failure["case"]["dtype"] == "float64"
    assert failure["calls"][0].startswith("cell = GRUCell(")
    assert "Segmentation fault" in failure["output"]


def test_what_a_process_dies_of_at_once_is_declared_and_not_answered(tmp_path: Path) -> None:
    file = tmp_path / "dies.py"
    file.write_text(DIES_WITHOUT_BIASES, "utf-8")
    run(Options(Selection((str(file),), clauses=("DCL-1",)), tmp_path / "out", 1))
    (dies,) = read(tmp_path / "out" / "results.json").content["implementations"]
    assert dies["clauses"]["DCL-1"] == "crashed"
    message = next(check["failure"]["message"] for check in dies["checks"] if check["failure"])
    assert message.startswith("bias_free is declared, and gru = GRU(")
    assert "SIGSEGV" in message


def test_what_is_wrong_is_explained_in_whatever_process(performed: Run) -> None:
    document = read(performed(workers=2) / "results.json").content
    (wrong,) = (one for one in document["implementations"] if one["name"].endswith("Wrong"))
    failures = [check["failure"] for check in wrong["checks"] if check["failure"]]
    named = [failure["diagnosis"] for failure in failures if failure["diagnosis"]]
    assert named
    assert {diagnosis["known"][0]["name"] for diagnosis in named} == {"gates in the order z, r, n"}


def test_shards_together_give_what_one_run_gives(performed: Run) -> None:
    shards = [read(performed(workers=1, shard=(k, 2)) / "results.json").content for k in (1, 2)]
    whole = json.loads((performed(workers=2) / "results.json").read_text(encoding="utf-8"))
    assert timeless(merge(shards)) == timeless(whole)


def test_a_cluster_changes_nothing(performed: Run) -> None:
    pytest.importorskip("distributed", reason="Dask is not installed: the extra `cluster`")
    assert results(performed(workers=2, cluster="local")) == results(performed(workers=2))


def test_there_is_no_cluster_where_none_answers(tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="Dask is not installed: the extra `cluster`")
    selection = Selection((str(layers(tmp_path)),))
    with pytest.raises(UsageError, match="no Dask scheduler at nowhere"):
        run(Options(selection, tmp_path / "out", cluster="nowhere"))


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    """The command that runs the four layers in a process group of its own."""
    select = [f"--select={clause}" for clause in CLAUSES]
    target, output = str(layers(tmp_path)), str(tmp_path / "out")
    base = [sys.executable, "-m", "rnn_conformance", "run", target, "-n", "2", *select]
    return [*base, "--output", output, "--quiet"]


def records(folder: Path) -> list[str]:
    """The lines of a journal, so far."""
    file = folder / "records.jsonl"
    return file.read_text(encoding="utf-8").splitlines() if file.exists() else []


def started(command: list[str], folder: Path, lines: int) -> "subprocess.Popen[str]":
    """The command, once its journal has so many lines."""
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while len(records(folder)) < lines:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    return process


@pytest.mark.parametrize("lines", [2, 9, 17])
def test_a_run_that_was_killed_is_gone_on_with(
    command: list[str], tmp_path: Path, performed: Run, lines: int
) -> None:
    folder = tmp_path / "out"
    process = started(command, folder, lines)
    process.kill()
    process.communicate()
    before = read_journal(folder / "records.jsonl").keys
    subprocess.run([*command, "--resume"], check=False)
    assert before
    whole = json.loads(results(performed(workers=1)))
    resumed = json.loads(results(folder))
    # The file has another path here, which is told in names and targets.
    assert _nameless(resumed) == _nameless(whole)


def _nameless(value: Any) -> Any:
    """Without the folder of the file, which names, targets and scripts tell."""
    text = json.dumps(value)
    targets = {word for word in text.split('"') if word.endswith("layers.py:Right")}
    for folder in {target.rpartition("layers.py")[0].rstrip("/") for target in targets} - {""}:
        text = text.replace(folder, "folder")
    return json.loads(text)


def test_one_interrupt_ends_a_run_with_a_report_of_what_there_is(
    command: list[str], tmp_path: Path
) -> None:
    process = started(command, tmp_path / "out", 6)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (Exit.NOT_GREEN, "")
    document = read(tmp_path / "out" / "results.json").content
    assert not document["run"]["complete"]
    assert (tmp_path / "out" / "index.html").exists()
    assert sum(len(one["checks"]) for one in document["implementations"]) >= 4


def test_a_second_interrupt_ends_it_at_once_without_a_traceback(tmp_path: Path) -> None:
    # -n 0, where the first waits for the check that is being run.
    file = tmp_path / "slow.py"
    file.write_text(
        "import time, torch\n"
        "class Slow(torch.nn.GRUCell):\n"
        "    def forward(self, input, hx=None):\n"
        f"        open({str(tmp_path / 'called')!r}, 'w').close()\n"
        "        time.sleep(1000)\n",
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "rnn_conformance", "run", str(file), "-n", "0"]
    process = subprocess.Popen(
        [*command, "--output", str(tmp_path / "out")], stderr=subprocess.PIPE, text=True
    )
    while not (tmp_path / "called").exists():
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == Exit.NOT_GREEN
    assert "Traceback" not in errors


def test_another_run_is_not_gone_on_with(performed: Run, tmp_path: Path) -> None:
    target = str(layers(tmp_path))
    run(Options(Selection((target,), clauses=("CEL-3",)), tmp_path / "out", 1))
    with pytest.raises(UsageError, match=r"of another run, with other seed; run without --resume"):
        run(
            Options(
                Selection((target,), clauses=("CEL-3",), seed=1), tmp_path / "out", 1, resume=True
            )
        )


def test_a_complete_run_that_is_gone_on_with_runs_nothing(tmp_path: Path) -> None:
    target = str(layers(tmp_path))
    options = {"selection": Selection((target,), clauses=("CEL-3",)), "output": tmp_path / "out"}
    run(Options(**options, workers=1))  # type: ignore[arg-type]
    before = results(tmp_path / "out")
    journal = records(tmp_path / "out")
    run(Options(**options, workers=1, resume=True))  # type: ignore[arg-type]
    assert results(tmp_path / "out") == before
    assert records(tmp_path / "out")[:-1] == journal[:-1]


@pytest.mark.parametrize("settings", [{"PYTHONHASHSEED": "1"}, {"TZ": "Asia/Tokyo", "LC_ALL": "C"}])
def test_the_surroundings_of_the_command_change_nothing(
    command: list[str], tmp_path: Path, performed: Run, settings: dict[str, str]
) -> None:
    hostile = {"PYTEST_ADDOPTS": "--no-such-option", "HYPOTHESIS_PROFILE": "none"}
    (tmp_path / "conftest.py").write_text("raise SystemExit(9)\n", encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --no-such\n", encoding="utf-8")
    environment = {**os.environ, **hostile, **settings}
    subprocess.run(command, env=environment, cwd=tmp_path, check=False)
    assert _nameless(json.loads(results(tmp_path / "out"))) == _nameless(
        json.loads(results(performed(workers=1)))
    )


def test_limits_that_are_not_positive_are_refused() -> None:
    with pytest.raises(ValueError, match="deaths is 0"):
        Limits(deaths=0)

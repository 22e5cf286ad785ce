"""The command, end to end: what it prints, what it writes, what it returns."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rnn_conformance.cli.options import Workers
from rnn_conformance.implementations.registry import registered_targets
from rnn_conformance.results.reading import read

WRONG = """
import torch


class MyLSTM(torch.nn.LSTM):
    '''The forget gate's rows and the input gate's are exchanged.'''

    def forward(self, input, hx=None):
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if not name.startswith("weight_hr"):
                    i, f, g, o = parameter.chunk(4)
                    parameter.copy_(torch.cat([f, i, g, o]))
        return super().forward(input, hx)
"""

RARELY_WRONG = """
import torch


class MyGRU(torch.nn.GRU):
    def forward(self, input, hx=None):
        output, h_n = super().forward(input, hx)
        return (output + 1.0, h_n) if self.num_layers == 3 and not self.bias else (output, h_n)
"""

CRASHING = """
import os

import torch


class MyGRU(torch.nn.GRU):
    def forward(self, input, hx=None):
        if self.num_layers == 3:
            os.kill(os.getpid(), 11)
        return super().forward(input, hx)
"""

HANGING = """
import time

import torch


class MyGRU(torch.nn.GRU):
    def forward(self, input, hx=None):
        time.sleep(1000.0)
"""

SLOW = """
import time

import torch


class MyGRU(torch.nn.GRU):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        time.sleep(0.25)
"""


def command(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run it as a user does, in an empty folder."""
    # The width that rich wraps to must not depend on who runs the tests.
    environment = {**os.environ, "COLUMNS": "200"}
    return subprocess.run(
        [sys.executable, "-m", "rnn_conformance", *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def results(folder: Path) -> dict[str, Any]:
    """What a run wrote, checked against the schema."""
    return read(folder / "results.json").content


def without_times(document: dict[str, Any]) -> dict[str, Any]:
    """The document without what differs from run to run."""
    for name in ("started", "seconds"):
        del document["run"][name]
    for implementation in document["implementations"]:
        for check in implementation["checks"]:
            del check["seconds"], check["seconds_inside"]
    return document


@pytest.fixture
def wrong(tmp_path: Path) -> Path:
    (tmp_path / "wrong.py").write_text(WRONG, "utf-8")
    return tmp_path


def test_torchs_own_lstm_conforms_in_over_a_thousand_cases(tmp_path: Path) -> None:
    done = command("run", "torch.nn:LSTM", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    document = results(tmp_path / "reports/latest")
    (lstm,) = document["implementations"]
    assert lstm["verdict"] == "conforms"
    assert sum(check["cases"] for check in lstm["checks"]) > 1000
    assert (tmp_path / "reports/latest/index.html").read_text("utf-8").startswith("<!DOCTYPE html>")
    lines = (tmp_path / "reports/latest/records.jsonl").read_text("utf-8").splitlines()
    # Between a header and the end.
    assert len(lines) == 2 + len(lstm["checks"])
    # Nothing else is left behind.
    assert [path.name for path in tmp_path.iterdir()] == ["reports"]


def test_a_wrong_class_fails_with_the_smallest_case_and_a_script_that_shows_it(
    wrong: Path,
) -> None:
    done = command("run", "wrong.py", "--select", "EQ", "--output", "out", cwd=wrong)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "MyLSTM" in done.stdout
    assert "EQ-2" in done.stdout
    (lstm,) = results(wrong / "out")["implementations"]
    assert lstm["clauses"]["EQ-2"] == "failed"
    (failure,) = (
        check["failure"] for check in lstm["checks"] if check["check"].endswith("test_an_lstm")
    )
    assert failure["fault"] == "implementation"
    assert failure["case"]["config"]["hidden_size"] == 1
    assert failure["case"]["length"] <= 2
    assert failure["error"] > failure["bound"]
    script = wrong / "script.py"
    script.write_text(failure["script"], "utf-8")
    shown = subprocess.run([sys.executable, str(script)], cwd=wrong, capture_output=True, text=True)
    assert shown.returncode == 1, shown.stderr
    assert "torch.nn:" in shown.stdout
    assert "MyLSTM" in shown.stdout


@pytest.mark.parametrize("seed", ["0", "7"])
def test_the_same_seed_gives_the_same_results_whatever_the_number_of_workers(
    wrong: Path, seed: str
) -> None:
    documents = []
    for workers in ("0", "1", "2"):
        command(
            "run", "wrong.py", "--seed", seed, "-n", workers, "--output", workers,
            "--select", "DIR", "--select", "EQ-2", "--select", "STA",
            cwd=wrong,
        )  # fmt: skip
        documents.append(without_times(results(wrong / workers)))
    assert documents[0] == documents[1] == documents[2]


def test_another_seed_tries_other_cases(tmp_path: Path) -> None:
    # Which case is the first to show it, and so how many are tried, is the seed's doing.
    (tmp_path / "rarely.py").write_text(RARELY_WRONG, "utf-8")
    for seed in ("1", "2"):
        command(
            "run", "rarely.py", "--seed", seed, "--output", seed, "--select", "EQ", cwd=tmp_path
        )
    first, second = (without_times(results(tmp_path / seed)) for seed in ("1", "2"))
    assert first["implementations"] != second["implementations"]


def test_an_implementation_that_kills_its_process_does_not_take_the_run_with_it(
    tmp_path: Path,
) -> None:
    (tmp_path / "crashing.py").write_text(CRASHING, "utf-8")
    done = command("run", "crashing.py", "--select", "LAY", "--select", "CEL", cwd=tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    (gru,) = results(tmp_path / "reports/latest")["implementations"]
    outcomes = {check["check"]: check["outcome"] for check in gru["checks"]}
    assert "crashed" in outcomes.values()
    assert gru["verdict"] == "fails"


def test_an_implementation_that_hangs_is_told_so_and_is_at_fault(tmp_path: Path) -> None:
    (tmp_path / "hanging.py").write_text(HANGING, "utf-8")
    limits = ["--check-timeout", "2"]
    done = command(
        "run", "hanging.py", "--select", "EQ-3", "--select", "DCL", *limits, cwd=tmp_path
    )
    assert done.returncode == 1, done.stdout + done.stderr
    (gru,) = results(tmp_path / "reports/latest")["implementations"]
    assert gru["clauses"]["DCL-1"] == "timeout"
    assert gru["clauses"]["EQ-3"] == "not run"
    (answered,) = (check for check in gru["checks"] if check["outcome"] == "timeout")
    assert answered["failure"]["fault"] == "implementation"
    assert answered["failure"]["sort"] == "did not end in time"
    reasons = {check["reason"] for check in gru["checks"] if check["outcome"] == "not run"}
    assert reasons
    assert all("did not end in 2 s" in reason for reason in reasons)


def test_a_slow_implementation_has_its_time_for_each_case(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW, "utf-8")
    limits = ["--check-timeout", "2.4"]
    done = command("run", "slow.py", "--select", "SHP-1", *limits, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    (gru,) = results(tmp_path / "reports/latest")["implementations"]
    assert {check["outcome"] for check in gru["checks"]} == {"passed"}
    assert max(check["seconds"] for check in gru["checks"]) > 2.4


@pytest.mark.parametrize(("cores", "workers"), [(1, 1), (3, 3), (64, 8)])
def test_there_are_as_many_workers_as_cores_up_to_eight(
    cores: int, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loky.cpu_count", lambda: cores)
    assert Workers().convert("auto", None, None) == workers


def test_fail_fast_stops_and_says_that_the_run_was_cut_short(wrong: Path) -> None:
    done = command("run", "wrong.py", "--fail-fast", "-n", "0", cwd=wrong)
    assert done.returncode == 1
    document = results(wrong / "reports/latest")
    assert not document["run"]["complete"]
    assert "cut short" in done.stdout


UNSCRIPTABLE = """
import torch


class MyGRUCell(torch.nn.GRUCell):
    def forward(self, input, *state):
        # torch.jit.script has no variable arguments.
        return super().forward(input, *state)
"""


def test_fail_fast_goes_on_past_what_counts_for_no_verdict(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(UNSCRIPTABLE, "utf-8")
    chosen = ["--select", "DEP-3", "--select", "CEL-1"]
    done = command("run", "mine.py", "--fail-fast", *chosen, "-n", "0", cwd=tmp_path)
    document = results(tmp_path / "reports/latest")
    (gru,) = document["implementations"]
    assert gru["clauses"]["DEP-3"] == "failed", done.stdout
    assert document["run"]["complete"]
    assert done.returncode == 0, done.stdout


def test_without_a_diagnosis_the_run_is_whole_and_says_none(wrong: Path) -> None:
    for told in ([], ["--no-diagnosis"]):
        done = command("run", "wrong.py", "--select", "EQ-2", "-n", "0", *told, cwd=wrong)
        assert done.returncode == 1
        document = results(wrong / "reports/latest")
        assert document["run"]["complete"]
        failures = [
            check["failure"]
            for implementation in document["implementations"]
            for check in implementation["checks"]
            if check["outcome"] == "failed"
        ]
        assert failures
        assert all(failure["diagnosis"] is None for failure in failures) is bool(told)


def test_a_selection_runs_those_clauses_and_leaves_the_others_untested(wrong: Path) -> None:
    command("run", "torch.nn:GRU", "--select", "SHP-2", "--select", "TYP", cwd=wrong)
    (gru,) = results(wrong / "reports/latest")["implementations"]
    assert gru["clauses"]["SHP-2"] == "passed"
    assert gru["clauses"]["EQ-3"] == "untested"
    assert gru["level"] is None


def test_a_level_leaves_out_the_clauses_above_it(tmp_path: Path) -> None:
    command("run", "torch.nn:GRU", "--level", "inference", "--select", "TYP", cwd=tmp_path)
    (gru,) = results(tmp_path / "reports/latest")["implementations"]
    assert gru["clauses"]["TYP-1"] == "passed"
    assert gru["clauses"]["TYP-2"] == "unsupported"


def test_quiet_prints_nothing(tmp_path: Path) -> None:
    done = command("run", "torch.nn:GRU", "--select", "SHP-2", "--quiet", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_users_pytest_settings_do_not_leak_in(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n", "utf-8")
    (tmp_path / "conftest.py").write_text("raise RuntimeError\n", "utf-8")
    done = command("run", "torch.nn:GRU", "--select", "SHP-2", "-n", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_lies_in_the_local_impls_folder_is_registered(tmp_path: Path) -> None:
    (tmp_path / "impls").mkdir()
    (tmp_path / "impls/mine.py").write_text(WRONG, "utf-8")
    listed = command("list", cwd=tmp_path)
    assert "MyLSTM" in listed.stdout
    done = command("run", "mine", "--select", "EQ-2", cwd=tmp_path)
    assert done.returncode == 1


def test_an_engine_is_one_in_whatever_folder_it_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "impls/engines").mkdir(parents=True)
    for name in ("onnx_reference.py", "of_mine.py"):
        (tmp_path / "impls/engines" / name).write_text(WRONG, "utf-8")
    every, own = dict(registered_targets()), dict(registered_targets(engines=False))
    assert every["onnx_reference"] == str(tmp_path / "impls/engines/onnx_reference.py")
    assert "onnx_reference" not in own
    assert "keras_layers" not in own
    assert "of_mine" in own
    assert "numpy_loops" in own


def test_every_clause_is_listed_with_its_checks(tmp_path: Path) -> None:
    done = command("list", "--clauses", cwd=tmp_path)
    assert done.returncode == 0
    assert "DIR-3" in done.stdout
    assert "conformance/test_directions.py::test_" in done.stdout


def test_a_report_is_rendered_again_and_several_are_merged(tmp_path: Path) -> None:
    for kind in ("GRU", "RNN"):
        command("run", f"torch.nn:{kind}", "--select", "SHP-2", "--output", kind, cwd=tmp_path)
    done = command("report", "GRU/results.json", "RNN", "--output", "both/index.html", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "both/index.html").read_text("utf-8")
    assert "torch.nn:GRU" in page
    assert "torch.nn:RNN" in page


def test_the_suite_joins_somebodys_own_pytest_run(wrong: Path) -> None:
    (wrong / "test_own.py").write_text("def test_own():\n    pass\n", "utf-8")
    done = subprocess.run(
        [
            sys.executable, "-m", "pytest", "-p", "rnn_conformance.plugin", "test_own.py",
            "--rnn", "wrong.py:MyLSTM", "--rnn-select", "EQ-2", "-q", "-p", "no:cacheprovider",
        ],
        cwd=wrong, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "test_an_lstm" in done.stdout
    assert "is allowed" in done.stdout
    assert "passed" in done.stdout


FILES = {
    "broken.py": "import nothing_of_that_name\n",
    "syntax.py": "def :\n",
    "empty.py": "x = 1\n",
    "no_rnn.py": "import torch\n\n\nclass Net(torch.nn.Module):\n    pass\n",
    "plain.py": "class LSTM:\n    pass\n",
    "declared.py": (
        "import torch\n\n\nclass LSTM(torch.nn.LSTM):\n"
        "    rnn_conformance = {'without': ['bias']}\n"
    ),
    "short.json": '{"schema_version": 1, "run": {',
    "older.json": '{"schema_version": 0}',
    "other.json": '{"schema_version": 1}',
    "file": "",
}

MISTAKES: dict[str, tuple[list[str], str]] = {
    "no such module": (["run", "no_such_module:LSTM"], "no module"),
    "no such name": (["run", "torch_nnn"], "nothing is registered"),
    "a name nearly right": (["run", "torch.nn.LSTMM"], "did you mean"),
    "no such class": (["run", "torch.nn:LSTMM"], "has no 'LSTMM'"),
    "no such file": (["run", "missing.py:LSTM"], "no file"),
    "a class that is no RNN": (["run", "torch.nn:Linear"], "--kind"),
    "no torch class": (["run", "plain.py:LSTM"], "not a torch.nn.Module"),
    "not a class": (["run", "torch:manual_seed"], "not a class"),
    "a file without an RNN": (["run", "no_rnn.py"], "no_rnn.py:Net --kind LSTM"),
    "a file without anything": (["run", "empty.py"], "no implementation"),
    "a file that fails to import": (["run", "broken.py"], "nothing_of_that_name"),
    "a file that is no Python": (["run", "syntax.py"], "SyntaxError"),
    "an unknown feature declared": (["run", "declared.py"], "'bias' is not a valid Feature"),
    "a clause of another kind": (["run", "torch.nn:GRU", "--select", "EQ-2"], "no check of EQ-2"),
    "engines beside a target": (["run", "torch.nn:GRU", "--engines"], "without targets"),
    "an unknown clause": (["run", "torch.nn:GRU", "--select", "XYZ-1"], "no clause or chapter"),
    "an unknown profile": (["run", "torch.nn:GRU", "--profile", "slow"], "choose quick"),
    "an unknown kind": (["run", "torch.nn:GRU", "--kind", "TCN"], "choose RNN"),
    "a kind that is not there": (["run", "torch.nn:GRU", "--kind", "LSTM"], "no LSTM"),
    "an unknown level": (["run", "torch.nn:GRU", "--level", "top"], "choose inference"),
    "no seed": (["run", "torch.nn:GRU", "--seed", "x"], "neither a number nor 'random'"),
    "a negative seed": (["run", "torch.nn:GRU", "--seed", "-1"], "0 to 2**32"),
    "no number of workers": (["run", "torch.nn:GRU", "-n", "many"], "neither a number nor"),
    "a folder that is a file": (["run", "torch.nn:GRU", "--output", "file"], "file"),
    "a folder below a file": (["run", "torch.nn:GRU", "--output", "file/in"], "--output"),
    "no such results": (["report", "missing.json"], "cannot read"),
    "results cut short": (["report", "short.json"], "cut short"),
    "results of another version": (["report", "older.json"], "schema version 0"),
    "results that are none": (["report", "other.json"], "not a results file"),
    "no results": (["report"], "RESULTS"),
    "no such command": (["rnu"], "No such command"),
    "no such option": (["run", "--colour"], "No such option"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_gets_one_clear_line_and_no_traceback(mistake: str, tmp_path: Path) -> None:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, "utf-8")
    arguments, says = MISTAKES[mistake]
    done = command(*arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    # click precedes its own line with two of usage.
    ours = [line for line in done.stderr.splitlines() if not line.startswith(("Usage", "Try"))]
    assert len([line for line in ours if line]) == 1, done.stderr


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(FILES["broken.py"], "utf-8")
    done = command("run", "broken.py", "--debug", cwd=tmp_path)
    assert done.returncode == 2
    assert "ModuleNotFoundError" in done.stderr
    assert "Traceback" in done.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_a_mistake_too(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    done = command("run", "torch.nn:GRU", "--output", "locked/in", cwd=tmp_path)
    assert done.returncode == 2
    assert "Permission denied" in done.stderr

"""The action for GitHub, its own step run by a shell, from a first run to an expired excuse."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from junitparser import JUnitXml

ROOT = Path(__file__).parent.parent

LAYER = '''
import torch


class MyLSTM(torch.nn.LSTM):
    """Deviates in known ways."""

    swapped, shared, rough = {swapped}, {shared}, {rough}

    def forward(self, input, hx=None):
        if hx is not None and self.shared:
            hx = (hx[0], hx[0][..., :1].expand_as(hx[1]))
        output, (h_n, c_n) = super().forward(input, hx)
        if self.swapped and self.bidirectional and isinstance(output, torch.Tensor):
            output = torch.cat(output.chunk(2, -1)[::-1], -1)
        if self.rough and isinstance(output, torch.Tensor):
            output = output.squeeze(0)
        return output, (h_n, c_n)
'''

EXPIRED = """
[[tool.rnn-conformance.known_failures]]
implementation = "*MyLSTM"
clause = "DIR-1"
reason = "halves are swapped"
expires = 2020-01-31
"""


@dataclass
class Repository:
    """A small package under the action."""

    folder: Path
    step: str
    arguments: str = "-n 1 --no-diagnosis --select DIR-1 --select STA-4 --select SHP-1 --store none"

    def write(self, **deviations: bool) -> None:
        chosen = {"swapped": False, "shared": False, "rough": False} | deviations
        (self.folder / "mylayers.py").write_text(LAYER.format(**chosen))

    def run(self, baseline: str = "", more: str = "") -> tuple[int, str]:
        """The action's step as a runner has it; its exit code and the summary of the job."""
        summary = self.folder / "summary"
        summary.unlink(missing_ok=True)
        bin = Path(sys.executable).parent
        given = {
            "TARGETS": "mylayers.py:MyLSTM",
            "PROFILE": "quick",
            "BASELINE": baseline,
            "ARGUMENTS": f"{self.arguments} {more}",
            "OUTPUT": "out",
            "GITHUB_STEP_SUMMARY": str(summary),
            "PATH": f"{bin}{os.pathsep}{os.environ['PATH']}",
        }
        done = subprocess.run(
            # As GitHub's runners call a step with `shell: bash`.
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", self.step],
            cwd=self.folder,
            env={**os.environ, **given},
            capture_output=True,
            text=True,
            timeout=250,
        )
        assert summary.exists(), done.stdout + done.stderr
        return done.returncode, summary.read_text("utf-8") + done.stdout

    def red(self) -> int:
        """Failures and errors in the JUnit file."""
        return sum(suite.failures + suite.errors for suite in JUnitXml.fromfile(self.junit))

    @property
    def junit(self) -> str:
        return str(self.folder / "out" / "junit.xml")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    action: Any = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))
    (step,) = (step for step in action["runs"]["steps"] if step["name"] == "Run")
    assert set(step["env"]) == {"TARGETS", "PROFILE", "BASELINE", "ARGUMENTS", "OUTPUT"}
    return Repository(tmp_path, step["run"])


def test_a_package_goes_from_its_first_run_to_an_expired_excuse(repository: Repository) -> None:
    # A first run: two deviations, told and red.
    repository.write(swapped=True, shared=True)
    code, told = repository.run()
    assert code == 1
    assert "DIR-1" in told
    assert repository.red()
    # A baseline of it, and a green run.
    repository.run("baseline.json", "--update-baseline")
    assert (repository.folder / "baseline.json").is_file()
    code, told = repository.run("baseline.json")
    assert code == 0, told
    assert "Nothing is other than it was" in told
    # Another defect is caught …
    repository.write(swapped=True, shared=True, rough=True)
    code, told = repository.run("baseline.json")
    assert code == 1
    assert "worse" in told
    # … and one that is mended is noticed.
    repository.write(swapped=True)
    code, told = repository.run("baseline.json")
    assert code == 0, told
    assert "Fixed" in told
    # What was excused until some day is not excused any more.
    (repository.folder / "pyproject.toml").write_text(EXPIRED)
    code, told = repository.run()
    assert code == 1
    assert "expired" in told

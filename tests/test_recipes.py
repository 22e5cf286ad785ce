"""The README's recipes for other CI: read by their own tools, their commands run by a shell."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from junitparser import JUnitXml
from pre_commit.clientlib import load_config, load_manifest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")

LAYER = '''
import torch


class MyLSTM(torch.nn.LSTM):
    """What it does in calls without a state is right, or is not."""

    rnn_conformance = {{"level": "inference"}}

    def forward(self, input, hx=None):
        output, state = super().forward(input, hx)
        return output + {error} if torch.is_tensor(output) else output, state
'''


def recipe(name: str) -> str:
    """The file of this name, as the README has it."""
    (text,) = re.findall(rf"```yaml\n# {re.escape(name)}\n(.*?)```", README, re.DOTALL)
    return str(text)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A small package with a layer, and its folder."""
    (tmp_path / "mypackage").mkdir()
    (tmp_path / "mypackage" / "__init__.py").touch()
    return tmp_path


def run(package: Path, line: str, *, error: float) -> int:
    """A line of a recipe in a shell, with the layer this far off: its exit code."""
    (package / "mypackage" / "layers.py").write_text(LAYER.format(error=error), "utf-8")
    bin = Path(sys.executable).parent
    given = {"PATH": f"{bin}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(package)}
    done = subprocess.run(
        ["bash", "-c", line],
        cwd=package,
        env={**os.environ, **given},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.returncode


def test_the_recipe_for_gitlab_is_red_and_leaves_what_it_collects(package: Path) -> None:
    job: Any = yaml.safe_load(recipe(".gitlab-ci.yml"))["conformance"]
    line = job["script"][-1]
    assert line.startswith("rnn-conformance run ")
    assert run(package, f"{line} --select EQ-2 --no-diagnosis", error=0.5) == 1
    kept = package / job["artifacts"]["paths"][0]
    assert (kept / "index.html").is_file()
    assert (kept / "badge.svg").is_file()
    junit = JUnitXml.fromfile(str(package / job["artifacts"]["reports"]["junit"]))
    assert sum(suite.failures for suite in junit)


def test_the_hook_is_one_that_pre_commit_reads() -> None:
    (hook,) = load_manifest(str(ROOT / ".pre-commit-hooks.yaml"))
    assert hook["language"] == "python"
    assert not hook["pass_filenames"]


def test_the_recipe_for_pre_commit_runs_the_hook(package: Path) -> None:
    file = package / ".pre-commit-config.yaml"
    file.write_text(recipe(file.name), "utf-8")
    (hook,) = load_manifest(str(ROOT / ".pre-commit-hooks.yaml"))
    (used,) = load_config(str(file))["repos"][0]["hooks"]
    assert used["id"] == hook["id"]
    line = " ".join((hook["entry"], *used["args"]))
    assert run(package, f"{line} --level inference --no-diagnosis", error=0.5) == 1
    assert run(package, f"{line} --level inference --no-diagnosis", error=0.0) == 0

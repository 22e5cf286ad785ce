"""The README says what is so: its plugin runs, its commands exist, its words are the code's."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from rnn_conformance import implementation
from rnn_conformance.checking.subject import PROFILES
from rnn_conformance.cli import main
from rnn_conformance.implementations.torch_module import KEYS
from rnn_conformance.spec.clauses import CLAUSES
from rnn_conformance.spec.config import Feature, Kind, Level

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text("utf-8")


def plugin(page: str) -> str:
    """The smallest plugin, as a page shows it."""
    (code,) = re.findall(r"<!-- plugin: begin -->\n```python\n(.*?)```", page, re.DOTALL)
    return str(code)


def test_the_smallest_plugin_conforms(tmp_path: Path) -> None:
    (tmp_path / "my_gru.py").write_text(plugin(README), "utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "rnn_conformance", "run", "my_gru.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads((tmp_path / "reports/latest/results.json").read_text("utf-8"))
    (gru,) = results["implementations"]
    assert gru["verdict"] == "conforms"
    assert gru["clauses"]["EQ-3"] == "passed"


def test_the_smallest_plugin_is_at_most_fifteen_lines_beside_its_mathematics() -> None:
    code = plugin(README)
    before, rest = code.split("# The mathematics.\n")
    after = rest.split("# The plugin.\n")[1]
    lines = [line for line in (before + after).splitlines() if line.strip()]
    assert len(lines) <= 15


def test_every_option_of_run_is_described() -> None:
    command = main.commands["run"]
    for parameter in command.params:
        for option in parameter.opts:
            if option.startswith("-"):
                assert f"`{option}`" in README or f"`{option} " in README, option


@pytest.mark.parametrize("word", [*Kind, *Feature, *Level, *PROFILES])
def test_every_word_that_can_be_declared_or_asked_for_is_there(word: str) -> None:
    assert f"`{word}`" in README


def test_every_key_of_a_declaration_is_in_the_table() -> None:
    keys = {*KEYS, *inspect.signature(implementation).parameters}
    for key in keys:
        assert re.search(rf"^\|[^|]*`{key}`", README, re.MULTILINE), key


def test_every_clause_that_is_named_exists() -> None:
    for clause in re.findall(r"\b[A-Z]{2,3}-\d\b", README):
        assert clause in CLAUSES, clause


def test_every_file_that_is_linked_is_there() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target

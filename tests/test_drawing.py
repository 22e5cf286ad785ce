"""What is drawn depends on the seed, and on nothing else that is in the process."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from hypothesis import strategies as st

from rnn_conformance.checking.checks import checks
from rnn_conformance.checking.drawing import examples
from rnn_conformance.checking.examining import examine
from rnn_conformance.checking.subject import Profile, Subject
from rnn_conformance.implementations.registry import load
from rnn_conformance.implementations.torch_module import drop_in
from rnn_conformance.results.records import Outcome
from rnn_conformance.spec.config import Kind

FEW = Profile("a few", 3, 0)
NUMBERS = st.integers(0, 2**64)


class Untouchable(ModuleType):
    """A module that is loaded when something of it is asked for, and cannot be."""

    def __getattr__(self, name: str) -> Any:
        raise ImportError(f"{name} needs a package that is not installed")


@pytest.fixture
def untouchable(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """It is in ``sys.modules``, and does not even have what every module has."""
    module = Untouchable("untouchable")
    del module.__dict__["__spec__"], module.__dict__["__loader__"]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


@pytest.mark.parametrize("chapter", ["EQ", "PAR", "LIF"])
def test_a_module_that_cannot_be_looked_at_decides_no_verdict(
    untouchable: ModuleType, chapter: str
) -> None:
    implementation = drop_in(torch.nn.GRU)
    due = [check for check in checks() if check.clauses[0].startswith(chapter)]
    for check in due:
        if Kind.GRU in check.kinds:
            record = examine(check, Subject(implementation, Kind.GRU, FEW))
            assert record.outcome in (Outcome.PASSED, Outcome.UNSUPPORTED), record.failure


def test_what_is_drawn_does_not_depend_on_what_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = examples(NUMBERS, 200, seed=0)
    file = tmp_path / "full_of_numbers.py"
    file.write_text("\n".join(f"a{n} = {10**9 + n}" for n in range(1000)))
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, file.stem, module)
    spec.loader.exec_module(module)
    assert examples(NUMBERS, 200, seed=0) == before


def test_a_lazy_object_in_a_file_is_passed_by(tmp_path: Path) -> None:
    file = tmp_path / "beside_a_lazy_object.py"
    file.write_text(
        "import torch\n"
        "class Lazy:\n"
        "    @property\n"
        "    def __class__(self):\n"
        "        raise ImportError('it cannot be loaded')\n"
        "lazy = Lazy()\n"
        "class MyGRU(torch.nn.GRU):\n"
        "    pass\n"
    )
    assert [found.name for found in load(str(file))] == [f"{file}:MyGRU"]

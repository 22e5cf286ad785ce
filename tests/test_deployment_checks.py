"""The chapter on deployment: what it catches, what it passes, and what torch.nn cannot do."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rnn_conformance.checking.checks import Check, checks
from rnn_conformance.checking.examining import examine
from rnn_conformance.checking.subject import PROFILES, Profile, Subject
from rnn_conformance.errors import Sort
from rnn_conformance.implementations.torch_module import drop_in
from rnn_conformance.mutants.deployment import (
    ByHand,
    KeepsWhatItSawFirst,
    OnlyByNumPy,
    WrongWhenUnbatched,
)
from rnn_conformance.results.document import clause_outcomes
from rnn_conformance.results.records import Entry, Outcome, Record
from rnn_conformance.results.verdict import Verdict
from rnn_conformance.spec.clauses import CLAUSES
from rnn_conformance.spec.config import Kind

STANDARD = Profile("standard, without shrinking", PROFILES["standard"].cases, 0)
CHAPTER = [check for check in checks() if check.id.startswith("conformance/test_deployment.py")]
LACKING = [
    name for name in ("onnx", "onnxruntime", "onnxscript") if importlib.util.find_spec(name) is None
]

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported")


class WrongWhenCompiled(ByHand):
    """A branch of its own for graphs, which was never compared."""

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        result = super().forward(input, hx)
        return result + 0.01 if torch.compiler.is_compiling() else result


WRONG: tuple[tuple[type[nn.Module], str, Sort, str], ...] = (
    (WrongWhenCompiled, "DEP-1", Sort.VALUE, "is 0."),
    (OnlyByNumPy, "DEP-2", Sort.RAISED, "torch.export raised"),
    (WrongWhenCompiled, "DEP-2", Sort.VALUE, "gives what eager mode gives"),
    (KeepsWhatItSawFirst, "DEP-3", Sort.VALUE, "gives what eager mode gives"),
    (OnlyByNumPy, "DEP-3", Sort.RAISED, "torch.jit"),
    (WrongWhenUnbatched, "DEP-5", Sort.VALUE, "gives what eager mode gives"),
    (OnlyByNumPy, "DEP-5", Sort.RAISED, "torch.func.vmap raised"),
)

# What torch.nn 2.13 does not do; a version that does will pass.
NOT_EVEN_TORCH = {
    ("scripted", "RNN"),
    ("scripted", "LSTM"),
    ("scripted", "GRU"),
    ("mapped", "RNN"),
    ("mapped", "LSTM"),
    ("mapped", "GRU"),
    ("mapped", "LSTMCell"),
}


def named(value: object) -> str:
    """What a test of these is called."""
    match value:
        case Check():
            return value.id.rpartition("::")[2]
        case type():
            return value.__name__
    return str(value)


def run(check: Check, cls: type[nn.Module], kind: Kind, profile: Profile = STANDARD) -> Record:
    return examine(check, Subject(drop_in(cls), kind, profile))


@pytest.mark.parametrize(("cls", "clause", "sort", "message"), WRONG, ids=named)
def test_what_does_not_survive_the_way_is_caught(
    cls: type[nn.Module], clause: str, sort: Sort, message: str
) -> None:
    records = [run(check, cls, Kind.GRU_CELL) for check in CHAPTER if clause in check.clauses]
    failures = [record.failure for record in records if record.failure is not None]
    assert all(record.outcome is not Outcome.ERROR for record in records), failures
    assert any(failure.sort is sort and message in failure.message for failure in failures), (
        failures
    )


@pytest.mark.parametrize("check", CHAPTER, ids=named)
def test_elementary_operations_go_every_way(check: Check) -> None:
    record = run(check, ByHand, Kind.GRU_CELL)
    assert record.outcome is expected(check), record.reason or record.failure


def expected(check: Check) -> Outcome:
    """Untested is what needs packages that are not here."""
    return Outcome.UNTESTED if "DEP-4" in check.clauses and LACKING else Outcome.PASSED


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("check", CHAPTER, ids=named)
def test_what_torch_itself_cannot_do_is_no_failing(check: Check, kind: Kind) -> None:
    record = run(check, getattr(nn, kind.value), kind)
    what = named(check).removeprefix("test_").partition("_")[0]
    if (what, kind.value) in NOT_EVEN_TORCH:
        assert record.outcome is Outcome.UNSUPPORTED
        assert record.reason is not None
        assert (
            f"torch.nn.{kind} {torch.__version__.partition('+')[0]} itself fails" in record.reason
        )
    elif expected(check) is Outcome.UNTESTED:
        assert record.reason is not None
        assert f"needs {', '.join(LACKING)} installed" in record.reason
    else:
        # The exporter to ONNX fails for some bidirectional stacks.
        sometimes = "DEP-4" in check.clauses
        allowed = {Outcome.PASSED} | ({Outcome.UNSUPPORTED} if sometimes else set())
        assert record.outcome in allowed, record.reason or record.failure


def test_an_implementation_that_can_do_more_than_torch_passes() -> None:
    class LSTMCellByHand(nn.LSTMCell):
        def forward(self, input: Tensor, hx: Any = None) -> Any:
            h, c = hx or (input.new_zeros(*input.shape[:-1], self.hidden_size),) * 2
            z = nn.functional.linear(input, self.weight_ih, self.bias_ih)
            z = z + nn.functional.linear(h, self.weight_hh, self.bias_hh)
            i, f, g, o = z.chunk(4, -1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            return torch.sigmoid(o) * torch.tanh(c), c

    (check,) = (check for check in CHAPTER if "DEP-5" in check.clauses)
    assert run(check, LSTMCellByHand, Kind.LSTM_CELL).outcome is Outcome.PASSED


@pytest.mark.parametrize("clause", ["DEP-1", "DEP-2", "DEP-4"])
def test_a_quick_run_loads_no_compiler_and_says_so(clause: str) -> None:
    (check,) = (check for check in CHAPTER if clause in check.clauses)
    record = run(check, nn.GRUCell, Kind.GRU_CELL, PROFILES["quick"])
    assert record.outcome is Outcome.UNTESTED
    assert record.reason is not None
    assert "--profile standard" in record.reason


def test_what_fails_here_fails_nobodys_own_run(tmp_path: Path) -> None:
    layers = tmp_path / "layers.py"
    layers.write_text(
        "import torch\n\n\n"
        "class MyGRUCell(torch.nn.GRUCell):\n"
        "    def forward(self, input, hx=None):\n"
        "        return super().forward(torch.tensor(input.detach().numpy()), hx)\n"
    )
    command = [sys.executable, "-m", "pytest", "-p", "rnn_conformance.running.pytest_plugin", "-rx"]
    options = [f"--rnn={layers}", "--rnn-select=DEP-5", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, *options], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout
    assert "1 xfailed" in done.stdout
    assert "torch.func.vmap raised" in done.stdout


def test_what_fails_here_counts_for_no_verdict() -> None:
    assert all(CLAUSES[clause].optional for check in CHAPTER for clause in check.clauses)
    records = [
        run(check, OnlyByNumPy, Kind.GRU_CELL, PROFILES["quick"]).to_record()
        for check in CHAPTER
        if "DEP-5" in check.clauses
    ]
    passed = {**records[0], "clauses": ("CEL-1",), "outcome": "passed", "failure": None}
    entry = Entry("by NumPy", "GRUCell", "", "drop-in", (), ("float32",))
    outcomes = clause_outcomes(entry, [*records, passed])
    assert outcomes["DEP-5"] is Outcome.FAILED
    assert Verdict.of(outcomes) is Verdict.CONFORMS

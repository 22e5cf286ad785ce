"""What a layer is beside a function of its arguments: what of it is demanded, and what is not."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from rnn_conformance.checking import torch_kit
from rnn_conformance.checking.checks import Check, checks
from rnn_conformance.checking.examining import examine
from rnn_conformance.checking.subject import Profile, Subject
from rnn_conformance.errors import Sort
from rnn_conformance.implementations.torch_module import drop_in
from rnn_conformance.mutants.reading import Keeping, Reading
from rnn_conformance.results.document import clause_outcomes
from rnn_conformance.results.records import Entry, Outcome, Record
from rnn_conformance.results.verdict import Verdict
from rnn_conformance.spec.clauses import CLAUSES
from rnn_conformance.spec.config import Kind

FEW = Profile("few", 10, 0)
CLAUSES_HERE = ("PAR-6", "PAR-7", "LIF-4", "AMP-1")
CHECKS = [check for check in checks() if set(CLAUSES_HERE) & set(check.clauses)]

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported")


def of(clause: str) -> list[Check]:
    return [check for check in CHECKS if clause in check.clauses]


def run(cls: type[nn.Module], kind: Kind, clause: str, seed: int = 0) -> list[Record]:
    subject = Subject(drop_in(cls, kind=kind.value), kind, FEW, seed)
    return [examine(check, subject) for check in of(clause) if kind in check.kinds]


class ReadingGRU(Reading, nn.GRU):
    """Right, and its parameters are read as attributes."""


class KeepingGRU(Keeping, nn.GRU):
    """Right, though it holds on to its first parameters."""


class WithoutPrivateNames(ReadingGRU):
    """Right, without what begins with an underline there, and without what checks arguments."""

    def __getattr__(self, name: str) -> Any:
        if name in ("_flat_weights", "_all_weights", "check_input", "check_forward_args"):
            raise AttributeError(name)
        return super().__getattr__(name)


@pytest.mark.parametrize("clause", CLAUSES_HERE)
@pytest.mark.parametrize("cls", [ReadingGRU, KeepingGRU, WithoutPrivateNames])
def test_a_layer_that_reads_its_attributes_passes(cls: type[nn.Module], clause: str) -> None:
    for record in run(cls, Kind.GRU, clause):
        assert record.outcome is Outcome.PASSED, record.failure


class UnderOtherNames(nn.Module):
    """Right, with parameters under names that it declares and an argument without a default."""

    rnn_conformance: ClassVar = {
        "defaults": {"bias": None},
        "parameters": {
            role: f"cell.{role}" for role in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        },
    }

    def __init__(self, input_size: int, hidden_size: int, bias: bool, **factory: Any) -> None:
        super().__init__()
        self.cell = nn.GRUCell(input_size, hidden_size, bias, **factory)

    def reset_parameters(self) -> None:
        self.cell.reset_parameters()

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Any:
        return self.cell(input, hx)


def test_names_and_defaults_that_are_declared_are_used_throughout() -> None:
    subject = Subject(drop_in(UnderOtherNames, kind="GRUCell"), Kind.GRU_CELL, FEW)
    for check in checks():
        if Kind.GRU_CELL in check.kinds and {"PAR-7", "ENV-1", "DRP-4"} & set(check.clauses):
            record = examine(check, subject)
            assert record.outcome in (Outcome.PASSED, Outcome.UNSUPPORTED), record.failure


# What is not in the catalogue, since it breaks other clauses besides or is a matter of degree.


class Frozen(nn.GRU):
    """Every parameter as it was when constructed."""

    own: dict[str, Any]

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self.__dict__["own"] = dict(self._parameters)

    def forward(self, input: Any, hx: Any = None) -> Any:
        now = self._flat_weights
        self._flat_weights = [self.own[name] for name in self._flat_weights_names]
        self._flat_weight_refs: list[Any] = []
        try:
            return super().forward(input, hx)
        finally:
            self._flat_weights = now


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("clause", ["PAR-6", "LIF-4"])
def test_a_layer_of_its_first_parameters_fails_under_every_seed(clause: str, seed: int) -> None:
    assert any(record.outcome is Outcome.FAILED for record in run(Frozen, Kind.GRU, clause, seed))


class RaisesUnderAutocast(nn.GRU):
    def forward(self, input: Any, hx: Any = None) -> Any:
        if torch.is_autocast_enabled("cpu"):
            raise TypeError("no")
        return super().forward(input, hx)


def test_a_layer_that_raises_under_autocast_does_not_conform() -> None:
    assert not CLAUSES["AMP-1"].optional
    records = run(RaisesUnderAutocast, Kind.GRU, "AMP-1")
    assert {record.failure.sort for record in records if record.failure} == {Sort.RAISED}
    passed = {**records[0].to_record(), "clauses": ("SHP-1",), "outcome": "passed"}
    entry = Entry("raises", "GRU", "", "drop-in", (), ("float32",))
    outcomes = clause_outcomes(entry, [passed, *(record.to_record() for record in records)])
    assert Verdict.of(outcomes) is Verdict.FAILS


class ByHand(nn.RNNCell):
    """Right: float32 biases are added to the products, so that nothing is rounded to a half."""

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        h = input.new_zeros(*input.shape[:-1], self.hidden_size) if hx is None else hx
        z = input @ self.weight_ih.T + h @ self.weight_hh.T
        if self.bias:
            z = z + self.bias_ih + self.bias_hh
        return torch.relu(z) if self.nonlinearity == "relu" else torch.tanh(z)


class Halved(ByHand):
    """float64 is not cast by torch's autocast."""

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        result = super().forward(input, hx)
        return result.to(torch.bfloat16) if torch.is_autocast_enabled("cpu") else result


def test_results_under_autocast_may_be_of_the_modules_own_dtype_and_not_of_a_narrower() -> None:
    assert all(
        record.outcome is not Outcome.FAILED for record in run(ByHand, Kind.RNN_CELL, "AMP-1")
    )
    failed = [r for r in run(Halved, Kind.RNN_CELL, "AMP-1") if r.outcome is Outcome.FAILED]
    assert [record.check.rpartition("::")[2] for record in failed] == [
        "test_autocast_to_float16_is_as_accurate_as_that_allows",
        "test_autocast_leaves_float64_alone",
    ]


def test_what_torch_itself_refuses_under_autocast_is_demanded_of_nobody() -> None:
    records = run(nn.LSTM, Kind.LSTM, "AMP-1")
    allowed = {Outcome.PASSED, Outcome.UNSUPPORTED}
    assert {record.outcome for record in records} <= allowed


def test_a_replica_is_made_as_the_wrapper_makes_it() -> None:
    module = nn.Sequential(nn.GRU(2, 3), nn.BatchNorm1d(3))
    given = {name: -parameter for name, parameter in module.named_parameters()}
    made = torch_kit.replica(module, given)
    assert not list(made.parameters())
    assert made[0].weight_ih_l0 is given["0.weight_ih_l0"]  # type: ignore[index]
    assert made[1].running_mean is not module[1].running_mean  # type: ignore[index]
    assert made[0] is not module[0]  # type: ignore[index]
    assert module[0].weight_ih_l0 is not given["0.weight_ih_l0"]

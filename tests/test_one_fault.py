"""One fault fails the clause that it breaks, and no other that says the same of it."""

from __future__ import annotations

import threading
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from rnn_conformance.checking.checks import checks
from rnn_conformance.checking.examining import examine
from rnn_conformance.checking.subject import Profile, Subject
from rnn_conformance.errors import Sort
from rnn_conformance.implementations.torch_module import drop_in
from rnn_conformance.results.records import Outcome, Record
from rnn_conformance.spec.config import Kind

FEW = Profile("a few", 4, 0)
CHAPTERS = {"SHP", "PAR", "TYP", "ERR", "MEM", "LIF", "DET", "DRP"}

# torch says so once for each process, and computes the same.
pytestmark = [
    pytest.mark.filterwarnings("ignore:LSTM with projections is not supported"),
    pytest.mark.filterwarnings("ignore:dropout option adds dropout after all but last"),
]


class KeysInAnotherOrder(nn.GRU):
    """The parameters are registered by their names' order; loading is strict and works."""

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        for name in sorted(self._parameters):
            self._parameters[name] = self._parameters.pop(name)


class CastsTheInput(nn.GRU):
    """An input of any dtype is taken."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        dtype = cast(Tensor, self.weight_ih_l0).dtype
        if isinstance(input, PackedSequence):
            return super().forward(input._replace(data=input.data.to(dtype)), hx)
        return super().forward(input.to(dtype), hx)


class CastsTheState(nn.GRU):
    """A state of any dtype is taken."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        state = hx.to(cast(Tensor, self.weight_ih_l0).dtype) if isinstance(hx, Tensor) else hx
        return super().forward(input, state)


class AnswersNoSteps(nn.GRU):
    """A sequence of no steps gives no output, and the initial state."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        steps = 1 if self.batch_first and isinstance(input, Tensor) and input.dim() == 3 else 0
        if isinstance(input, Tensor) and input.shape[steps] == 0:
            shape = list(input.shape)
            shape[steps] = 1
            output, h_n = super().forward(input.new_zeros(shape), hx)
            return output.narrow(steps, 0, 0), h_n
        return super().forward(input, hx)


class ModifiesItsInput(nn.GRU):
    """The input is halved after it was read, where it can be."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        returned = super().forward(input, hx)
        if isinstance(input, Tensor) and input.is_contiguous() and not torch.is_grad_enabled():
            input.mul_(0.5)
        return returned


class UsesItsResultsAgain(nn.GRU):
    """The results of a call of the same shape are overwritten by the next one's."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        output, h_n = super().forward(input, hx)
        if not isinstance(output, Tensor) or torch.is_grad_enabled():
            return output, h_n
        kept = self.__dict__.setdefault("kept", {})
        key = threading.get_ident(), output.shape, output.dtype
        kept[key] = kept[key].copy_(output) if key in kept else output
        return kept[key], h_n


class DropsFromEntropy(nn.GRU):
    """What is dropped follows from no seed."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        if not (self.training and self.dropout):
            return super().forward(input, hx)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.seed()
            return super().forward(input, hx)


def failed(cls: type[nn.Module]) -> list[Record]:
    """What fails in the chapters that say what a class takes, refuses and leaves alone."""
    records = [
        examine(check, Subject(drop_in(cls), Kind.GRU, FEW))
        for check in checks()
        if Kind.GRU in check.kinds and CHAPTERS.intersection(id[:3] for id in check.clauses)
    ]
    return [
        record
        for record in records
        if record.outcome not in (Outcome.PASSED, Outcome.UNSUPPORTED, Outcome.UNTESTED)
    ]


@pytest.mark.parametrize(
    ("cls", "clause"),
    [
        (KeysInAnotherOrder, "PAR-1"),
        (CastsTheInput, "TYP-2"),
        (CastsTheState, "ERR-4"),
        (AnswersNoSteps, "SHP-5"),
        (ModifiesItsInput, "MEM-1"),
        (UsesItsResultsAgain, "MEM-3"),
        (DropsFromEntropy, "DRP-4"),
    ],
)
def test_a_fault_fails_one_clause(cls: type[nn.Module], clause: str) -> None:
    found = failed(cls)
    assert {id for record in found for id in record.clauses} == {clause}, [
        (record.check, record.failure and record.failure.message) for record in found
    ]


class StateOfAnotherShape(nn.LSTM):
    """``c_n`` has an axis too many, or is of one layer more."""

    longer = False

    def forward(self, input: Any, hx: Any = None) -> Any:
        output, (h_n, c_n) = super().forward(input, hx)
        return output, (h_n, torch.cat([c_n, c_n]) if self.longer else c_n[None])


@pytest.mark.parametrize("longer", [False, True])
def test_a_result_of_a_wrong_shape_is_told_as_such_by_the_gradients_too(longer: bool) -> None:
    cls = type("Wrong", (StateOfAnotherShape,), {"longer": longer})
    for check in checks():
        if not check.clauses[0].startswith("GRD") or Kind.LSTM not in check.kinds:
            continue
        record = examine(check, Subject(drop_in(cls, kind="LSTM"), Kind.LSTM, FEW))
        if record.outcome is Outcome.FAILED:
            assert record.failure is not None
            assert record.failure.sort is Sort.SHAPE, (record.check, record.failure.message)


class WithoutOneDNN(nn.LSTM):
    """Torch's own other kernels, which take a ``c_0`` of another dtype."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        mkldnn: Any = torch.backends.mkldnn
        enabled, mkldnn.enabled = mkldnn.enabled, False
        try:
            return super().forward(input, hx)
        finally:
            mkldnn.enabled = enabled


def test_what_torchs_own_kernels_refuse_and_answer_is_not_demanded() -> None:
    for check in checks():
        if "ERR-4" in check.clauses and Kind.LSTM in check.kinds:
            record = examine(check, Subject(drop_in(WithoutOneDNN, kind="LSTM"), Kind.LSTM, FEW))
            assert record.outcome is Outcome.PASSED, record.failure

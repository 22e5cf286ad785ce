"""The chapters on classes pass what is right, and what torch.nn itself refuses."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from rnn_conformance.checking import violations
from rnn_conformance.checking.chance import allowed_gap, gap
from rnn_conformance.checking.checks import checks
from rnn_conformance.checking.examining import examine
from rnn_conformance.checking.subject import Profile, Subject
from rnn_conformance.errors import UsageError
from rnn_conformance.implementations.torch_module import drop_in
from rnn_conformance.mutants.declarations import CLAUSES as CLAUSES_OF
from rnn_conformance.mutants.mutant import of_kind
from rnn_conformance.results.records import Outcome
from rnn_conformance.running.selection import Selection
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.cases import Case
from rnn_conformance.spec.clauses import CLAUSES
from rnn_conformance.spec.config import Config, Feature, Kind
from tests.support.right_classes import OtherExceptions, right_classes

QUICK = Profile("quick, without shrinking", 20, 0)
FEW = Profile("a few", 3, 0)
CHAPTERS = ("PAR", "MEM", "TYP", "ERR", "LIF", "AMP", "DET")
CHECKS = [
    check
    for check in checks()
    if any(id in ("CEL-4", "GRD-5") or CLAUSES[id].chapter in CHAPTERS for id in check.clauses)
]

# torch says so once for each process, and computes the same.
pytestmark = [
    pytest.mark.filterwarnings("ignore:LSTM with projections is not supported"),
    pytest.mark.filterwarnings("ignore:dropout option adds dropout after all but last"),
]


@pytest.mark.parametrize("feature", sorted(Feature.of(Kind.LSTM)))
def test_a_class_that_refuses_what_it_leaves_out_is_unsupported_there(feature: Feature) -> None:
    class Refusing(nn.LSTM):
        rnn_conformance = {"without": [feature.value]}  # noqa: RUF012

        def __init__(self, *args: Any, **keywords: Any) -> None:
            config = Config(Kind.LSTM, **{"input_size": 1, "hidden_size": 9, **keywords})
            if feature in config.features:
                raise TypeError(f"no {feature}")
            super().__init__(*args, **keywords)

        def forward(self, input: Any, hx: Any = None) -> Any:
            dense = isinstance(input, torch.Tensor)
            asked = {
                Feature.PACKED: not dense,
                Feature.INITIAL_STATE: hx is not None,
                Feature.UNBATCHED: dense and input.dim() == 2,
                Feature.EMPTY_BATCH: dense and 0 in input.shape,
                Feature.UNSORTED: not dense and input.sorted_indices is not None,
                Feature.OMITTED_STATE: hx is None,
                Feature.BIDIRECTIONAL_STATE: hx is not None and self.bidirectional,
            }
            if asked.get(feature):
                raise NotImplementedError(f"no {feature}")
            return super().forward(input, hx)

    tried = 0
    for check in checks():
        if "undeclared" not in check.id or Kind.LSTM not in check.kinds:
            continue
        if not set(check.clauses) & set(CLAUSES_OF[feature].split()):
            continue
        record = examine(check, Subject(drop_in(Refusing), Kind.LSTM, QUICK, 0))
        assert record.outcome is Outcome.UNSUPPORTED, record.failure
        tried += record.cases
    assert tried, "nothing was tried"


@pytest.mark.parametrize(
    ("kind", "cls"),
    [
        pytest.param(kind, cls, id=cls.__name__)
        for kind in Kind
        for cls in (*right_classes(kind), getattr(nn, kind.value))
    ],
)
def test_a_class_that_is_right_passes(kind: Kind, cls: type[nn.Module]) -> None:
    implementation = drop_in(cls, kind=kind.value)
    for check in CHECKS:
        if kind in check.kinds:
            record = examine(check, Subject(implementation, kind, FEW, 1))
            assert record.outcome in (Outcome.PASSED, Outcome.UNSUPPORTED), record.failure


def test_another_class_of_exception_is_noted_and_passes() -> None:
    implementation = drop_in(of_kind(OtherExceptions, Kind.LSTM))
    (check,) = [check for check in CHECKS if check.id.endswith("refuses_illegal_arguments")]
    record = examine(check, Subject(implementation, Kind.LSTM, FEW, 0))
    assert record.outcome is Outcome.PASSED
    assert "hidden_size=0: Illegal where torch.nn raises ValueError" in str(record.reason)
    of_torch = examine(check, Subject(drop_in(nn.LSTM), Kind.LSTM, FEW, 0))
    assert of_torch.outcome is Outcome.PASSED
    assert of_torch.reason is None


# What torch.nn itself answers.


def call(kind: Kind, *, batch: int | None = 3, lengths: tuple[int, ...] | None = None) -> Call:
    """A legal call with sizes that all differ."""
    config = Config(kind, 5, 4) if kind.is_cell else Config(kind, 5, 4, 2, bidirectional=True)
    return Case(config, 1 if kind.is_cell else 6, batch, lengths=lengths).call()


# PyTorch 2.13: an index beyond the batch's order, elements beyond a pair, and c_0's dtype in
# the fused gates are not looked at. What is answered there is illegal nowhere.
ANSWERED = {
    "h_0 of too many samples ((4, 4, 4) instead of (4, 3, 4))": {Kind.RNN, Kind.GRU},
    "h_0 of twice as many samples ((4, 6, 4) instead of (4, 3, 4))": {Kind.RNN, Kind.GRU},
    "a tuple of three tensors for a state": {Kind.LSTM, Kind.LSTM_CELL},
    "float16 c_0 for float32 weights": {Kind.LSTM, Kind.LSTM_CELL},
    "bfloat16 c_0 for float32 weights": {Kind.LSTM, Kind.LSTM_CELL},
    "int64 c_0 for float32 weights": {Kind.LSTM, Kind.LSTM_CELL},
    "float64 c_0 for float32 weights": {Kind.LSTM_CELL},
}


@pytest.mark.parametrize("kind", Kind)
def test_torch_nn_refuses_every_illegal_call_but_a_few(kind: Kind) -> None:
    asked, answered = 0, set()
    calls = [call(kind), call(kind, batch=None)]
    if not kind.is_cell:
        calls.append(call(kind, lengths=(6, 2, 4)))
    for legal in calls:
        of_torch = violations.torchs_own(legal, "cpu")
        families = [violations.inputs, violations.input_dtypes, violations.state_dtypes]
        if kind is not Kind.LSTM or legal.lengths is None:
            families.append(violations.states)
        if not kind.is_cell:
            families.append(violations.no_steps)
        for family in families:
            for violation in family(legal, "cpu"):
                asked += 1
                if violations.raised(partial(of_torch, *violation.arguments)) is None:
                    answered.add(violation.why)
    assert answered == {why for why, kinds in ANSWERED.items() if kind in kinds}
    assert asked > 60


@pytest.mark.parametrize("kind", Kind)
def test_torch_nn_refuses_every_illegal_construction_but_a_cell_of_no_size(kind: Kind) -> None:
    cls = getattr(nn, kind.value)
    answered = {
        why
        for why, keywords in violations.constructions(call(kind))
        if violations.raised(partial(cls, **keywords)) is None
    }
    expected = {"input_size=0", "hidden_size=0"} if kind.is_cell else set()
    if kind is Kind.RNN_CELL:
        # Refused at the call.
        expected |= {"nonlinearity='sigmoid'", "nonlinearity='TANH'", "nonlinearity=''"}
    assert answered == expected


# The statistics, and the option.


def test_the_gap_is_that_of_kolmogorov_and_smirnov() -> None:
    assert gap(np.array([0.5]), 0.0, 1.0) == 0.5
    assert gap(np.array([0.0]), 0.0, 1.0) == 1.0
    grid = (np.arange(100) + 0.5) / 50 - 1.0
    assert gap(grid, -1.0, 1.0) == pytest.approx(0.005)
    assert gap(grid / 2, -1.0, 1.0) == pytest.approx(0.2525)
    assert gap(np.array([-3.0, 3.0]), -1.0, 1.0) == 0.5


def test_the_gap_of_uniform_draws_is_as_rarely_large_as_the_inequality_says() -> None:
    rng = np.random.default_rng(0)
    gaps = np.array([gap(rng.uniform(-2, 2, 50), -2.0, 2.0) for _ in range(4000)])
    for limit in (0.1, 0.15, 0.2):
        assert (gaps > limit).mean() <= 2 * np.exp(-2 * 50 * limit**2) + 0.01
    assert gaps.max() < allowed_gap(50)


def test_what_is_left_out_is_no_longer_declared() -> None:
    (subject,) = Selection(targets=("torch.nn:LSTM",), without=("packed", "projection")).subjects()
    assert subject.features == Feature.of(Kind.LSTM) - {
        Feature.PACKED,
        Feature.UNSORTED,
        Feature.PROJECTION,
    }
    with pytest.raises(UsageError, match="there is no feature 'packing'; choose bidirectional"):
        Selection(without=("packing",))

"""Programs: what a layer remembers and should not is seen, by the check that it belongs to."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from hypothesis import find, settings

from rnn_conformance import Kind, drop_in
from rnn_conformance.interface import Declaration
from rnn_conformance.programs import CALLS, Program, Programs, Step
from rnn_conformance.results import Outcome
from rnn_conformance.spec import Feature, Level
from rnn_conformance.strategies import cases
from rnn_conformance.subject import PROFILES, Subject
from rnn_conformance.suite import checks, examine


class PacksItsWeightsOnce(torch.nn.GRU):
    """The first forward's weights are used for good (apache/mxnet#16037)."""

    clauses = ("PAR-4",)
    packed: torch.nn.GRU | None = None

    def forward(self, input: Any, hx: Any = None) -> Any:
        if self.packed is None:
            fresh = torch.nn.GRU(
                self.input_size,
                self.hidden_size,
                self.num_layers,
                self.bias,
                self.batch_first,
                0.0,
                self.bidirectional,
            )
            fresh.load_state_dict(self.state_dict())
            # Not as a child, which would appear in the parameters.
            object.__setattr__(self, "packed", fresh)
        data = input if isinstance(input, torch.Tensor) else input.data
        assert self.packed is not None
        return self.packed.to(data.dtype)(input, hx)


class CarriesItsStateOver(torch.nn.GRU):
    """A state that is omitted is that of the call before (tensorflow/tensorflow#47813)."""

    clauses = ("STA-3",)
    last: torch.Tensor | None = None

    def forward(self, input: Any, hx: Any = None) -> Any:
        data = input if isinstance(input, torch.Tensor) else input.data
        if hx is None and self.last is not None and input is data:
            shape = (self.last.shape[0], *input.shape[1:-1], self.hidden_size)
            if self.last.shape == shape and self.last.dtype == data.dtype:
                hx = self.last
        output, h_n = super().forward(input, hx)
        object.__setattr__(self, "last", h_n.detach())
        return output, h_n


class AnswersByShape(torch.nn.GRU):
    """A call of a shape met before gets the answer of then."""

    clauses = ("STA-3",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.answers: dict[Any, Any] = {}

    def forward(self, input: Any, hx: Any = None) -> Any:
        data = input if isinstance(input, torch.Tensor) else input.data
        key = (data.shape, data.dtype, hx is None, data is input, torch.is_grad_enabled())
        if key not in self.answers:
            self.answers[key] = super().forward(input, hx)
        return self.answers[key]


class ReusesItsOutput(torch.nn.GRU):
    """The output of every call of a shape lies in one buffer."""

    clauses = ("MEM-3",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.kept: dict[Any, torch.Tensor] = {}

    def forward(self, input: Any, hx: Any = None) -> Any:
        output, h_n = super().forward(input, hx)
        if not isinstance(output, torch.Tensor) or torch.is_grad_enabled():
            return output, h_n
        buffer = self.kept.setdefault((output.shape, output.dtype), torch.empty_like(output))
        return buffer.copy_(output), h_n


class NormalisesItsInputInPlace(torch.nn.GRU):
    """The caller's input is scaled where it lies."""

    clauses = ("MEM-1",)

    def forward(self, input: Any, hx: Any = None) -> Any:
        result = super().forward(input, hx)
        if isinstance(input, torch.Tensor) and not torch.is_grad_enabled():
            input.mul_(0.5)
        return result


class CopiesShareParameters(torch.nn.GRU):
    """A deep copy is a shallow one."""

    clauses = ("LIF-1",)

    def __deepcopy__(self, memo: Any) -> Any:
        other = copy.copy(self)
        other.__dict__ = dict(self.__dict__)
        return other


class ForgetsBiasesInPickles(torch.nn.GRU):
    """What is loaded from a pickle has biases of zero."""

    clauses = ("LIF-1",)

    def __setstate__(self, state: Any) -> None:
        # torch leaves this method without types.
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if name.startswith("bias"):
                    parameter.zero_()


class RemembersTraining(torch.nn.GRU):
    """Evaluation after a call in training goes on with that call's settings."""

    clauses = ("LIF-2",)
    trained = False

    def forward(self, input: Any, hx: Any = None) -> Any:
        output, h_n = super().forward(input, hx)
        if self.training:
            self.trained = True
        elif self.trained:
            h_n = 0.5 * h_n
        return output, h_n


class KeepsItsGraph(torch.nn.GRU):
    """The weights are prepared once, gradient graph and all: a second backward fails."""

    clauses = ("GRD-4",)
    prepared: dict[str, torch.Tensor] | None = None

    def forward(self, input: Any, hx: Any = None) -> Any:
        if not torch.is_grad_enabled():
            return super().forward(input, hx)
        if self.prepared is None:
            prepared = {name: p * 1.0 for name, p in self.named_parameters()}
            object.__setattr__(self, "prepared", prepared)
        assert self.prepared is not None
        own: list[Any] = [self.prepared[name] for names in self._all_weights for name in names]
        kept, self._flat_weights = self._flat_weights, own
        try:
            return super().forward(input, hx)
        finally:
            self._flat_weights = kept


WRONG = [
    PacksItsWeightsOnce,
    CarriesItsStateOver,
    AnswersByShape,
    ReusesItsOutput,
    NormalisesItsInputInPlace,
    CopiesShareParameters,
    ForgetsBiasesInPickles,
    RemembersTraining,
    KeepsItsGraph,
]
WIDE = settings(max_examples=2000, database=None, derandomize=True, deadline=None)
PROGRAMS = [check for check in checks() if "test_programs" in check.id]


@pytest.mark.parametrize("cls", WRONG)
def test_what_is_remembered_is_seen_by_the_check_of_the_clause(cls: Any) -> None:
    implementation = drop_in(cls)
    own = [check for check in PROGRAMS if set(cls.clauses) & set(check.clauses)]
    found = [examine(check, Subject(implementation, Kind.GRU)) for check in own]
    failed = [record for record in found if record.outcome is Outcome.FAILED]
    assert failed, [record.outcome for record in found]
    for record in failed:
        assert record.failure is not None
        assert record.failure.message.startswith("after 'forward'")
        assert record.failure.case is not None
        assert len(record.failure.case["steps"]) <= 4


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("seed", range(5))
def test_torchs_own_classes_pass(kind: Kind, seed: int) -> None:
    implementation = drop_in(getattr(torch.nn, kind.value))
    for check in PROGRAMS:
        if kind in check.kinds:
            subject = Subject(implementation, kind, PROFILES["quick"], seed)
            record = examine(check, subject)
            assert record.outcome is Outcome.PASSED, record.failure


@pytest.mark.parametrize("step", list(Step))
def test_each_step_is_reachable_and_a_program_shrinks_to_it(step: Step) -> None:
    declaration = Declaration.of([Kind.LSTM], Feature.of(Kind.LSTM), level=Level.DROP_IN)
    strategy = Programs(cases(), tuple(Step)).strategy(Kind.LSTM, declaration)

    def has(program: Program) -> bool:
        return step in program.steps[1:]

    smallest = find(strategy, has, settings=WIDE)
    assert smallest.steps[0] is Step.FORWARD
    assert set(smallest.steps) <= {Step.FORWARD, step}


def test_a_program_begins_with_a_call_so_that_something_can_become_stale() -> None:
    assert Step.FORWARD in CALLS

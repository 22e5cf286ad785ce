"""Programs: what a layer remembers and should not is seen, by the check that it belongs to."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import find, settings

from rnn_conformance import Kind, drop_in
from rnn_conformance.checking.checks import checks
from rnn_conformance.checking.examining import examine
from rnn_conformance.checking.programs import CALLS, Program, Programs, Step
from rnn_conformance.checking.strategies import cases
from rnn_conformance.checking.subject import PROFILES, Subject
from rnn_conformance.implementations.interface import Declaration
from rnn_conformance.mutants import CATALOGUE
from rnn_conformance.results.records import Outcome
from rnn_conformance.spec.config import Feature, Level

REMEMBERING = {
    "weights packed at the first call and never again": "PAR-4",
    "its last state in place of an omitted one": "STA-3",
    "the answer of the first call to every call of its shape": "STA-3",
    "results in memory that the next call uses again": "MEM-3",
    "the caller's input scaled after it was read": "MEM-1",
    "deep copies that share their parameters": "LIF-1",
    "biases of zero after unpickling": "LIF-1",
    "final states halved in evaluation once there was a training call": "LIF-2",
    "weights prepared once with their gradient graph, through which a second backward fails": (
        "GRD-4"
    ),
}
WIDE = settings(max_examples=2000, database=None, derandomize=True, deadline=None)
PROGRAMS = [check for check in checks() if "test_programs" in check.id]


@pytest.mark.parametrize(("name", "clause"), REMEMBERING.items())
def test_what_is_remembered_is_seen_by_the_check_of_the_clause(name: str, clause: str) -> None:
    (mutant,) = (mutant for mutant in CATALOGUE if mutant.name == name)
    implementation = mutant.implementation(Kind.GRU)
    concerned = [check for check in PROGRAMS if clause in check.clauses]
    # Ten programs hold the few steps that it takes with most seeds, not with each.
    records = [
        examine(check, Subject(implementation, Kind.GRU, seed=seed))
        for check in concerned
        for seed in range(3)
    ]
    failures = [record.failure for record in records if record.outcome is Outcome.FAILED]
    assert failures, [record.outcome for record in records]
    for failure in failures:
        assert failure is not None
        assert failure.message.startswith("after 'forward'")
        assert failure.case is not None
        assert len(failure.case["steps"]) <= 4


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("seed", range(5))
def test_torchs_own_classes_pass(kind: Kind, seed: int) -> None:
    implementation = drop_in(getattr(torch.nn, kind.value))
    for check in PROGRAMS:
        if kind in check.kinds:
            subject = Subject(implementation, kind, PROFILES["quick"], seed)
            record = examine(check, subject)
            assert record.outcome is Outcome.PASSED, record.failure


class Composed(torch.nn.Module):
    """Right; it is none of ``torch.nn``'s layers and has no ``flatten_parameters()``."""

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__()
        for name, parameter in torch.nn.GRU(*args, **keywords).named_parameters():
            self.register_parameter(name, parameter)
        self.told = args, keywords

    def forward(self, input: Any, hx: Any = None) -> Any:
        args, keywords = self.told
        layer = torch.nn.GRU(*args, **keywords, device="meta").train(self.training)
        return torch.func.functional_call(layer, dict(self.named_parameters()), (input, hx))


class Stateful(torch.nn.GRU):
    """Right but for PAR-3; it saves more than its parameters: a buffer of bools, and no tensor."""

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self.register_buffer("used", torch.ones(3, dtype=torch.bool))

    def get_extra_state(self) -> dict[str, int]:
        return {"version": 1}

    def set_extra_state(self, state: Any) -> None:
        if state != {"version": 1}:
            raise ValueError("another version")


@pytest.mark.parametrize("cls", [Composed, Stateful])
def test_nothing_to_flatten_and_more_to_save_are_no_matter_of_a_program(
    cls: type[torch.nn.Module],
) -> None:
    for check in PROGRAMS:
        if Kind.GRU in check.kinds:
            subject = Subject(drop_in(cls, kind="GRU"), Kind.GRU, PROFILES["quick"])
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

"""What an implementation changes in the process is seen, set back, and changes nothing else."""

from __future__ import annotations

import gc
import os
import random
import sys
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from rnn_conformance.checking.checks import checks
from rnn_conformance.checking.examining import examine
from rnn_conformance.checking.subject import Profile, Subject
from rnn_conformance.errors import Fault, Sort
from rnn_conformance.implementations.functions import COUNTED, version
from rnn_conformance.implementations.process import contained, take_stock, watching
from rnn_conformance.implementations.registry import load
from rnn_conformance.implementations.torch_module import drop_in
from rnn_conformance.mutants.mutant import Mutant
from rnn_conformance.mutants.processes import PROCESSES
from rnn_conformance.results.records import Outcome, Record
from rnn_conformance.spec.config import Kind

FEW = Profile("a few", 3, 0)
OWN = [check for check in checks() if "ENV-1" in check.clauses]
OTHERS = [
    check for check in checks() if {"SHP-1", "CEL-2", "EQ-6", "MEM-1", "GRD-3"} & {*check.clauses}
]


def examined(mutant: Mutant, kind: Kind, which: list[Any]) -> list[Record]:
    implementation = mutant.implementation(kind)
    return [
        examine(check, Subject(implementation, kind, FEW, 0))
        for check in which
        if kind in check.kinds
    ]


def tells(act: Callable[[], object]) -> list[str]:
    """The changes that are told of an act."""
    take_stock()
    with watching() as changes, contained():
        act()
    return [str(change) for change in changes]


@pytest.mark.parametrize("mutant", PROCESSES, ids=lambda mutant: mutant.name)
def test_each_sort_of_change_is_failed_and_blamed_on_who_made_it(mutant: Mutant) -> None:
    failures = [record.failure for record in examined(mutant, Kind.GRU_CELL, OWN) if record.failure]
    assert failures
    assert {failure.fault for failure in failures} == {Fault.IMPLEMENTATION}
    assert {failure.sort for failure in failures} == {Sort.SIDE_EFFECT}


@pytest.mark.parametrize("mutant", PROCESSES, ids=lambda mutant: mutant.name)
def test_no_other_verdict_changes(mutant: Mutant) -> None:
    records = examined(mutant, Kind.GRU_CELL, OTHERS)
    assert [record.failure for record in records if record.failure] == []
    assert any(record.outcome is Outcome.PASSED for record in records)


ACTS: dict[str, Callable[[], object]] = {
    "the working directory": lambda: os.chdir(os.sep),
    "the environment variable RNN_TEST": lambda: os.environ.update(RNN_TEST="1"),
    "sys.path": lambda: sys.path.append("nowhere"),
    "the warnings filters": lambda: warnings.simplefilter("ignore", ResourceWarning),
    "warnings.warn": lambda: setattr(warnings, "warn", print),
    "sys.stdout": lambda: setattr(sys, "stdout", None),
    "file descriptor 2": lambda: os.close(2),
    "flush-to-zero of subnormal numbers": lambda: torch.set_flush_denormal(True),
    "garbage collection": gc.disable,
    "NumPy's handling of the error over": lambda: np.seterr(over="ignore"),
    "NumPy's print option precision": lambda: np.set_printoptions(precision=2),
    "torch's default dtype": lambda: torch.set_default_dtype(torch.float64),
    "torch's default device": lambda: torch.set_default_device("meta"),
    "torch's grad mode": lambda: torch.set_grad_enabled(False),
    "torch's number of threads": lambda: torch.set_num_threads(3),
    "torch's deterministic algorithms": lambda: torch.use_deterministic_algorithms(True),
    "torch's precision of float32 products": lambda: torch.set_float32_matmul_precision("high"),
    "autocast on cpu": lambda: torch.set_autocast_enabled("cpu", True),
    "torch.backends.cudnn.enabled": lambda: setattr(torch.backends.cudnn, "enabled", False),
    "torch.backends.mkldnn.enabled": lambda: setattr(torch.backends.mkldnn, "enabled", False),
    "torch.tanh": lambda: setattr(torch, "tanh", torch.sigmoid),
    "torch.nn.LSTM.forward": lambda: setattr(nn.LSTM, "forward", print),
    "torch.Tensor.tanh": lambda: setattr(torch.Tensor, "tanh", print),
    "torch._VF.lstm": lambda: setattr(torch._VF, "lstm", print),
    "numpy.linalg.norm": lambda: delattr(np.linalg, "norm"),
    "numpy.abs": lambda: setattr(np, "abs", np.ones(3)),
    "math.pi": lambda: setattr(sys.modules["math"], "pi", 3.0),
    "builtins.print": lambda: setattr(sys.modules["builtins"], "print", max),
}


def test_what_the_environment_holds_is_told_nobody() -> None:
    take_stock()
    with watching() as changes, contained():
        os.environ["RNN_TEST"] = "a secret"
    assert [change.what for change in changes] == ["the environment variable RNN_TEST"]
    assert "secret" not in str(changes[0])


@pytest.mark.parametrize("what", ACTS)
def test_what_was_changed_is_told_and_set_back(what: str) -> None:
    told = tells(ACTS[what])
    assert any(change.startswith(f"{what} from ") for change in told), told
    assert tells(lambda: None) == [], "it was not set back"
    assert any(change.startswith(f"{what} from ") for change in tells(ACTS[what]))


def test_what_is_changed_by_what_then_raises_is_set_back() -> None:
    def act() -> None:
        torch.set_default_dtype(torch.float64)
        raise ValueError("no such call")

    take_stock()
    with watching() as changes, pytest.raises(ValueError, match="no such call"), contained():
        act()
    assert [change.what for change in changes] == ["torch's default dtype"]
    assert torch.get_default_dtype() == torch.float32


@pytest.mark.parametrize("value", [ModuleType("lazy"), print, 7])
def test_a_name_that_nobody_had_is_no_change(
    value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(torch, "nobody", raising=False)
    assert tells(lambda: setattr(torch, "nobody", value)) == []
    assert torch.nobody is value, "it was taken away"  # type: ignore[attr-defined]
    del torch.nobody  # type: ignore[attr-defined]


def test_what_is_set_for_a_while_is_no_change() -> None:
    class Careful(nn.LSTM):
        def forward(self, input: Any, hx: Any = None) -> Any:
            with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
                warnings.simplefilter("ignore")
                torch.manual_seed(1)
                usual = torch.get_default_dtype()
                torch.set_default_dtype(torch.float64)
                try:
                    return super().forward(input, hx)
                finally:
                    torch.set_default_dtype(usual)

    for check in OWN:
        record = examine(check, Subject(drop_in(Careful), Kind.LSTM, FEW, 0))
        assert record.failure is None, record.failure


def test_a_generator_of_its_own_and_draws_of_a_constructor_are_no_change() -> None:
    class Draws(nn.GRU):
        def __init__(self, *args: Any, **keywords: Any) -> None:
            super().__init__(*args, **keywords)
            self.seed = random.random() + float(np.random.random()) + float(torch.rand(()))

        def forward(self, input: Any, hx: Any = None) -> Any:
            random.Random(1).random(), np.random.default_rng(1).random()
            torch.rand(1, generator=torch.Generator().manual_seed(1))
            return super().forward(input, hx)

    for check in OWN:
        record = examine(check, Subject(drop_in(Draws), Kind.GRU, FEW, 0))
        assert record.failure is None, record.failure


def test_a_change_that_is_made_once_is_found_whichever_check_it_met() -> None:
    class Once(nn.GRU):
        calls = 0

        def forward(self, input: Any, hx: Any = None) -> Any:
            Once.calls += 1
            if Once.calls == 5:
                os.chdir(os.sep)
            return super().forward(input, hx)

    subject = Subject(drop_in(Once), Kind.GRU, FEW, 0)
    for check in OTHERS:
        if Kind.GRU in check.kinds:
            assert examine(check, subject).failure is None
    failure = examine(OWN[-1], subject).failure
    assert failure is not None
    assert "the working directory" in failure.message


def test_another_thread_s_entry_does_not_set_back_what_the_first_is_using() -> None:
    def within() -> torch.dtype:
        with contained():
            return torch.get_default_dtype()

    with ThreadPoolExecutor(1) as pool, contained():
        torch.set_default_dtype(torch.float64)
        assert pool.submit(within).result() == torch.float64
        assert torch.get_default_dtype() == torch.float64
    assert torch.get_default_dtype() == torch.float32


def test_importing_sets_back_what_computations_need_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RNN_TEST", "0")
    path = tmp_path / "layers.py"
    path.write_text(
        "import os, numpy, torch\n"
        "os.environ['RNN_TEST'] = '1'\n"
        "torch.set_default_dtype(torch.float64)\n"
        "torch.set_grad_enabled(False)\n"
        "numpy.tanh = numpy.sin\n"
        "class MyGRU(torch.nn.GRU): pass\n"
    )
    load(f"{path}:MyGRU")
    assert torch.get_default_dtype() == torch.float32
    assert torch.is_grad_enabled()
    assert np.tanh(1.0) < 0.8
    assert os.environ["RNN_TEST"] == "1"


@pytest.mark.skipif(not COUNTED, reason="this Python counts nothing")
@pytest.mark.parametrize("owner", [ModuleType("some"), type("Some", (), {"value": 1})])
def test_all_that_is_done_to_a_module_or_a_class_is_counted(owner: Any) -> None:
    count, seen = version(vars(owner)), set()
    acts: tuple[Callable[[], object], ...] = (
        lambda: setattr(owner, "value", print),
        lambda: setattr(owner, "value", max),
        lambda: setattr(owner, "value", print),
        lambda: delattr(owner, "value"),
    )
    for act in acts:
        before = count.value
        assert count.value == before
        act()
        assert count.value != before
        seen.add(count.value)
    assert len(seen) == 4


def test_what_was_replaced_and_put_back_is_no_change_and_the_next_is() -> None:
    def for_a_while() -> None:
        usual = torch.tanh
        torch.tanh = torch.sigmoid
        torch.tanh = usual

    assert tells(for_a_while) == []
    take_stock()
    with watching() as changes:
        with contained():
            for_a_while()
        with contained():
            torch.tanh = torch.sigmoid
    assert [change.what for change in changes] == ["torch.tanh"]

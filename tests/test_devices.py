"""Devices other than the CPU, where there is none: on ``meta``, and on one that is feigned."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from rnn_conformance import drop_in, implementation
from rnn_conformance.checking import deployment, properties
from rnn_conformance.checking.checks import Check, checks
from rnn_conformance.checking.examining import examine
from rnn_conformance.checking.subject import Profile, Subject
from rnn_conformance.cli import main
from rnn_conformance.errors import Fault, Gap, Refusal, Sort, Unsupported, UsageError
from rnn_conformance.implementations.devices import silenced
from rnn_conformance.implementations.trees import mapped
from rnn_conformance.reference.expected import expected
from rnn_conformance.reference.oracle import Oracle, Weights
from rnn_conformance.results.records import Outcome, Record
from rnn_conformance.results.verdict import Exit
from rnn_conformance.running.jobs import Source
from rnn_conformance.running.selection import Selection
from rnn_conformance.running.serving import GONE, serve
from rnn_conformance.running.session import Session
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.cases import Values
from rnn_conformance.spec.clauses import CLAUSES
from rnn_conformance.spec.config import Config, Dtype, Feature, Kind
from tests.support.elsewhere import DEVICE, MISMATCH, Elsewhere, Generators
from tests.support.random_calls import random_case

# Of these, what they check is known without any value.
WITHOUT_VALUES = [
    check
    for check in checks()
    if set(check.clauses) <= {"SHP-1", "SHP-2", "SHP-3", "SHP-4"}
    or check.id.endswith("test_results_have_the_inputs_dtype_and_device")
]

FEW = Profile("few", 5, 0)

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported")


class StateOnTheCPU(torch.nn.GRU):
    """The default state is made where it happens to be (apache/mxnet#7589)."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        if hx is None and isinstance(input, torch.Tensor) and input.ndim == 3:
            batch = input.shape[0 if self.batch_first else 1]
            layers = self.num_layers * (2 if self.bidirectional else 1)
            hx = torch.zeros(layers, batch, self.hidden_size, dtype=input.dtype)
        return super().forward(input, hx)


class ResultOnTheCPU(torch.nn.LSTM):
    """The output is written into an array of its own."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        output, states = super().forward(input, hx)
        if isinstance(output, torch.Tensor):
            output = torch.zeros(output.shape, dtype=output.dtype)
        return output, states


def on_meta(cls: type[torch.nn.Module], kind: Kind, seed: int = 0) -> Subject:
    placed = drop_in(cls).on("meta")
    # To unpack, torch reads the samples' order, which is a value.
    features = placed.declaration.features - {Feature.PACKED}
    declaration = replace(placed.declaration, features=features)
    return Subject(replace(placed, declaration=declaration), kind, FEW, seed)


@pytest.mark.parametrize("kind", list(Kind))
def test_the_path_to_another_device_works(kind: Kind) -> None:
    applicable = [check for check in WITHOUT_VALUES if kind in check.kinds]
    assert applicable
    for check in applicable:
        record = examine(check, on_meta(getattr(torch.nn, kind.value), kind))
        assert record.outcome is Outcome.PASSED, record.failure


@pytest.mark.parametrize(
    ("cls", "kind", "sort", "message"),
    [
        (StateOnTheCPU, Kind.GRU, Sort.RAISED, "raised"),
        (ResultOnTheCPU, Kind.LSTM, Sort.TYPE, "on cpu; the input is"),
    ],
)
def test_what_is_made_on_the_wrong_device_is_caught_there_and_not_here(
    cls: type[torch.nn.Module], kind: Kind, sort: Sort, message: str
) -> None:
    (check,) = (check for check in WITHOUT_VALUES if "dtype_and_device" in check.id)
    assert examine(check, Subject(drop_in(cls), kind)).outcome is Outcome.PASSED
    record = examine(check, on_meta(cls, kind))
    assert record.outcome is Outcome.FAILED
    assert record.failure is not None
    assert record.failure.fault is Fault.IMPLEMENTATION
    assert record.failure.sort is sort
    assert message in record.failure.message


# On a device that is feigned the values are there too, and every check is run.

# Graphs, tracers and autocast ask for the devices that there are; in other threads there is none
# but those.
ANYWHERE = [
    check
    for check in checks()
    if not any(CLAUSES[id].chapter in ("AMP", "DEP") or id == "DET-2" for id in check.clauses)
]


@pytest.fixture
def elsewhere() -> Iterator[str]:
    """The name of a device that is there while the test runs."""
    with Elsewhere():
        yield DEVICE


@pytest.mark.parametrize(
    ("check", "kind"),
    [
        pytest.param(check, kind, id=f"{check.id.rpartition('::')[2]}-{kind}")
        for check in ANYWHERE
        for kind in sorted(check.kinds)
    ],
)
def test_all_that_a_check_hands_over_is_on_the_implementation_s_device(
    elsewhere: str, check: Check, kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    # torch.nn's class would excuse itself.
    monkeypatch.setattr(properties, "excuse", lambda *_: None)
    subject = Subject(drop_in(getattr(torch.nn, kind.value)).on(elsewhere), kind, FEW)
    record = examine(check, subject)
    assert record.outcome in (Outcome.PASSED, Outcome.UNSUPPORTED, Outcome.UNTESTED), record.failure


def test_what_mixes_devices_is_refused_there(elsewhere: str) -> None:
    layer = torch.nn.GRU(2, 3).to(elsewhere)
    there, here = torch.ones(4, 1, 2, device=elsewhere), torch.ones(4, 1, 2)
    assert str(layer(there)[0].device) == elsewhere
    with pytest.raises(RuntimeError, match=MISMATCH):
        layer(here)
    with pytest.raises(TypeError, match="can't convert"):
        there.numpy()
    assert torch.equal(there.cpu(), here)


@pytest.mark.parametrize(("cls", "kind"), [(StateOnTheCPU, Kind.GRU), (ResultOnTheCPU, Kind.LSTM)])
def test_what_is_made_on_the_wrong_device_is_caught_on_a_feigned_one(
    elsewhere: str, cls: type[torch.nn.Module], kind: Kind
) -> None:
    records = [
        examine(check, Subject(drop_in(cls).on(elsewhere), kind, FEW))
        for check in WITHOUT_VALUES
        if kind in check.kinds
    ]
    failures = [record.failure for record in records if record.failure is not None]
    assert any(MISMATCH in failure.message or failure.sort is Sort.TYPE for failure in failures), (
        failures
    )


# What torch.nn itself does on a device is what is right there.


class Coarse(torch.nn.GRU):
    """As cuDNN: a little off."""

    error = 1e-4

    def forward(self, input: Any, hx: Any = None) -> Any:
        output, h_n = super().forward(input, hx)
        return mapped(lambda array: array * (1.0 + self.error), output), h_n


class Coarser(Coarse):
    error = 1e-3


class Raises(Coarse):
    def forward(self, input: Any, hx: Any = None) -> Any:
        raise RuntimeError("hx is not contiguous")


def found_beside(
    device: str, torchs: type[torch.nn.Module], cls: type[torch.nn.Module]
) -> dict[str, Record]:
    """What EQ-3's and EQ-7's checks find of ``cls`` where ``torch.nn`` itself has ``torchs``."""
    own = Subject(drop_in(torchs).on(device), Kind.GRU)
    with patch.object(deployment, "torchs", lambda subject: own):
        return {
            check.id: examine(check, Subject(drop_in(cls).on(device), Kind.GRU, FEW))
            for check in checks()
            if Kind.GRU in check.kinds and {"EQ-3", "EQ-7"} & set(check.clauses)
        }


def test_on_a_device_nothing_is_demanded_where_torch_s_own_class_fails(elsewhere: str) -> None:
    for torchs, cls in ((Coarse, Coarse), (Raises, Raises), (Coarse, torch.nn.GRU)):
        for check, record in found_beside(elsewhere, torchs, cls).items():
            assert record.outcome in (Outcome.PASSED, Outcome.UNSUPPORTED), check
            if cls is torchs and record.cases:
                assert "torch.nn.GRU" in str(record.reason), check


def test_what_is_worse_or_fails_otherwise_than_torch_s_own_class_is_not_excused(
    elsewhere: str,
) -> None:
    for torchs, cls in ((Coarse, Coarser), (Coarse, Raises), (Raises, Coarse)):
        found = found_beside(elsewhere, torchs, cls)
        failed = [check for check, record in found.items() if record.outcome is Outcome.FAILED]
        assert failed == [check for check, record in found.items() if record.cases], cls


def test_on_the_cpu_nothing_is_excused() -> None:
    found = found_beside("cpu", Coarse, Coarse)
    assert all(record.outcome is Outcome.FAILED for record in found.values() if record.cases)


def test_a_device_that_no_longer_answers_is_seen_after_a_check_that_failed(
    elsewhere: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(device: Any) -> None:
        raise RuntimeError("device-side assert triggered")

    assert not silenced("cpu")
    assert not silenced("meta")
    assert not silenced(elsewhere)
    monkeypatch.setattr(Generators, "synchronize", refuse)
    session = Session(source=Source("torch.nn.GRU", device=elsewhere), loaded=[drop_in(Coarse)])
    asked: dict[str, Any] = {
        "position": 0,
        "name": "x",
        "kind": "GRU",
        "profile": asdict(FEW),
        "seed": 0,
    }
    for check, lost in (
        ("test_shapes.py::test_output_is_steps_by_samples_by_directions_times_features", ""),
        ("test_equations.py::test_a_gru_resets_after_the_matrix_product", "no longer answers"),
    ):
        session.examine(**asked, check=f"conformance/{check}", without=[])
        assert lost in session.lost
        assert bool(session.lost) == bool(lost)


def test_a_process_whose_device_no_longer_answers_ends_and_says_so(tmp_path: Path) -> None:
    class Lost:
        lost = "cuda:0 no longer answers: device-side assert triggered"

        def __init__(self, observe: Any) -> None: ...

        def answer(self, request: Any) -> dict[str, Any]:
            return {}

    fork = multiprocessing.get_context("fork")
    (ours, theirs), (life, other) = fork.Pipe(), fork.Pipe()
    with patch("rnn_conformance.running.session.Session", Lost):
        process = fork.Process(target=serve, args=(theirs, other, str(tmp_path)))
        process.start()
    ours.send_bytes(json.dumps([0, 60, {"do": "examine"}]).encode())
    process.join(60)
    assert process.exitcode == GONE
    assert not ours.poll()
    assert Lost.lost in (tmp_path / "output").read_text("utf-8")
    life.close()


# Which devices there are.


def test_a_device_goes_by_its_full_name() -> None:
    assert drop_in(torch.nn.LSTM).on("meta").device == "meta"
    assert drop_in(torch.nn.LSTM).device == "cpu"


@pytest.mark.parametrize("name", ["no-such-device", "cuda:99"])
def test_a_device_that_is_not_there_is_refused_and_those_that_are_are_named(name: str) -> None:
    with pytest.raises(UsageError, match=f"no device '{name}'.*there is cpu") as caught:
        drop_in(torch.nn.LSTM).on(name)
    assert caught.value.refusal is Refusal.DEVICE


def test_the_command_says_so_in_one_line(tmp_path: Path) -> None:
    arguments = [
        "run",
        "torch.nn:LSTM",
        "--device",
        "cuda:99",
        "-n",
        "0",
        "--output",
        str(tmp_path),
    ]
    ended = CliRunner().invoke(main, arguments)
    assert ended.exit_code == Exit.USAGE
    (line,) = ended.stderr.strip().splitlines()
    assert line.startswith("rnn-conformance: there is no device 'cuda:99' here")


@implementation(kinds=["GRU"])
def function(config: Config, parameters: Any) -> Any:
    raise NotImplementedError


def test_a_function_over_numpy_arrays_computes_on_the_cpu() -> None:
    assert function.on("cpu") is function
    with pytest.raises(Unsupported, match="CPU") as caught:
        function.on("cuda")
    assert caught.value.gap is Gap.NO_DEVICE
    with pytest.raises(UsageError, match=r"numpy_loops.*without --device"):
        Selection(("numpy_loops",), device="cuda").subjects()


def test_meta_has_nothing_to_compare() -> None:
    with pytest.raises(UsageError, match="no values"):
        Selection(("torch.nn:LSTM",), device="meta")


# TF32, which is not float32.


class TF32(Oracle):
    """The oracle, except that both factors of a matrix product are cut to 11 bits."""

    def weights(self, call: Call, layer: int, direction: int) -> Weights:
        whole = super().weights(call, layer, direction)
        return replace(
            whole,
            w_ih=cut(whole.w_ih),
            w_hh=cut(whole.w_hh),
            w_hr=None if whole.w_hr is None else cut(whole.w_hr),
        )

    def input_side(self, weights: Weights, x: Array) -> Array:
        return super().input_side(weights, cut(x))

    def state_side(self, weights: Weights, h: Array) -> Array:
        return super().state_side(weights, cut(h))


def cut(array: Array) -> Array:
    """The leading 11 bits of each number, the others dropped."""
    bits = array.astype(np.float32).view(np.uint32) & np.uint32(0xFFFFE000)
    cut: Array = bits.view(np.float32).astype(np.float64)
    return cut


def off(call: Call, *, tf32: bool) -> float:
    """By how many times its bound the worst element of TF32's output is off."""
    due = expected(call, tf32=tf32)
    error, bound = np.abs(TF32().answer(call).output - due["output"]), due.bounds["output"]
    # relu gives zero exactly, with a bound of zero.
    with np.errstate(invalid="ignore"):
        excess = np.where(error > 0.0, error / bound, 0.0)
    return float(excess[call.steps].max())


@pytest.mark.parametrize("kind", [Kind.RNN, Kind.LSTM, Kind.GRU])
def test_tf32_lies_within_its_own_bound_and_beyond_that_of_float32(kind: Kind) -> None:
    calls = [
        random_case(kind, seed, Dtype.FLOAT32, values=Values.TYPICAL).call() for seed in range(60)
    ]
    assert max(off(call, tf32=True) for call in calls) <= 1.0
    # Most of the time; one step of a narrow layer may happen to be exact.
    assert np.median([off(call, tf32=False) for call in calls]) > 3.0


def test_tf32_changes_nothing_for_other_dtypes() -> None:
    call = random_case(Kind.LSTM, 1, Dtype.FLOAT64).call()
    plain, declared = expected(call), expected(call, tf32=True)
    assert np.array_equal(plain.bounds["output"], declared.bounds["output"])


class Declared(torch.nn.LSTM):
    rnn_conformance = {"tf32": True}  # noqa: RUF012


def test_tf32_counts_where_it_is_declared_and_on_an_accelerator_alone() -> None:
    assert drop_in(Declared).on("meta").declaration.tf32
    assert not drop_in(Declared).declaration.tf32
    assert not drop_in(Declared).on("cpu").declaration.tf32
    assert not drop_in(torch.nn.LSTM).on("meta").declaration.tf32
    assert drop_in(torch.nn.LSTM, tf32=True).on("meta").declaration.tf32

"""Devices other than the CPU, where there is none: shapes, dtypes and devices on ``meta``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from rnn_conformance import drop_in, implementation
from rnn_conformance.bounds import reference
from rnn_conformance.calls import Array, Call
from rnn_conformance.cases import Values
from rnn_conformance.cli import USAGE, main
from rnn_conformance.errors import Unsupported, UsageError
from rnn_conformance.oracle import Oracle, Weights
from rnn_conformance.results import Outcome
from rnn_conformance.selection import Selection
from rnn_conformance.spec import Config, Dtype, Feature, Kind
from rnn_conformance.subject import Profile, Subject
from rnn_conformance.suite import checks, examine

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
    found = drop_in(cls).on("meta")
    # To unpack, torch reads the samples' order, which is a value.
    features = found.declaration.features - {Feature.PACKED}
    declaration = replace(found.declaration, features=features)
    return Subject(replace(found, declaration=declaration), kind, FEW, seed)


@pytest.mark.parametrize("kind", list(Kind))
def test_the_path_to_another_device_works(kind: Kind) -> None:
    applicable = [check for check in WITHOUT_VALUES if kind in check.kinds]
    assert applicable
    for check in applicable:
        record = examine(check, on_meta(getattr(torch.nn, kind.value), kind))
        assert record.outcome is Outcome.PASSED, record.failure


@pytest.mark.parametrize(
    ("cls", "kind", "message"),
    [(StateOnTheCPU, Kind.GRU, "raised"), (ResultOnTheCPU, Kind.LSTM, "on cpu; the input is")],
)
def test_what_is_made_on_the_wrong_device_is_caught_there_and_not_here(
    cls: type[torch.nn.Module], kind: Kind, message: str
) -> None:
    (check,) = (each for each in WITHOUT_VALUES if "dtype_and_device" in each.id)
    assert examine(check, Subject(drop_in(cls), kind)).outcome is Outcome.PASSED
    record = examine(check, on_meta(cls, kind))
    assert record.outcome is Outcome.FAILED
    assert record.failure is not None
    assert record.failure.fault == "implementation"
    assert message in record.failure.message


def test_a_device_goes_by_its_full_name() -> None:
    assert drop_in(torch.nn.LSTM).on("meta").device == "meta"
    assert drop_in(torch.nn.LSTM).device == "cpu"


@pytest.mark.parametrize("name", ["no-such-device", "cuda:99"])
def test_a_device_that_is_not_there_is_refused_and_those_that_are_are_named(name: str) -> None:
    with pytest.raises(UsageError, match=f"no device '{name}'.*there is cpu"):
        drop_in(torch.nn.LSTM).on(name)


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
    assert ended.exit_code == USAGE
    (line,) = ended.stderr.strip().splitlines()
    assert line.startswith("rnn-conformance: there is no device 'cuda:99' here")


@implementation(kinds=["GRU"])
def function(config: Config, parameters: Any) -> Any:
    raise NotImplementedError


def test_a_function_over_numpy_arrays_computes_on_the_cpu() -> None:
    assert function.on("cpu") is function
    with pytest.raises(Unsupported, match="CPU"):
        function.on("cuda")
    with pytest.raises(UsageError, match=r"numpy_loops.*without --device"):
        Selection(("numpy_loops",), device="cuda").subjects()


def test_meta_has_nothing_to_compare() -> None:
    with pytest.raises(UsageError, match="no values"):
        Selection(("torch.nn:LSTM",), device="meta")


# TF32, which is not float32.


class TF32(Oracle):
    """The oracle, except that both factors of a matrix product are cut to 11 bits."""

    def weights(self, call: Call, layer: int, direction: int) -> Weights:
        found = super().weights(call, layer, direction)
        return replace(
            found,
            w_ih=cut(found.w_ih),
            w_hh=cut(found.w_hh),
            w_hr=None if found.w_hr is None else cut(found.w_hr),
        )

    def input_side(self, weights: Weights, x: Array) -> Array:
        return super().input_side(weights, cut(x))

    def step(
        self, config: Config, weights: Weights, zx: Array, h: Array, c: Array
    ) -> tuple[Array, Array, Array, Array]:
        _, gates, new_h, new_c = super().step(config, weights, zx, cut(h), c)
        if config.kind is Kind.GRU:
            # h itself is no factor of a matrix product.
            new_h = self.gru_step(gates, h)
        return h @ weights.w_hh.T, gates, new_h, new_c


def cut(array: Array) -> Array:
    """The leading 11 bits of each number, the others dropped."""
    bits = array.astype(np.float32).view(np.uint32) & np.uint32(0xFFFFE000)
    cut: Array = bits.view(np.float32).astype(np.float64)
    return cut


def off(call: Call) -> float:
    """By how many times its bound the worst element of TF32's output is off."""
    expected = reference(call)
    error = np.abs(TF32().answer(call).output - expected.output)
    # relu gives zero exactly, with a bound of zero.
    with np.errstate(invalid="ignore"):
        excess = np.where(error > 0.0, error / expected.output_bound, 0.0)
    return float(excess[call.steps].max())


@pytest.mark.parametrize("kind", [Kind.RNN, Kind.LSTM, Kind.GRU])
def test_tf32_lies_within_its_own_bound_and_beyond_that_of_float32(kind: Kind) -> None:
    from random_calls import random_case

    within, beyond = [], []
    for seed in range(60):
        case = random_case(kind, seed, Dtype.FLOAT32, values=Values.TYPICAL)
        within.append(off(replace(case, tf32=True).call()))
        beyond.append(off(case.call()))
    assert max(within) <= 1.0
    # Most of the time; one step of a narrow layer may happen to be exact.
    assert np.median(beyond) > 3.0


def test_tf32_changes_nothing_for_other_dtypes() -> None:
    from random_calls import random_case

    case = random_case(Kind.LSTM, 1, Dtype.FLOAT64)
    plain, declared = reference(case.call()), reference(replace(case, tf32=True).call())
    assert np.array_equal(plain.output_bound, declared.output_bound)


class Declared(torch.nn.LSTM):
    rnn_conformance = {"tf32": True}  # noqa: RUF012


def test_tf32_counts_where_it_is_declared_and_on_an_accelerator_alone() -> None:
    assert drop_in(Declared).on("meta").declaration.tf32
    assert not drop_in(Declared).declaration.tf32
    assert not drop_in(Declared).on("cpu").declaration.tf32
    assert not drop_in(torch.nn.LSTM).on("meta").declaration.tf32
    assert drop_in(torch.nn.LSTM, tf32=True).on("meta").declaration.tf32

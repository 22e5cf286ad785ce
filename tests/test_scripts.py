"""The script of a failure is its proof: 1 as long as it fails, 0 if it is mended."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from rnn_conformance.checking.checks import checks
from rnn_conformance.checking.examining import examine
from rnn_conformance.checking.probing import probe
from rnn_conformance.checking.subject import PROFILES, Profile, Subject
from rnn_conformance.implementations.registry import load
from rnn_conformance.mutants import BACKWARD, FORWARD, WRITTEN, Mutant
from rnn_conformance.results.records import Failure, Outcome
from rnn_conformance.running.trials import Choice
from rnn_conformance.spec.config import Kind

WRITTEN_BY_HAND = """
import torch
from torch import nn


class Layer(nn.Module):
    rnn_conformance = {{"kind": "GRUCell", "level": "training"}}

    def __init__(self, input_size, hidden_size, bias=True, device=None, dtype=None):
        super().__init__()
        self.hidden_size, self.bias = hidden_size, bias
        k = hidden_size**-0.5

        def drawn(*shape):
            return nn.Parameter(torch.empty(*shape, device=device, dtype=dtype).uniform_(-k, k))

        self.weight_ih = drawn(3 * hidden_size, input_size)
        self.weight_hh = drawn(3 * hidden_size, hidden_size)
        self.bias_ih = drawn(3 * hidden_size) if bias else None
        self.bias_hh = drawn(3 * hidden_size) if bias else None

    def forward(self, input, hx=None):
        h = input.new_zeros(*input.shape[:-1], self.hidden_size) if hx is None else hx
        x = nn.functional.linear(input, self.weight_ih, self.bias_ih).chunk(3, -1)
        g = nn.functional.linear(h, self.weight_hh, self.bias_hh).chunk(3, -1)
        r, z = torch.sigmoid(x[0] + g[0]), torch.sigmoid(x[1] + g[1])
        n = torch.tanh(x[2] + r * g[2])
        return {given}
"""

RIGHT = "(1 - z) * n + z * h"

OF_ARRAYS = """
import numpy as np

from rnn_conformance import implementation


@implementation(kinds=["RNN"], features=["initial_state"])
def loop(config, parameters):
    w, u, b, c = parameters.values()

    def run(x, h):
        hs = [h]
        for step in x:
            hs.append(np.tanh(step @ w.T + b + hs[-1] @ u.T + c))
        return hs

    def start(input, state):
        zeros = np.zeros_like(input, shape=(input.shape[1], config.hidden_size))
        return zeros if state is None else state[0]

    def layer(input, state=None, lengths=None):
        if config.features or lengths is not None:
            raise NotImplementedError("plain calls alone")
        hs = run(input, start(input, state))
        return np.stack(hs[1:]){off}, hs[-1][None]

    return layer
"""


def failing(file: Path, kind: Kind, check: str) -> str:
    """The script of a check that fails."""
    (implementation,) = load(str(file))
    (chosen,) = (one for one in checks() if one.id.endswith(f"::test_{check}"))
    probed = probe(implementation, kind).implementation
    record = examine(chosen, Subject(probed, kind, PROFILES["quick"]))
    assert record.failure is not None, record.reason
    assert record.failure.script is not None
    return record.failure.script


A_MUTANT = """
from rnn_conformance.mutants import CATALOGUE
from rnn_conformance.spec.config import Kind

mutant = next(one for one in CATALOGUE if one.name == {name!r})
implementation = mutant.implementation(Kind({kind!r}))
"""
FEW = Profile("a few", 5, 20)
ON_PURPOSE = sorted(Path("impls/failing_on_purpose").resolve().glob("*.py"))


def failures(file: Path, kind: Kind, choice: Choice, mutant: Mutant | None = None) -> list[Failure]:
    """Of an implementation in a file: all, or the first by a check that is to kill the mutant."""
    implementation = next(one for one in load(str(file)) if kind in one.declaration.kinds)
    subject = Subject(probe(implementation, kind).implementation, kind, FEW)
    found = []
    for check in choice.due(mutant, kind) if mutant else checks():
        if kind in check.kinds:
            record = examine(check, subject)
            if record.outcome is Outcome.FAILED and record.failure:
                found.append(record.failure)
                if mutant:
                    break
    return found


def run(script: str, folder: Path) -> tuple[int, str]:
    """As somebody would, beside the implementation's file."""
    (folder / "script.py").write_text(script, "utf-8")
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=folder, capture_output=True, text=True, timeout=250
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("given", "check", "told"),
    [
        pytest.param(
            "(1 - z) * h + z * n",
            "one_step_is_what_the_equations_say",
            "h_n at sample",
            id="a value",
        ),
        pytest.param(
            "(1 - z.detach()) * n + z.detach() * h",
            "gradients_in_training_mode",
            "gradient of",
            id="a gradient",
        ),
        pytest.param(
            "((1 - z) * n + z * h)[..., : -1 if h.shape[-1] > 4 else None]",
            "a_batch_gives_a_state_of_samples_by_hidden_size",
            "h_n",
            id="another shape",
        ),
        pytest.param(
            "[][0] if h.shape[-1] > 4 else (1 - z) * n + z * h",
            "one_step_is_what_the_equations_say",
            "IndexError",
            id="an exception",
        ),
        pytest.param(
            "(1 - z) * h + z * n",
            "a_cell_unrolled_equals_the_layer",
            "equals the one-layer module: output at",
            id="a cell beside the layer",
        ),
    ],
)
def test_it_fails_until_the_layer_is_mended(
    given: str, check: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = Path("layer.py")
    file.write_text(WRITTEN_BY_HAND.format(given=given), "utf-8")
    script = failing(file, Kind.GRU_CELL, check)
    code, said = run(script, tmp_path)
    assert (code, told in said) == (1, True), said
    file.write_text(WRITTEN_BY_HAND.format(given=RIGHT), "utf-8")
    code, said = run(script, tmp_path)
    assert code == 0, said


def test_a_function_over_arrays_has_one_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = Path("loop.py")
    file.write_text(OF_ARRAYS.format(off=" + 0.25"), "utf-8")
    script = failing(file, Kind.RNN, "an_elman_network_with_tanh")
    code, said = run(script, tmp_path)
    assert (code, "output at" in said) == (1, True), said
    file.write_text(OF_ARRAYS.format(off=""), "utf-8")
    assert run(script, tmp_path)[0] == 0


SEVERAL = """
import contextlib, io, json, runpy, sys

for file in sys.argv[1:]:
    said, code = io.StringIO(), None
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            runpy.run_path(file, run_name="__main__")
        except SystemExit as exit:
            code = exit.code
        except Exception as error:
            code = type(error).__name__
    print(json.dumps([code, said.getvalue()]))
"""


def shown(found: list[Failure], folder: Path) -> None:
    """The script of each fails, by an exception only where that is the failure."""
    files = [folder / f"script_{number}.py" for number in range(len(found))]
    for file, failure in zip(files, found, strict=True):
        assert failure.script is not None, failure.message
        # A diagnosis takes a line of its own, later.
        assert len(failure.script.splitlines()) < 39, failure.script
        file.write_text(failure.script, "utf-8")
    done = subprocess.run(
        [sys.executable, "-c", SEVERAL, *map(str, files)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=280,
    )
    ended = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(ended) == len(found), done.stderr
    for (code, said), failure in zip(ended, found, strict=True):
        raised = isinstance(code, str) and f"raised {code}" in failure.message
        assert code == 1 or raised, f"{failure.message}\n\n{failure.script}\n\n{code}: {said}"


@pytest.mark.parametrize(
    "mutant",
    [pytest.param(chapter[0], id=chapter.title) for chapter in (*FORWARD, *BACKWARD, *WRITTEN)],
)
def test_a_mutant_of_each_chapter_has_one(
    mutant: Mutant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    kind = sorted(mutant.kinds)[0]
    file = Path("a_mutant.py")
    file.write_text(A_MUTANT.format(name=mutant.name, kind=kind.value), "utf-8")
    shown(failures(file, kind, Choice(), mutant)[:1], tmp_path)


# Every check of a layer, and then the scripts of those that fail.
@pytest.mark.timeout(900)
@pytest.mark.parametrize("file", ON_PURPOSE, ids=lambda file: file.stem)
def test_all_failures_of_what_fails_on_purpose_have_one(file: Path, tmp_path: Path) -> None:
    for implementation in load(str(file)):
        (kind,) = implementation.declaration.kinds
        found = failures(file, kind, Choice())
        assert found
        shown(found, tmp_path)

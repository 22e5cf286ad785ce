"""``describe`` prints the declaration that makes what it found no finding any more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from rnn_conformance.checking.probing import probe
from rnn_conformance.cli import main
from rnn_conformance.implementations.registry import load
from rnn_conformance.running.describing import described
from rnn_conformance.spec.config import Kind

LACKING = """\
import torch


class {name}(torch.nn.LSTM):
    {declaration}

    def __init__(self, input_size, hidden_size, num_layers=1, bias=True, batch_first=True):
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first)

    def forward(self, input, hx=None):
        if not isinstance(input, torch.Tensor) and input.sorted_indices is not None:
            raise NotImplementedError("lengths must fall")
        return super().forward(input, hx)
"""

FOUND = {
    "without": ["bidirectional", "dropout", "projection", "unsorted"],
    "defaults": {"batch_first": True},
    "factory_arguments": False,
}


def file_of(folder: Path, declaration: str = "pass", name: str = "MyLSTM") -> Path:
    file = folder / f"{name.lower()}.py"
    file.write_text(LACKING.format(declaration=declaration, name=name))
    return file


def declared(text: str) -> Any:
    """What a printed declaration says."""
    namespace: dict[str, Any] = {}
    exec(text, namespace)
    return namespace.get("rnn_conformance")


def test_what_is_printed_is_what_was_found(tmp_path: Path) -> None:
    (text,) = described(str(file_of(tmp_path)))
    assert declared(text) == FOUND
    assert "# projection is declared, and " in text
    assert "# batch_first is True unless told" in text


def test_what_is_printed_is_no_finding_once_it_is_pasted(tmp_path: Path) -> None:
    (text,) = described(str(file_of(tmp_path)))
    file = file_of(tmp_path, f"rnn_conformance = {declared(text)!r}", "Pasted")
    (implementation,) = load(str(file))
    probed = probe(implementation, Kind.LSTM)
    assert (probed.unusable, probed.refused, probed.defaults) == (None, {}, {})
    (again,) = described(str(file))
    assert declared(again) == FOUND
    assert "is declared, and" not in again


def test_who_leaves_nothing_out_has_nothing_to_declare() -> None:
    (text,) = described("torch.nn:GRU")
    assert declared(text) is None
    assert "nothing to declare" in text


def test_a_function_gets_the_arguments_of_its_decorator() -> None:
    texts = list(described("textbook_lstm"))
    assert len(texts) == 1
    assert "@implementation(" in texts[0]
    assert "features=['empty_batch', 'initial_state']" in texts[0]


def test_what_cannot_be_used_is_said_to_be(tmp_path: Path) -> None:
    file = tmp_path / "broken.py"
    file.write_text(
        "import torch\n\n\nclass MyGRU(torch.nn.GRU):\n    def forward(self):\n        pass\n"
    )
    (text,) = described(str(file))
    assert "it cannot be tested" in text


@pytest.mark.parametrize(("target", "code"), [("torch.nn:GRU", 0), ("nowhere.py", 2)])
def test_the_command_prints_it(target: str, code: int) -> None:
    ran = CliRunner().invoke(main, ["describe", target])
    assert ran.exit_code == code
    assert ("nothing to declare" in ran.output) is (code == 0)


WITHOUT_PARAMETERS = """\
import torch


class MyGRU(torch.nn.Module):
    rnn_conformance = {"level": "inference"}

    def __init__(self, *args, **keywords):
        super().__init__()
        self.__dict__["layer"] = torch.nn.GRU(*args, **keywords)

    def load_state_dict(self, state_dict, strict=True):
        return self.layer.load_state_dict(state_dict)

    def _apply(self, fn, recurse=True):
        self.layer._apply(fn)
        return self

    def forward(self, input, hx=None):
        return self.layer(input, hx)
"""


def test_what_has_no_parameters_is_not_asked_for_their_names(tmp_path: Path) -> None:
    file = tmp_path / "layers.py"
    file.write_text(WITHOUT_PARAMETERS, "utf-8")
    (text,) = described(f"{file}:MyGRU")
    assert "# it has no parameters: what needs them by name is not run" in text
    assert "say so by role" not in text

"""What a file on the command line stands for where its classes do not tell their kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from rnn_conformance.errors import UsageError
from rnn_conformance.implementations.registry import load
from rnn_conformance.spec.config import Kind

NET = """\
import torch
from torch.nn.utils.rnn import PackedSequence


class Net(torch.nn.Module):
    pass


class _Own(torch.nn.Module):
    pass
"""


def file_of(folder: Path, text: str) -> str:
    file = folder / "net.py"
    file.write_text(text)
    return str(file)


def test_its_one_class_is_of_the_kind_that_is_said(tmp_path: Path) -> None:
    file = file_of(tmp_path, NET)
    (implementation,) = load(file, "GRU")
    assert implementation.declaration.kinds == {Kind.GRU}
    assert implementation.target == f"{file}:Net"


def test_without_a_kind_it_is_said_how_to_name_its_class(tmp_path: Path) -> None:
    file = file_of(tmp_path, NET)
    with pytest.raises(UsageError, match=r"as in .*net\.py:Net --kind LSTM$"):
        load(file)


def test_of_several_classes_none_is_taken(tmp_path: Path) -> None:
    file = file_of(tmp_path, NET + "\n\nclass Other(torch.nn.Module):\n    pass\n")
    with pytest.raises(UsageError, match="holds no implementation"):
        load(file, "GRU")


def test_where_one_tells_its_kind_the_others_are_left_out(tmp_path: Path) -> None:
    file = file_of(tmp_path, NET + "\n\nclass MyLSTM(torch.nn.LSTM):\n    pass\n")
    (implementation,) = load(file, "GRU")
    assert implementation.name.endswith("MyLSTM")

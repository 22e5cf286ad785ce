"""What is read of a process's own files is bounded, whatever it writes."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from rnn_conformance.running.scratch import TAIL, Scratch


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scratch]:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    made = Scratch()
    yield made
    made.remove()


def test_the_end_of_an_output_is_told(scratch: Scratch) -> None:
    (scratch.folder / "output").write_bytes(b"begun" + b"." * TAIL + b"ended")
    assert scratch.tail().endswith("ended")
    assert "begun" not in scratch.tail()


class Growing(io.BytesIO):
    """An output that goes on as far as it is read: a flood is as fast as who reads it."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file.read())
        self._file = file

    def fileno(self) -> int:
        return self._file.fileno()

    def read(self, size: int | None = -1) -> bytes:
        assert size is not None
        assert size >= 0, "it is read to its end, and has none"
        return super().read(size)


def test_an_output_is_not_read_to_its_end(
    scratch: Scratch, monkeypatch: pytest.MonkeyPatch
) -> None:
    (scratch.folder / "output").write_bytes(b"begun" + b"." * TAIL + b"ended")
    monkeypatch.setattr(scratch, "_output", Growing(scratch._output))
    assert scratch.tail().endswith("ended")

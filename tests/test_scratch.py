"""What is read of a process's own files is bounded, whatever it writes."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

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


def test_of_an_output_that_grows_while_it_is_read_no_more_is_read(
    scratch: Scratch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flood is as fast as the one who reads it: to read to its end would have no end."""
    with (scratch.folder / "output").open("wb") as flooded:
        flooded.truncate(64 * 2**20)
    # As it was when it was asked how far it goes.
    monkeypatch.setattr(scratch, "written", lambda: TAIL)
    tracemalloc.start()
    try:
        scratch.tail()
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 2**22, f"{most} bytes were held for the last {TAIL}"

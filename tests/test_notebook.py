"""A notebook, run as Jupyter runs it: what its reader sees, and what of ours they do not."""

from __future__ import annotations

from dataclasses import dataclass
from html import unescape
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

LAYER = """
import torch
import rnn_conformance


class MyGRU(torch.nn.GRU):
    tried = 0

    def forward(self, input, hx=None):
        MyGRU.tried += 1
        output, h_n = super().forward(input, hx)
        return output, torch.zeros_like(h_n)
"""

LOCAL = """
def made():
    class Local(torch.nn.GRU):
        pass

    return Local


rnn_conformance.run(made())
"""

WRONG = {
    "a kind": 'rnn_conformance.run(MyGRU, kinds="LSTMs")',
    "a file": 'rnn_conformance.run("nowhere.py:Layer")',
    "a clause": 'rnn_conformance.run(MyGRU, select=["EQ-99"])',
    "a seed": 'rnn_conformance.run(MyGRU, seed="x")',
    "no class": "rnn_conformance.run(MyGRU(3, 4))",
    "a class of a function": LOCAL,
}


@dataclass
class Notebook:
    """Cells that were run, by name, and what came out of each."""

    outputs: dict[str, list[Any]]

    def shown(self, name: str, sort: str) -> str:
        """What the last expression of a cell is shown as, as this sort of text."""
        (output,) = self.outputs[name]
        return str(output["data"][sort])

    def traceback(self, name: str) -> list[str]:
        """What is shown of an exception."""
        (output,) = self.outputs[name]
        assert output["output_type"] == "error"
        return [*output["traceback"]]


@pytest.fixture(scope="module")
def notebook(tmp_path_factory: pytest.TempPathFactory) -> Notebook:
    cells = {
        "layer": LAYER,
        "run": 'found = rnn_conformance.run(MyGRU, kinds="gru", select="EQ-5")\nfound',
        "tried": "MyGRU.tried > 0",
        **WRONG,
    }
    of = nbformat.v4
    made = [of.new_code_cell(source) for source in cells.values()]  # type: ignore[no-untyped-call]
    written = of.new_notebook(cells=made)  # type: ignore[no-untyped-call]
    folder = tmp_path_factory.mktemp("notebook")
    with pytest.MonkeyPatch.context() as patch:
        # What Jupyter keeps for its user is not theirs.
        for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR"):
            patch.setenv(name, str(folder / name))
        NotebookClient(written, timeout=250, allow_errors=True, kernel_name="python3").execute()
    return Notebook({name: cell.outputs for name, cell in zip(cells, written.cells, strict=True)})


def test_a_result_is_told_in_a_line_with_what_fails(notebook: Notebook) -> None:
    assert notebook.shown("run", "text/plain") == "<Results: __main__:MyGRU[GRU] fails EQ-5>"


def test_a_result_is_shown_as_its_report_in_a_frame(notebook: Notebook) -> None:
    frame = notebook.shown("run", "text/html")
    assert frame.startswith("<iframe srcdoc=")
    page = unescape(frame)
    assert "MyGRU" in page
    assert "EQ-5" in page


def test_a_class_of_the_notebook_is_run_in_its_process(notebook: Notebook) -> None:
    assert notebook.shown("tried", "text/plain") == "True"


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_call_is_told_in_one_line_without_our_frames(notebook: Notebook, name: str) -> None:
    (line,) = notebook.traceback(name)
    assert line.startswith("UsageError: ")
    assert "\n" not in line

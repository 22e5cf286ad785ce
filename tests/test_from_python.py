"""The same from Python, in a session or a notebook, where a class is of no file."""

from __future__ import annotations

import subprocess
import sys
import traceback
from pathlib import Path

import pytest
from torch import nn

import rnn_conformance
from rnn_conformance.errors import UsageError

SESSION = """
import torch
import rnn_conformance


class MyGRU(torch.nn.GRU):
    def forward(self, input, hx=None):
        output, h_n = super().forward(input, hx)
        return output, torch.zeros_like(h_n)


if __name__ == "__main__":
    found = rnn_conformance.run(MyGRU, torch.nn.GRU, kinds="GRU", select="EQ-5", seed=3)
    print(found)
    print(found.failing)
    print(bool(found), found._repr_html_()[:14])
"""


def test_a_class_of_a_session_is_tested_in_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-"],
        input=SESSION,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 0, done.stderr
    verdicts, failing, frame = done.stdout.splitlines()
    assert "__main__:MyGRU[GRU] fails" in verdicts
    assert "torch.nn.modules.rnn:GRU[GRU] conforms as selected" in verdicts
    assert "'__main__:MyGRU[GRU]': ['EQ-5']" in failing
    assert frame == "False <iframe srcdoc"


def test_a_class_that_nobody_can_name_is_refused_in_a_line() -> None:
    class Local(nn.GRU):
        pass

    with pytest.raises(UsageError, match=r"made in a function.*top level") as refused:
        rnn_conformance.run(Local)
    # What a notebook shows of it.
    (line,) = refused.value._render_traceback_()
    assert line == f"UsageError: {refused.value}"


def test_one_word_is_a_word_and_not_its_letters() -> None:
    with pytest.raises(UsageError, match="'LSTMs'"):
        rnn_conformance.run("torch.nn.LSTM", kinds="LSTMs")


def test_a_wrong_call_is_told_at_the_callers_line() -> None:
    with pytest.raises(UsageError) as refused:
        rnn_conformance.run("torch.nn.LSTM", select="EQ-99")
    own, ours = traceback.extract_tb(refused.value.__traceback__)
    assert own.filename == __file__
    assert ours.name == "run"
    assert "".join(traceback.format_exception(refused.value)).count("Traceback") == 1

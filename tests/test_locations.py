"""No text that goes into a file tells where things lie on a machine."""

from __future__ import annotations

import sys
import tempfile
import threading
import traceback
from pathlib import Path

import jinja2
import pytest

import rnn_conformance
from rnn_conformance.locations import bundled, file_of, relative

SOMEWHERE = "/".join(("", "home", "somebody"))
"""A folder of a machine, and in no single piece in this file."""


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (rnn_conformance.__file__, "rnn_conformance/__init__.py"),
        (str(bundled("conformance") / "test_state.py"), "conformance/test_state.py"),
        (str(Path.cwd() / "layers" / "mine.py"), "layers/mine.py"),
        (str(Path.home() / "layers" / "mine.py"), "layers/mine.py"),
        (str(Path(tempfile.gettempdir()) / "scratch" / "x.py"), "scratch/x.py"),
        (jinja2.__file__, "jinja2/__init__.py"),
        (threading.__file__, "threading.py"),
        (f"{SOMEWHERE}/layers/mine.py", "mine.py"),
        (f"file://{SOMEWHERE}/mine.py", "mine.py"),
        ("\\".join(("C:", "Users", "somebody", "mine.py")), "mine.py"),
    ],
)
@pytest.mark.parametrize("text", ["{}", 'File "{}", line 3', "({})", "it is missing:{}", "a={}."])
def test_a_file_is_named_from_the_nearest_folder_or_by_its_name(
    text: str, path: str, name: str
) -> None:
    assert relative(text.format(path)) == text.format(name)


@pytest.mark.parametrize(
    "text",
    [
        "https://docs.pytorch.org/docs/stable/nn.html",
        "layers/mine.py, ./layers/mine.py, ../mine.py, ~/mine.py",
        "</b> 3 / 4 1/2 input/hidden EQ-1/EQ-2 //",
        r"\d+/\s \n\t",
        "",
    ],
)
def test_what_is_no_path_of_a_machine_stays(text: str) -> None:
    assert relative(text) == text


def test_the_nearest_folder_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [f"{SOMEWHERE}/lib", f"{SOMEWHERE}/lib/deep", "/", "", "."])
    assert relative(f"{SOMEWHERE}/lib/deep/mine.py") == "mine.py"
    assert relative(f"{SOMEWHERE}/lib/other/mine.py") == "other/mine.py"


def test_a_traceback_is_named_alike_on_every_machine() -> None:
    try:
        bundled("nothing of that name")
    except Exception as error:
        text = relative("".join(traceback.format_exception(error)))
    assert 'File "rnn_conformance/locations.py"' in text
    assert str(Path(__file__).parents[1]) not in text


@pytest.mark.parametrize(
    ("target", "file"),
    [
        ("path/to/layers.py:MyLSTM", "path/to/layers.py"),
        ("layers.py", "layers.py"),
        ("package.layers:MyLSTM", ""),
        ("numpy_loops", ""),
        ("command:python engine.py", ""),
        ("", ""),
    ],
)
def test_of_a_target_the_file_is_known(target: str, file: str) -> None:
    assert file_of(target) == file

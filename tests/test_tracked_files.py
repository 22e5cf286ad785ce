"""No file of the repository says where anything lies on somebody's machine."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

ABSOLUTE = re.compile(
    rb"""
    (?<![\w.~/\\-])                                  # no part of a relative path or of a URL
    (?:
        (?:file://)?/(?:home|root|tmp|work|Users|private)/[^\s/]
        | [A-Za-z]:[\\/]+(?:[^\s\\/:"'<>|]+[\\/]+)
        | /(?:[^\s/:"'<>|]+/)*(?:site|dist)-packages/
    )
    """,
    re.VERBOSE,
)
"""The beginning of a path that only one machine has."""

ALLOWED: dict[str, str] = {}
"""Files that need such a path, each with its reason."""


def tracked() -> dict[str, bytes]:
    """The files of the repository that are text, by their paths in it."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("this is no checkout")
    listed = subprocess.run(
        [git, "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    names = [name for name in listed.stdout.split("\0") if (ROOT / name).is_file()]
    contents = {name: (ROOT / name).read_bytes() for name in names}
    return {name: content for name, content in contents.items() if b"\0" not in content}


def test_no_tracked_file_holds_an_absolute_path_of_a_machine() -> None:
    paths = {
        name: match[0].decode("utf-8", "replace")
        for name, content in tracked().items()
        if name not in ALLOWED and (match := ABSOLUTE.search(content))
    }
    assert not paths


def test_no_tracked_file_is_a_link_out_of_the_repository() -> None:
    links = [name for name in tracked() if (ROOT / name).is_symlink()]
    assert not [name for name in links if not (ROOT / name).resolve().is_relative_to(ROOT)]


@pytest.mark.parametrize("parts", [("home", "me"), ("root", "x"), ("tmp", "a"), ("Users", "me")])
@pytest.mark.parametrize(
    "text", ["{}", 'File "{}"', "({})", "path: {}", "file://{}", '\\"{}\\"', "a={}"]
)
def test_such_a_path_is_found(parts: tuple[str, ...], text: str) -> None:
    path = "/".join(("", *parts))
    assert ABSOLUTE.search(text.format(path).encode())


@pytest.mark.parametrize(
    "path",
    [
        "\\".join(("C:", "Users", "me")),
        "\\\\".join(("D:", "layers", "mine.py")),
        "/".join(("", "opt", "lib", "site-packages", "torch")),
    ],
)
def test_that_of_another_system_or_environment_too(path: str) -> None:
    assert ABSOLUTE.search(f'File "{path}"'.encode())


@pytest.mark.parametrize(
    "text",
    [
        "https://example.org/home/me",
        "conformance/test_state.py, ./tmp/a, ../root/x",
        "in site-packages/torch",
        "#!/usr/bin/env bash",
        r"\d:\s and C:",
    ],
)
def test_what_is_none_is_left_alone(text: str) -> None:
    assert not ABSOLUTE.search(text.encode())

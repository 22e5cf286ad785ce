"""Compiles a program from its sources, once for each state that they are in.

What is compiled lies in the user's folder for caches, never beside the sources, which may not be
writable.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rnn_conformance.errors import Refusal, UsageError
from rnn_conformance.texts import LINE, kept

LIMIT = 300
"""Seconds that a compiler may take."""

PROGRAM = "{program}"
"""What stands for the file that is made, in the words of a command."""


def built(words: Sequence[str], folder: Path) -> Path:
    """The program that a compiler makes, called as ``words`` say, in the folder of the sources.

    Those words that name files there are the sources. Raises ``UsageError`` with
    ``Refusal.PACKAGE`` where there is no such compiler, or it makes no program.
    """
    compiler = shutil.which(words[0])
    if compiler is None:
        raise _unavailable(f"{words[0]} is not installed, with which it is compiled")
    place = _cache() / _key([compiler, *words[1:]], folder)
    program = place / "program"
    if not program.is_file():
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=place.parent) as scratch:
                made = Path(scratch) / "made"
                made.mkdir()
                _compile([compiler, *words[1:]], folder, made / "program")
                # Whole or not at all; whoever was faster made the same.
                if not place.exists():
                    os.replace(made, place)
        except OSError as error:
            if not program.is_file():
                raise _unavailable(
                    f"{place} cannot be written: {error.strerror}; set XDG_CACHE_HOME to a folder "
                    "that can"
                ) from error
    return program


def _compile(words: Sequence[str], folder: Path, program: Path) -> None:
    try:
        done = subprocess.run(
            [str(program) if word == PROGRAM else word for word in words],
            cwd=folder,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise _unavailable(f"{words[0]} did not end in {LIMIT} s") from error
    if done.returncode or not program.is_file():
        raise _unavailable(
            f"{words[0]} exits with code {done.returncode} and makes no program: "
            f"{kept(done.stderr.strip(), LINE)}"
        )


def _unavailable(reason: str) -> UsageError:
    """What cannot be compiled here is listed with the reason, and the others are run."""
    return UsageError(reason, Refusal.PACKAGE, missing=reason)


def _key(words: Sequence[str], folder: Path) -> str:
    """What the program follows from: how it is compiled, for what, and of what."""
    state = hashlib.sha256(repr((platform.system(), platform.machine(), words)).encode())
    for word in words[1:]:
        if (source := folder / word).is_file():
            state.update(source.read_bytes())
    return state.hexdigest()[:24]


def _cache() -> Path:
    # https://specifications.freedesktop.org/basedir-spec/latest/
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "rnn-conformance"

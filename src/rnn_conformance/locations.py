"""Where ``conformance/`` and ``impls/`` are: beside the package in a wheel, above it in a checkout.

They are content that is read by path, not packages that are imported. What is written into files
says nothing of where all this lies on a machine (see :func:`relative`).
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from rnn_conformance.errors import SuiteError

# Looked for beside this very file: an editable install leaves a copy in site-packages that
# no edit reaches, while the modules themselves are the checkout's.
_PACKAGE = Path(__file__).resolve().parent
_IN_WHEEL = _PACKAGE / "_bundled"
_IN_CHECKOUT = _PACKAGE.parents[1]

_ELSEWHERE = re.compile(
    r"""
    (?<![\w.~/\\<-])                        # no part of a relative path or of a tag
    (?:file:///|[A-Za-z]:[/\\]+|/(?!/))     # the root, on any system; of a file, in a URL
    (?:[^\s/\\:"'<>|]+[/\\]+)+              # folders
    (?=[^\s/\\:"'<>|])                      # and what lies there
    """,
    re.VERBOSE,
)
"""The folders of an absolute path, wherever in a text."""


COMMAND = "command:"
"""What a target begins with that is a program, as the shell has it."""


def file_of(target: str) -> str:
    """The file that a target names, as in ``path/to/file.py:Class``; empty if it names none."""
    if target.startswith(COMMAND):
        return ""
    return next((one for one in (target, target.rpartition(":")[0]) if one.endswith(".py")), "")


def bundled(name: str) -> Path:
    """The folder ``name`` (``"conformance"`` or ``"impls"``) that belongs to this package.

    Raises ``SuiteError`` if it is not there, as in an installation that is damaged.
    """
    folder = (_IN_WHEEL if _IN_WHEEL.is_dir() else _IN_CHECKOUT) / name
    if not folder.is_dir():
        raise SuiteError(
            f"the folder {folder} is missing; the installation is damaged: "
            "install rnn-conformance again"
        )
    return folder


def relative(text: str) -> str:
    """``text`` with no absolute path of this machine in it, so that it reads alike on every one.

    A file is named from the folder of the package, of what is bundled, from where Python finds
    modules, the working directory, the folder for temporary files or the user's own, whichever
    is nearest; a file elsewhere by its name alone.
    """
    # The nearest is the longest.
    folders = sorted({str(folder) for folder in _roots()}, key=len, reverse=True)
    nearest = re.compile(rf"(?<![\w.~/\\-])(?:{'|'.join(map(re.escape, folders))})[/\\]+")
    return _ELSEWHERE.sub("", nearest.sub("", text))


def _roots() -> Iterator[Path]:
    """Folders from which files are named, but for those that are the root of everything."""
    named = [_PACKAGE.parent, bundled("conformance").parent, Path.home()]
    # Somebody may have deleted the folder that a process is in.
    with suppress(OSError):
        named.append(Path.cwd())
    named += [Path(tempfile.gettempdir()), *map(Path, filter(None, sys.path))]
    for folder in named:
        for form in (folder, folder.resolve()):
            if form.is_absolute() and form.parent != form:
                yield form

"""Files written whole or not at all: whoever reads one meets the earlier one or the new one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from rnn_conformance.errors import UsageError
from rnn_conformance.results.json_files import file_error


def write(file: Path, text: str) -> None:
    """Write a file, and the folders that lead to it; raises ``UsageError`` if that cannot be.

    A write that is interrupted leaves the earlier file as it was.
    """
    # Halves of characters, which UTF-8 cannot write, as Python would spell them.
    _attempt(file, lambda beside: beside.write_bytes(text.encode("utf-8", "backslashreplace")))


def probe(file: Path) -> None:
    """Make sure that a file can be written before there is what to write; raises ``UsageError``.

    What is there stays as it is.
    """
    _attempt(file, None)


def must_be_page(output: Path, inputs: Iterable[Path]) -> None:
    """Refuse, by ``UsageError``, a page that would overwrite what it is made of, or other results.

    A file is the same under any name: through a link, or spelt in another way.
    """
    for spelling in (output, output.resolve()):
        if spelling.suffix.lower() in (".json", ".jsonl"):
            raise _refused(f"{output} is named as results are, and a report is HTML")
    for path in inputs:
        if output.exists() and path.exists() and output.samefile(path):
            raise _refused(f"{output} is {path}, which the report is made of")


def _attempt(file: Path, fill: Callable[[Path], object] | None) -> None:
    try:
        # What is replaced is the file, not a link to it.
        file = file.resolve()
        if file.exists() and not file.is_file():
            raise _refused(f"cannot write {file}: it is no regular file")
        file.parent.mkdir(parents=True, exist_ok=True)
        beside = file.with_name(f".rnn-conformance-{os.getpid()}.tmp")
        try:
            beside.touch()
            if file.exists():
                # One that must not be written is not replaced either.
                file.open("ab").close()
                shutil.copymode(file, beside)
            if fill is not None:
                fill(beside)
                beside.replace(file)
        finally:
            beside.unlink(missing_ok=True)
    except (OSError, ValueError, RuntimeError) as error:
        # A name may hold a NUL, and links may lead in a circle.
        reason = getattr(error, "strerror", None) or error
        raise file_error(f"cannot write {file}: {reason}; choose another --output") from error


def _refused(why: str) -> UsageError:
    return file_error(f"{why}; choose another --output")

"""The folder of a process: what it writes, where it is, and its temporary files."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import ExitStack
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from rnn_conformance.texts import kept

TAIL = 16 * 2**10
"""Bytes at the end of a dead process's output that are looked at: where it was stands there."""

LONGEST = 2**20
"""Bytes of a note of where a process is, which is read while it works."""


class Scratch:
    """Made for one process, and removed with all that it has put there.

    Both files are held open, so that they can be read whatever a process does to the folder.
    """

    def __init__(self) -> None:
        self.folder = Path(mkdtemp(prefix="rnn_conformance_"))
        with ExitStack() as opened:
            self._output = opened.enter_context((self.folder / "output").open("w+b"))
            self._seen = opened.enter_context((self.folder / "seen").open("w+b"))
            self._opened = opened.pop_all()

    def written(self) -> int:
        """Bytes that the process has written."""
        return os.fstat(self._output.fileno()).st_size

    def tail(self) -> str:
        """The end of what it wrote."""
        # Not up to the end of the file, which goes further while the process still writes.
        end = os.pread(self._output.fileno(), TAIL, max(0, self.written() - TAIL))
        return kept(end.decode("utf-8", "backslashreplace"))

    def seen(self) -> dict[str, Any]:
        """The case and the call that it noted last."""
        # Not through the file's buffer, which would hold what was read first.
        noted = os.pread(self._seen.fileno(), LONGEST, 0)
        try:
            seen = json.loads(noted.partition(b"\n")[0])
        except ValueError:
            return {}
        return seen if isinstance(seen, dict) else {}

    def remove(self) -> None:
        """The folder and what is in it, as far as that can be removed."""
        self._opened.close()
        shutil.rmtree(self.folder, ignore_errors=True)

"""Addresses within the page that stay: they name what they lead to, and no position.

``#EQ-2`` is a clause, ``#LSTM/mine.py:MyLSTM`` an implementation, and
``#LSTM/mine.py:MyLSTM/EQ-2`` what came of the one for the other.
"""

from __future__ import annotations

from urllib.parse import quote

KEPT = "/:.,;@()[]~!*+="
"""What needs no quoting in a fragment; ``?`` begins the filters, so it is quoted."""


def address(kind: str, name: str, clause: str = "") -> str:
    """Of an implementation, or of a clause for it; the same as ``id`` and after ``#``."""
    text = f"{kind}/{name}/{clause}" if clause else f"{kind}/{name}"
    return quote(text, KEPT, errors="backslashreplace")

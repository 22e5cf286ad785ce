"""What people see of a run, rendered from its ``results.json`` alone.

``render`` is loaded when it is first used: it brings templates and pictures, and a terminal needs
neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rnn_conformance.report.comparison import beside
from rnn_conformance.report.merging import merge

if TYPE_CHECKING:
    from rnn_conformance.report.html import render

__all__ = ["beside", "merge", "render"]


def __getattr__(name: str) -> Any:
    if name == "render":
        from rnn_conformance.report.html import render

        return render
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

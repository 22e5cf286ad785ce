"""What results are rendered as, besides the page and ``results.json``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rnn_conformance.report.annotations import workflow_commands
from rnn_conformance.report.badge import badge
from rnn_conformance.report.junit import junit
from rnn_conformance.report.markdown import markdown


@dataclass(frozen=True)
class Output:
    """A format: the ``file`` that it is written to, beside the page, and how it is ``made``.

    What is ``printed`` is written to standard output as well: whoever reads it reads it there.
    """

    file: str
    made: Callable[[Mapping[str, Any]], str]
    printed: bool = False


OUTPUTS = {
    "junit": Output("junit.xml", junit),
    "markdown": Output("summary.md", markdown),
    "badge": Output("badge.svg", badge),
    "github": Output("annotations.txt", workflow_commands, printed=True),
}
"""By the name that ``--format`` takes."""

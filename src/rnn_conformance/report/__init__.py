"""What people see of a run, rendered from its ``results.json`` alone."""

from rnn_conformance.report.comparison import beside
from rnn_conformance.report.html import render
from rnn_conformance.report.merging import merge

__all__ = ["beside", "merge", "render"]

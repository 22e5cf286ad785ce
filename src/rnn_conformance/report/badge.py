"""A results document as a badge: the level that is reached, and the share of the clauses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import anybadge

from rnn_conformance.report.standing import share
from rnn_conformance.results.verdict import green

GREEN, AMBER, RED = "#2e7d32", "#b26a00", "#c62828"
"""All well; something passes at every level below; nothing is reached. White is legible on each."""


def badge(document: Mapping[str, Any]) -> str:
    """SVG. Of several implementations, how many are as they should be at what they claim."""
    implementations = document["implementations"]
    if len(implementations) == 1:
        (one,) = implementations
        passed, of = share(one)
        level = one["level"]
        value = f"{level or 'fails'} {passed}/{of}"
        colour = GREEN if green(document) else AMBER if level else RED
    else:
        well = sum(one["verdict"] == "conforms" for one in implementations)
        value = f"{well} of {len(implementations)} conform"
        colour = GREEN if green(document) else AMBER if well else RED
    made = anybadge.Badge("rnn-conformance", value, default_color=colour)
    return str(made.badge_svg_text)

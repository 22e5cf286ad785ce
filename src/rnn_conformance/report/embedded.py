"""What the page does not show until it is opened, as data that its script reads.

It is packed: findings are alike, and take a ninth of their size.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Sequence
from typing import Any

from rnn_conformance.report.columns import Column
from rnn_conformance.report.wording import sentence


class Store:
    """Pieces of the page that are put aside while it is rendered, and every check's outcome.

    ``findings`` and ``fragments`` are HTML, made by the same templates as the page.
    """

    def __init__(self) -> None:
        self.findings: list[str] = []
        self.fragments: list[str] = []

    def keep(self, html: str) -> int:
        """Put aside what is known of the next finding; its position."""
        self.findings.append(str(html).strip())
        return len(self.findings) - 1

    def lay(self, html: str) -> int:
        """Put aside a piece that takes the place of another when that is opened."""
        self.fragments.append(str(html).strip())
        return len(self.fragments) - 1

    def data(self, columns: Sequence[Column], ranked: Sequence[Column]) -> dict[str, Any]:
        """All of it; the findings are in the order of ``ranked``.

        A check is its sentence, outcome, cases, reason and clauses, texts as positions in
        ``texts``, and the position of its finding or ``None``.
        """
        texts: dict[str, int] = {}

        def text(value: str) -> int:
            return texts.setdefault(value, len(texts))

        findings: dict[tuple[int, int], int] = {}
        for column in ranked:
            for group in column.groups:
                for check in group.checks:
                    findings[column.number, check.position] = len(findings)
        return {
            "columns": [
                {
                    "address": column.address,
                    "title": column.title,
                    "kind": column.record["kind"],
                    "verdict": column.judgement,
                    "checks": [
                        [
                            text(sentence(check.record["check"])),
                            text(check.record["outcome"]),
                            check.record["cases"],
                            text(check.record["reason"] or ""),
                            text(" ".join(check.record["clauses"])),
                            findings.get((column.number, check.position)),
                        ]
                        for check in column.checks
                    ],
                }
                for column in columns
            ],
            "texts": [*texts],
            "findings": self.findings,
            "fragments": self.fragments,
        }

    def packed(self, columns: Sequence[Column], ranked: Sequence[Column]) -> str:
        """The same, as JSON, deflated (RFC 1950), in base64, which no markup can be in."""
        text = json.dumps(self.data(columns, ranked), separators=(",", ":"))
        return base64.b64encode(zlib.compress(text.encode(), 9)).decode()

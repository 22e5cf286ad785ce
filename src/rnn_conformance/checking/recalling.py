"""What led to a failing case, kept as a text, so that the case can be had again without a search.

A *draw* is what was drawn or chosen, in base64 or as numbers, and the digest of the case that came
of it: with other strategies it leads to another case, which is then no matter of the failure.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
from collections.abc import Iterable, Sequence
from typing import Any

from hypothesis.database import ExampleDatabase

from rnn_conformance.errors import Gap, Untested
from rnn_conformance.results.records import plain

KEY = b"case"
"""Under which Hypothesis keeps what it draws for a check; what it keeps beside is let go of."""

MARK = "#"
"""Between what was drawn and the digest of the case; neither has it."""


class Draws(ExampleDatabase):
    """What Hypothesis drew for each case that failed, or, to draw it again, what it drew once.

    ``case`` is the one that is being tried. Hypothesis saves its choices as bytes, which are data
    alone; those that it cannot read it lets go of.
    """

    def __init__(self, draw: str = "") -> None:
        super().__init__()
        self.case: Any = None
        self._chosen: dict[Any, bytes] = {}
        self._again = _decoded(_split(draw)[0]) if draw else None

    def fetch(self, key: bytes) -> Iterable[bytes]:
        """What is to be drawn again."""
        return [self._again] if key == KEY and self._again else []

    def save(self, key: bytes, value: bytes) -> None:
        """Keep the choices of a case that failed."""
        if key == KEY:
            self._chosen[self.case] = value

    def delete(self, key: bytes, value: bytes) -> None:
        """Nothing: nothing outlives the check."""

    def draw(self, case: Any) -> str:
        """What led to a case that failed; empty if that is not known."""
        chosen = self._chosen.get(case)
        return "" if chosen is None else _joined(base64.b64encode(chosen).decode(), case)


def listed(path: Sequence[int], case: Any) -> str:
    """The draw of a listed case: its number in the list, then those of what is simpler."""
    return _joined(".".join(map(str, path)), case)


def path(draw: str) -> list[int]:
    """The numbers of a listed case's draw; raises ``Untested`` for what are none."""
    numbers = _split(draw)[0].split(".")
    if not all(number.isdecimal() and len(number) < 10 for number in numbers):
        raise forgotten()
    return [int(number) for number in numbers]


def nth(candidates: Iterable[Any], number: int) -> Any:
    """One of them, from 0; raises ``Untested`` if there are not so many."""
    for found in itertools.islice(candidates, number, None):
        return found
    raise forgotten()


def leads_to(draw: str, case: Any) -> bool:
    """Whether it is the case that a draw was of."""
    return _split(draw)[1] == _digest(case)


def forgotten() -> Untested:
    """The case of a draw cannot be had any more."""
    return Untested("the remembered case cannot be drawn any more", Gap.FORGOTTEN)


def _joined(chosen: str, case: Any) -> str:
    return f"{chosen}{MARK}{_digest(case)}"


def _split(draw: str) -> tuple[str, str]:
    chosen, _, digest = draw.partition(MARK)
    return chosen, digest


def _digest(case: Any) -> str:
    text = json.dumps(plain(case.to_record()), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _decoded(chosen: str) -> bytes | None:
    try:
        return base64.b64decode(chosen, validate=True)
    except ValueError:
        return None

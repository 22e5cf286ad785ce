"""Text that others bring, as it can be kept: cut to a few kilobytes, printable, of no machine.

An implementation chooses its messages, its names and what its objects say of themselves; a file
of a stranger's holds whatever it likes. What is made of it here is never an error, and does
nothing to a terminal or a file that it is written to.
"""

from __future__ import annotations

import difflib
import hashlib
import re
import traceback
from collections.abc import Collection
from typing import Any

from rnn_conformance.locations import relative

LONGEST = 4096
"""Bytes, in UTF-8, of a text that is kept; what is longer is cut in the middle."""

QUOTED = 2048
"""Bytes of a message that is quoted within another text."""

LINE = 512
"""Bytes of what has to fit into one line."""

NAME = 512
"""Bytes of a name."""

NOTE = 48
"""Bytes that the note of how much was cut takes at most."""

_UNPRINTABLE = re.compile(
    "["
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters, but for tabs and ends of lines
    "\u202a-\u202e\u2066-\u2069"  # what turns the direction of the text around it
    "\ud800-\udfff"  # halves of characters, which UTF-8 cannot write
    "]"
)


def kept(text: str, most: int = LONGEST) -> str:
    """A text as it is recorded: :func:`bounded`, without this machine's paths, printable."""
    return printable(relative(bounded(text, most)))


def bounded(text: str, most: int = LONGEST) -> str:
    """At most so many bytes of a text: its beginning, its end, and how much was cut between."""
    if len(text) <= most and _size(text) <= most:
        return text
    half = (most - NOTE) // 2
    head, tail = _first(text, half), _first(text[-half:][::-1], half)[::-1]
    # The end of a traceback says most; it begins with a whole word, no part of a path.
    tail = tail.partition("\n" if "\n" in tail else " ")[2] or tail
    return f"{head} […{len(text) - len(head) - len(tail):,} characters cut…] {tail}"


def printable(text: str) -> str:
    """The text with what is no character to be read written as Python would."""
    return _UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], text)


def meant(word: str, known: Collection[str]) -> str | None:
    """Which of the known words somebody wrote, in whatever case; ``None`` for none of them."""
    if word in known:
        return str(word)
    alike = [name for name in known if name.lower() == word.lower()]
    return str(alike[0]) if len(alike) == 1 else None


def suggested(word: str, known: Collection[str]) -> str:
    """``; did you mean 'EQ-2'?`` for a word that is near a known one; else nothing."""
    by_folded = {name.lower(): str(name) for name in known}
    near = difflib.get_close_matches(word.lower(), by_folded, n=1)
    return f"; did you mean {by_folded[near[0]]!r}?" if near else ""


def name_of(cls: type) -> str:
    """What a class is called, whatever its metaclass says."""
    return named(type.__dict__["__name__"].__get__(cls))


def named(name: str) -> str:
    """A name as it is recorded: on one line, never empty, and never the same as another one's."""
    text = printable(" ".join(name.split()))
    if _size(text) <= NAME:
        return text or "(no name)"
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    head = _first(text, NAME - NOTE)
    return f"{head} […{len(text) - len(head):,} characters cut, {digest}]"


def said(error: BaseException, most: int = QUOTED) -> str:
    """The message of an exception, also of one that cannot say it."""
    return _of(str, error, most)


def shown(value: object, most: int = QUOTED) -> str:
    """``repr(value)``, also of what has none."""
    return _of(repr, value, most)


def worded(error: BaseException, most: int = QUOTED) -> str:
    """The class of an exception and its message: ``ValueError: no such mode``."""
    return f"{name_of(type(error))}: {said(error, most)}"


def traced(error: BaseException) -> str:
    """The traceback of an exception, also of one that has odd parts."""
    try:
        lines = traceback.format_exception(error)
    except Exception:
        # Python asks a metaclass, and a SyntaxError's fields, for what they are.
        lines = [*traceback.format_tb(error.__traceback__), worded(error)]
    return kept("".join(lines))


def _of(ask: Any, value: object, most: int) -> str:
    try:
        # Of a subclass of str, which may have methods of its own, the text alone.
        text = str.__str__(ask(value))
    except (Exception, SystemExit, KeyboardInterrupt, GeneratorExit) as error:
        return f"({ask.__name__}() of it raises {name_of(type(error))})"
    return kept(text, most)


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def _first(text: str, most: int) -> str:
    """The longest beginning of a text that has at most so many bytes."""
    return text[:most].encode("utf-8", "surrogatepass")[:most].decode("utf-8", "ignore")

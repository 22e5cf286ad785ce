"""How things are called, on a page and in a terminal."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from rnn_conformance.results.shards import words
from rnn_conformance.results.verdict import Extent, Judgement
from rnn_conformance.texts import LONGEST, bounded, printable

TONES = {
    Judgement.FAILS: "fails",
    Judgement.UNINTENDED: "fails",
    Judgement.OUTDATED: "fails",
    Judgement.ERROR: "error",
    Judgement.UNDECIDED: "open",
    Judgement.CONFORMS: "conforms",
    Judgement.SELECTED: "conforms",
    Judgement.EXCLUDING: "conforms",
    Judgement.INTENDED: "intended",
    Judgement.KNOWN: "intended",
    Judgement.SHARD: "intended",
}
"""The style of a judgement, in the order in which they are told."""

PLURALS = {
    Judgement.FAILS: "fail",
    Judgement.UNINTENDED: "conform, should fail",
    Judgement.OUTDATED: "not as known",
    Judgement.ERROR: "errors",
    Judgement.UNDECIDED: "undecided",
    Judgement.CONFORMS: "conform",
    Judgement.SELECTED: "conform as selected",
    Judgement.EXCLUDING: "conform but for what they exclude",
    Judgement.INTENDED: "fail as intended",
    Judgement.KNOWN: "fail as known",
    Judgement.SHARD: "fail nothing in this shard",
}
"""What a judgement says of several."""


def shortfall(document: Mapping[str, Any]) -> str:
    """What is to be said of results that are not those of all of a run; else empty."""
    run = document["run"]
    open_ = "what is not failed is not shown to conform."
    match Extent.of(run):
        case Extent.MISSING:
            missing = [(number, of) for number, of in run["missing"]]
            verb = "are" if len(missing) > 1 else "is"
            return f"{words(missing).capitalize()} {verb} missing: {open_}"
        case Extent.CUT_SHORT if len(document.get("sources", ())) > 1:
            return f"At least one of these runs was cut short: {open_}"
        case Extent.CUT_SHORT:
            return f"This run was cut short: {open_}"
        case Extent.SHARD:
            return f"This is {words([run['shard']])} alone: {open_}"
    return ""


OWNERS = (
    r"\b(caller|cell|direction|input|layer|sequence)s"
    r"(?= (alone|dtype|final|order|output|own|states|undeclared)\b)"
)
"""Nouns of checks' names that own the word after them: a function's name has no apostrophe."""


def sentence(check: str) -> str:
    """``conformance/test_state.py::test_zeros_are_the_default`` → ``Zeros are the default``.

    Names of results and classes keep their spelling: ``h_n``, ``batch_first``, ``LSTM``.
    """
    words = check.rpartition("::")[2].removeprefix("test_").replace("_", " ").strip()
    words = re.sub(r"\b([hc]) ([n0])\b", r"\1_\2", words).replace("batch first", "batch_first")
    words = re.sub(r"\b(\w+) s\b", r"\1's", words)
    words = re.sub(OWNERS, lambda match: f"{match[0][:-1]}'s", words)
    words = re.sub(r"\b(rnn|lstm|gru)\b", lambda match: match[0].upper(), words)
    # A name stays as it is at the beginning of a sentence, too.
    return words if "_" in words.partition(" ")[0] else words[:1].upper() + words[1:]


def shortened(name: str) -> str:
    """``path/to/file.py:Class`` → ``…/file.py:Class``; other names as they are."""
    place, colon, cls = name.rpartition(":")
    _, slash, file = place.replace("\\", "/").rpartition("/")
    return f"…/{file}:{cls}" if colon and slash and file.endswith(".py") else name


def one_line(text: str, most: int = LONGEST) -> str:
    """At most so many bytes of a text, without line breaks and what a terminal would obey."""
    return printable(bounded(" ".join(text.split()), most))


def capitalized(text: str) -> str:
    """With a capital at the beginning, unless it begins with a symbol: ``c_0``, ``h``."""
    first = text.partition(" ")[0].rstrip(",")
    symbol = "_" in first or (len(first) < 2 and first != "a")
    return text if symbol else f"{text[:1].upper()}{text[1:]}"


def headline(diagnosis: Mapping[str, Any]) -> str:
    """What is wrong, on one line: a name, what is plain, or that there is none, and a symptom."""
    if diagnosis["known"]:
        names = " and ".join(known["name"] for known in diagnosis["known"])
        return f"{names}, {diagnosis['where']}" if diagnosis["where"] else names
    if plain := diagnosis.get("plain"):
        return str(plain)
    return ": ".join(["no known cause", *diagnosis["symptoms"][:1]])


def counted(number: int, noun: str) -> str:
    """``1 clause``, ``2 clauses``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def in_markdown(line: str) -> str:
    """A line of which Markdown, and the HTML in it, makes nothing but its characters."""
    return "".join(f"\\{sign}" if sign in "\\`*_{}[]<>()#+-!|~&@" else sign for sign in line)

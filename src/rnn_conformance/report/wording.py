"""How things are called, on a page and in a terminal."""

from __future__ import annotations

import re

from rnn_conformance.results.verdict import Judgement

TONES = {
    Judgement.FAILS: "fails",
    Judgement.UNINTENDED: "fails",
    Judgement.ERROR: "error",
    Judgement.UNDECIDED: "open",
    Judgement.CONFORMS: "conforms",
    Judgement.SELECTED: "conforms",
    Judgement.EXCLUDING: "conforms",
    Judgement.INTENDED: "intended",
}
"""The style of a judgement, in the order in which they are told."""

PLURALS = {
    Judgement.FAILS: "fail",
    Judgement.UNINTENDED: "conform, should fail",
    Judgement.ERROR: "errors",
    Judgement.UNDECIDED: "undecided",
    Judgement.CONFORMS: "conform",
    Judgement.SELECTED: "conform as selected",
    Judgement.EXCLUDING: "conform but for what they exclude",
    Judgement.INTENDED: "fail as intended",
}
"""What a judgement says of several."""


def sentence(check: str) -> str:
    """``conformance/test_state.py::test_zeros_are_the_default`` → ``Zeros are the default``.

    Names of results and classes keep their spelling: ``h_n``, ``batch_first``, ``LSTM``.
    """
    words = check.rpartition("::")[2].removeprefix("test_").replace("_", " ").strip()
    words = re.sub(r"\b([hc]) ([n0])\b", r"\1_\2", words).replace("batch first", "batch_first")
    words = re.sub(r"\b(rnn|lstm|gru)\b", lambda match: match[0].upper(), words)
    # A name stays as it is at the beginning of a sentence, too.
    return words if "_" in words.partition(" ")[0] else words[:1].upper() + words[1:]


def one_line(text: str) -> str:
    """The text without line breaks."""
    return " ".join(text.split())

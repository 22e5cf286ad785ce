"""No decision rests on the text of a message, on a traceback, or on a part of a name.

What a program has to decide about an error, a parameter or a gradient is in a field or an
enumeration. A search for the patterns in which words decided before keeps it so; each exception
has its reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("src", "conformance")

PARTS = r"(startswith|endswith|removeprefix|removesuffix|r?partition|split|find|index)\([^)]"
"""Methods that look at a part of a text."""

PATTERNS = {
    "an exception's cause": r"__cause__|__context__",
    "a traceback that is there": r"traceback is (not )?None|if [\w.]*\.traceback\b",
    "words in an error": r"""["'\w] (not )?in str\(""",
    "words in a message": rf"\bin [\w.]*\.(message|reason|traceback)\b|\.(message|reason)\.{PARTS}",
    "words in a remark": rf"\b(message|reason|said|taken|text|told|what|why|words)\.{PARTS}",
    "a pattern in a message": r"\bre\.\w+\([^)]*\b(error|failure|message|reason)\b",
    "the word gradient": r"""\bGRADIENT\b|["']gradient of """,
    "a number at a name's end": r"""strip\(["']\d""",
    "what a parameter's name begins with": r"""(with|prefix)\(\(?["'](weight|bias|[hc]_)""",
    "what a parameter's name ends with": r"""_l\d["']|["']_l["'{]|_reverse["']""",
    "what a kind's name ends with": r"""["']Cell["']""",
    "a placeholder": r"""["']\?\?\?["']""",
}
"""What is not to rest on words → how it reads where it does."""

ALLOWED = {
    ("an exception's cause", "src/rnn_conformance/checking/properties.py"): (
        "it is taken away, so that nobody else looks at it"
    ),
    ("an exception's cause", "src/rnn_conformance/running/session.py"): (
        "whose code had a part in it, which its frames tell"
    ),
    ("the word gradient", "src/rnn_conformance/spec/backward.py"): "where the words are made",
    ("what a parameter's name ends with", "src/rnn_conformance/spec/config.py"): (
        "where the names are made"
    ),
    ("words in a remark", "src/rnn_conformance/report/wording.py"): (
        "how a check's name is written for people"
    ),
}
"""Exceptions, each with its reason."""

STRANGERS = "src/rnn_conformance/mutants/"
"""Classes as strangers write them, who know the parameters of ``torch.nn`` by their names."""

NAMES = {"what a parameter's name begins with", "what a parameter's name ends with"}


class Offence(NamedTuple):
    """A line in which words decide."""

    pattern: str
    path: str
    line: int
    text: str


def offences(root: Path) -> Iterator[Offence]:
    """All of them in a checkout, comments left out."""
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*.py")):
            for number, text in enumerate(path.read_text("utf-8").splitlines(), 1):
                for pattern in matching(text):
                    yield Offence(pattern, path.relative_to(root).as_posix(), number, text.strip())


def matching(line: str) -> list[str]:
    """The patterns that a line of code has in it."""
    code = re.sub(r"(^|\s)#.*", "", line)
    return [name for name, pattern in PATTERNS.items() if re.search(pattern, code)]


def is_allowed(offence: Offence) -> bool:
    """Whether there is a reason for it."""
    by_stranger = offence.path.startswith(STRANGERS) and offence.pattern in NAMES
    return by_stranger or (offence.pattern, offence.path) in ALLOWED


def test_nothing_is_decided_by_searching_words() -> None:
    unallowed = [offence for offence in offences(ROOT) if not is_allowed(offence)]
    listed = "\n".join(f"{o.path}:{o.line}: {o.pattern}: {o.text}" for o in unallowed)
    assert not unallowed, f"{len(unallowed)} lines decide by words:\n{listed}"


def test_no_exception_is_left_that_nothing_needs() -> None:
    needed = {(offence.pattern, offence.path) for offence in offences(ROOT)}
    assert set(ALLOWED) <= needed


@pytest.mark.parametrize(
    "line",
    [
        "cause = error.__cause__",
        "return record.failure.traceback is None or mutant.crashes",
        'timed_out = isinstance(error, Failed) and "Timeout" in str(error)',
        'if "must be refused" in error.message:',
        'if failure.message.startswith("raised"):',
        'if taken.endswith("no steps"):',
        'if re.search("is nan", failure.message):',
        "if name.startswith(GRADIENT):",
        'if argument.startswith("gradient of "):',
        'arrays = {name: a for name, a in arrays.items() if name.rstrip("1") in names}',
        'bias, recurrent = name.startswith("bias"), name.startswith("weight_hh")',
        'off = {name.partition("_l")[0] for name in some}',
        'upper = name.startswith("weight_ih") and "_l0" not in name',
        'other = name.removesuffix("_reverse")',
        'return self.value.endswith("Cell")',
        'elif str(report.when) == "???":',
    ],
)
def test_what_decided_by_words_once_is_recognised(line: str) -> None:
    assert matching(line)


@pytest.mark.parametrize(
    "line",
    [
        'raise Unsupported("has no backward pass", Gap.NO_GRADIENT)',
        'message = f"{error}: {reason}"  # "Timeout" in str(error) would decide by words',
        'if path.name.startswith("_"):',
        "if failure.sort is Sort.TIMEOUT:",
    ],
)
def test_what_only_speaks_is_left_alone(line: str) -> None:
    assert not matching(line)

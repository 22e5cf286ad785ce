"""Text that others bring: cut, printable, and never an error."""

import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from rnn_conformance.checking.checks import checks
from rnn_conformance.checking.examining import examine
from rnn_conformance.checking.subject import Profile, Subject
from rnn_conformance.errors import Fault, Nature, Sort, UsageError
from rnn_conformance.implementations.numpy_function import implementation
from rnn_conformance.implementations.torch_module import drop_in
from rnn_conformance.implementations.trees import describe
from rnn_conformance.report import render
from rnn_conformance.report.terminal import summary
from rnn_conformance.results.document import document
from rnn_conformance.results.json_files import validator
from rnn_conformance.results.records import Record
from rnn_conformance.running.selection import Selection
from rnn_conformance.spec.config import Kind
from rnn_conformance.texts import (
    LONGEST,
    NAME,
    bounded,
    kept,
    name_of,
    named,
    printable,
    said,
    shown,
    traced,
    worded,
)
from tests.support.made_results import COMPLETE, entry

# Cut


@pytest.mark.parametrize("character", ["x", "ö", "大", "🎲", "\ud800"])
@pytest.mark.parametrize("most", [100, LONGEST])
def test_a_long_text_is_cut_to_so_many_bytes_and_says_how_much_was(
    character: str, most: int
) -> None:
    text = bounded(character * 2_400_000, most)
    assert most // 3 < len(text.encode("utf-8", "surrogatepass")) <= most or character == "\ud800"
    head, note, tail = text.partition(" […")
    left = len(head) + len(tail.partition("…] ")[2])
    assert note + tail.partition("…]")[0] == f" […{2_400_000 - left:,} characters cut"


@pytest.mark.parametrize("length", [0, 1, LONGEST])
def test_what_is_short_enough_is_left_as_it_is(length: int) -> None:
    assert bounded("x" * length) == "x" * length
    assert bounded("x" * LONGEST + "y") != "x" * LONGEST + "y"


def test_the_beginning_and_the_end_are_kept() -> None:
    lines = "\n".join(f"line {number} of it" for number in range(10**5))
    text = kept(lines)
    assert text.startswith("line 0 of it\nline 1 of it\n")
    assert text.endswith("…] " + text.rpartition("…] ")[2])
    assert text.endswith(" of it\nline 99999 of it")
    # It begins with a line, not within one.
    assert text.rpartition("…] ")[2].startswith("line ")


@pytest.mark.parametrize("text", ["x" * 10**5, "a b " * 10**5, "ö\n" * 10**5])
def test_what_was_cut_is_not_cut_again(text: str) -> None:
    assert bounded(bounded(text)) == bounded(text)


# Printable


@pytest.mark.parametrize("code", [0x00, 0x07, 0x0D, 0x1B, 0x7F, 0x85, 0x9B, 0x202E, 0xD800, 0xDFFF])
def test_what_a_terminal_or_a_file_would_choke_on_is_spelt(code: int) -> None:
    text = kept(f"before {chr(code)}[31m after")
    assert text == f"before {ascii(chr(code))[1:-1]}[31m after"
    text.encode("utf-8")


def test_what_can_be_read_is_left_as_it_is() -> None:
    text = "größer – 大きい 🎲\n\tüber\n"
    assert printable(text) == text


# Names


@pytest.mark.parametrize("name", ["../../etc/x", "a/b", "<script>", "größe", "a b", "loop"])
def test_an_odd_name_is_kept(name: str) -> None:
    assert named(name) == name


@pytest.mark.parametrize("name", ["", "\n", "a\0b", "x" * 5000, "\x1b[31m", "\udc80", "a\nb"])
def test_a_name_is_one_printable_line_of_bounded_length(name: str) -> None:
    text = named(name)
    assert text.isprintable()
    assert 0 < len(text.encode()) <= NAME
    assert named(text) == text


def test_names_that_differ_where_they_are_cut_are_still_two() -> None:
    assert named("x" * 5000 + "1" + "x" * 99) != named("x" * 5000 + "2" + "x" * 99)


class Unnamed(type):
    """A metaclass that does not tell what its classes are called."""

    def __getattribute__(cls, name: str) -> Any:
        if name in ("__name__", "__qualname__", "__module__"):
            raise RuntimeError(name)
        return super().__getattribute__(name)


def test_a_class_has_a_name_whatever_its_metaclass_says() -> None:
    assert name_of(Unnamed("Odd", (), {})) == "Odd"
    assert name_of(type("", (), {})) == "(no name)"


# Exceptions that are odd


class Mute(Exception):
    def __str__(self) -> str:
        raise ValueError("nothing to say")


class Exiting(Exception):
    def __str__(self) -> str:
        raise SystemExit(0)

    __repr__ = __str__


class Wordless(Exception):
    def __str__(self) -> Any:
        return 7


class Sly(str):
    def __len__(self) -> int:
        raise RuntimeError

    def __format__(self, spec: str) -> str:
        raise RuntimeError

    def encode(self, *args: Any) -> bytes:
        raise RuntimeError


class Speaking(Exception):
    def __str__(self) -> str:
        return Sly("sly")


class Anonymous(Exception, metaclass=Unnamed):
    pass


class Liar(Exception):
    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        raise RuntimeError


def _noted() -> Exception:
    error = RuntimeError("noted")
    error.__notes__ = [Exiting(), 7]  # type: ignore[list-item]
    return error


def _circular() -> Exception:
    error, other = RuntimeError("one"), RuntimeError("other")
    error.__cause__, other.__cause__ = other, error
    return error


def _deep() -> Exception:
    error = RuntimeError("0")
    for number in range(1, 3000):
        outer = RuntimeError(str(number))
        outer.__cause__ = error
        error = outer
    return error


ODD: dict[str, tuple[Callable[[], Exception], str]] = {
    "its text raises": (Mute, "Mute: (str() of it raises ValueError)"),
    "its text exits": (Exiting, "Exiting: (str() of it raises SystemExit)"),
    "its text is none": (Wordless, "Wordless: (str() of it raises TypeError)"),
    "its text is of a class of its own": (Speaking, "Speaking: sly"),
    "its class tells no name": (Anonymous, "Anonymous: "),
    "its class has an odd name": (type("\x1b[31m\n/", (Exception,), {}), "\\x1b[31m /: "),
    "its class has a long name": (type("X" * 5000, (Exception,), {}), "characters cut"),
    "it lies about its class": (Liar, "Liar: "),
    "half a character": (lambda: ValueError("\ud800"), "ValueError: \\ud800"),
    "control characters": (lambda: ValueError("\0\x1b[2J"), "ValueError: \\x00\\x1b[2J"),
    "a long text": (lambda: ValueError("x" * 2_400_000), "characters cut"),
    "odd notes": (_noted, "RuntimeError: noted"),
    "causes in a circle": (_circular, "RuntimeError: one"),
    "very many causes": (_deep, "RuntimeError: 2999"),
    "a syntax error of nothing": (
        lambda: SyntaxError("odd", (7, "x", object(), 3.5)),  # type: ignore[arg-type]
        "SyntaxError: ",
    ),
    "a key": (lambda: KeyError("weight"), "KeyError: 'weight'"),
}
"""What an implementation may raise, and words that say so."""


@pytest.mark.parametrize("odd", ODD)
def test_any_exception_can_be_put_into_words(odd: str) -> None:
    make, words = ODD[odd]
    error = make()
    assert words in worded(error)
    assert Nature.of(error) is Nature.REFUSAL
    for text in (said(error), worded(error), traced(error)):
        assert isinstance(text, str)
        assert len(text.encode()) < 2 * LONGEST


def test_what_is_no_part_of_the_program_passes_through() -> None:
    class Overdue(BaseException):
        pass

    class Slow(Exception):
        def __str__(self) -> str:
            raise Overdue

    with pytest.raises(Overdue):
        said(Slow())


def test_any_value_can_be_shown() -> None:
    for value in (Mute(), Exiting(), Unnamed("Odd", (), {}), [Exiting()]):
        assert isinstance(shown(value), str)


class Shapeless:
    @property
    def shape(self) -> Any:
        raise RuntimeError


class Shaped:
    shape = 7


def _within_itself() -> list[Any]:
    circle: list[Any] = []
    circle.append(circle)
    return circle


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        (Shapeless(), "Shapeless"),
        (Shaped(), "Shaped"),
        (_within_itself(), "[[[[[…]]]]]"),
        ([None] * 10**6, "[" + "NoneType, " * 8 + "…]"),
        ((torch.zeros(3, 2), [torch.zeros(())]), "(3x2, [a scalar])"),
    ],
)
def test_whatever_is_returned_can_be_described(returned: object, words: str) -> None:
    assert describe(returned) == words


# In the records of a check


ONCE = Profile("once", 1, 0)
"""One case, which is enough where every case fails alike."""


def a_check() -> Any:
    """One that looks at what comes back."""
    return next(check for check in checks() if "EQ-3" in check.clauses)


def examined(forward: Callable[..., Any]) -> Record:
    """What that check finds of a GRU with this ``forward``."""
    cls = type("OddGRU", (torch.nn.GRU,), {"forward": forward})
    return examine(a_check(), Subject(drop_in(cls, name="odd"), Kind.GRU, ONCE))


def valid(record: Record) -> dict[str, Any]:
    """The record, as it is written and read back."""
    written = record.to_record()
    text = json.dumps(written, allow_nan=False)
    assert len(text) < 8 * LONGEST
    assert list(validator("record").iter_errors(json.loads(text))) == []
    return written


@pytest.mark.parametrize("odd", ODD)
def test_whatever_is_raised_is_the_implementations_fault_and_breaks_no_file(odd: str) -> None:
    make, words = ODD[odd]

    def forward(self: object, *args: object) -> object:
        raise make()

    record = examined(forward)
    assert record.failure is not None
    assert (record.failure.fault, record.failure.sort) == (Fault.IMPLEMENTATION, Sort.RAISED)
    assert words in record.failure.message
    valid(record)


RETURNED: list[Callable[[], object]] = [
    lambda: None,
    Shapeless,
    _within_itself,
    lambda: [None] * 10**6,
    lambda: (Shaped(), Exiting()),
    lambda: type("\x1b[31m" + "X" * 5000, (), {})(),
    lambda: "x" * 2_400_000,
    lambda: iter([1, 2]),
]


@pytest.mark.parametrize("returned", RETURNED)
def test_whatever_is_returned_is_the_implementations_fault(
    returned: Callable[[], object],
) -> None:
    record = examined(lambda self, *args: returned())
    assert record.failure is not None
    assert (record.failure.fault, record.failure.sort) == (Fault.IMPLEMENTATION, Sort.STRUCTURE)
    valid(record)


@pytest.mark.parametrize("name", ["../../etc/x", "<script>", "a\0b", "x" * 5000, ""])
def test_a_function_may_have_any_name(name: str) -> None:
    @implementation(kinds=["GRU"], name=name or "\n")
    def build(config: object, parameters: object) -> Callable[..., object]:
        raise ValueError("no")

    record = examine(a_check(), Subject(build, Kind.GRU, ONCE))
    assert record.implementation == named(name)
    assert len(valid(record)["implementation"].encode()) <= NAME


def test_messages_of_megabytes_in_every_check_make_files_of_a_size_that_can_be_read() -> None:
    def forward(self: object, *args: object) -> object:
        raise ValueError("<&x" * 800_000)

    one = valid(examined(forward))
    loop = entry("odd", Kind.GRU)
    made = [{**one, "check": f"test_{number}"} for number in range(150)]
    whole = document(COMPLETE, [loop], made)
    console = Console(file=StringIO())
    summary(console, whole, Path("index.html"))
    assert isinstance(console.file, StringIO)
    assert len(json.dumps(whole, indent=1)) < 5_000_000
    assert len(render(whole)) < 5_000_000
    assert len(console.file.getvalue()) < 10_000


@pytest.mark.parametrize(("word", "clause"), [("eq-2", "EQ-2"), ("dir", "DIR"), ("EQ-2", "EQ-2")])
def test_a_clause_is_known_in_any_case(word: str, clause: str) -> None:
    assert Selection(clauses=(word,)).clauses == (clause,)


def test_a_kind_is_known_in_any_case() -> None:
    assert Selection(kinds=("lstm", "grucell")).kinds == ("LSTM", "GRUCell")


def test_what_is_nearly_a_kind_is_suggested() -> None:
    with pytest.raises(UsageError, match=r"no kind 'LTSM'; .*; did you mean 'LSTM'\?$"):
        Selection(kinds=("LTSM",))

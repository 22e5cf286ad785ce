"""Files from strangers: data, whatever is in them, and one clear line if they are not ours."""

import copy
import json
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from rnn_conformance.cli import main
from rnn_conformance.errors import Refusal, Sort, UsageError
from rnn_conformance.report import render
from rnn_conformance.results.json_files import DEEPEST, LARGEST, parsed
from rnn_conformance.results.kill_matrix import Attempt, Power, Trial
from rnn_conformance.results.kill_matrix import document as power_document
from rnn_conformance.results.reading import read
from rnn_conformance.results.records import Outcome
from rnn_conformance.results.verdict import Exit
from tests.support.made_results import ACCURATE, LOOP, entry, record, results
from tests.support.made_speed import figure, speeds, timed
from tests.support.pages import Parsed

WHOLE = results(LOOP, EQ_2=Outcome.FAILED)
TEXT = json.dumps(WHOLE)
HOSTILE = ["../../etc/x", "a/b", "<script>alert(1)</script>", "a\0b", "x" * 5000, '"><img src=x>']


def within(text: str) -> str:
    """A results file in which this stands, as the case of a failure."""
    whole = copy.deepcopy(WHOLE)
    failed = next(check for check in whole["implementations"][0]["checks"] if check["failure"])
    failed["failure"]["case"] = {"here": "HERE"}
    return json.dumps(whole).replace('"HERE"', text)


def _sparse(path: Path) -> None:
    with path.open("wb") as stream:
        stream.truncate(2**30)


WRONG: dict[str, tuple[Callable[[Path], object] | str | bytes, str]] = {
    "nothing": ("", "not valid JSON"),
    "cut short": (TEXT[:-100], "may have been cut short"),
    "a gigabyte": (_sparse, f"larger than {LARGEST // 2**20} MiB"),
    "a folder": (lambda path: path.mkdir(), "no regular file|cannot read"),
    "a pipe": (os.mkfifo, "no regular file"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "no regular file"),
    "a link in a circle": (lambda path: path.symlink_to(path), "cannot read"),
    "nothing there": (lambda path: None, "cannot read .*No such file"),
    "very deep arrays": ("[" * 100_000 + "]" * 100_000, "within one another"),
    "very deep objects": ('{"a":' * 100_000 + "1" + "}" * 100_000, "within one another"),
    "rather deep arrays": (within("[" * 500 + "]" * 500), "within one another"),
    "a token of Python's": (within("NaN"), "NaN is not JSON"),
    "another": (within("-Infinity"), "-Infinity is not JSON"),
    "a number too large": (within("1e999"), "1e999 is too large"),
    "an integer too large": (within("1" * 5_000), "more than 64 bits"),
    "an integer somewhat too large": (within(str(2**63)), "more than 64 bits"),
    "an integer too small": (within(str(-(2**63) - 1)), "more than 64 bits"),
    "a key twice": (within('{"a": 1, "a": 2}'), "the key a is there twice"),
    "a long key twice": (within(f'{{"{"k" * 9999}": 1, "{"k" * 9999}": 2}}'), "there twice"),
    "another encoding": (TEXT.encode("utf-16"), "not valid JSON"),
    "no text": (b"\x80\x04\x95cos\nsystem\n.", "not valid JSON"),
    "an array": ("[]", "says no schema_version"),
    "a number": ("7", "says no schema_version"),
    "another version": (json.dumps({**WHOLE, "schema_version": 2}), "schema version 2"),
    "a version of its own": (
        json.dumps({**WHOLE, "schema_version": "\x1b[2J" + "x" * 10**6}),
        "schema version '",
    ),
    "another schema": (json.dumps({**WHOLE, "implementations": [{}]}), "not a results file"),
    "a megabyte where an object is due": (
        json.dumps({**WHOLE, "run": "\x1b[2J" + "x" * 10**6}),
        "not a results file",
    ),
    "a count that is none": (TEXT.replace('"cases": 20', '"cases": 20.0', 1), "not a results file"),
    "more seconds than there are": (
        TEXT.replace('"seconds": 0.5', '"seconds": 1e300', 1),
        "not a results file",
    ),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def report(*arguments: str) -> tuple[int, str, str]:
    """The exit code of ``rnn-conformance report``, and what it printed, errors last."""
    done = CliRunner().invoke(main, ["report", *arguments])
    return done.exit_code, done.stdout, done.stderr


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("name", ["results.json", "records.jsonl"])
def test_what_is_wrong_with_a_file_is_one_clear_line(wrong: str, name: str, folder: Path) -> None:
    given, why = WRONG[wrong]
    path = folder / name
    if isinstance(given, bytes):
        path.write_bytes(given)
    elif isinstance(given, str):
        path.write_text(given + "\n", "utf-8")
    else:
        given(path)
    with pytest.raises(UsageError) as refused:
        read(path)
    assert refused.value.refusal is Refusal.FILE
    assert str(path) in str(refused.value)
    if name == "results.json":
        refused.match(why)
    code, printed, error = report(name)
    assert (code, printed) == (Exit.USAGE, "")
    assert error.startswith("rnn-conformance: ")
    assert error.count("\n") == 1
    assert error.strip().isprintable()
    assert len(error) < 3000
    assert {path.name for path in folder.iterdir()} <= {name}


def test_a_file_is_measured_before_it_is_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / "results.json"
    _sparse(path)
    monkeypatch.setattr(Path, "open", lambda *arguments: pytest.fail("it was opened"))
    with pytest.raises(UsageError, match="larger than"):
        read(path)


def test_a_file_as_large_and_as_deep_as_it_may_be_is_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / "results.json"
    path.write_text(TEXT, "utf-8")
    monkeypatch.setattr("rnn_conformance.results.json_files.LARGEST", len(TEXT))
    assert read(path).content == WHOLE
    monkeypatch.setattr("rnn_conformance.results.json_files.LARGEST", len(TEXT) - 1)
    with pytest.raises(UsageError, match="larger than"):
        read(path)
    deepest = "[" * DEEPEST + "]" * DEEPEST
    assert parsed(deepest.encode()) == json.loads(deepest)
    with pytest.raises(ValueError, match="within one another"):
        parsed(f"[{deepest[:DEEPEST]}7{deepest[DEEPEST:]}]".encode())


def plain(id: str) -> str:
    """An id without the name that is in it, of which it holds nothing that is markup."""
    assert not set(id) & set("<>\"' ?#")
    kind, slash, _ = id.partition("/")
    return kind + slash


def ids_of(page: Parsed) -> list[str]:
    return [e.attributes["id"] for e in page.elements if "id" in e.attributes]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_leads_nowhere_and_is_text_on_the_page(name: str, folder: Path) -> None:
    named = entry(name, target=name, features=(name,), fails_on_purpose=name)
    (folder / "in").mkdir()
    (folder / "in/results.json").write_text(json.dumps(results(named, EQ_2=Outcome.FAILED)))
    assert report("in/results.json", "-o", "out")[0] == Exit.GREEN
    assert {str(path.relative_to(folder)) for path in folder.rglob("*")} == {
        "in",
        "in/results.json",
        "out",
        "out/index.html",
    }
    page = Parsed((folder / "out/index.html").read_text("utf-8"))
    usual = Parsed(render(results(entry(fails_on_purpose="x"), EQ_2=Outcome.FAILED)))
    for tag in ("script", "img", "a"):
        assert len(page.all(tag)) == len(usual.all(tag))
    assert [plain(id) for id in ids_of(page)] == [plain(id) for id in ids_of(usual)]


def test_half_a_character_is_spelt_on_the_page(folder: Path) -> None:
    (folder / "results.json").write_text(TEXT.replace("output at time", "\\ud800 at time"))
    assert report("results.json")[0] == Exit.GREEN
    assert "\\ud800 at time" in (folder / "index.html").read_text("utf-8")


# Whatever the schema lets through can be rendered


POWER = power_document(
    Power(0, True, 10, (), (), "", {"torch": "2.13.0"}, "2026-03-01T12:30:00+00:00", 3.5, True),
    [
        {
            "name": "zeros",
            "chapter": "equations",
            "breaks": ["EQ-2"],
            "kinds": ["LSTM"],
            "needs": [],
            "source": "common mistake",
            "crashes": False,
        }
    ],
    {"conformance/test_equations.py::test_x": ["EQ-2"]},
    [
        Trial(
            "zeros",
            "LSTM",
            ("EQ-2",),
            (
                Attempt(
                    "conformance/test_equations.py::test_x",
                    Outcome.FAILED,
                    True,
                    3,
                    0.5,
                    "it is off",
                    Sort.VALUE,
                ),
            ),
        )
    ],
)
BENCH = speeds(timed(figure(), figure("one step", wrong="it is off"), figure(reason="it died")))
WHERE = {"power": "power", "bench": "speed"}
"""Under which name a document is rendered beside results."""

VALUES = [
    None, True, -1, 0, 2**62, 1e300, -0.5, 1e12, "", "nan", "-inf", "<b>", "\ud800\0", "x" * 999,
    [], [0], ["nan", None], {}, {"a": [1, {"b": None}]}, {"<i>": 1e308},
]  # fmt: skip


def places(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to everything in a document."""
    yield way
    inside = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, item in inside:
        yield from places(item, (*way, key))


def changed(whole: Any, way: tuple[Any, ...], value: Any) -> Any:
    """The document with another value at a place."""
    if not way:
        return value
    first, *rest = way
    copied = whole.copy()
    copied[first] = changed(whole[first], tuple(rest), value)
    return copied


@pytest.mark.parametrize("form", ["results", "power", "bench"])
def test_whatever_the_schema_lets_through_can_be_rendered(form: str, folder: Path) -> None:
    measured = record(LOOP, ["EQ-2"], accuracy=(ACCURATE,))
    usual = results(LOOP, EQ_2=Outcome.FAILED)
    # Few clauses, so that most changes are to what is rendered.
    usual["implementations"][0]["checks"] = [
        *(check for check in usual["implementations"][0]["checks"] if check["failure"]),
        measured,
    ]
    usual["clauses"] = [clause for clause in usual["clauses"] if clause["id"] in ("EQ-1", "EQ-2")]
    usual["implementations"][0]["clauses"] = {"EQ-2": "failed", "EQ-1": "passed"}
    whole: Any = {"results": usual, "power": POWER, "bench": BENCH}[form]
    ways = [way for way in places(whole) if way]
    draw = random.Random(0)
    path = folder / "results.json"
    rendered = 0
    trials = [(way, value) for way in ways for value in VALUES]
    for way, value in draw.sample(trials, 60):
        path.write_text(json.dumps(changed(whole, way, value)), "utf-8")
        try:
            content = read(path).content
        except UsageError:
            continue
        rendered += 1
        try:
            text = render(content) if form == "results" else render(usual, **{WHERE[form]: content})
            text.encode("utf-8", "backslashreplace")
        except Exception as error:
            error.add_note(f"with {value!r} at {way}")
            raise
    assert rendered > 5

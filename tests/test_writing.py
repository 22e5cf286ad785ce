"""Files are written whole or not at all, and a report never in place of results."""

import json
import os
import resource
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from rnn_conformance.cli import main
from rnn_conformance.errors import Refusal, UsageError
from rnn_conformance.results.journal import Header, Journal
from rnn_conformance.results.verdict import Exit
from rnn_conformance.results.writing import probe, write
from tests.support.made_results import COMPLETE, entry, records, results

TEXT = json.dumps(results(entry()))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.json").write_text(TEXT, "utf-8")
    return tmp_path


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


# Whole or not at all


def test_what_is_written_is_there(folder: Path) -> None:
    write(folder / "new/a.html", "größer")
    write(folder / "new/a.html", "größer \ud800")
    assert (folder / "new/a.html").read_text("utf-8") == "größer \\ud800"
    assert left(folder / "new") == {"a.html"}


def test_a_write_that_is_interrupted_leaves_the_earlier_file(folder: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(UsageError, match=r"cannot write .*: File too large") as refused:
            write(folder / "r.json", "x" * 10_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert refused.value.refusal is Refusal.FILE
    assert (folder / "r.json").read_text("utf-8") == TEXT
    assert left(folder) == {"r.json"}


def test_a_file_is_replaced_only_when_the_new_one_is_whole(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(beside: Path, text: bytes) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write(folder / "r.json", "new")
    assert (folder / "r.json").read_text("utf-8") == TEXT
    assert left(folder) == {"r.json"}


def test_what_is_written_through_a_link_goes_where_the_link_leads(folder: Path) -> None:
    (folder / "link.json").symlink_to("r.json")
    write(folder / "link.json", "new")
    assert (folder / "link.json").is_symlink()
    assert (folder / "r.json").read_text("utf-8") == "new"


def test_who_may_read_a_file_stays_the_same(folder: Path) -> None:
    (folder / "r.json").chmod(0o640)
    write(folder / "r.json", "new")
    assert stat.S_IMODE((folder / "r.json").stat().st_mode) == 0o640
    mask = os.umask(0o027)
    try:
        write(folder / "other.json", "new")
    finally:
        os.umask(mask)
    assert stat.S_IMODE((folder / "other.json").stat().st_mode) == 0o640


def test_a_probe_leaves_what_is_there(folder: Path) -> None:
    probe(folder / "r.json")
    probe(folder / "new/power.json")
    assert (folder / "r.json").read_text("utf-8") == TEXT
    assert (left(folder), left(folder / "new")) == ({"r.json", "new"}, set())


CANNOT: dict[str, Callable[[Path], object]] = {
    "a folder": lambda path: path.mkdir(),
    "a pipe": os.mkfifo,
    "a device": lambda path: path.symlink_to("/dev/null"),
    "a link in a circle": lambda path: path.symlink_to(path),
}


@pytest.mark.parametrize("what", CANNOT)
@pytest.mark.parametrize("act", [probe, lambda path: write(path, "new")])
def test_what_is_no_file_is_not_replaced(
    what: str, act: Callable[[Path], object], folder: Path
) -> None:
    path = folder / "out.html"
    CANNOT[what](path)
    before = path.lstat().st_mode
    with pytest.raises(UsageError, match="cannot write"):
        act(path)
    assert path.lstat().st_mode == before
    assert left(folder) == {"r.json", "out.html"}


def test_a_name_that_no_file_can_have_is_refused(folder: Path) -> None:
    for name in ("a\0b.html", "x" * 5000):
        with pytest.raises(UsageError, match="cannot write") as refused:
            write(folder / name, "new")
        assert "\0" not in str(refused.value)


# The report


def report(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["report", *arguments])
    return done.exit_code, done.output


@pytest.mark.parametrize(
    ("output", "why"),
    [
        ("r.json", "a report is HTML"),
        ("./r.json", "a report is HTML"),
        ("new.json", "a report is HTML"),
        ("new.JSONL", "a report is HTML"),
        ("link.html", "a report is HTML"),
        ("page.html", "which the report is made of"),
        ("folder/../page.html", "which the report is made of"),
        ("folder/hard.html", "which the report is made of"),
        ("folder/soft.html", "which the report is made of"),
    ],
)
def test_a_report_does_not_replace_what_it_is_made_of(output: str, why: str, folder: Path) -> None:
    (folder / "folder").mkdir()
    (folder / "link.html").symlink_to("elsewhere.json")
    page = folder / "page.html"
    page.write_text(TEXT, "utf-8")
    (folder / "folder/hard.html").hardlink_to(page)
    (folder / "folder/soft.html").symlink_to(page)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    code, said = report("r.json", "page.html", "-o", output)
    assert code == Exit.USAGE
    assert why in said
    assert said.count("\n") == 1
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_report_goes_where_it_is_asked_to(folder: Path) -> None:
    for output in ("a.html", "b", "c/d.htm"):
        assert report("r.json", "-o", output)[0] == Exit.GREEN
    for page in ("a.html", "b/index.html", "c/d.htm"):
        assert (folder / page).read_text("utf-8").startswith("<!DOCTYPE html>")
    assert (folder / "r.json").read_text("utf-8") == TEXT


def test_a_journal_is_rendered_also_by_its_folder(folder: Path) -> None:
    loop = entry()
    made = records(loop)
    with Journal.begin(folder / "records.jsonl", Header(COMPLETE, (loop,), len(made))) as journal:
        for record in made[:20]:
            journal.record(record)
    for given in ("records.jsonl", "."):
        assert report(given, "-o", "page.html")[0] == Exit.GREEN
        assert "This run was cut short" in (folder / "page.html").read_text("utf-8")
        (folder / "page.html").unlink()
    # Where both are there, the run came to its end.
    (folder / "results.json").write_text(TEXT, "utf-8")
    assert report(".", "-o", "page.html")[0] == Exit.GREEN
    assert "This run was cut short" not in (folder / "page.html").read_text("utf-8")


def test_shards_are_rendered_together(folder: Path) -> None:
    loop = entry()
    for number in (1, 2, 3):
        run = {**json.loads(TEXT)["run"], "shard": [number, 3]}
        part = results(loop)
        of_three = part["implementations"][0]["checks"][number::3]
        part["implementations"][0]["checks"] = of_three
        (folder / f"{number}.json").write_text(json.dumps({**part, "run": run}), "utf-8")
    assert report("1.json", "3.json", "-o", "some.html")[0] == Exit.GREEN
    assert "The shard 2/3 is missing" in (folder / "some.html").read_text("utf-8")
    assert report("1.json", "3.json", "2.json", "-o", "all.html")[0] == Exit.GREEN
    assert "shard" not in (folder / "all.html").read_text("utf-8")

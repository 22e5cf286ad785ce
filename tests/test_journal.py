"""``records.jsonl``: whatever stops a run, what it found is there, and it can be gone on with."""

import errno
import json
import random
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import FileIO
from pathlib import Path
from typing import Any

import pytest

from rnn_conformance.errors import Refusal, UsageError
from rnn_conformance.results.document import document
from rnn_conformance.results.journal import (
    Header,
    Journal,
    document_of,
    key_of,
    read_journal,
)
from rnn_conformance.results.json_files import validator
from rnn_conformance.results.reading import read
from rnn_conformance.results.records import Outcome
from rnn_conformance.spec.config import Kind
from tests.support.made_results import COMPLETE, DIFFERS, LOOP, entry, record, records, untimed

GRU = entry("scan", Kind.GRU, fails_on_purpose="größer – 大きい")
RUN = replace(COMPLETE, kinds=("LSTM", "GRU"), level="inference", without=("packed",))
UNDIAGNOSED = replace(DIFFERS, diagnosis=None)
RECORDS = [
    *records(LOOP, {"EQ-2": Outcome.FAILED, "STA-4": Outcome.CRASHED})[:12],
    *records(GRU, {"PCK-1": Outcome.UNSUPPORTED})[:12],
]
HEADER = Header(RUN, (GRU, LOOP), len(RECORDS))
WHOLE = untimed(document(RUN, [LOOP, GRU], RECORDS))


def write(path: Path, made: list[dict[str, Any]] = RECORDS, *, end: bool = True) -> Path:
    """A journal of these records."""
    with Journal.begin(path, HEADER) as journal:
        for line in made:
            journal.record(line)
        if end:
            journal.end(complete=True, seconds=12.5)
    return path


def go_on(path: Path) -> str:
    """Resume, run what was not run, and give the document, but for times."""
    with Journal.resume(path) as journal:
        assert journal.recorded is not None
        done = journal.recorded.keys
        for line in RECORDS:
            if key_of(line) not in done:
                journal.record(line)
        journal.end(complete=True, seconds=1.0)
    return untimed(document_of(read_journal(path)))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "records.jsonl"


# What is written is what is read


def test_a_journal_gives_the_results_that_the_run_itself_gives(path: Path) -> None:
    whole = document_of(read_journal(write(path)))
    assert json.dumps(whole) == json.dumps(document(RUN, [LOOP, GRU], RECORDS))
    assert list(validator("results").iter_errors(whole)) == []
    assert read(path).content == whole


def test_the_order_of_the_records_changes_nothing(path: Path) -> None:
    for seed in range(5):
        shuffled = random.Random(seed).sample(RECORDS, len(RECORDS))
        assert untimed(document_of(read_journal(write(path, shuffled)))) == WHOLE


def test_every_line_is_valid_against_its_schema(path: Path) -> None:
    with Journal.begin(path, HEADER) as journal:
        journal.record(failing())
        journal.diagnosis(key_of(failing()), DIFFERS.diagnosis)
        journal.end(complete=False, seconds=0.5)
    names = ["journal-header", "record", "journal-diagnosis", "journal-end"]
    for name, line in zip(names, path.read_text("utf-8").splitlines(), strict=True):
        assert list(validator(name).iter_errors(json.loads(line))) == []
        assert list(validator(name).iter_errors({**json.loads(line), "extra": 1})) != []


def test_a_record_is_in_the_file_before_the_next_check_begins(path: Path) -> None:
    with Journal.begin(path, HEADER) as journal:
        for number, line in enumerate(RECORDS, 1):
            journal.record(line)
            assert len(read_journal(path).records) == number


# Diagnoses


def failing() -> dict[str, Any]:
    return record(LOOP, ["EQ-2"], Outcome.FAILED, UNDIAGNOSED)


def test_a_diagnosis_that_comes_later_is_the_failures_own(path: Path) -> None:
    with Journal.begin(path, HEADER) as journal:
        journal.record(failing())
        journal.record(record(LOOP, ["BF-1"]))
        assert read_journal(path).undiagnosed == {key_of(failing())}
        journal.diagnosis(key_of(failing()), DIFFERS.diagnosis)
    first, _ = (recorded := read_journal(path)).records
    assert first == record(LOOP, ["EQ-2"], Outcome.FAILED, DIFFERS)
    assert recorded.undiagnosed == frozenset()


def test_why_there_is_no_diagnosis_is_the_records_reason(path: Path) -> None:
    with Journal.begin(path, HEADER) as journal:
        journal.record(failing())
        journal.diagnosis(key_of(failing()), None, "it took too long")
    (only,) = (recorded := read_journal(path)).records
    assert only == {**failing(), "reason": "it took too long"}
    assert recorded.undiagnosed == frozenset()


def test_a_diagnosis_of_what_did_not_fail_is_refused(path: Path) -> None:
    for before in ([], [record(LOOP, ["EQ-2"])]):
        write(path, before, end=False)
        with (
            Journal.resume(path) as journal,
            pytest.raises(ValueError, match="was not recorded"),
        ):
            journal.diagnosis(key_of(failing()), DIFFERS.diagnosis)
        with pytest.raises(UsageError, match=f"line {len(before) + 2} of .* was not recorded"):
            read_journal(path)


# Two records of one check


def test_of_two_records_of_a_check_the_worse_counts_in_either_order(path: Path) -> None:
    passed, failed = record(LOOP, ["EQ-2"]), failing()
    for order in ([passed, failed], [failed, passed]):
        assert read_journal(write(path, order)).records == (failed,)


def test_of_two_records_that_differ_in_more_than_time_the_same_one_always_counts(
    path: Path,
) -> None:
    one, two = (record(LOOP, ["EQ-2"], reason=why) for why in ("a remark", "another"))
    of_one, of_other = (read_journal(write(path, order)) for order in ([one, two], [two, one]))
    assert of_one.records == of_other.records
    assert len(of_one.records) == 1


def test_a_check_that_is_there_twice_is_no_two_checks(path: Path) -> None:
    assert not read_journal(write(path, [*RECORDS[:-1], RECORDS[0]])).complete


# Whether it is complete


def test_a_journal_without_an_end_is_of_a_run_that_was_cut_short(path: Path) -> None:
    assert read_journal(write(path)).complete
    recorded = read_journal(write(path, end=False))
    assert not recorded.complete
    assert recorded.seconds == sum(line["seconds"] for line in RECORDS)
    assert not read(path).content["run"]["complete"]


def test_an_end_of_too_few_checks_does_not_make_it_complete(path: Path) -> None:
    assert not read_journal(write(path, RECORDS[:-1])).complete


def test_an_end_that_says_so_is_of_a_run_that_was_cut_short(path: Path) -> None:
    with Journal.resume(write(path, end=False)) as journal:
        journal.end(complete=False, seconds=3.0)
    assert (read_journal(path).complete, read_journal(path).seconds) == (False, 3.0)


def test_a_header_alone_is_a_run_that_found_nothing(path: Path) -> None:
    write(path, [], end=False)
    assert read_journal(path).records == ()
    assert [len(i["checks"]) for i in read(path).content["implementations"]] == [0, 0]
    assert go_on(path) == WHOLE


# Whatever stops it


def test_cut_at_any_byte_it_keeps_every_whole_line_and_can_be_gone_on_with(path: Path) -> None:
    text = write(path, RECORDS[:3]).read_bytes()
    (after_header, *ends) = [n + 1 for n, byte in enumerate(text) if byte == ord("\n")]
    for cut in range(0, len(text), 7):
        path.write_bytes(text[:cut])
        if cut < after_header:
            for act in (read_journal, Journal.resume):
                with pytest.raises(UsageError, match="has no header"):
                    act(path)
            continue
        assert read_journal(path).records == tuple(RECORDS[: sum(end <= cut for end in ends)])
        if cut % 10 == 0:
            assert go_on(path) == WHOLE


def test_a_line_that_was_cut_within_a_character_is_dropped(path: Path) -> None:
    write(path, RECORDS[:2], end=False)
    before = path.read_bytes()
    line = json.dumps(RECORDS[2] | {"reason": "größer"}, ensure_ascii=False).encode()
    path.write_bytes(before + line[: line.index("ö".encode()) + 1])
    assert read_journal(path).records == tuple(RECORDS[:2])
    assert go_on(path) == WHOLE


def test_what_is_there_is_not_rewritten(path: Path) -> None:
    text = write(path, RECORDS[:5]).read_bytes()
    lasting = text[: text.rindex(b'{"end"')]
    inode = path.stat().st_ino
    for torn in (b"", b'{"implementation": "lo'):
        path.write_bytes(text if not torn else lasting + torn)
        with Journal.resume(path):
            assert path.read_bytes() == lasting
    assert path.stat().st_ino == inode


def test_a_process_that_is_killed_loses_no_check_that_was_done(path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from tests import test_journal as t\n"
        "with t.Journal.begin(Path(sys.argv[1]), t.HEADER) as journal:\n"
        "    for number in range(10**9):\n"
        "        journal.record(t.RECORDS[number % 20])\n"
        "        print(number, flush=True)\n"
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    with writer.stdout as said:
        done = [int(said.readline()) for _ in range(50)][-1]
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    assert path.read_bytes().count(b"\n") > done
    assert len(read_journal(path).records) == 20
    assert go_on(path) == WHOLE


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """Files may grow to so many bytes, after which the system refuses as with a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_full_disk_is_one_clear_line_and_what_was_found_stays(path: Path) -> None:
    room = write(path, RECORDS[:4], end=False).stat().st_size
    with Journal.begin(path, HEADER) as journal, room_for(room + 20):
        for line in RECORDS[:4]:
            journal.record(line)
        with pytest.raises(UsageError, match=r"cannot write .*: File too large; what") as refused:
            journal.record(RECORDS[4])
        assert refused.value.refusal is Refusal.FILE
        assert path.stat().st_size == room
        # There may be room again; it would go after a line that is not whole.
        with pytest.raises(UsageError, match="could not be written to before"):
            journal.record(RECORDS[5])
    assert read_journal(path).records == tuple(RECORDS[:4])
    assert go_on(path) == WHOLE


class Full(FileIO):
    """A file on a disk that is full and cannot even be made shorter."""

    full = False

    def write(self, text: Any) -> int:
        if self.full:
            super().write(bytes(text)[:9])
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(text)

    def truncate(self, size: int | None = None) -> int:
        raise OSError(errno.EIO, "Input/output error")


def _journal(path: Path, stream: FileIO) -> Journal:
    """The journal that is there, to be written to through this."""
    with Journal.resume(path) as journal:
        pass
    journal._stream = stream
    return journal


def test_a_line_that_is_left_behind_half_written_is_dropped(path: Path) -> None:
    size = write(path, RECORDS[:4], end=False).stat().st_size
    with Full(path, "r+b") as stream:
        stream.seek(size)
        stream.full = True
        with pytest.raises(UsageError, match="No space left on device"):
            _journal(path, stream).record(RECORDS[4])
    assert path.stat().st_size == size + 9
    assert read_journal(path).records == tuple(RECORDS[:4])
    assert go_on(path) == WHOLE


def test_a_line_that_the_system_takes_in_pieces_is_written_whole(path: Path) -> None:
    class Reluctant(FileIO):
        def write(self, text: Any) -> int:
            return super().write(bytes(text)[:11])

    size = write(path, RECORDS[:2], end=False).stat().st_size
    with Reluctant(path, "r+b") as stream:
        stream.seek(size)
        _journal(path, stream).record(RECORDS[2])
    assert read_journal(path).records == tuple(RECORDS[:3])


# What is no journal


def test_an_empty_file_is_refused_in_one_line(path: Path) -> None:
    path.touch()
    for act in (read_journal, Journal.resume, read):
        with pytest.raises(UsageError, match="has no header: the run was stopped before it"):
            act(path)


def _header(**changed: Any) -> str:
    fields = HEADER.to_record()["header"]
    return json.dumps({"header": {**fields, **changed}})


TWICE = HEADER.to_record()["header"]["implementations"][:1] * 2
ELSEWHERE = json.dumps(record(entry("stranger"), ["EQ-2"]))
END = json.dumps({"end": {"complete": True, "seconds": 1.0}})


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([json.dumps(RECORDS[0])], "has no header"),
        (["[]"], "has no header"),
        (["{"], "line 1 of .* cannot be read"),
        ([_header(schema_version=2)], "schema version 2"),
        ([_header(checks=-1)], "line 1 of .* is not a header"),
        ([_header(implementations=TWICE)], "line 1 of .* there twice"),
        ([_header(run=HEADER.to_record()["header"]["run"] | {"shard": [3, 2]})], "no shard 3 of 2"),
        ([_header(), "{"], "line 2 of .* cannot be read"),
        ([_header(), "{}"], "line 2 of .* is not what it should be"),
        ([_header(), "7"], "line 2 of .* is not what it should be"),
        ([_header(), ELSEWHERE], "line 2 of .* is not in the header"),
        ([_header(), END, json.dumps(RECORDS[0])], "line 3 of .* comes after the end"),
        ([_header(), '{"end": {"complete": true, "seconds": NaN}}'], "NaN is not JSON"),
        ([_header(), '{"end": 1, "end": 2}'], "the key end is there twice"),
    ],
)
def test_what_is_no_journal_is_refused_with_the_line_and_the_reason(
    lines: list[str], said: str, path: Path
) -> None:
    path.write_text("\n".join([*lines, ""]), "utf-8")
    for act in (read_journal, Journal.resume):
        before = path.read_bytes()
        with pytest.raises(UsageError, match=said) as refused:
            act(path)
        assert refused.value.refusal is Refusal.FILE
        assert "\n" not in str(refused.value)
        assert path.read_bytes() == before


def test_a_journal_that_cannot_be_opened_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot write"):
        Journal.begin(tmp_path / "missing/records.jsonl", HEADER)
    with pytest.raises(UsageError, match="cannot read"):
        Journal.resume(tmp_path / "missing/records.jsonl")

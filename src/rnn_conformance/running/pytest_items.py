"""The checks as items of pytest: a tree of its own, whatever files pytest collects.

``rnn-conformance/test_chapter.py::test_property[implementation[kind]]`` is an item's id, wherever
the suite is installed. An item uses no fixture, and belongs to no folder of the user's.
"""

from __future__ import annotations

import os
import signal
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from time import perf_counter
from types import FrameType
from typing import TYPE_CHECKING, Any

import pytest
from _pytest._code.code import (
    ExceptionInfo,
    ReprExceptionInfo,
    ReprFileLocation,
    ReprTracebackNative,
    TerminalRepr,
)

from rnn_conformance.checking.checks import Check, checks
from rnn_conformance.checking.examining import record, settle
from rnn_conformance.checking.probing import probe
from rnn_conformance.checking.subject import Subject, Tally
from rnn_conformance.errors import (
    Fault,
    NonConforming,
    Overdue,
    Sort,
    Unsupported,
    UsageError,
)
from rnn_conformance.implementations.interface import Implementation
from rnn_conformance.locations import bundled, relative
from rnn_conformance.report.wording import one_line
from rnn_conformance.results.records import Failure, Outcome, Record
from rnn_conformance.results.verdict import required
from rnn_conformance.running.selection import Selection
from rnn_conformance.running.surroundings import surroundings
from rnn_conformance.spec.clauses import CLAUSES
from rnn_conformance.texts import LINE, bounded, printable

if TYPE_CHECKING:
    from rnn_conformance.diagnosis.diagnosis import Diagnostician

ROOT = "rnn-conformance"
"""What every id begins with."""

WHOSE = {
    Fault.IMPLEMENTATION: "the implementation's fault",
    Fault.ADAPTER: "the adapter's fault: what it hands over is not what the interface says",
    Fault.SUITE: "no fault of the implementation's, but of the suite or of what else is installed",
}


class Stopped(Exception):
    """An implementation raised what is no ``Exception``, and would have ended the run."""

    def __init__(self, error: BaseException) -> None:
        # Without the notes that follow.
        super().__init__(traceback.format_exception_only(error)[0].strip())
        self.error = error


@dataclass(frozen=True)
class Named:
    """What an argument of the command line names: all checks, a chapter's, one, or one item."""

    argument: str
    chapter: str = ""
    test: str = ""
    parameter: str = ""

    @classmethod
    def of(cls, argument: str, folder: Path) -> Named | None:
        """``None`` for what is no concern of ours; ``folder`` is where pytest was called.

        Checks are named by their ids, as pytest prints them from any folder, or by the files
        that they stand in. A path that is there is what it is.
        """
        base, bracket, parameter = argument.partition("[")
        place, *names = base.split("::")
        path, content = folder / place, bundled("conformance")
        if os.path.exists(path):
            resolved = path.resolve()
            if not resolved.is_relative_to(content.resolve()):
                return None
            rest = resolved.relative_to(content.resolve()).parts
        else:
            _, root, after = f"/{place.replace(os.sep, '/')}/".rpartition(f"/{ROOT}/")
            if not root:
                return None
            rest = tuple(filter(None, after.split("/")))
        return cls(argument, "/".join(rest), "::".join(names), bracket + parameter)

    def names(self, check: Check, parameter: str) -> bool:
        """Whether it names a check with this parameter."""
        chapter, _, test = check.id.removeprefix("conformance/").partition("::")
        return (
            self.chapter in ("", chapter)
            and self.test in ("", test)
            and self.parameter in ("", parameter)
        )


class Suite(pytest.Collector):
    """All checks on all that is to be tested; loads it when it is collected."""

    def __init__(self, selection: Selection, named: Sequence[Named], **keywords: Any) -> None:
        super().__init__(**keywords)
        self.selection, self.named = selection, named
        self.diagnosticians: dict[Subject, Diagnostician] = {}
        self.probed: dict[Subject, Implementation] = {}

    def collect(self) -> Iterator[Chapter]:
        """A chapter for each file; raises ``CollectError``, in one line, if there is no check."""
        subjects = self.loaded()
        # What the command line selects is deselected later, as pytest does it, not left out.
        everything = replace(self.selection, clauses=(), level="")
        pairs = [
            (check, subject)
            for check in checks()
            for subject in everything.applicable(check, subjects)
        ]
        if self.named:
            for name in self.named:
                if not any(name.names(check, parameter(subject)) for check, subject in pairs):
                    raise self.CollectError(f"there is no check {one_line(name.argument)}")
            pairs = [
                (check, subject)
                for check, subject in pairs
                if any(name.names(check, parameter(subject)) for name in self.named)
            ]
        if not pairs:
            names = ", ".join(subject.name for subject in subjects)
            raise self.CollectError(f"no check applies to {one_line(names)}")
        for chapter, group in groupby(pairs, key=lambda pair: pair[0].id.partition("::")[0]):
            file = chapter.removeprefix("conformance/")
            yield Chapter.from_parent(
                self,
                name=file,
                path=self.path / file,
                nodeid=f"{self.nodeid}/{file}",
                pairs=list(group),
            )

    def narrowed(self, subject: Subject) -> Subject:
        """A fresh subject that declares what it was found to answer; asked by the first check."""
        if subject not in self.probed:
            with uninterrupted():
                self.probed[subject] = probe(subject.implementation, subject.kind).implementation
        # It counts what one check costs, also where the same item is run again.
        return replace(subject, implementation=self.probed[subject], tally=Tally())

    def loaded(self) -> list[Subject]:
        """What is to be tested; raises ``CollectError`` if it cannot be loaded."""
        try:
            with uninterrupted(), surroundings(self.selection.seed):
                return self.selection.subjects()
        except UsageError as error:
            raise self.CollectError(one_line(str(error), 1000)) from error
        except Stopped as stopped:
            raise self.CollectError(
                f"what is to be tested cannot be imported: it raised {one_line(str(stopped))}"
            ) from stopped


class Chapter(pytest.Collector):
    """The checks of one file in ``conformance/``, each with each of its subjects."""

    parent: Suite

    def __init__(self, pairs: Sequence[tuple[Check, Subject]], **keywords: Any) -> None:
        super().__init__(**keywords)
        self.pairs = pairs

    def collect(self) -> Iterator[CheckItem]:
        """An item for each check and subject."""
        for check, subject in self.pairs:
            name = f"{check.id.rpartition('::')[2]}{parameter(subject)}"
            yield CheckItem.from_parent(
                self,
                name=name,
                # pytest reads its ids anew; what it makes of a name is another one.
                nodeid=f"{self.nodeid}::{name}",
                check=check,
                subject=subject,
                suite=self.parent,
            )


def parameter(subject: Subject) -> str:
    """A subject as ids have it, in brackets."""
    return f"[{one_line(subject.name, 1000)}]"


class CheckItem(pytest.Item):
    """One check on one subject; ``failure`` is what it found when it was run."""

    def __init__(self, check: Check, subject: Subject, suite: Suite, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.check, self.subject, self.suite = check, subject, suite
        self.examining = False
        self.failure: Failure | None = None
        self.remark: str | None = None

    @property
    def selected(self) -> bool:
        """Whether the run's options select it."""
        return bool(self.suite.selection.applicable(self.check, [self.subject]))

    @property
    def place(self) -> str:
        """The id without what it is run on."""
        return self.nodeid.partition("[")[0]

    def reportinfo(self) -> tuple[Path, int, str]:
        """The check's file, as a whole, and the item's name."""
        return self.path, 0, self.name

    def add_report_section(self, when: str, key: str, content: str) -> None:
        """What an implementation printed, as much as is shown."""
        super().add_report_section(when, key, printable(bounded(content)))

    def runtest(self) -> None:
        """Run the check, and find out what is behind its failure.

        An exception that ends the process, raised by an implementation, is a failure of it; the
        user's own Ctrl-C, and the end that a debugger makes, are none.
        """
        self.failure = self.remark = None
        subject, begun = replace(self.subject, tally=Tally()), perf_counter()
        with surroundings(subject.seed), self.timed():
            try:
                subject = self.suite.narrowed(self.subject)
                error = raised(self.check, subject)
            except Overdue as late:
                # Asked what it can at all, it did not answer: the time was its own.
                subject.tally.seconds_inside = perf_counter() - begun
                error = late
            except Stopped as stopped:
                error = ended(stopped)
            examined = self.examined(subject, error, perf_counter() - begun)
        if error is None:
            return
        if isinstance(error, Unsupported):
            pytest.skip(one_line(str(error)))
        self.failure, self.remark = examined.failure, examined.reason
        if not required(self.check.clauses) and examined.outcome in (
            Outcome.FAILED,
            Outcome.TIMEOUT,
        ):
            # Shown, as pytest shows what is not expected to pass, and no failure of the run.
            pytest.xfail(f"{', '.join(self.check.clauses)}, optional: {self.summary()}")
        raise error

    @contextmanager
    def timed(self) -> Iterator[None]:
        """When a limit of time may end what is done."""
        self.examining = True
        try:
            yield
        finally:
            self.examining = False

    def examined(self, subject: Subject, error: BaseException | None, seconds: float) -> Record:
        """The record of the check."""
        if isinstance(error, Overdue):
            return overdue(self.check, subject, error, seconds)
        found = record(self.check, subject, error, seconds)
        if not isinstance(error, NonConforming):
            return found
        known = self.suite.diagnosticians
        if self.subject not in known:
            # Not loaded, and nothing paid for it, where everything conforms.
            from rnn_conformance.diagnosis.diagnosis import Diagnostician

            known[self.subject] = Diagnostician(subject.implementation, subject.kind)
        return diagnosed(found, error, known[self.subject])

    def repr_failure(
        self, excinfo: ExceptionInfo[BaseException], style: Any = None
    ) -> str | TerminalRepr:
        """What the check found, in full; what another plugin raised, as pytest has it."""
        if self.failure is None:
            return super().repr_failure(excinfo, style)
        text = f"{printable(bounded(self.found(), 20_000))}\n"
        crash = ReprFileLocation(str(self.path), self.reportinfo()[1] + 1, self.summary())
        return ReprExceptionInfo(ReprTracebackNative([text]), crash)

    def summary(self) -> str:
        """The message in one line and, where there is one, the diagnosis in another."""
        assert self.failure is not None
        diagnosis = self.failure.diagnosis
        return "\n".join(
            one_line(text, LINE)
            for text in (self.failure.message, "" if diagnosis is None else diagnosis["text"])
            if text
        )

    def found(self) -> str:
        """The clauses, the message and whose fault it is, the calls, the diagnosis."""
        failure = self.failure
        assert failure is not None
        parts = [
            "\n".join(f"{clause}: {CLAUSES[clause].title}" for clause in self.check.clauses),
            f"{failure.message}\n({failure.sort}; {WHOSE[failure.fault]})",
            "\n".join(failure.calls),
            "" if failure.diagnosis is None else failure.diagnosis["text"],
            self.remark or "",
            "" if self.config.option.tbstyle == "short" else failure.traceback or "",
        ]
        return "\n\n".join(printable(bounded(part)) for part in parts if part)


def raised(check: Check, subject: Subject) -> BaseException | None:
    """What ended a check, with what an implementation ends processes by as a failure of it."""
    try:
        with uninterrupted():
            settle(f"{subject.seed} {check.id}")
            check.test(subject)
    except Stopped as stopped:
        return ended(stopped)
    except (Exception, Overdue) as error:
        return error
    return None


def ended(stopped: Stopped) -> NonConforming:
    """The failure of an implementation that would have ended the run."""
    return NonConforming(f"raised {stopped}", sort=Sort.RAISED, exception=stopped.error)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Raise ``Stopped`` for what an implementation would end the run with.

    The user's Ctrl-C, whatever became of it on its way, is a ``KeyboardInterrupt`` still, and
    pytest's own end of a session, which a debugger asks for, passes.
    """
    pressed = threading.Event()
    handler = signal.getsignal(signal.SIGINT)

    def press(number: int, frame: FrameType | None) -> None:
        pressed.set()
        assert callable(handler)
        handler(number, frame)

    # Elsewhere there is no handler to be set, and none is called.
    watching = callable(handler) and threading.current_thread() is threading.main_thread()
    if watching:
        signal.signal(signal.SIGINT, press)
    try:
        yield
    except (Exception, Overdue, pytest.exit.Exception):
        if not pressed.is_set():
            raise
    except BaseException as error:
        if not pressed.is_set():
            raise Stopped(error) from error
    finally:
        if watching:
            signal.signal(signal.SIGINT, handler)
    if pressed.is_set():
        raise KeyboardInterrupt


def overdue(check: Check, subject: Subject, error: Overdue, seconds: float) -> Record:
    """The record of a check that did not end in time; the traceback says where it was.

    Whose fault that is, is told by where the time was spent.
    """
    inside = subject.tally.seconds_inside
    failure = Failure(
        Fault.IMPLEMENTATION if inside > 0.5 * seconds else Fault.SUITE,
        Sort.TIMEOUT,
        f"{error}, {inside:.3g} s of which it was inside the implementation",
        traceback=relative("".join(traceback.format_exception(error))),
    )
    return replace(record(check, subject, None, seconds), outcome=Outcome.TIMEOUT, failure=failure)


def diagnosed(examined: Record, error: NonConforming, diagnostician: Diagnostician) -> Record:
    """The record with what is behind its failure."""
    try:
        with uninterrupted():
            diagnosis = diagnostician.diagnose(error, examined.clauses)
    except (Exception, Overdue) as fault:
        # The failure stands, whatever happens to its explanation.
        reason = f"it could not be diagnosed: {type(fault).__name__}: {fault}"
        return replace(examined, reason=relative(reason))
    if diagnosis is None or examined.failure is None:
        return examined
    return replace(examined, failure=replace(examined.failure, diagnosis=diagnosis.to_record()))

"""The pytest plugin: which subjects each check runs on, and what it found.

Loaded with ``-p rnn_conformance.plugin``, never by being installed, so that it changes no other
pytest run. ``pytest -p rnn_conformance.plugin --rnn mypackage.layers:MyLSTM`` adds the suite to
one's own tests.
"""

from __future__ import annotations

import faulthandler
import json
import signal
import threading
import traceback
from collections.abc import Generator
from dataclasses import asdict, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import pytest

from rnn_conformance.checking.checks import Check
from rnn_conformance.checking.examining import record
from rnn_conformance.checking.subject import PROFILES, Subject, Tally
from rnn_conformance.errors import Fault, NonConforming, Sort, Unsupported, UsageError
from rnn_conformance.locations import bundled, relative
from rnn_conformance.results.records import Failure, Outcome, Record
from rnn_conformance.running.selection import Selection
from rnn_conformance.spec.clauses import CLAUSES

if TYPE_CHECKING:
    from rnn_conformance.diagnosis.diagnosis import Diagnostician

SUBJECTS = pytest.StashKey[list[Subject]]()
DIAGNOSTICIANS: pytest.StashKey[dict[str, Diagnostician]] = pytest.StashKey()
REFUSAL = pytest.StashKey[UsageError]()

GRACE = 30.0
"""Seconds after the limit of a check at which a worker that cannot be interrupted, being
inside compiled code, is ended."""


class Overdue(BaseException):
    """A check did not end in time; no ``Exception``, which an implementation may catch."""

    def __init__(self, limit: float) -> None:
        super().__init__(f"it did not end in {limit:g} s")


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of a run, as far as they concern what is tested."""
    group = parser.getgroup("rnn-conformance")
    add = group.addoption
    add("--rnn", action="append", default=[], metavar="TARGET", help="test this implementation")
    add("--rnn-registered", action="store_true", help="test everything registered")
    add("--rnn-kind", action="append", default=[], metavar="KIND", help="only this kind")
    add("--rnn-level", default="", metavar="LEVEL", help="only clauses up to this level")
    add("--rnn-select", action="append", default=[], metavar="CLAUSE", help="only these clauses")
    add("--rnn-without", action="append", default=[], metavar="FEATURE", help="not declared")
    add("--rnn-profile", default="quick", choices=sorted(PROFILES), help="how much is tried")
    add("--rnn-seed", type=int, default=0, metavar="N", help="the same seed, the same cases")
    add("--rnn-device", default="cpu", metavar="DEVICE", help="where torch classes compute")


def pytest_configure(config: pytest.Config) -> None:
    """Add the suite to what is collected, in somebody's own run."""
    content = bundled("conformance").resolve()
    paths = (Path(argument.partition("::")[0]).resolve() for argument in config.args)
    if selection_of(config).targets and not any(path.is_relative_to(content) for path in paths):
        config.args.append(str(content))


def selection_of(config: pytest.Config) -> Selection:
    """What the options ask for; raises ``UsageError`` where they ask for nothing known."""
    option = config.option
    return Selection(
        targets=tuple(option.rnn),
        registered=option.rnn_registered,
        kinds=tuple(option.rnn_kind),
        level=option.rnn_level,
        clauses=tuple(option.rnn_select),
        profile=option.rnn_profile,
        seed=option.rnn_seed,
        without=tuple(option.rnn_without),
        device=option.rnn_device,
    )


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Load the implementations where the checks will run: not in xdist's controller."""
    config = session.config
    if config.pluginmanager.hasplugin("dsession"):
        return
    selection = selection_of(config)
    if not selection.targets and not selection.registered:
        return
    try:
        config.stash[SUBJECTS] = selection.subjects()
    except UsageError as error:
        config.stash[SUBJECTS] = []
        config.stash[REFUSAL] = error
        # A worker cannot end the run; the controller reads this when the worker is done.
        if not hasattr(config, "workeroutput"):
            pytest.exit(str(error), returncode=pytest.ExitCode.USAGE_ERROR)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each check with each subject to which all of its clauses apply."""
    if "subject" not in metafunc.fixturenames or not hasattr(metafunc.function, "clauses"):
        return
    check = Check.of(metafunc.function)
    loaded = metafunc.config.stash.get(SUBJECTS, list[Subject]())
    subjects = selection_of(metafunc.config).applicable(check, loaded)
    # A subject counts what one check costs, so each check has its own.
    fresh = [replace(subject, tally=Tally()) for subject in subjects]
    metafunc.parametrize("subject", fresh, ids=[subject.name for subject in fresh])


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Drop the checks that have no subject here."""
    items[:] = [
        item
        for item in items
        if not hasattr(getattr(item, "function", None), "clauses")
        or isinstance(_subject(item), Subject)
    ]


def _subject(item: pytest.Item) -> object:
    callspec = getattr(item, "callspec", None)
    return None if callspec is None else callspec.params.get("subject")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """End a worker that hangs where no signal reaches it; the run goes on without it."""
    limit = getattr(item.config.option, "timeout", None)
    if limit and hasattr(item.config, "workerinput"):
        faulthandler.dump_traceback_later(limit + GRACE, exit=True)
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


@pytest.hookimpl(optionalhook=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: Any) -> bool | None:
    """End a check that is over time by an exception that its type tells from all others.

    pytest-timeout's own cannot be raised where pytest has no terminal, as in a run of ours.
    What is no check, or where no signal can be had, is left to pytest-timeout.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    if not (isinstance(_subject(item), Subject) and settings.method == "signal" and in_main_thread):
        return None

    def interrupt(number: int, frame: FrameType | None) -> None:
        from pytest_timeout import is_debugging

        if settings.disable_debugger_detection or not is_debugging():
            raise Overdue(settings.timeout)

    def cancel() -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)

    # Where pytest-timeout looks for it when the check has ended.
    item.cancel_timeout = cancel  # type: ignore[attr-defined]
    signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, settings.timeout)
    return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Hang the record on the report, which travels to the controller."""
    report = yield
    subject = _subject(item)
    if not isinstance(subject, Subject) or not (call.when == "call" or call.excinfo):
        return report
    error = None if call.excinfo is None else call.excinfo.value
    check = Check.of(item.function)  # type: ignore[attr-defined]
    if isinstance(error, Overdue):
        examined = overdue(check, subject, error, call.duration)
    else:
        examined = record(check, subject, error, call.duration)
    if isinstance(error, NonConforming):
        examined = diagnosed(examined, subject, error, item.config.stash)
    failure = examined.failure
    report.rnn_record = json.dumps(examined.to_record())  # type: ignore[attr-defined]
    if isinstance(error, Unsupported):
        report.outcome = "skipped"
        report.longrepr = (check.id, 0, f"Skipped: {error}")
    elif failure is not None and examined.outcome is Outcome.FAILED:
        titles = "\n".join(f"{clause}: {CLAUSES[clause].title}" for clause in check.clauses)
        calls = "\n".join(failure.calls)
        report.longrepr = f"{titles}\n\n{failure.message}\n\n{calls}"
        if failure.diagnosis:
            report.longrepr += f"\n\n{failure.diagnosis['text']}"
        if failure.traceback:
            report.longrepr += f"\n\n{failure.traceback}"
        if all(CLAUSES[clause].optional for clause in check.clauses):
            # Shown, as pytest shows what is not expected to pass, and no failure of the run.
            report.outcome = "skipped"
            report.wasxfail = f"{', '.join(check.clauses)}, optional: {failure.message}"
    return report


def overdue(check: Check, subject: Subject, error: Overdue, seconds: float) -> Record:
    """The record of a check that did not end in time; the traceback says where it was."""
    failure = Failure(
        Fault.IMPLEMENTATION,
        Sort.TIMEOUT,
        str(error),
        traceback=relative("".join(traceback.format_exception(error))),
    )
    return replace(record(check, subject, None, seconds), outcome=Outcome.TIMEOUT, failure=failure)


def diagnosed(
    examined: Record, subject: Subject, error: NonConforming, stash: pytest.Stash
) -> Record:
    """The record with what is behind its failure."""
    known = stash.setdefault(DIAGNOSTICIANS, {})
    if subject.name not in known:
        # Not loaded, and nothing paid for it, where everything conforms.
        from rnn_conformance.diagnosis.diagnosis import Diagnostician

        known[subject.name] = Diagnostician(subject.implementation, subject.kind)
    try:
        diagnosis = known[subject.name].diagnose(error, examined.clauses)
    except Exception as fault:
        # The failure stands, whatever happens to its explanation.
        reason = f"it could not be diagnosed: {type(fault).__name__}: {fault}"
        return replace(examined, reason=relative(reason))
    if diagnosis is None or examined.failure is None:
        return examined
    return replace(examined, failure=replace(examined.failure, diagnosis=diagnosis.to_record()))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell the controller what was loaded, or why nothing was."""
    config = session.config
    if hasattr(config, "workeroutput"):
        subjects = config.stash.get(SUBJECTS, [])
        selection = selection_of(config)
        entries = [asdict(selection.entry(subject)) for subject in subjects]
        # As text: enumerations do not travel.
        config.workeroutput["rnn_subjects"] = json.dumps(entries)
        refusal = config.stash.get(REFUSAL, None)
        if refusal is not None:
            trace = "".join(traceback.format_exception(refusal))
            fields = [str(refusal), refusal.refusal.value, refusal.missing, trace]
            config.workeroutput["rnn_refusal"] = fields

"""The pytest plugin: which subjects each check runs on, and what it found.

Loaded with ``-p rnn_conformance.plugin``, never by being installed, so that it changes no
other pytest run. ``pytest -p rnn_conformance.plugin --rnn mypackage.layers:MyLSTM`` adds
the suite to one's own tests.
"""

from __future__ import annotations

import faulthandler
import json
import traceback
from collections.abc import Generator
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import pytest

from rnn_conformance.clauses import CLAUSES
from rnn_conformance.errors import NonConforming, Unsupported, UsageError
from rnn_conformance.locations import bundled
from rnn_conformance.results import Outcome, Record
from rnn_conformance.selection import Selection
from rnn_conformance.subject import PROFILES, Subject
from rnn_conformance.suite import Check, record

if TYPE_CHECKING:
    from rnn_conformance.diagnosis import Diagnostician

SUBJECTS = pytest.StashKey[list[Subject]]()
DIAGNOSTICIANS: pytest.StashKey[dict[str, Diagnostician]] = pytest.StashKey()
REFUSAL = pytest.StashKey[UsageError]()

GRACE = 30.0
"""Seconds after the limit of a check at which a worker that cannot be interrupted, being
inside compiled code, is ended."""


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
    if selection_of(config).targets and not any("conformance" in each for each in config.args):
        config.args.append(str(bundled("conformance")))


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
    fresh = [Subject(each.implementation, each.kind, each.profile, each.seed) for each in subjects]
    metafunc.parametrize("subject", fresh, ids=[each.name for each in fresh])


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
    timed_out = isinstance(error, pytest.fail.Exception) and "Timeout" in str(error)
    check = Check.of(item.function)  # type: ignore[attr-defined]
    found = record(
        check, subject, error, call.duration, outcome=Outcome.TIMEOUT if timed_out else None
    )
    if isinstance(error, NonConforming):
        found = diagnosed(found, subject, error, item.config.stash)
    report.rnn_record = json.dumps(found.to_record())  # type: ignore[attr-defined]
    if isinstance(error, Unsupported):
        report.outcome = "skipped"
        report.longrepr = (check.id, 0, f"Skipped: {error}")
    elif found.failure is not None and found.outcome is Outcome.FAILED:
        titles = "\n".join(f"{each}: {CLAUSES[each].title}" for each in check.clauses)
        calls = "\n".join(found.failure.calls)
        report.longrepr = f"{titles}\n\n{found.failure.message}\n\n{calls}"
        if found.failure.diagnosis:
            report.longrepr += f"\n\n{found.failure.diagnosis['text']}"
        if found.failure.traceback:
            report.longrepr += f"\n\n{found.failure.traceback}"
        if all(CLAUSES[each].optional for each in check.clauses):
            # Shown, as pytest shows what is not expected to pass, and no failure of the run.
            report.outcome = "skipped"
            report.wasxfail = f"{', '.join(check.clauses)}, optional: {found.failure.message}"
    return report


def diagnosed(found: Record, subject: Subject, error: NonConforming, stash: pytest.Stash) -> Record:
    """The record with what is behind its failure."""
    known = stash.setdefault(DIAGNOSTICIANS, {})
    if subject.name not in known:
        # Not loaded, and nothing paid for it, where everything conforms.
        from rnn_conformance.diagnosis import Diagnostician

        known[subject.name] = Diagnostician(subject.implementation, subject.kind)
    try:
        diagnosis = known[subject.name].diagnose(error, found.clauses)
    except Exception as fault:
        # What was found stands, whatever happens to its explanation.
        return replace(found, reason=f"it could not be diagnosed: {type(fault).__name__}: {fault}")
    if diagnosis is None or found.failure is None:
        return found
    return replace(found, failure=replace(found.failure, diagnosis=diagnosis.to_record()))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell the controller what was loaded, or why nothing was."""
    config = session.config
    if hasattr(config, "workeroutput"):
        subjects = config.stash.get(SUBJECTS, [])
        selection = selection_of(config)
        entries = [asdict(selection.entry(each)) for each in subjects]
        # As text: enumerations do not travel.
        config.workeroutput["rnn_subjects"] = json.dumps(entries)
        refusal = config.stash.get(REFUSAL, None)
        if refusal is not None:
            trace = "".join(traceback.format_exception(refusal))
            config.workeroutput["rnn_refusal"] = [str(refusal), trace]

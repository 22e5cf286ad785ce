"""The pytest plugin: options, the checks beside what pytest collects, and an honest exit code.

Loaded with ``-p rnn_conformance.plugin``, never by being installed, so that it changes no other
pytest run. ``pytest -p rnn_conformance.plugin --rnn mypackage.layers:MyLSTM`` adds the suite to
one's own tests. What the options cannot mean is refused in one line, as pytest refuses a call.
"""

from __future__ import annotations

import signal
import threading
import warnings
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from rnn_conformance.errors import Overdue, UsageError
from rnn_conformance.locations import bundled
from rnn_conformance.report.wording import one_line
from rnn_conformance.running.pytest_items import ROOT, CheckItem, Named, Suite
from rnn_conformance.running.selection import Selection


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
    add("--rnn-profile", default="quick", metavar="PROFILE", help="how much is tried")
    add("--rnn-seed", default="0", metavar="N", help="the same seed, the same cases")
    add("--rnn-device", default="cpu", metavar="DEVICE", help="where torch classes compute")


def pytest_configure(config: pytest.Config) -> None:
    """Take over where something is to be tested."""
    try:
        selection = selection_of(config)
    except UsageError as error:
        raise pytest.UsageError(one_line(str(error), 1000)) from None
    folder = config.invocation_params.dir
    named = [name for argument in config.args if (name := Named.of(argument, folder))]
    if not selection.targets and not selection.registered:
        if named or selection != Selection():
            raise pytest.UsageError("nothing is to be tested: give --rnn TARGET")
        return
    # What is left is pytest's; nothing, where checks alone are named.
    config.args[:] = [argument for argument in config.args if not Named.of(argument, folder)]
    config.pluginmanager.register(Joining(selection, named))
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Watching())


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """The files of the checks are no files of tests: there are no fixtures for them."""
    within = collection_path.resolve().is_relative_to(bundled("conformance").resolve())
    return True if within else None


def selection_of(config: pytest.Config) -> Selection:
    """What the options ask for; raises ``UsageError`` where they ask for nothing known."""
    option = config.option
    if not (option.rnn_seed.isdecimal() and int(option.rnn_seed) < 2**32):
        raise UsageError(f"the seed {option.rnn_seed!r} is no number from 0 to 2**32 - 1")
    return Selection(
        targets=tuple(option.rnn),
        registered=option.rnn_registered,
        kinds=tuple(option.rnn_kind),
        level=option.rnn_level,
        clauses=tuple(option.rnn_select),
        profile=option.rnn_profile,
        seed=int(option.rnn_seed),
        without=tuple(option.rnn_without),
        device=option.rnn_device,
    )


@dataclass(frozen=True, eq=False)
class Joining:
    """The checks beside what pytest collects; in xdist's workers, not in what controls them."""

    selection: Selection
    named: Sequence[Named]

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """A tree of their own, at the end."""
        report = yield
        if isinstance(collector, pytest.Session) and report.passed:
            suite = Suite.from_parent(
                collector,
                name=ROOT,
                path=bundled("conformance"),
                nodeid=ROOT,
                selection=self.selection,
                named=self.named,
            )
            report.result.append(suite)
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """What is not selected is deselected."""
        unselected = [item for item in items if isinstance(item, CheckItem) and not item.selected]
        if unselected:
            config.hook.pytest_deselected(items=unselected)
            items[:] = [item for item in items if item not in unselected]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """No warning fails a check, as none does without pytest, whatever filters a user has."""
        if not isinstance(item, CheckItem):
            return (yield)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """What is skipped is skipped where the check is, not where that is found out."""
        report = yield
        if isinstance(item, CheckItem) and isinstance(report.longrepr, tuple):
            report.longrepr = (item.place, 1, report.longrepr[2])
        return report

    @pytest.hookimpl(optionalhook=True)
    def pytest_timeout_set_timer(self, item: pytest.Item, settings: Any) -> bool | None:
        """End a check that is over time by an exception that its type tells from all others.

        pytest-timeout's own is one that Hypothesis takes for a failure, and begins to shrink
        by trying again what hangs. What is no check, or where no signal can be had, is left to
        pytest-timeout.
        """
        in_main_thread = threading.current_thread() is threading.main_thread()
        if not (isinstance(item, CheckItem) and settings.method == "signal" and in_main_thread):
            return None

        def interrupt(number: int, frame: FrameType | None) -> None:
            from pytest_timeout import is_debugging

            if item.examining and (settings.disable_debugger_detection or not is_debugging()):
                raise Overdue(settings.timeout)

        def cancel() -> None:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)

        # Where pytest-timeout looks for it when the check has ended.
        item.cancel_timeout = cancel  # type: ignore[attr-defined]
        signal.signal(signal.SIGALRM, interrupt)
        signal.setitimer(signal.ITIMER_REAL, settings.timeout)
        return True


@dataclass(eq=False)
class Watching:
    """What became of the checks, from what is reported to the process that the user called.

    ``selected`` are their ids, ``begun`` those that something was reported of, and ``answered``
    those that passed or failed.
    """

    selected: set[str] = field(default_factory=set)
    begun: set[str] = field(default_factory=set)
    answered: set[str] = field(default_factory=set)
    uncollected: dict[str, str] = field(default_factory=dict)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """What could not be collected, in a line each."""
        if report.failed:
            self.uncollected[report.nodeid] = one_line(str(report.longrepr), 1000)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """What is to be run, in one process."""
        self.select([item.nodeid for item in session.items])

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: Sequence[str]) -> None:
        """What is to be run, in several."""
        self.select(ids)

    def select(self, ids: Sequence[str]) -> None:
        """Of several workers, each collects the same."""
        self.selected.update(id for id in ids if id.startswith(f"{ROOT}/"))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """An item is under way, or done."""
        if report.nodeid in self.selected:
            self.begun.add(report.nodeid)
            shown = hasattr(report, "wasxfail")
            if report.failed or shown or (report.when == "call" and report.passed):
                self.answered.add(report.nodeid)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Each diagnosis with the messages of what it is behind, in a line each.

        pytest's own summary has no message where a name is as long as a line.
        """
        if not terminalreporter.hasopt("f"):
            return
        behind: dict[str, list[tuple[str, str]]] = {}
        for report in terminalreporter.stats.get("failed", []):
            crash = getattr(report.longrepr, "reprcrash", None)
            if report.nodeid in self.selected and crash is not None:
                message, diagnosis = (*crash.message.splitlines(), "")[:2]
                behind.setdefault(diagnosis, []).append((report.nodeid, message))
        if behind:
            terminalreporter.write_sep("=", f"{ROOT}: what is wrong")
        for diagnosis, failures in behind.items():
            terminalreporter.write_line(diagnosis or "Not diagnosed:")
            for id, message in failures:
                terminalreporter.write_line(f"  {id}\n    {message}")

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, object, object]:
        """Nothing is green, or looks like tests that fail, because no check was run.

        Raises pytest's ``Exit`` when all others are done with the session.
        """
        result = yield
        if not session.config.option.collectonly or ROOT in self.uncollected:
            code, reason = self.ending(session.exitstatus)
            if reason:
                pytest.exit(f"{ROOT}: {reason}", returncode=code)
        return result

    def ending(self, status: int) -> tuple[int, str]:
        """The exit code in place of pytest's, and why; an empty reason where that is right."""
        usage, codes = pytest.ExitCode.USAGE_ERROR, pytest.ExitCode
        if not self.answered:
            if ROOT in self.uncollected:
                return usage, f"no check ran: {self.uncollected[ROOT]}"
            if self.uncollected and status in (codes.INTERRUPTED, codes.TESTS_FAILED):
                return usage, f"no check ran: {', '.join(self.uncollected)} cannot be collected"
            if status in (codes.OK, codes.NO_TESTS_COLLECTED, codes.TESTS_FAILED):
                if not self.selected:
                    return usage, "no check ran: none is left of what was selected"
                if status != codes.TESTS_FAILED:
                    return usage, "no check ran: all were skipped; -rs says why"
        elif status == codes.OK and self.selected - self.begun:
            ran = f"{len(self.begun)} of {len(self.selected)}"
            return codes.INTERRUPTED, f"the session ended after {ran} checks"
        return status, ""

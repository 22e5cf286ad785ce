"""``pytest -p rnn_conformance.plugin --rnn TARGET``: what is green was checked, and is right."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Collection
from importlib.metadata import distribution
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import torch

from rnn_conformance.checking.checks import checks
from rnn_conformance.diagnosis.diagnosis import Diagnostician
from rnn_conformance.errors import NonConforming
from rnn_conformance.implementations.torch_module import drop_in
from rnn_conformance.locations import bundled
from rnn_conformance.plugin import pytest_ignore_collect
from rnn_conformance.spec.config import Kind

pytest_plugins = ["pytester"]

# A run in this process forgets what it imported, and not all can be imported twice: it is
# imported here.
RNN_CELL = drop_in(torch.nn.RNNCell)
APPLICABLE = [check.id for check in checks() if Kind.RNN_CELL in check.kinds]

LAYERS = """
import sys, time, unittest, warnings

import pytest
import torch
from torch.nn import RNNCell


class Right(RNNCell):
    pass


class Zeros(RNNCell):
    def forward(self, input, hx=None):
        return torch.zeros_like(super().forward(input, hx))


class Exits(RNNCell):
    def forward(self, input, hx=None):
        sys.exit(0)


class Interrupts(RNNCell):
    def forward(self, input, hx=None):
        raise KeyboardInterrupt


class Skips(RNNCell):
    def forward(self, input, hx=None):
        pytest.skip("not today")


class SkipsAsUnittest(RNNCell):
    def forward(self, input, hx=None):
        raise unittest.SkipTest("not today")


class EndsTheSession(RNNCell):
    def forward(self, input, hx=None):
        pytest.exit("all is well", returncode=0)


class Hangs(RNNCell):
    def forward(self, input, hx=None):
        open("hanging", "w").close()
        while True:
            try:
                time.sleep(0.01)
            except Exception:
                pass


class Loud(RNNCell):
    def forward(self, input, hx=None):
        print("printed \\x1b[2J" * 100_000)
        raise ValueError("\\x1b[2J\\x00\\ud800]]>" + "loud" * 600_000)


class Warns(RNNCell):
    def forward(self, input, hx=None):
        warnings.warn("old", DeprecationWarning)
        return super().forward(input, hx)


class FailsAtWhatIsOptional(RNNCell):
    def forward(self, input, hx=None):
        if torch.jit.is_tracing():
            raise TypeError("no tracing")
        return super().forward(input, hx)


class TakesTheDefaultDtype(RNNCell):
    rnn_conformance = {"dtypes": ["float32"]}

    def forward(self, input, hx=None):
        if hx is None:
            hx = torch.zeros(*input.shape[:-1], self.hidden_size)
        return super().forward(input, hx)
"""

CELLS = "rnn-conformance/test_cells.py"
BATCH = f"{CELLS}::test_a_batch_gives_a_state_of_samples_by_hidden_size"
STEP = f"{CELLS}::test_one_step_is_what_the_equations_say"
OWN = "def test_own():\n    pass\n"


@pytest.fixture(autouse=True)
def layers(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with layers and a test of one's own; diagnosing them is another test's matter."""
    pytester.makepyfile(layers=LAYERS, test_own=OWN)
    monkeypatch.setattr(Diagnostician, "diagnose", lambda *_: None)
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("COLUMNS", "80")


def target(name: str) -> list[str]:
    return [f"--rnn=layers.py:{name}"] if name else []


def run(pytester: pytest.Pytester, name: str, *arguments: str) -> pytest.RunResult:
    """A run on a layer, in this process."""
    plugins = ["-p", "rnn_conformance.plugin", "-p", "no:benchmark"]
    # What is imported already cannot be rewritten, of which pytest warns.
    sys.modules.pop("rnn_conformance.plugin", None)
    return pytester.runpytest_inprocess(*plugins, *target(name), *arguments)


def run_outside(pytester: pytest.Pytester, name: str, *arguments: str) -> pytest.RunResult:
    """A run on a layer in a process of its own, for what starts processes or sets limits."""
    plugin = ["-p", "rnn_conformance.plugin"]
    return pytester.runpytest_subprocess(*plugin, *target(name), *arguments, timeout=200)


def refused(done: pytest.RunResult, reason: str) -> None:
    """The exit code of a usage error, and one line with the reason."""
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    assert len([text for text in done.errlines if text.strip()]) == 1, done.errlines
    assert reason in done.stderr.str()
    assert "INTERNALERROR" not in done.stdout.str()


def selected(pytester: pytest.Pytester, *arguments: str) -> list[str]:
    """The ids of what would be run."""
    done = run(pytester, "Right", "--collect-only", "-q", *arguments)
    assert done.ret == 0
    return [text for text in done.outlines if "::" in text]


# What is collected.


def test_the_checks_join_a_run_of_ones_own_tests(pytester: pytest.Pytester) -> None:
    done = run(pytester, "Right", "--rnn-select=CEL-1", "test_own.py")
    done.assert_outcomes(passed=7, skipped=4, deselected=len(APPLICABLE) - 10)
    assert done.ret == 0


def test_every_check_that_applies_is_an_item(pytester: pytest.Pytester) -> None:
    own, *ours = selected(pytester)
    assert own == "test_own.py::test_own"
    assert ours == [f"rnn-{check}[layers.py:Right[RNNCell]]" for check in APPLICABLE]


@pytest.mark.parametrize(
    "place", ["tests/test_conformance.py", "conformance/test_x.py", "my_conformance_x/test_x.py"]
)
def test_a_place_called_conformance_takes_the_place_of_no_check(
    pytester: pytest.Pytester, place: str
) -> None:
    path = pytester.path / place
    path.parent.mkdir()
    path.write_text(OWN)
    for argument in (place, place.partition("/")[0]):
        done = run(pytester, "Zeros", argument, "--rnn-select=CEL-2", "-x")
        assert done.parseoutcomes()["passed"] == 1
        assert done.ret == pytest.ExitCode.TESTS_FAILED
        assert "CEL-2: A cell is one step" in done.stdout.str()


def test_ones_own_files_may_be_called_as_the_suites_are(pytester: pytest.Pytester) -> None:
    tests = pytester.mkdir("tests")
    (tests / "test_cells.py").write_text(OWN)
    (tests / "test_equations.py").write_text(OWN)
    done = run(pytester, "Right", "tests", "--rnn-select=CEL-1")
    done.assert_outcomes(passed=8, skipped=4, deselected=len(APPLICABLE) - 10)


SETTINGS = """
[pytest]
python_files = check_*.py
python_functions = check_*
testpaths = nothing_here
norecursedirs = *
addopts = --import-mode=prepend --strict-markers
"""


def test_how_pytest_finds_tests_is_no_matter(pytester: pytest.Pytester) -> None:
    pytester.makeini(SETTINGS)
    pytester.mkdir("nothing_here")
    done = run(pytester, "Right", "--rnn-select=CEL-1", "--rootdir=nothing_here")
    assert done.parseoutcomes()["passed"] == 6
    assert done.ret == 0


def test_the_files_of_the_checks_name_the_same_items_once(pytester: pytest.Pytester) -> None:
    folder = bundled("conformance")
    ours = selected(pytester)[1:]
    assert selected(pytester, str(folder)) == ours
    assert selected(pytester, f"{folder}/test_cells.py") == [
        id for id in ours if id.startswith(CELLS)
    ]
    assert selected(pytester, f"{folder}/test_cells.py::{STEP.partition('::')[2]}") == [
        f"{STEP}[layers.py:Right[RNNCell]]"
    ]


def test_a_folder_around_the_checks_holds_no_test_of_them(tmp_path: Path) -> None:
    assert pytest_ignore_collect(bundled("conformance") / "test_cells.py") is True
    assert pytest_ignore_collect(tmp_path / "conformance/test_cells.py") is None


# Ids.


def test_each_id_that_is_printed_can_be_run_again(pytester: pytest.Pytester) -> None:
    done = run(pytester, "Right", "--rnn-select=CEL-1", "-v")
    printed = re.findall(r"^(rnn-conformance/\S+) PASSED", done.stdout.str(), re.MULTILINE)
    assert len(printed) == 6
    done = run(pytester, "Right", "-v", printed[1])
    done.assert_outcomes(passed=1)
    assert f"{printed[1]} PASSED" in done.stdout.str()


def test_an_id_without_its_parameter_names_all_of_a_check(pytester: pytest.Pytester) -> None:
    command = ["--rnn=layers.py:Zeros", BATCH, "test_own.py::test_own"]
    run(pytester, "Right", *command).assert_outcomes(passed=3)


def test_an_id_can_be_run_again_from_another_folder(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makeini("[pytest]")
    monkeypatch.chdir(pytester.mkdir("below"))
    command = ["-p", "rnn_conformance.plugin", "--rnn=../layers.py:Zeros", "--tb=no", "-rf"]
    first = pytester.runpytest_inprocess(*command, STEP)
    (printed,) = re.findall(r"^FAILED (\S+)", first.stdout.str(), re.MULTILINE)
    assert printed.startswith("../rnn-conformance/")
    pytester.runpytest_inprocess(*command, printed).assert_outcomes(failed=1)


def test_what_failed_last_can_be_run_again(pytester: pytest.Pytester) -> None:
    run(pytester, "Zeros", "--rnn-select=CEL-1", "--rnn-select=CEL-2")
    again = run(pytester, "Zeros", "--lf", "--tb=no")
    assert again.parseoutcomes().keys() - {"warnings"} == {"failed", "deselected"}
    first = run(pytester, "Zeros", "--ff", "-x", "--tb=no")
    first.assert_outcomes(failed=1)


# What is refused.


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ("--rnn-select=EQ-99", "there is no clause or chapter 'EQ-99'"),
        ("--rnn-kind=X", "there is no kind 'X'"),
        ("--rnn-level=x", "there is no level 'x'"),
        ("--rnn-without=x", "there is no feature 'x'"),
        ("--rnn-seed=x", "the seed 'x' is no number"),
        ("--rnn-seed=-1", "the seed '-1' is no number"),
        ("--rnn-profile=x", "there is no profile 'x'"),
        ("--rnn-device=meta", "'meta' computes no values"),
    ],
)
def test_an_option_that_means_nothing_is_refused_in_one_line(
    pytester: pytest.Pytester, option: str, reason: str
) -> None:
    refused(run(pytester, "Right", option), reason)
    refused(run(pytester, "Right", option, "-n2"), reason)


@pytest.mark.parametrize(
    "arguments", [["--rnn-select=EQ-2"], ["--rnn-level=inference"], [BATCH], ["rnn-conformance"]]
)
def test_what_needs_a_target_is_refused_without_one(
    pytester: pytest.Pytester, arguments: list[str]
) -> None:
    refused(run(pytester, "", *arguments), "nothing is to be tested: give --rnn TARGET")


def test_without_options_of_its_own_the_plugin_changes_nothing(pytester: pytest.Pytester) -> None:
    done = run(pytester, "")
    done.assert_outcomes(passed=1)
    assert done.ret == 0
    assert run(pytester, "", "-k", "nothing").ret == pytest.ExitCode.NO_TESTS_COLLECTED


@pytest.mark.parametrize("workers", ["-n0", "-n2"])
def test_a_target_that_is_not_there_is_refused(pytester: pytest.Pytester, workers: str) -> None:
    done = run_outside(pytester, "", "--rnn=nothing_of_this_name:GRU", workers)
    refused(done, "no check ran: there is no module 'nothing_of_this_name'")


@pytest.mark.parametrize("what", ["raise SystemExit(0)", "raise KeyboardInterrupt", "1 / 0"])
def test_a_target_that_cannot_be_imported_is_refused(pytester: pytest.Pytester, what: str) -> None:
    pytester.makepyfile(broken=what)
    refused(run(pytester, "", "--rnn=broken.py:GRU", "test_own.py"), "cannot be imported")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["-k", "test_own"], "none is left of what was selected"),
        (["--deselect=rnn-conformance/"], "none is left of what was selected"),
        (["-m", "slow"], "none is left of what was selected"),
        ([BATCH, "--rnn-select=CEL-2"], "none is left of what was selected"),
        (["--rnn-select=DIR"], "none is left of what was selected"),
        (["rnn-conformance/test_nothing.py"], "there is no check rnn-conformance/test_nothing.py"),
        ([f"{BATCH}[x]"], "there is no check"),
        (["--rnn-kind=GRU"], "no GRU among what was loaded"),
        (["-k", "undeclared"], "all were skipped"),
        (["--setup-only", BATCH], "all were skipped"),
        (["test_broken.py"], "test_broken.py cannot be collected"),
        (["test_broken.py", "--continue-on-collection-errors", "-k", "test_own"], "test_broken.py"),
        (["-p", "no:terminal", "-k", "test_own"], "none is left of what was selected"),
    ],
)
def test_where_no_check_runs_nothing_is_green(
    pytester: pytest.Pytester, arguments: list[str], reason: str
) -> None:
    if "test_broken.py" in arguments:
        pytester.makepyfile(test_broken="1 / 0")
    refused(run(pytester, "Right", *arguments), f"no check ran: {reason}")


def test_where_no_check_runs_nothing_is_green_in_workers_either(pytester: pytest.Pytester) -> None:
    refused(run_outside(pytester, "Right", "-k", "test_own", "-n2"), "no check ran: none is left")


def test_a_file_that_is_not_there_is_refused(pytester: pytest.Pytester) -> None:
    refused(run(pytester, "Right", "absent.py"), "file or directory not found: absent.py")


def test_a_file_that_no_worker_finds_is_refused(pytester: pytest.Pytester) -> None:
    refused(run_outside(pytester, "Right", "absent.py", "-n2"), "no check ran")


def test_where_no_check_is_left_failing_tests_do_not_hide_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_own="def test_own():\n    assert False\n")
    refused(run(pytester, "Right", "-k", "test_own"), "no check ran")


def test_a_run_that_a_failing_test_of_ones_own_stops_is_a_failing_run(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(test_own="def test_own():\n    assert False\n")
    assert run(pytester, "Right", "-x").ret == pytest.ExitCode.TESTS_FAILED


def test_collecting_alone_is_no_run(pytester: pytest.Pytester) -> None:
    assert run(pytester, "Right", "--co").ret == 0
    refused(run(pytester, "", "--rnn=absent.py:GRU", "--co"), "there is no file absent.py")


STOPPER = """
import pytest


def pytest_runtest_logreport(report):
    if report.nodeid.startswith("rnn-conformance") and report.when == "teardown":
        pytest.exit("enough", returncode=0)
"""


def test_a_session_that_ends_early_is_not_green(pytester: pytest.Pytester) -> None:
    pytester.syspathinsert()
    pytester.makepyfile(stopper=STOPPER)
    done = run(pytester, "Right", "--rnn-select=CEL-1", "-p", "stopper")
    assert done.ret == pytest.ExitCode.INTERRUPTED
    assert "the session ended after 1 of 10 checks" in done.stderr.str()


# What an implementation does.


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Exits", "raised SystemExit: 0"),
        ("Interrupts", "raised KeyboardInterrupt"),
        ("Skips", "raised Skipped: not today"),
        ("SkipsAsUnittest", "raised SkipTest: not today"),
    ],
)
def test_what_would_end_the_run_is_the_implementations_failure(
    pytester: pytest.Pytester, name: str, message: str
) -> None:
    done = run(pytester, name, BATCH, "test_own.py", "-p", "no:randomly")
    done.assert_outcomes(failed=1, passed=1)
    assert message in done.stdout.str()
    assert "the implementation's fault" in done.stdout.str()
    assert done.ret == pytest.ExitCode.TESTS_FAILED


def test_an_implementation_that_ends_the_session_is_not_green(pytester: pytest.Pytester) -> None:
    assert run(pytester, "EndsTheSession", "--rnn-select=CEL-1").ret != 0


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT can be sent to one process alone")
def test_the_users_own_interrupt_ends_the_session(pytester: pytest.Pytester) -> None:
    command = [sys.executable, "-m", "pytest", "-p", "rnn_conformance.plugin", *target("Hangs")]
    process = subprocess.Popen(
        [*command, "--rnn-select=CEL-1"], stdout=subprocess.PIPE, text=True, cwd=pytester.path
    )
    while not (pytester.path / "hanging").exists():
        assert process.poll() is None
        time.sleep(0.1)
    # It says so just before: an interrupt while it closes the file could be lost in a destructor.
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=120)
    assert process.returncode == pytest.ExitCode.INTERRUPTED, rest
    assert "KeyboardInterrupt" in rest
    assert "FAILED" not in rest


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="another limit ends the process")
def test_a_hang_is_ended_by_pytest_timeout_and_blamed(pytester: pytest.Pytester) -> None:
    done = run_outside(pytester, "Hangs", BATCH, "test_own.py", "--timeout=2")
    done.assert_outcomes(passed=1, failed=1)
    text = done.stdout.str()
    assert re.search(r"it did not end in 2 s, [\d.]+ s of which it was inside the implem", text)
    assert "(did not end in time; the implementation's fault)" in text
    assert "in forward" in text


SLOW_SUITE = """
import time

from rnn_conformance.checking.subject import Subject

Subject.__call__ = lambda self, call: time.sleep(60)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="another limit ends the process")
def test_a_limit_met_outside_the_implementation_is_not_its_fault(
    pytester: pytest.Pytester,
) -> None:
    pytester.makeconftest(SLOW_SUITE)
    done = run_outside(pytester, "Right", BATCH, "--timeout=2")
    done.assert_outcomes(failed=1)
    assert "(did not end in time; no fault of the implementation's" in done.stdout.str()


def test_text_of_an_implementation_is_cut_and_breaks_no_terminal(
    pytester: pytest.Pytester,
) -> None:
    done = run(pytester, "Loud", BATCH, "--junitxml=junit.xml", "-rA", "-v")
    done.assert_outcomes(failed=1)
    text = done.stdout.str()
    assert len(text) < 40_000
    assert "characters cut" in text
    assert not re.search("[\x00\x1b\ud800]", text)
    (failure,) = ElementTree.parse(pytester.path / "junit.xml").iter("failure")
    assert "raised ValueError" in failure.attrib["message"]
    assert len(failure.attrib["message"]) < 1000


def test_text_of_an_implementation_breaks_no_worker_either(pytester: pytest.Pytester) -> None:
    done = run_outside(pytester, "Loud", BATCH, "test_own.py", "-n2", "--junitxml=junit.xml")
    done.assert_outcomes(failed=1, passed=1)
    assert "\\x1b[2J\\x00\\ud800]]>" in done.stdout.str()
    assert "rnn-conformance: what is wrong" in done.stdout.str()
    assert len(list(ElementTree.parse(pytester.path / "junit.xml").iter("testcase"))) == 2


def test_what_is_optional_is_expected_to_fail(pytester: pytest.Pytester) -> None:
    command = ["FailsAtWhatIsOptional", "--rnn-select=DEP-3"]
    done = run(pytester, *command, "-rx")
    done.assert_outcomes(xfailed=2, passed=1, deselected=len(APPLICABLE) - 2)
    assert done.ret == 0
    assert "DEP-3, optional: torch.jit.trace raised TypeError: no tracing" in done.stdout.str()
    assert run(pytester, *command, "--runxfail").ret == pytest.ExitCode.TESTS_FAILED


def test_what_is_not_asked_is_skipped_with_its_reason(pytester: pytest.Pytester) -> None:
    text = run(pytester, "Right", "--rnn-select=CEL-1", "-rs").stdout.str()
    place = "rnn-conformance/test_declarations.py::test_a_cells_undeclared_unbatched_input"
    assert f"SKIPPED [1] {place}" in text
    assert "declares unbatched, and is held to it by other checks" in text


# What is shown.


class Told:
    """As much of a diagnosis as is shown."""

    def to_record(self) -> dict[str, Any]:
        return {"text": "Its results are all zeros. " + "Multiply them by nothing. " * 30}


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> None:
    def diagnose(self: object, error: NonConforming, clauses: Collection[str]) -> Told:
        return Told()

    monkeypatch.setattr(Diagnostician, "diagnose", diagnose)


@pytest.mark.usefixtures("told")
def test_message_and_diagnosis_are_in_the_summary_a_line_each(pytester: pytest.Pytester) -> None:
    lines = run(pytester, "Zeros", STEP, "--tb=no").outlines
    at = next(n for n, text in enumerate(lines) if "rnn-conformance: what is wrong" in text)
    assert lines[at + 1].startswith("Its results are all zeros. Multiply them")
    assert len(lines[at + 1].encode()) <= 512
    assert lines[at + 2] == f"  {STEP}[layers.py:Zeros[RNNCell]]"
    assert lines[at + 3].startswith("    h_n at sample 0, unit 0 is 0, not ")
    assert "short test summary info" in lines[at + 4]


@pytest.mark.usefixtures("told")
def test_where_a_name_leaves_room_its_line_has_the_message(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    done = run(pytester, "Zeros", STEP, "--tb=line")
    start = f"FAILED {STEP}[layers.py:Zeros[RNNCell]] - h_n at sample 0"
    assert any(text.startswith(start) for text in done.outlines)
    assert re.search(r"test_cells\.py:1: h_n at sample 0", done.stdout.str())


@pytest.mark.usefixtures("told")
def test_a_failure_shows_clause_message_call_and_diagnosis(pytester: pytest.Pytester) -> None:
    text = run(pytester, "Zeros", STEP).stdout.str()
    order = [
        "CEL-2: A cell is one step",
        "h_n at sample 0, unit 0 is 0, not",
        "(wrong value; the implementation's fault)",
        "cell = RNNCell(input_size=1, hidden_size=1)",
        "Its results are all zeros.",
    ]
    places = [text.index(part) for part in order]
    assert places == sorted(places)


def test_a_traceback_is_shown_but_where_it_is_to_be_short(pytester: pytest.Pytester) -> None:
    assert "in forward" in run(pytester, "Exits", BATCH).stdout.str()
    assert "in forward" not in run(pytester, "Exits", BATCH, "--tb=short").stdout.str()


def test_a_diagnosis_that_fails_leaves_the_failure(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diagnose(*_: object) -> None:
        raise SystemExit(0)

    monkeypatch.setattr(Diagnostician, "diagnose", diagnose)
    done = run(pytester, "Zeros", STEP)
    done.assert_outcomes(failed=1)
    assert "it could not be diagnosed" in done.stdout.str()


def test_a_diagnosis_is_made_and_shown(pytester: pytest.Pytester) -> None:
    done = run_outside(pytester, "Zeros", STEP)
    section = done.stdout.str().partition("rnn-conformance: what is wrong")[2]
    assert "Every result is zero, in each of the" in section


@pytest.mark.parametrize(
    "arguments",
    [
        ["-q"],
        ["-qq"],
        ["-vv"],
        ["--durations=3"],
        ["--maxfail=3"],
        ["-p", "no:cacheprovider"],
        ["-p", "no:terminal"],
        ["-p", "no:xdist", "-p", "no:timeout"],
        ["--hypothesis-seed=3"],
        ["--pyargs"],
        ["-s"],
        ["--nf"],
        ["--sw"],
        ["--doctest-modules"],
    ],
)
def test_other_options_mean_what_they_mean(pytester: pytest.Pytester, arguments: list[str]) -> None:
    assert run(pytester, "Right", BATCH, STEP, *arguments).ret == 0
    assert run(pytester, "Zeros", BATCH, STEP, *arguments).ret != 0


def test_workers_find_what_one_process_finds(pytester: pytest.Pytester) -> None:
    command = ["--rnn-select=CEL-1", "--rnn-select=CEL-2", "--tb=no", "-v"]
    inside = run(pytester, "Zeros", *command).stdout.str()
    outside = run_outside(pytester, "Zeros", *command, "-n2").stdout.str()
    found = r"(PASSED|FAILED|SKIPPED)"
    alone = re.findall(rf"^(rnn\S+) {found}", inside, re.MULTILINE)
    spread = re.findall(rf"\] {found} (rnn\S+)", outside)
    assert len(alone) > 8
    assert sorted(alone) == sorted((id, outcome) for outcome, id in spread)


# What a verdict does not depend on.

CONFTESTS = {
    "a default dtype": "import torch\ntorch.set_default_dtype(torch.float64)\n",
    "no gradients": "import torch\ntorch.set_grad_enabled(False)\n",
    "NumPy that raises": "import numpy\nnumpy.seterr(all='raise')\n",
    "a service that is missing": (
        "import pytest\n@pytest.fixture(autouse=True)\ndef service(request):\n"
        "    assert request.node.name == 'test_own'\n"
    ),
    "a mode of a session": (
        "import pytest, torch\n@pytest.fixture(autouse=True, scope='session')\ndef mode():\n"
        "    with torch.inference_mode():\n        yield\n"
    ),
    "a profile of Hypothesis": (
        "import hypothesis\n"
        "hypothesis.settings.register_profile(\n"
        "    'x', max_examples=1, deadline=1, phases=(), derandomize=True)\n"
        "hypothesis.settings.load_profile('x')\n"
    ),
    "hooks for every item": (
        "def pytest_runtest_call(item):\n    assert item.name == 'test_own'\n"
        "def pytest_collection_modifyitems(items):\n    items.reverse()\n"
    ),
}

SEEDER = """
import random, numpy, torch


def pytest_runtest_setup(item):
    for seed in (random.seed, numpy.random.seed, torch.manual_seed):
        seed(len(item.nodeid))
"""


def judged_as_alone(done: pytest.RunResult) -> None:
    """One's own test and eight checks pass, and the one that has to fail fails."""
    done.assert_outcomes(passed=9, failed=1, deselected=done.parseoutcomes()["deselected"])
    assert f"FAILED {STEP}[layers.py:Zeros[RNNCell]]" in done.stdout.str()


UNDER_TEST = [
    "TakesTheDefaultDtype", "--rnn=layers.py:Zeros", "--rnn-select=CEL-1", "--rnn-select=CEL-2",
    "--rnn-select=GRD-1", "--tb=no", "-rf", "-k",
    "own or Default and (batch_gives or sample_gives or omitted or one_step or of_input_states"
    " or without_bias) or Zeros and one_step",
]  # fmt: skip


@pytest.mark.parametrize("what", CONFTESTS)
def test_a_conftest_changes_no_verdict(pytester: pytest.Pytester, what: str) -> None:
    pytester.makeconftest(CONFTESTS[what])
    judged_as_alone(run_outside(pytester, *UNDER_TEST))


def test_a_plugin_that_seeds_every_test_changes_no_verdict(pytester: pytest.Pytester) -> None:
    pytester.syspathinsert()
    pytester.makepyfile(seeder=SEEDER)
    judged_as_alone(run(pytester, *UNDER_TEST, "-p", "seeder"))


@pytest.mark.parametrize("arguments", [["-Werror"], ["-o", "filterwarnings=error"]])
def test_warnings_as_errors_change_no_verdict(
    pytester: pytest.Pytester, arguments: list[str]
) -> None:
    done = run_outside(pytester, "Warns", "--rnn-select=CEL-1", *arguments)
    assert done.ret == 0, done.stdout.str()
    assert done.parseoutcomes()["passed"] == 7


OWN_STATE = """
import random, numpy, torch


def seeded():
    random.seed(1), numpy.random.seed(1), torch.manual_seed(1)


def drawn():
    return random.random(), numpy.random.rand(), torch.rand(()).item()


def test_before():
    torch.set_default_dtype(torch.float64)
    seeded()


def test_after():
    assert torch.get_default_dtype() is torch.float64
    found = drawn()
    seeded()
    assert found == drawn()
"""


def test_ones_own_tests_find_the_process_as_they_left_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_own=OWN_STATE)
    pytester.makeconftest(
        "def pytest_collection_modifyitems(items):\n    items.append(items.pop(1))\n"
    )
    done = run_outside(pytester, "Right", "-k", "before or after or batch_gives", "-v")
    order = re.findall(r"::(test_before|test_after|test_a_batch)", done.stdout.str())
    assert order == ["test_before", "test_a_batch", "test_after"]
    assert done.ret == 0


def test_options_from_the_environment_are_read(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_ADDOPTS", "--rnn=layers.py:Zeros")
    assert run(pytester, "", STEP).ret == pytest.ExitCode.TESTS_FAILED


def test_the_package_is_no_plugin_by_being_installed() -> None:
    groups = {entry.group for entry in distribution("rnn-conformance").entry_points}
    assert "pytest11" not in groups


# Text.

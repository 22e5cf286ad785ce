"""Programs that speak the protocol, well and badly: what becomes of each, and what is said."""

from __future__ import annotations

import gc
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest
from click.testing import CliRunner

from rnn_conformance.checking.subject import Subject
from rnn_conformance.cli import main
from rnn_conformance.diagnosis.evidence import ask
from rnn_conformance.diagnosis.probes import Probe, ladder
from rnn_conformance.errors import (
    Gap,
    Nature,
    NonConforming,
    Refusal,
    Sort,
    Unsupported,
    UsageError,
)
from rnn_conformance.implementations import building
from rnn_conformance.implementations.command import command, connected
from rnn_conformance.implementations.engine import Engine, EngineFault
from rnn_conformance.implementations.numpy_function import FunctionImplementation
from rnn_conformance.implementations.registry import load, registered
from rnn_conformance.implementations.wire import Violation
from rnn_conformance.locations import COMMAND
from rnn_conformance.running.isolation import Death, Isolated
from rnn_conformance.running.jobs import Limits, Source
from rnn_conformance.running.smoke import smoke
from rnn_conformance.spec.backward import drawn
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.cases import Case, State
from rnn_conformance.spec.config import Config, Feature, Kind

SPEAKING = Path(__file__).parent / "support" / "speaking_engine.py"
CASE = Case(Config(Kind.LSTM, 3, 4), 5, 2, state=State.GIVEN)


def words(defect: str = "") -> tuple[str, ...]:
    return (sys.executable, "-I", str(SPEAKING), defect)


@contextmanager
def speaking(
    defect: str = "", limit: float = 20
) -> Iterator[tuple[FunctionImplementation, Engine]]:
    engine = Engine(words(defect), Path.cwd(), limit)
    try:
        yield connected(engine), engine
    finally:
        engine.end()


def answered(implementation: FunctionImplementation, call: Call) -> None:
    result, due = (
        Subject(implementation, Kind.LSTM)(call),
        Subject(implementation, Kind.LSTM).expected(call),
    )
    for name in result.names:
        np.testing.assert_array_less(np.abs(result[name] - due[name]), due.bounds[name] + 1e-300)


def test_a_program_is_asked_as_a_function_is() -> None:
    with speaking() as (implementation, _):
        answered(implementation, CASE.call())


def test_a_layer_answers_several_calls_and_is_freed_when_nobody_has_it() -> None:
    with speaking() as (implementation, engine):
        layer = implementation.build(CASE.call().layer)
        first, second = layer(CASE.call().arguments), layer(CASE.call().arguments)
        np.testing.assert_array_equal(first.output, second.output)
        del layer
        gc.collect()
        # A program that was asked to free what it does not have would fail now.
        answered(implementation, CASE.call())
        assert engine.life == 1


def test_a_refusal_is_a_refusal_and_the_program_goes_on() -> None:
    with speaking() as (implementation, engine):
        other = Case(Config(Kind.LSTM, 3, 4, batch_first=True), 5, 2).call()
        with pytest.raises(NotImplementedError, match="one layer, one direction"):
            implementation.build(other.layer)(other.arguments)
        answered(implementation, CASE.call())
        assert engine.life == 1


FAULTS = {
    "bytes too few": Violation.SILENCE,
    "bytes too many": Violation.TRAILING,
    "lists too much": Violation.SILENCE,
    "prints": Violation.NO_JSON,
    "hangs": Violation.SILENCE,
    "crashes": Violation.END,
    "fails": Violation.FAILED,
}


@pytest.mark.parametrize("defect", FAULTS)
def test_what_a_program_does_in_a_call_is_its_own_failure_and_no_refusal(defect: str) -> None:
    quick = FAULTS[defect] is Violation.SILENCE
    with speaking(defect) as (implementation, engine):
        engine.limit = 0.3 if quick else 20
        subject = Subject(implementation, Kind.LSTM)
        with pytest.raises(NonConforming) as raised:
            subject(CASE.call())
        assert raised.value.sort is Sort.RAISED
        assert raised.value.nature is Nature.ACCIDENT
        fault = raised.value.exception
        assert isinstance(fault, EngineFault)
        assert fault.violation is FAULTS[defect]


def test_it_is_started_again_after_it_died_and_its_layers_died_with_it() -> None:
    with speaking("crashes") as (implementation, engine):
        layer = implementation.build(CASE.call().layer)
        with pytest.raises(EngineFault, match="SIGSEGV"):
            layer(CASE.call().arguments)
        implementation.build(CASE.call().layer)
        assert engine.life == 2
        with pytest.raises(EngineFault, match="has ended since"):
            layer(CASE.call().arguments)


def test_an_answer_without_one_of_the_results_is_of_another_structure() -> None:
    with speaking("no c_n") as (implementation, _):
        with pytest.raises(NonConforming) as raised:
            Subject(implementation, Kind.LSTM)(CASE.call())
        assert raised.value.sort is Sort.STRUCTURE


def test_gradients_are_asked_for_where_the_level_is_training_and_else_not() -> None:
    backward = drawn(CASE.call(), 0)
    with speaking("gradients") as (implementation, _):
        gradients = implementation.pullback(CASE.call().layer)(backward)
        np.testing.assert_array_equal(gradients["input"], CASE.call().input)
    with speaking() as (implementation, _):
        with pytest.raises(Unsupported) as raised:
            implementation.pullback(CASE.call().layer)
        assert raised.value.gap is Gap.NO_GRADIENT


def test_what_it_says_on_standard_error_is_read_and_not_kept() -> None:
    with speaking("noisy") as (implementation, _):
        answered(implementation, CASE.call())


def test_it_ends_with_the_suite() -> None:
    with speaking() as (_, engine):
        children = psutil.Process(os.getpid()).children()
        (process,) = [child for child in children if str(SPEAKING) in child.cmdline()]
        engine.end()
        assert not psutil.pid_exists(process.pid)


@pytest.mark.parametrize(
    ("defect", "said"),
    [
        ("", "the next call answered"),
        ("exits at once", "it exited with code 3"),
        ("exits at once", "no licence"),
        ("prints at the start", "Print to standard error instead"),
        ("wrong JSON", "no JSON"),
        ("other version", '"protocol":1'),
        ("no such kind", "'LTSM' is not a valid Kind"),
        ("another id", '"id":1'),
        ("without end", "the line of an answer has more than"),
        ("bytes too few", "of 72 bytes of arrays that the answer lists, 36 came"),
        ("prints", "h is 3.5"),
        ("crashes", "SIGSEGV"),
        ("fails", "division by zero"),
        ("big-endian", "reads and writes numbers in the other order of bytes"),
    ],
)
def test_smoke_says_what_is_wrong(defect: str, said: str) -> None:
    short = defect == "bytes too few"
    remarks = list(smoke(shlex.join(words(defect)), limit=1.5 if short else 30))
    assert said in remarks[-1].text
    assert remarks[-1].wrong == bool(defect)


def test_smoke_names_the_order_of_the_gates_by_the_diagnosis() -> None:
    remarks = list(smoke(shlex.join(words("gates i, f, o, g")), limit=30))
    assert remarks[-1].wrong
    assert "gates in the order i, f, o, g (EQ-2)" in remarks[-1].text


@pytest.mark.parametrize(("defect", "code"), [("", 0), ("exits at once", 1)])
def test_the_command_smoke_exits_with_what_it_saw(defect: str, code: int) -> None:
    assert CliRunner().invoke(main, ["smoke", shlex.join(words(defect))]).exit_code == code


def test_a_command_is_run_as_any_target_is(tmp_path: Path) -> None:
    arguments = ["run", "--command", shlex.join(words()), "--select", "STA-1", "-n", "0"]
    arguments.append("--no-diagnosis")
    done = CliRunner().invoke(main, [*arguments, "--output", str(tmp_path)])
    assert done.exit_code == 0, done.output


def test_its_memory_counts_as_that_of_the_process_that_asks_it_and_it_ends_with_that() -> None:
    process = Isolated(Limits(memory=900 * 2**20))
    process.hold(Source(COMMAND + shlex.join(words("eats memory")), folder=str(Path.cwd())))
    asked = {"do": "probe", "position": 0, "name": "hungry", "kind": "LSTM", "without": []}
    death = process.ask(asked, seconds=60)
    assert isinstance(death, Death)
    assert death.sort is Sort.MEMORY
    everybody = [other.info["cmdline"] or [] for other in psutil.process_iter(["cmdline"])]
    assert not [line for line in everybody if list(words("eats memory")) == line]


@pytest.mark.parametrize("line", ["", "'unclosed", "./not_there", "a\0b", "."])
def test_a_command_that_cannot_be_started_is_refused_in_one_line(line: str) -> None:
    done = CliRunner().invoke(main, ["smoke", line])
    assert done.exit_code == 2
    assert done.output.count("\n") == 1


def test_a_registered_file_is_unavailable_where_its_compiler_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "impls").mkdir()
    file = tmp_path / "impls" / "needs_a_compiler.py"
    file.write_text(
        "from rnn_conformance import command\n"
        'x = command(["{program}"], build=["no-such-compiler", "x.c"])\n'
    )
    monkeypatch.chdir(tmp_path)
    _, missing = registered()
    (reason,) = [absent.reason for absent in missing if absent.name == "needs_a_compiler"]
    assert reason == "no-such-compiler is not installed, with which it is compiled"


def test_what_is_compiled_is_kept_until_its_sources_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    source = tmp_path / "source"
    source.write_text("one")
    copy = ["cp", "source", "{program}"]
    first = building.built(copy, tmp_path)
    assert building.built(copy, tmp_path) == first
    source.write_text("two")
    assert building.built(copy, tmp_path) != first
    assert [path.name for path in tmp_path.iterdir() if path != source] == ["cache"]


def test_what_a_compiler_says_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(UsageError, match="not_there"):
        command(["{program}"], folder=tmp_path, build=["cp", "not_there", "{program}"])


LANGUAGES = ("c_loops", "javascript_loops", "rust_loops")


@pytest.mark.parametrize("kind", [Kind.LSTM, Kind.GRU])
@pytest.mark.parametrize("name", LANGUAGES)
def test_the_bundled_programs_are_right_in_all_that_they_declare(name: str, kind: Kind) -> None:
    try:
        (implementation,) = load(name)
    except UsageError as error:
        if error.refusal is not Refusal.PACKAGE:
            raise
        pytest.skip(error.missing)
    subject, tried = Subject(implementation, kind), frozenset[Feature]()
    for case in ladder(kind, implementation.declaration):
        evidence = ask(subject, Probe.of(case))
        assert evidence is not None
        assert not evidence.wrong, f"{case.call()}: {evidence.raised}"
        tried |= case.features
    assert tried == subject.features

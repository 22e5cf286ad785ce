"""What a run says of each misbehaviour.

``python -m tests.support.misbehaving.catalogue`` writes the table of ``docs/misbehaviours.md``.
"""

from __future__ import annotations

import ast
import sys
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from rnn_conformance.errors import Sort
from rnn_conformance.results.records import Outcome
from rnn_conformance.results.verdict import Exit
from tests.support.misbehaving import (
    answers,
    crashes,
    exceptions,
    hangs,
    outputs,
    resources,
    surroundings,
)


class Trial(Enum):
    """The run that shows a misbehaviour: the clauses that are selected, and the profile."""

    CALLS = ("CEL-3", "SHP-4"), "quick"
    PARENT = ("CEL-3",), "quick"
    LONG = ("SHP-4",), "standard"
    BACKWARD = ("GRD-3",), "quick"
    COPIES = ("LIF-1",), "quick"

    @property
    def clauses(self) -> tuple[str, ...]:
        """What is selected."""
        return tuple(self.value[0])

    @property
    def profile(self) -> str:
        """How much is tried."""
        return str(self.value[1])


OUTCOMES = {
    None: Outcome.PASSED,
    Sort.CRASHED: Outcome.CRASHED,
    Sort.MEMORY: Outcome.CRASHED,
    Sort.OUTPUT: Outcome.CRASHED,
    Sort.TIMEOUT: Outcome.TIMEOUT,
    Sort.UNUSABLE: Outcome.NOT_RUN,
}
"""By sort; a check that met any other has failed."""


@dataclass(frozen=True)
class Misbehaviour:
    """A class, the sort of failure that it is (``None``: none), and a part of what is said."""

    cls: type
    sort: Sort | None = None
    says: str = ""
    trial: Trial = Trial.CALLS

    def __post_init__(self) -> None:
        if not self.cls.__doc__ or "\n" in self.cls.__doc__:
            raise ValueError(f"{self.cls} does not say in a line what it does")

    @property
    def name(self) -> str:
        """The name that its module has for the class, whatever it calls itself."""
        (name,) = (
            name
            for name, value in vars(sys.modules[self.cls.__module__]).items()
            if value is self.cls
        )
        return name

    @property
    def target(self) -> str:
        """What a run takes."""
        return f"{self.cls.__module__}:{self.name}"

    @property
    def outcome(self) -> Outcome:
        """Of the check that met it."""
        return OUTCOMES.get(self.sort, Outcome.FAILED)

    @property
    def exit(self) -> Exit:
        """What a run of it alone returns."""
        return Exit.GREEN if self.outcome is Outcome.PASSED else Exit.NOT_GREEN


@dataclass(frozen=True)
class BadImport:
    """A module of ``at_import``, and a part of the one line that is said of it."""

    module: str
    says: str

    @property
    def target(self) -> str:
        """What a run takes."""
        return f"{__package__}.at_import.{self.module}"

    @property
    def does(self) -> str:
        """What it does."""
        source = Path(__file__).with_name("at_import") / f"{self.module}.py"
        return str(ast.get_docstring(ast.parse(source.read_text())))


CATALOGUE = (
    Misbehaviour(crashes.Segfaults, Sort.CRASHED, "SIGSEGV"),
    Misbehaviour(crashes.SegfaultsIn50thCall, Sort.CRASHED, "SIGSEGV", Trial.LONG),
    Misbehaviour(crashes.SegfaultsInThread, Sort.CRASHED, "SIGSEGV"),
    Misbehaviour(crashes.SegfaultsUnseen, Sort.CRASHED, "SIGSEGV"),
    Misbehaviour(crashes.SegfaultsAtRandom, Sort.CRASHED, "SIGSEGV"),
    Misbehaviour(crashes.SegfaultsInBackward, Sort.CRASHED, "SIGSEGV", Trial.BACKWARD),
    Misbehaviour(crashes.SegfaultsInDeepcopy, Sort.CRASHED, "SIGSEGV", Trial.COPIES),
    Misbehaviour(crashes.SegfaultsInUnpickling, Sort.CRASHED, "SIGSEGV", Trial.COPIES),
    Misbehaviour(crashes.OverwritesMemory, Sort.CRASHED, "SIG"),
    Misbehaviour(crashes.OverflowsStack, Sort.CRASHED, "SIG"),
    Misbehaviour(crashes.Aborts, Sort.CRASHED, "SIGABRT"),
    Misbehaviour(crashes.ExitsWith0, Sort.CRASHED, "code 0"),
    Misbehaviour(crashes.ExitsWith3, Sort.CRASHED, "code 3"),
    Misbehaviour(crashes.KillsItself, Sort.CRASHED, "SIGKILL"),
    Misbehaviour(crashes.KillsItsGroup, Sort.CRASHED, "SIGKILL"),
    Misbehaviour(crashes.KillsItsParent, trial=Trial.PARENT),
    Misbehaviour(crashes.TerminatesItself, Sort.CRASHED, "SIGTERM"),
    Misbehaviour(crashes.SetsAlarm, Sort.CRASHED, "SIGALRM"),
    Misbehaviour(crashes.InterruptsItself),
    Misbehaviour(crashes.InterruptsItsGroup),
    Misbehaviour(crashes.InterruptsItselfAndHears, Sort.RAISED, "KeyboardInterrupt"),
    Misbehaviour(hangs.Sleeps, Sort.TIMEOUT),
    Misbehaviour(hangs.SleepsIn50thCall, Sort.TIMEOUT, trial=Trial.LONG),
    Misbehaviour(hangs.Loops, Sort.TIMEOUT),
    Misbehaviour(hangs.HoldsInterpreter, Sort.TIMEOUT),
    Misbehaviour(hangs.CatchesEverything, Sort.TIMEOUT),
    Misbehaviour(hangs.Deadlocks, Sort.TIMEOUT),
    Misbehaviour(hangs.StopsItself, Sort.TIMEOUT),
    Misbehaviour(exceptions.ExitsPython, Sort.RAISED, "SystemExit"),
    Misbehaviour(exceptions.RaisesKeyboardInterrupt, Sort.RAISED, "KeyboardInterrupt"),
    Misbehaviour(exceptions.RaisesGeneratorExit, Sort.RAISED, "GeneratorExit"),
    Misbehaviour(exceptions.RaisesStrange, Sort.RAISED, "Strange"),
    Misbehaviour(exceptions.RaisesStopIteration, Sort.RAISED, "StopIteration"),
    Misbehaviour(exceptions.RaisesMemoryError, Sort.RAISED, "MemoryError"),
    Misbehaviour(exceptions.Recurses, Sort.RAISED, "RecursionError"),
    Misbehaviour(exceptions.RaisesLongMessage, Sort.RAISED, "characters cut"),
    Misbehaviour(exceptions.RaisesUnsayable, Sort.RAISED, "Unsayable"),
    Misbehaviour(exceptions.RaisesExiting, Sort.CRASHED, "code 5"),
    Misbehaviour(exceptions.RaisesIncomparable, Sort.RAISED, "Incomparable"),
    Misbehaviour(exceptions.RaisesMarkup, Sort.RAISED, "\\x1b"),
    Misbehaviour(exceptions.RaisesGroup, Sort.RAISED, "ExceptionGroup"),
    Misbehaviour(exceptions.RaisesChain, Sort.RAISED, "ValueError"),
    Misbehaviour(exceptions.RaisesUsersMistake, Sort.RAISED, "UsageError"),
    Misbehaviour(exceptions.RaisesSuitesFault, Sort.RAISED, "SuiteError"),
    Misbehaviour(exceptions.RaisesUnsupported, Sort.RAISED, "Unsupported"),
    Misbehaviour(exceptions.RaisesNonConforming, Sort.RAISED, "NonConforming"),
    Misbehaviour(outputs.Prints),
    Misbehaviour(outputs.Floods, Sort.OUTPUT),
    Misbehaviour(outputs.FloodsBeneath, Sort.OUTPUT),
    Misbehaviour(outputs.ClosesStreams),
    Misbehaviour(outputs.ClosesDescriptors, Sort.CRASHED),
    Misbehaviour(outputs.WritesEverywhere, Sort.CRASHED),
    Misbehaviour(outputs.Answers, Sort.CRASHED),
    Misbehaviour(outputs.BreaksStreams),
    Misbehaviour(outputs.RemovesStreams),
    Misbehaviour(outputs.RaisesWhenDeleted),
    Misbehaviour(outputs.HasLongRepr, Sort.STRUCTURE, "HasLongRepr"),
    Misbehaviour(outputs.HasOddName),
    Misbehaviour(outputs.HasLongName),
    Misbehaviour(answers.ReturnsNone, Sort.STRUCTURE, "NoneType"),
    Misbehaviour(answers.ReturnsList, Sort.STRUCTURE),
    Misbehaviour(answers.ReturnsGenerator, Sort.STRUCTURE, "generator"),
    Misbehaviour(answers.ReturnsCoroutine, Sort.STRUCTURE, "coroutine"),
    Misbehaviour(answers.ReturnsPair, Sort.STRUCTURE),
    Misbehaviour(answers.ReturnsNumpy, Sort.STRUCTURE, "ndarray"),
    Misbehaviour(answers.ReturnsWords, Sort.STRUCTURE, "str"),
    Misbehaviour(answers.ReturnsPretender, Sort.STRUCTURE, "Pretender"),
    Misbehaviour(answers.ReturnsNested, Sort.STRUCTURE),
    Misbehaviour(answers.ReturnsEndless, Sort.STRUCTURE),
    Misbehaviour(answers.ReturnsMeta, Sort.VALUE),
    Misbehaviour(answers.ReturnsSparse, Sort.RAISED, "Sparse"),
    Misbehaviour(answers.ReturnsHuge, Sort.RAISED, "RuntimeError"),
    Misbehaviour(resources.TakesMemory, Sort.MEMORY),
    Misbehaviour(resources.TakesMemoryAtOnce, Sort.MEMORY),
    Misbehaviour(resources.Leaks),
    Misbehaviour(resources.LimitsItsMemory, Sort.RAISED, "MemoryError"),
    Misbehaviour(resources.LimitsItsTime, Sort.CRASHED, "SIG"),
    Misbehaviour(resources.LimitsItsFiles),
    Misbehaviour(resources.StartsThreads),
    Misbehaviour(resources.RaisesInThread),
    Misbehaviour(resources.Forks),
    Misbehaviour(resources.ForksAndReturns),
    Misbehaviour(resources.ForksAndDies, Sort.CRASHED, "code 3"),
    Misbehaviour(resources.StartsProcess),
    Misbehaviour(resources.StartsSession),
    Misbehaviour(resources.UsesDataLoader),
    Misbehaviour(resources.HangsAtExit),
    Misbehaviour(surroundings.SetsHandlers),
    Misbehaviour(surroundings.LosesFolder),
    Misbehaviour(surroundings.DeletesTemporaryFiles),
    Misbehaviour(surroundings.LeavesTemporaryFiles),
    Misbehaviour(surroundings.ClearsEnvironment),
    Misbehaviour(surroundings.ChangesLocale),
    Misbehaviour(surroundings.PatchesJson, Sort.CRASHED),
    Misbehaviour(surroundings.PatchesPickle),
    Misbehaviour(surroundings.PatchesConnections, Sort.CRASHED),
    Misbehaviour(surroundings.StopsClocks),
    Misbehaviour(surroundings.PatchesBuiltins),
    Misbehaviour(surroundings.PatchesNumpy),
    Misbehaviour(surroundings.RemovesFromNumpy),
    Misbehaviour(surroundings.PatchesTorch),
    Misbehaviour(surroundings.EmptiesModules),
    Misbehaviour(surroundings.ReplacesModules),
    Misbehaviour(surroundings.Traces),
    Misbehaviour(surroundings.TracesAndRaises, Sort.RAISED, "RuntimeError"),
    Misbehaviour(surroundings.LowersRecursionLimit),
    Misbehaviour(surroundings.RaisesWarnings),
    Misbehaviour(surroundings.SeedsRandom),
    Misbehaviour(surroundings.ChangesDefaults),
    # What the first call meets, which is asked before any check.
    Misbehaviour(crashes.SegfaultsAlways, Sort.UNUSABLE, "SIGSEGV"),
    Misbehaviour(crashes.SegfaultsInConstructor, Sort.UNUSABLE, "SIGSEGV"),
    Misbehaviour(hangs.SleepsAlways, Sort.UNUSABLE, "did not end"),
    Misbehaviour(hangs.SleepsInConstructor, Sort.UNUSABLE, "did not end"),
    Misbehaviour(exceptions.ExitsPythonInConstructor, Sort.UNUSABLE, "SystemExit"),
    Misbehaviour(exceptions.TakesNoArguments, Sort.UNUSABLE, "TypeError"),
    Misbehaviour(exceptions.IsNotImplemented, Sort.UNUSABLE, "NotImplementedError"),
    Misbehaviour(exceptions.TakesAnotherSignature, Sort.UNUSABLE, "TypeError"),
    Misbehaviour(exceptions.LoadsNothing, Sort.UNUSABLE, "KeyError"),
    Misbehaviour(answers.ReturnsNoneAlways, Sort.UNUSABLE, "NoneType"),
    Misbehaviour(answers.ReturnsOnePart, Sort.UNUSABLE),
    Misbehaviour(answers.ReturnsThreeParts, Sort.UNUSABLE),
)

BAD_IMPORTS = (
    BadImport("segfaults", "SIGSEGV"),
    BadImport("exits", "SystemExit"),
    BadImport("exits_at_once", "code 0"),
    BadImport("interrupts", "KeyboardInterrupt"),
    BadImport("sleeps", "did not end in"),
    BadImport("holds_interpreter", "did not end in"),
    BadImport("prints", "RuntimeError"),
    BadImport("prints_and_dies", "SIGSEGV"),
    BadImport("floods", "MiB of output"),
    BadImport("takes_memory", "MiB of memory"),
    BadImport("raises_long_message", "characters cut"),
    BadImport("raises_unsayable", "Unsayable"),
    BadImport("raises_strange", "Strange"),
    BadImport("recurses", "RecursionError"),
    BadImport("closes_descriptors", "cannot be imported"),
    BadImport("needs_package", "no_such_package_at_all"),
    BadImport("is_empty", "holds no implementation"),
)

HEAD = """\
# Misbehaviours

What a run says of implementations that misbehave, each in one way. Each ends as it says, in a
process of its own, blamed on the implementation and on nobody else; the run goes on, writes its
report, and gives the others beside it the records that they have alone. The classes are in
`tests/support/misbehaving/`, and `tests/test_misbehaviours.py` runs them all; this table is
written by `python -m tests.support.misbehaving.catalogue`.

Most begin in the middle of a check. *Passed* is what does not concern others: the run takes no
notice, or sets it back and says so under ENV-1, which is not in these tables. *Not run* is what
nothing can be asked of: it is told once, from the first call.

## In a check

| it | the check | the run says | exit code alone |
|---|---|---|---|
"""

IMPORTS = """
## When it is imported

There is nothing to test then: one line, and exit code 2.

| it | the run says |
|---|---|
"""


def table() -> str:
    """The document."""
    rows = [
        f"| {one.cls.__doc__} | {one.outcome} | "
        f"{one.sort or ''}{f': `{one.says}`' if one.says else ''} | {one.exit.value} |\n"
        for one in CATALOGUE
    ]
    imports = [f"| {one.does} | `{one.says}` |\n" for one in BAD_IMPORTS]
    return HEAD + "".join(rows) + IMPORTS + "".join(imports)


if __name__ == "__main__":
    Path("docs/misbehaviours.md").write_text(table())

"""The command ``rnn-conformance``."""

from __future__ import annotations

import json
import os
import secrets
import sys
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from rnn_conformance.errors import Refusal, SuiteError, UsageError
from rnn_conformance.report import terminal
from rnn_conformance.report.progress import Display
from rnn_conformance.report.wording import one_line
from rnn_conformance.results.formats import POWER, RESULTS
from rnn_conformance.results.reading import read
from rnn_conformance.results.verdict import Exit, exit_code
from rnn_conformance.results.writing import must_be_page, probe, write
from rnn_conformance.running.selection import Selection
from rnn_conformance.spec.clauses import CHAPTERS, CLAUSES

MOST_WORKERS = 8
"""More processes start more slowly than they finish."""

F = TypeVar("F", bound=Callable[..., Any])


def debug_option(function: F) -> F:
    """``--debug`` on every command: a mistake is one line without it."""
    return click.option(
        "--debug", is_flag=True, help="Show the traceback of a mistake instead of one line."
    )(function)


@contextmanager
def faults(debug: bool) -> Iterator[None]:
    """Turn each error into its exit code and one line that says what to do."""
    try:
        yield
    except UsageError as error:
        if debug:
            traceback.print_exc()
        click.echo(f"rnn-conformance: {one_line(str(error))}", err=True)
        sys.exit(Exit.USAGE)
    except SuiteError as error:
        click.echo(f"rnn-conformance: a fault of the suite itself: {error}", err=True)
        sys.exit(Exit.FAULT)
    except KeyboardInterrupt:
        # Pressed twice, or before there was anything to keep: nothing is waited for.
        click.echo("rnn-conformance: stopped", err=True)
        sys.stderr.flush()
        os._exit(Exit.NOT_GREEN)
    except Exception:
        traceback.print_exc()
        click.echo("rnn-conformance: a fault of the suite itself; please report it", err=True)
        sys.exit(Exit.FAULT)


class Seed(click.ParamType[int]):
    """A seed: a number, or ``random`` for one that is drawn and then reported."""

    name = "seed"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        """A number from 0 to 2**32 - 1."""
        if value == "random":
            return secrets.randbelow(2**32)
        try:
            seed = int(value)
        except ValueError:
            self.fail(f"{value!r} is neither a number nor 'random'", param, ctx)
        if not 0 <= seed < 2**32:
            self.fail(f"{seed} does not lie in 0 to 2**32 - 1", param, ctx)
        return seed


class Workers(click.ParamType[int]):
    """A number of processes, or ``auto`` for one a core that this process may use."""

    name = "workers"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        """At least 0, which is this process."""
        if value == "auto":
            import loky

            # It knows affinities and the quotas of containers, on every system.
            return min(MOST_WORKERS, int(loky.cpu_count()))
        try:
            workers = int(value)
        except ValueError:
            self.fail(f"{value!r} is neither a number nor 'auto'", param, ctx)
        if workers < 0:
            self.fail("the number of processes cannot be negative", param, ctx)
        return workers


class ShareOf(click.ParamType[tuple[int, int]]):
    """One of several shares: ``2/5``."""

    name = "share"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, int]:
        """Its number, from 1, and how many there are."""
        number, slash, count = str(value).partition("/")
        if not (slash and number.isdecimal() and count.isdecimal()):
            self.fail(f"{value!r} is not K/N, as in 1/3", param, ctx)
        if not 1 <= int(number) <= int(count) <= 10_000:
            self.fail(f"there is no share {value}: K goes from 1 to N, up to 10000", param, ctx)
        return int(number), int(count)


def limit_options(function: F) -> F:
    """What an implementation may take; what is not given is as the profile has it."""
    limits = (
        ("--check-timeout", "check", "SECONDS", "One case of a check; 60, 300 or 1800."),
        ("--timeout", "implementation", "SECONDS", "All checks of an implementation's kind; 3600."),
        ("--import-timeout", "loading", "SECONDS", "Importing an implementation; 300."),
        ("--memory", "memory", "MIB", "Its process; 8192."),
        ("--deaths", "deaths", "N", "Checks that a process did not survive, before the rest; 10."),
    )
    for name, field, metavar, text in reversed(limits):
        positive = (
            click.IntRange(min=1) if metavar != "SECONDS" else click.FloatRange(0, min_open=True)
        )
        function = click.option(name, field, type=positive, metavar=metavar, help=text)(function)
    return function


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="rnn-conformance")
def main() -> None:
    """Does your RNN, LSTM or GRU do what torch.nn does?

    Exit codes: 0 everything run conforms; 1 something does not; 2 the call is wrong or a
    target cannot be loaded; 3 a fault of the suite itself.
    """


def _bar(console: Console, what: str) -> Progress:
    """How far it is; a task of it has a field ``bad``."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(what),
        TimeElapsedColumn(),
        TextColumn("{task.fields[bad]}"),
        console=console,
        transient=True,
    )


@main.command()
@click.argument("targets", nargs=-1, metavar="[TARGET]...")
@click.option("--kind", "kinds", multiple=True, help="Only this kind (RNN, LSTM, GRU, RNNCell, …).")
@click.option("--level", default="", help="Only up to this level (inference, training, drop-in).")
@click.option("--select", multiple=True, metavar="CLAUSE|CHAPTER", help="Only these clauses.")
@click.option(
    "--without", multiple=True, metavar="FEATURE",
    help="Declare that this is left out (packed, projection, …): then it must be refused.",
)  # fmt: skip
@click.option("--profile", default="quick", show_default=True, help="quick, standard, thorough.")
@click.option("--seed", type=Seed(), default=0, show_default=True, metavar="N|random")
@click.option(
    "--device", default="cpu", show_default=True,
    help="Where torch.nn.Module classes compute, by torch's name (cuda, mps, …).",
)  # fmt: skip
@click.option(
    "-n", "workers", type=Workers(), default="auto", show_default=True, metavar="WORKERS|auto",
    help="Processes; 0 runs in this one, for a debugger.",
)  # fmt: skip
@click.option(
    "--output", type=click.Path(path_type=Path, file_okay=False), default=Path("reports/latest"),
    show_default=True, help="Where results.json and index.html go.",
)  # fmt: skip
@click.option("--fail-fast", is_flag=True, help="Stop at the first failure.")
@click.option("--resume", is_flag=True, help="Go on with the run in --output that was stopped.")
@click.option(
    "--shard", type=ShareOf(), default=None, metavar="K/N",
    help="Only the K-th of N shares of the work; `report` puts them together.",
)  # fmt: skip
@click.option(
    "--cluster", default="", metavar="ADDRESS|local",
    help="Run on the workers of a Dask cluster.",
)  # fmt: skip
@limit_options
@click.option("--no-diagnosis", is_flag=True, help="Do not look for what is behind failures.")
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
@debug_option
def run(
    targets: tuple[str, ...],
    kinds: tuple[str, ...],
    level: str,
    select: tuple[str, ...],
    without: tuple[str, ...],
    profile: str,
    seed: int,
    device: str,
    workers: int,
    output: Path,
    fail_fast: bool,
    resume: bool,
    shard: tuple[int, int] | None,
    cluster: str,
    no_diagnosis: bool,
    quiet: bool,
    debug: bool,
    **limits: float | None,
) -> None:
    """Test TARGETs and write a report.

    A TARGET is package.module:Class, package.module, path/to/file.py:Class,
    path/to/file.py or a registered name; without any, everything registered is tested,
    ./impls too.
    """
    with faults(debug):
        selection = Selection(
            targets, not targets, kinds, level, select, profile, seed, without, device
        )
        for file in filter(None, map(_file, targets)):
            if not file.is_file():
                raise UsageError(f"there is no file {file}; check the path", Refusal.TARGET)
        from rnn_conformance.running.jobs import limited
        from rnn_conformance.running.run import Options
        from rnn_conformance.running.run import run as run_checks

        console = Console(quiet=quiet)
        options = Options(
            selection,
            output,
            workers,
            fail_fast,
            limited(selection.profile, limits),
            cluster,
            shard,
            resume,
            not no_diagnosis,
        )
        with Display(console) as display:
            document = run_checks(options, display)
        terminal.summary(console, document, output / "index.html")
        code = exit_code(document)
    sys.exit(code)


@main.command()
@click.option("--full", is_flag=True, help="Every check that can kill, not only to the first kill.")
@click.option("--kind", "kinds", multiple=True, help="Only this kind (RNN, LSTM, GRU, RNNCell, …).")
@click.option("--select", multiple=True, metavar="CLAUSE|CHAPTER", help="Only these clauses.")
@click.option(
    "--mutant", default="", metavar="SUBSTRING", help="Only mutants with this in the name."
)
@click.option("--seed", type=Seed(), default=0, show_default=True, metavar="N|random")
@click.option(
    "-n", "--workers", type=Workers(), default="auto", show_default=True, metavar="WORKERS|auto",
    help="Processes; 0 runs in this one, which a mutant that hangs then stops.",
)  # fmt: skip
@click.option(
    "--output", type=click.Path(path_type=Path, file_okay=False), default=Path("reports/latest"),
    show_default=True, help="Where power.json goes.",
)  # fmt: skip
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
@debug_option
def power(
    full: bool,
    kinds: tuple[str, ...],
    select: tuple[str, ...],
    mutant: str,
    seed: int,
    workers: int,
    output: Path,
    quiet: bool,
    debug: bool,
) -> None:
    """Measure the suite itself: try it on layers that are known to be wrong.

    Each of these mutants must be failed by a check of a clause that it breaks. Exit codes:
    0 if none survived, 1 if one did, 2 if the call is wrong.
    """
    with faults(debug):
        from rnn_conformance.running.power import measure
        from rnn_conformance.running.trials import Choice

        choice = Choice(full, kinds, select, mutant, seed)
        file = output / "power.json"
        probe(file)
        console = Console(quiet=quiet)
        with _bar(console, "mutants") as bar:
            task = bar.add_task("loading", total=None, bad="")

            def progress(done: int, total: int, survivors: int) -> None:
                bar.update(
                    task,
                    description="trying",
                    completed=done,
                    total=total,
                    bad=f"[red]{survivors} survived" if survivors else "",
                )

            document = measure(choice, workers=workers, progress=progress)
        write(file, json.dumps(document, indent=1))
        terminal.power_summary(console, document, file)
    sys.exit(Exit.NOT_GREEN if document["summary"]["survivors"] else Exit.GREEN)


def _file(target: str) -> Path | None:
    """The file that a target names, if it names one."""
    path = target.rpartition(":")[0] if not target.endswith(".py") else target
    return Path(path) if path.endswith(".py") else None


@main.command("list")
@click.option("--clauses", is_flag=True, help="Every clause, with its checks, instead.")
@debug_option
def list_(clauses: bool, debug: bool) -> None:
    """List what is registered and what it claims."""
    with faults(debug):
        console = Console()
        if clauses:
            _list_clauses(console)
        else:
            _list_implementations(console)


@main.command()
@click.argument("target")
@click.option("--kind", default="", help="Of a class that does not tell (RNN, LSTM, GRU, …).")
@debug_option
def describe(target: str, kind: str, debug: bool) -> None:
    """Ask TARGET what it has, and print the declaration to paste into it."""
    with faults(debug):
        from rnn_conformance.running.describing import described

        click.echo("\n\n".join(described(target, kind)))


def _list_implementations(console: Console) -> None:
    from rnn_conformance.implementations.registry import registered
    from rnn_conformance.spec.config import Feature

    implementations, missing = registered()
    table = Table(box=None, pad_edge=False)
    for column in ("implementation", "kinds", "level", "leaves out", "dtypes"):
        table.add_column(column, overflow="fold", no_wrap=column == "implementation")
    for implementation in implementations:
        declaration = implementation.declaration
        possible = frozenset[Feature]().union(*(Feature.of(kind) for kind in declaration.kinds))
        table.add_row(
            implementation.name,
            ", ".join(sorted(declaration.kinds)),
            declaration.level,
            ", ".join(sorted(possible - declaration.features)) or "nothing",
            ", ".join(sorted(declaration.dtypes)),
        )
    console.print(table)
    for absent in missing:
        console.print(f"{absent.name} is unavailable: {absent.reason}", highlight=False)


def _list_clauses(console: Console) -> None:
    from rnn_conformance.checking.checks import checks

    tests: dict[str, list[str]] = defaultdict(list)
    for check in checks():
        for id in check.clauses:
            tests[id].append(check.id)
    for chapter, clauses in groupby(CLAUSES.values(), lambda clause: clause.chapter):
        console.print(f"\n[bold]{chapter}[/] {CHAPTERS[chapter]}", highlight=False)
        for clause in clauses:
            console.print(
                f"  {clause.id} ({clause.level}) {clause.title}", highlight=False, markup=False
            )
            for test in tests[clause.id] or ["untested"]:
                console.print(f"      {test}", style="dim", highlight=False, soft_wrap=True)


@main.command()
@click.argument("results", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), default=None,
    help="The HTML file, or a folder for index.html; by default beside the first RESULTS.",
)  # fmt: skip
@debug_option
def report(results: Sequence[Path], output: Path | None, debug: bool) -> None:
    """Render RESULTS files again; several are merged into one report.

    RESULTS is a results.json, the records.jsonl of a run that was stopped, or the folder that
    they are in. The shards of a run are put together. A power.json among them adds how strong
    the suite is.
    """
    with faults(debug):
        from rnn_conformance.report import merge, render

        paths = [_results(path) for path in results]
        target = output or paths[0].parent / "index.html"
        if target.is_dir() or not target.suffix:
            target = target / "index.html"
        must_be_page(target, paths)
        documents = [read(path) for path in paths]
        runs = [document.content for document in documents if document.format is RESULTS]
        powers = [document for document in documents if document.format is POWER]
        if len(powers) > 1:
            one, other, *_ = powers
            raise UsageError(
                f"{one.path} and {other.path} are both of power; a report shows one", Refusal.FILE
            )
        if not runs:
            raise UsageError(
                f"{paths[0]} is no results.json; name one too, as `run` writes it", Refusal.FILE
            )
        write(target, render(merge(runs), powers[0].content if powers else None))
        click.echo(target)


def _results(path: Path) -> Path:
    """The file of results that is meant: of a folder the document, or else the journal."""
    if not path.is_dir():
        return path
    document, journal = path / "results.json", path / "records.jsonl"
    return journal if journal.exists() and not document.exists() else document

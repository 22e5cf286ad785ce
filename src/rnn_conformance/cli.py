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
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from rnn_conformance.clauses import CHAPTERS, CLAUSES
from rnn_conformance.errors import SuiteError, UsageError
from rnn_conformance.report.html import sentence
from rnn_conformance.results import RESULTS, Outcome, Verdict, diagnoses
from rnn_conformance.selection import Selection

CONFORMS, FAILS, USAGE, FAULT = 0, 1, 2, 3
"""Exit codes: everything run conforms; something does not, or not everything was run; the
call is wrong or a target cannot be loaded; a fault of the suite itself."""

FUNDAMENTAL = ("SHP-1", "SHP-2", "SHP-4", "EQ-1", "EQ-2", "EQ-3", "CEL-1", "CEL-2")
"""Clauses without which hardly any other can hold: shapes, structure and the equations."""

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
        sys.exit(USAGE)
    except SuiteError as error:
        click.echo(f"rnn-conformance: a fault of the suite itself: {error}", err=True)
        sys.exit(FAULT)
    except Exception:
        traceback.print_exc()
        click.echo("rnn-conformance: a fault of the suite itself; please report it", err=True)
        sys.exit(FAULT)


def one_line(text: str) -> str:
    """The text without line breaks."""
    return " ".join(text.split())


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
    """A number of processes, or ``auto`` for one a core."""

    name = "workers"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        """At least 0, which is this process."""
        if value == "auto":
            # More than eight start more slowly than they finish.
            return min(8, len(os.sched_getaffinity(0)))
        try:
            workers = int(value)
        except ValueError:
            self.fail(f"{value!r} is neither a number nor 'auto'", param, ctx)
        if workers < 0:
            self.fail("the number of processes cannot be negative", param, ctx)
        return workers


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
    quiet: bool,
    debug: bool,
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
        missing = [each for each in targets if _file(each) and not _file(each).is_file()]  # type: ignore[union-attr]
        if missing:
            raise UsageError(f"there is no file {_file(missing[0])}; check the path")
        from rnn_conformance.runner import Options
        from rnn_conformance.runner import run as run_checks

        console = Console(quiet=quiet)
        bad = 0
        with _bar(console, "checks") as bar:
            task = bar.add_task("loading", total=None, bad="")

            def progress(done: int, total: int, outcome: str) -> None:
                nonlocal bad
                bad += outcome not in (Outcome.PASSED, Outcome.UNSUPPORTED, Outcome.UNTESTED)
                bar.update(
                    task,
                    description="testing",
                    completed=done,
                    total=total or None,
                    bad=f"[red]{bad} not passed" if bad else "",
                )

            options = Options(selection, output, workers, fail_fast)
            whole = run_checks(options, progress)
        summary(console, whole, output)
        code = exit_code(whole)
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
        from rnn_conformance.power import Choice, measure

        choice = Choice(full, kinds, select, mutant, seed)
        file = output / "power.json"
        _write(file, "")
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

            whole = measure(choice, workers=workers, progress=progress)
        _write(file, json.dumps(whole, indent=1))
        power_summary(console, whole, file)
    sys.exit(FAILS if whole["summary"]["survivors"] else CONFORMS)


def power_summary(console: Console, whole: dict[str, Any], file: Path) -> None:
    """The numbers in words, the survivors, and what the whole matrix says of the checks."""
    found, run = whole["summary"], whole["run"]
    trials = [trial for mutant in whole["mutants"] for trial in mutant["trials"]]
    clauses = {check["id"]: {*check["clauses"]} for check in whole["checks"]}

    def say(text: str) -> None:
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    for trial in trials:
        if not trial["killed"]:
            say(f"survives: a {trial['kind']} with {trial['mutant']}")
            own = [
                each for each in trial["attempts"] if clauses[each["check"]] & {*trial["clauses"]}
            ]
            for each in own[:3]:
                why = f" ({one_line(each['message'])})" if each["message"] else ""
                say(f"    {sentence(each['check'])}: {each['outcome']}{why}")
    spent = sorted(trial["seconds"] for trial in trials if trial["killed"])
    cases = sorted(trial["cases"] for trial in trials if trial["killed"])
    say(
        f"{found['killed']} of {found['trials']} killed: {found['mutants']} mutants, each in the "
        f"kinds that it exists in; {len(found['survivors'])} survived"
    )
    if spent:
        say(
            f"to the first kill: cases {cases[len(cases) // 2]} in the median, {cases[-1]} at "
            f"most; seconds {spent[len(spent) // 2]:.2f} in the median, {spent[-1]:.1f} at most"
        )
    if found["unbroken"]:
        say(f"broken by no mutant: {', '.join(found['unbroken'])}")
    if run["full"]:
        say(f"{len(found['redundant'])} checks kill nothing that others do not kill")
        say(f"{len(found['silent'])} checks kill nothing at all")
        say(f"held by one check alone: {', '.join(found['alone']) or 'no clause'}")
    say(f"{run['seconds']:.1f} s, seed {run['seed']}; the kill matrix is {file}")


def _file(target: str) -> Path | None:
    """The file that a target names, if it names one."""
    path = target.rpartition(":")[0] if not target.endswith(".py") else target
    return Path(path) if path.endswith(".py") else None


def exit_code(whole: dict[str, Any]) -> int:
    """The exit code of a run, from its document."""
    faults_found = {
        check["failure"]["fault"]
        for each in whole["implementations"]
        for check in each["checks"]
        if check["failure"]
    }
    if "suite" in faults_found:
        return FAULT
    as_it_should = all(
        (each["verdict"] == (Verdict.FAILS if each["fails_on_purpose"] else Verdict.CONFORMS))
        for each in whole["implementations"]
    )
    return CONFORMS if as_it_should and whole["run"]["complete"] else FAILS


def summary(console: Console, whole: dict[str, Any], output: Path) -> None:
    """A line an implementation, the first failures, and where the report is."""
    table = Table(box=None, pad_edge=False)
    for column in ("implementation", "kind", "verdict", "level", "checks", "cases", "seconds"):
        right = column in ("checks", "cases", "seconds")
        table.add_column(column, justify="right" if right else "left", overflow="fold")
    for each in whole["implementations"]:
        verdict, style = each["verdict"], "green"
        if verdict != Verdict.CONFORMS:
            style = "red"
        if each["fails_on_purpose"]:
            verdict, style = (
                ("fails, as intended", "yellow")
                if verdict == Verdict.FAILS
                else (f"{verdict}, but should fail", "red")
            )
        table.add_row(
            each["name"],
            each["kind"],
            f"[{style}]{verdict}[/]",
            each["level"] or "–",
            str(len(each["checks"])),
            str(sum(check["cases"] for check in each["checks"])),
            f"{sum(check['seconds'] for check in each['checks']):.1f}",
        )
    console.print(table)
    for each in whole["implementations"]:
        if each["verdict"] != Verdict.CONFORMS:
            _explain(console, each)
    run = whole["run"]
    cases = sum(check["cases"] for each in whole["implementations"] for check in each["checks"])
    console.print(
        f"\n{cases:,} cases in {run['seconds']:.1f} s, seed {run['seed']}, profile "
        f"{run['profile']}; the report is {output / 'index.html'}",
        highlight=False,
    )
    if not run["complete"]:
        console.print("[red]This run was cut short: what is not failed is not shown to conform.[/]")


def _explain(console: Console, each: dict[str, Any], most: int = 3) -> None:
    """An implementation's failing clauses, with a reason each for the first of them."""
    failing = [check for check in each["checks"] if check["failure"]]
    clauses = [
        clause
        for clause, outcome in each["clauses"].items()
        if outcome in (Outcome.FAILED, Outcome.CRASHED, Outcome.TIMEOUT, Outcome.ERROR)
    ]
    console.print(
        f"\n[bold]{each['name']}[/] ({each['kind']}) fails {len(clauses)} clauses: "
        f"{', '.join(clauses)}",
        highlight=False,
    )
    # What else follows from comes first, and then the simplest case, which says most.
    failing.sort(
        key=lambda check: (
            check["clauses"][0] not in FUNDAMENTAL,
            len(json.dumps(check["failure"]["case"] or "")),
        )
    )
    if any(clause in FUNDAMENTAL for clause in clauses):
        first = ", ".join(clause for clause in clauses if clause in FUNDAMENTAL)
        console.print(
            f"  mend {first} first: other clauses that compare values fail with it", style="dim"
        )
    for diagnosis, count in diagnoses(each):
        console.print(f"  behind {count} of {len(failing)} failing checks:", highlight=False)
        console.print(f"    {diagnosis['text']}", highlight=False, markup=False)
    for check in failing[:most]:
        name = sentence(check["check"])
        message = check["failure"]["message"]
        console.print(f"  {'/'.join(check['clauses'])} {name}", highlight=False, markup=False)
        console.print(f"    {one_line(message)}", highlight=False, markup=False)
        for call in check["failure"]["calls"][-1:]:
            console.print(f"    {call}", style="dim", highlight=False, markup=False)


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


def _list_implementations(console: Console) -> None:
    from rnn_conformance.registry import registered
    from rnn_conformance.spec import Feature

    found, missing = registered()
    table = Table(box=None, pad_edge=False)
    for column in ("implementation", "kinds", "level", "leaves out", "dtypes"):
        table.add_column(column, overflow="fold", no_wrap=column == "implementation")
    for each in found:
        declaration = each.declaration
        possible = frozenset[Feature]().union(*(Feature.of(kind) for kind in declaration.kinds))
        table.add_row(
            each.name,
            ", ".join(sorted(declaration.kinds)),
            declaration.level,
            ", ".join(sorted(possible - declaration.features)) or "nothing",
            ", ".join(sorted(declaration.dtypes)),
        )
    console.print(table)
    for absent in missing:
        console.print(f"{absent.name} is unavailable: {absent.reason}", highlight=False)


def _list_clauses(console: Console) -> None:
    from rnn_conformance.suite import checks

    tests: dict[str, list[str]] = defaultdict(list)
    for check in checks():
        for each in check.clauses:
            tests[each].append(check.id)
    for chapter, title in CHAPTERS.items():
        console.print(f"\n[bold]{chapter}[/] {title}", highlight=False)
        for clause in CLAUSES.values():
            if clause.chapter == chapter:
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

    A power.json among them adds how strong the suite is.
    """
    with faults(debug):
        from rnn_conformance import matrix
        from rnn_conformance.report import merge, render

        paths = [path / "results.json" if path.is_dir() else path for path in results]
        power = [path for path in paths if matrix.is_power(path)]
        if len(power) > 1:
            raise UsageError(f"{power[0]} and {power[1]} are both of power; a report shows one")
        documents = [RESULTS.read(path) for path in paths if path not in power]
        if not documents:
            raise UsageError(f"{power[0]} is no results.json; name one too, as `run` writes it")
        target = output or paths[0].parent / "index.html"
        if target.is_dir() or not target.suffix:
            target = target / "index.html"
        text = render(
            merge(documents) if len(documents) > 1 else documents[0],
            matrix.POWER.read(power[0]) if power else None,
        )
        _write(target, text)
        click.echo(target)


def _write(file: Path, text: str) -> None:
    """Write a file, and the folders that lead to it; raises ``UsageError`` if that cannot be."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"cannot write {file}: {error.strerror or error}; choose another --output"
        ) from error

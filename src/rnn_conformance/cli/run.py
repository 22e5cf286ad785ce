"""``rnn-conformance run``: targets are tested, and a report is written."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from rnn_conformance.cli.options import (
    Seed,
    ShareOf,
    Workers,
    debug_option,
    faults,
    format_option,
    limit_options,
    write_formats,
)
from rnn_conformance.errors import Refusal, UsageError
from rnn_conformance.locations import COMMAND, file_of
from rnn_conformance.report import terminal
from rnn_conformance.report.progress import Display
from rnn_conformance.results.store import PLACE, Store, opened
from rnn_conformance.results.verdict import exit_code
from rnn_conformance.running.selection import Selection

if TYPE_CHECKING:
    from rnn_conformance.results.known import KnownFailure


@click.command()
@click.argument("targets", nargs=-1, metavar="[TARGET]...")
@click.option(
    "--command", "commands", multiple=True, metavar="COMMAND",
    help="A program in any language that speaks the protocol, as in './my_engine --fast'.",
)  # fmt: skip
@click.option(
    "--engines", is_flag=True,
    help="Without a TARGET: the bundled engines, too, of those that are installed.",
)  # fmt: skip
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
@click.option(
    "--baseline", type=click.Path(path_type=Path, dir_okay=False), default=None, metavar="FILE",
    help="Exit 1 only for what is worse than in this results.json or baseline.",
)  # fmt: skip
@click.option("--update-baseline", is_flag=True, help="Write FILE anew from this run.")
@click.option(
    "--known", type=click.Path(path_type=Path, dir_okay=False), default=None, metavar="FILE",
    help="A TOML file of known failures; pyproject.toml unless told, if it has any.",
)  # fmt: skip
@click.option(
    "--store", type=click.Path(path_type=Path, dir_okay=False), default=PLACE, show_default=True,
    envvar="RNN_CONFORMANCE_STORE", metavar="FILE|none",
    help="Where failures are remembered, which are tried first.",
)  # fmt: skip
@format_option
@limit_options
@click.option("--no-diagnosis", is_flag=True, help="Do not look for what is behind failures.")
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
@debug_option
def run(
    targets: tuple[str, ...],
    commands: tuple[str, ...],
    engines: bool,
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
    baseline: Path | None,
    update_baseline: bool,
    known: Path | None,
    store: Path,
    formats: tuple[str, ...],
    no_diagnosis: bool,
    quiet: bool,
    debug: bool,
    **limits: float | None,
) -> None:
    """Test TARGETs and write a report.

    A TARGET is package.module:Class, package.module, path/to/file.py:Class,
    path/to/file.py or a registered name; without any, everything registered is tested,
    ./impls too, but for the engines, which deviate each in its own way.
    """
    with faults(debug):
        targets += tuple(COMMAND + command for command in commands)
        if targets and engines:
            raise UsageError("--engines is for a run without targets; name those that you want")
        selection = Selection(
            targets, not targets, kinds, level, select, profile, seed, without, device, engines
        )
        for file in filter(None, map(file_of, targets)):
            if not Path(file).is_file():
                raise UsageError(f"there is no file {file}; check the path", Refusal.TARGET)
        from rnn_conformance.running.gate import Gate
        from rnn_conformance.running.jobs import limited
        from rnn_conformance.running.run import Options
        from rnn_conformance.running.run import run as run_checks

        console = Console(quiet=quiet)
        memory = None if str(store) == "none" else store
        remembered, complaint = (Store(), "") if memory is None else opened(memory)
        if complaint:
            click.echo(complaint, err=True)
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
            Gate(baseline, update_baseline, _known(known)),
            remembered,
        )
        with Display(console) as display:
            document = run_checks(options, display)
        if memory is not None:
            _remember(remembered.after(document), memory)
        terminal.summary(console, document, output / "index.html")
        write_formats(document, formats, output)
        code = exit_code(document)
    sys.exit(code)


def _remember(store: Store, file: Path) -> None:
    """Keep what failed for the next time; a run is none the worse where that cannot be."""
    try:
        store.write(file)
    except UsageError as error:
        click.echo(f"what failed is not remembered: {error}", err=True)


def _known(file: Path | None) -> tuple[KnownFailure, ...]:
    """The known failures of a file, or of the project whose folder this is."""
    from rnn_conformance.results.known import read_known

    if file is not None:
        return read_known(file)
    project = Path("pyproject.toml")
    return read_known(project) if project.is_file() else ()

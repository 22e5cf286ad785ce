"""``rnn-conformance bench``: how fast, beside how right."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click
from rich.console import Console

from rnn_conformance.cli.options import (
    debug_option,
    faults,
    progress_bar,
)
from rnn_conformance.report import terminal
from rnn_conformance.results.speed import all_right
from rnn_conformance.results.verdict import Exit
from rnn_conformance.results.writing import probe, write


@click.command()
@click.argument("targets", nargs=-1, metavar="[TARGET]...")
@click.option("--kind", "kinds", multiple=True, help="Only this kind (RNN, LSTM, GRU, RNNCell, …).")
@click.option(
    "--shape", "shapes", multiple=True, metavar="NAME",
    help="Only this shape of the grid (one step, short, long, batch of 1, batch of 64, wide).",
)  # fmt: skip
@click.option("--dtype", "dtypes", multiple=True, help="Only this dtype (float32, float64).")
@click.option(
    "--threads", type=click.IntRange(1, 1024), default=1, show_default=True,
    help="With which torch and the libraries beneath compute.",
)  # fmt: skip
@click.option(
    "--output", type=click.Path(path_type=Path, file_okay=False), default=Path("reports/latest"),
    show_default=True, help="Where bench.json goes.",
)  # fmt: skip
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
@debug_option
def bench(
    targets: tuple[str, ...],
    kinds: tuple[str, ...],
    shapes: tuple[str, ...],
    dtypes: tuple[str, ...],
    threads: int,
    output: Path,
    quiet: bool,
    debug: bool,
) -> None:
    """Time TARGETs beside torch.nn, call by call, with the same weights.

    Each figure is the time taken by torch.nn's, after what came back was compared within the
    suite's bound. Exit codes: 0 if all were timed and right, 1 if not, 2 if the call is wrong.
    """
    with faults(debug):
        from rnn_conformance.running.bench import Choice, measure

        choice = Choice(targets, kinds, shapes, dtypes, threads)
        file = output / "bench.json"
        probe(file)
        console = Console(quiet=quiet)
        with progress_bar(console, "figures") as bar:
            task = bar.add_task("loading", total=None, bad="")

            def progress(what: str, done: int, total: int) -> None:
                bar.update(task, description=what, completed=done, total=total)

            document = measure(choice, progress)
        write(file, json.dumps(document, indent=1))
        terminal.speed_summary(console, document, file)
    sys.exit(Exit.GREEN if all_right(document) else Exit.NOT_GREEN)

"""``rnn-conformance power``: the suite itself is measured."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click
from rich.console import Console

from rnn_conformance.cli.options import (
    Seed,
    Workers,
    debug_option,
    faults,
    progress_bar,
)
from rnn_conformance.report import terminal
from rnn_conformance.results.verdict import Exit
from rnn_conformance.results.writing import probe, write


@click.command()
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
        with progress_bar(console, "mutants") as bar:
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

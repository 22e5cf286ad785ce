"""``rnn-conformance list``: what is registered, and the clauses."""

from __future__ import annotations

from collections import defaultdict
from itertools import groupby

import click
from rich.console import Console
from rich.table import Table

from rnn_conformance.cli.options import (
    debug_option,
    faults,
)
from rnn_conformance.spec.clauses import CHAPTERS, CLAUSES


@click.command("list")
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
    from rnn_conformance.implementations.registry import registered
    from rnn_conformance.spec.config import Feature

    implementations, missing = registered()
    table = Table(box=None, pad_edge=False)
    table.add_column("implementation", no_wrap=True)
    # As wide as their longest usual words, which are not to be broken in 80 columns.
    for column, width in (("kinds", 9), ("level", 9), ("leaves out", 12), ("dtypes", 9)):
        table.add_column(column, overflow="fold", min_width=width)
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

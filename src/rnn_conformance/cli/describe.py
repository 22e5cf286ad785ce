"""``rnn-conformance describe``: the declaration to paste."""

from __future__ import annotations

import click

from rnn_conformance.cli.options import (
    debug_option,
    faults,
)


@click.command()
@click.argument("target")
@click.option("--kind", default="", help="Of a class that does not tell (RNN, LSTM, GRU, …).")
@debug_option
def describe(target: str, kind: str, debug: bool) -> None:
    """Ask TARGET what it has, and print the declaration to paste into it."""
    with faults(debug):
        from rnn_conformance.running.describing import described

        click.echo("\n\n".join(described(target, kind)))

"""``rnn-conformance smoke``: what is wrong with a program that is new to the protocol."""

from __future__ import annotations

import sys

import click

from rnn_conformance.cli.options import debug_option, faults
from rnn_conformance.results.verdict import Exit


@click.command()
@click.argument("command")
@click.option(
    "--limit", type=click.FloatRange(0, min_open=True), default=10.0, show_default=True,
    metavar="SECONDS", help="For an answer.",
)  # fmt: skip
@debug_option
def smoke(command: str, limit: float, debug: bool) -> None:
    """Try COMMAND, a program that speaks the protocol, and say in words what is wrong with it.

    As in: rnn-conformance smoke './my_engine --fast'. Exit codes: 0 if `run` can be tried, 1 if
    something is wrong, 2 if the program cannot be started.
    """
    wrong = False
    with faults(debug):
        from rnn_conformance.running.smoke import smoke as seen

        for remark in seen(command, limit):
            wrong |= remark.wrong
            click.echo(f"{'WRONG' if remark.wrong else 'ok   '}  {remark.text}")
    sys.exit(Exit.NOT_GREEN if wrong else Exit.GREEN)

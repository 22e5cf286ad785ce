"""``rnn-conformance diff``: two runs beside one another."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from rnn_conformance.cli.options import debug_option, faults
from rnn_conformance.cli.report import results_file
from rnn_conformance.results.verdict import Exit


@click.command()
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@click.option(
    "--format", "form", type=click.Choice(["text", "markdown", "json"]), default="text",
    show_default=True, help="How it is told.",
)  # fmt: skip
@debug_option
def diff(old: Path, new: Path, form: str, debug: bool) -> None:
    """Tell what is broken, changed, gone, added and fixed from OLD to NEW.

    Each is a results.json, the folder that it is in, or a baseline. Exit codes: 0 if nothing is
    worse, 1 if something is, 2 if the call is wrong.
    """
    with faults(debug):
        from rnn_conformance.report.difference import markdown, text
        from rnn_conformance.results.baseline import read_baseline
        from rnn_conformance.results.difference import differences

        before, after = (read_baseline(results_file(path)) for path in (old, new))
        changes = [change.to_record() for change in differences(before, after)]
        others = before.other_choices(after.choices)
        for other in others:
            click.echo(f"the runs differ in what was chosen: {other}", err=True)
        match form:
            case "json":
                click.echo(json.dumps(changes, indent=1))
            case "markdown":
                click.echo(markdown(changes))
            case _:
                click.echo(text(changes))
        code = Exit.NOT_GREEN if any(change["worse"] for change in changes) else Exit.GREEN
    sys.exit(code)

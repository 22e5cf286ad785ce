"""The command ``rnn-conformance``."""

from __future__ import annotations

import click

from rnn_conformance.cli.bench import bench
from rnn_conformance.cli.describe import describe
from rnn_conformance.cli.diff import diff
from rnn_conformance.cli.list import list_
from rnn_conformance.cli.power import power
from rnn_conformance.cli.replay import replay
from rnn_conformance.cli.report import report
from rnn_conformance.cli.run import run
from rnn_conformance.cli.smoke import smoke


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="rnn-conformance")
def main() -> None:
    """Does your RNN, LSTM or GRU do what torch.nn does?

    Exit codes: 0 everything run conforms; 1 something does not; 2 the call is wrong or a
    target cannot be loaded; 3 a fault of the suite itself.
    """


for command in (run, report, diff, replay, list_, describe, smoke, power, bench):
    main.add_command(command)

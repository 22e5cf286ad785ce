"""``rnn-conformance replay``: a recorded failure again."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from rnn_conformance.cli.options import Workers, debug_option, faults
from rnn_conformance.cli.report import results_file
from rnn_conformance.errors import Refusal, UsageError
from rnn_conformance.report.wording import one_line, sentence
from rnn_conformance.results.formats import RESULTS
from rnn_conformance.results.reading import read
from rnn_conformance.results.records import Memory, Outcome
from rnn_conformance.results.verdict import FAILING, Exit
from rnn_conformance.texts import LINE


@click.command()
@click.argument("target")
@click.argument("case")
@click.option(
    "-n", "workers", type=Workers(), default="1", show_default=True, metavar="WORKERS|auto",
    help="Processes; 0 runs in this one, for a debugger.",
)  # fmt: skip
@debug_option
def replay(target: str, case: str, workers: int, debug: bool) -> None:
    """Try a recorded failure of TARGET again, and nothing else.

    CASE is [FILE#][KIND/NAME/]CLAUSE, as in results.json#LSTM/mine.py:MyLSTM/EQ-2, or has a check
    in place of the clause; FILE is a results.json or its folder, reports/latest unless told. Exit
    codes: 0 if it is mended, 1 if it fails, 2 if the call is wrong.
    """
    with faults(debug):
        from rnn_conformance.running.replaying import CaseName
        from rnn_conformance.running.replaying import replay as again

        file, hash_, name = case.rpartition("#")
        path = results_file(Path(file) if hash_ else Path("reports/latest"))
        document = read(path)
        if document.format is not RESULTS:
            raise UsageError(f"{path} is no results file; name one", Refusal.FILE)
        came = again(target, CaseName.of(name), document.content, workers)
        for was, now in came:
            click.echo("\n".join(_told(was, now)))
        if any(now["outcome"] in FAILING for _, now in came):
            code = Exit.NOT_GREEN
        elif all(now["outcome"] == Outcome.PASSED for _, now in came):
            code = Exit.GREEN
        else:
            code = Exit.USAGE
    sys.exit(code)


def _told(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What came of one failure, in a few lines."""
    what = f"{now['implementation']} ({now['kind']}) {'/'.join(now['clauses'])}"
    about = f"{what} {sentence(now['check'])}"
    if now["outcome"] == Outcome.PASSED:
        return [f"mended: {about}"]
    if now["outcome"] not in FAILING:
        lost = now.get("remembered") == Memory.FORGOTTEN.value and now["reason"]
        return [f"not tried: {about}: {one_line(lost or now['outcome'], LINE)}; run again"]
    alike = was["failure"].get("sort") == now["failure"].get("sort")
    lines = [f"{'still fails' if alike else 'fails otherwise'}: {about}"]
    lines.append(f"  {one_line(now['failure']['message'], LINE)}")
    lines += [f"  {one_line(call, LINE)}" for call in now["failure"]["calls"][-1:]]
    return lines

"""``rnn-conformance report``: results are rendered again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from rnn_conformance.cli.options import (
    debug_option,
    faults,
    format_option,
    write_formats,
)
from rnn_conformance.errors import Refusal, UsageError
from rnn_conformance.results.formats import BENCH, POWER, RESULTS, DocumentFormat
from rnn_conformance.results.reading import Document, read
from rnn_conformance.results.writing import must_be_page, write


@click.command()
@click.argument("results", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), default=None,
    help="The HTML file, or a folder for index.html; by default beside the first RESULTS.",
)  # fmt: skip
@click.option(
    "--compare", is_flag=True,
    help="Keep the same implementation of several RESULTS side by side, and tell what changed.",
)  # fmt: skip
@format_option
@debug_option
def report(
    results: Sequence[Path],
    output: Path | None,
    formats: tuple[str, ...],
    compare: bool,
    debug: bool,
) -> None:
    """Render RESULTS files again; several are merged into one report.

    RESULTS is a results.json, the records.jsonl of a run that was stopped, or the folder that
    they are in. The shards of a run are put together. A power.json among them adds how strong
    the suite is, a bench.json how fast the implementations are. Of the same implementation the last
    keeps its name, those before are told apart by when they ran; with --compare all stand side by
    side, in the order of their dates.
    """
    with faults(debug):
        from rnn_conformance.report import beside, merge, render

        paths = [results_file(path) for path in results]
        target = output or paths[0].parent / "index.html"
        if target.is_dir() or not target.suffix:
            target = target / "index.html"
        must_be_page(target, paths)
        documents = [read(path) for path in paths]
        runs = [document.content for document in documents if document.format is RESULTS]
        power, speed = _only(documents, POWER), _only(documents, BENCH)
        for document in documents:
            if document.format not in (RESULTS, POWER, BENCH):
                raise UsageError(
                    f"{document.path} is a {document.format.name} file, which is not rendered; "
                    "name a results.json",
                    Refusal.FILE,
                )
        if not runs:
            raise UsageError(
                f"{paths[0]} is no results.json; name one too, as `run` writes it", Refusal.FILE
            )
        if compare and len(runs) < 2:
            raise UsageError(
                "--compare is of two results files or more; name another one", Refusal.CALL
            )
        whole = beside(runs) if compare else merge(runs)
        write(target, render(whole, power, speed))
        write_formats(whole, formats, target.parent)
        click.echo(target)


def _only(documents: Sequence[Document], form: DocumentFormat) -> dict[str, Any] | None:
    """What the document of this format holds, if there is one; of two, a report shows neither."""
    found = [document for document in documents if document.format is form]
    if len(found) > 1:
        one, other, *_ = found
        raise UsageError(
            f"{one.path} and {other.path} are both of {form.name}; a report shows one",
            Refusal.FILE,
        )
    return found[0].content if found else None


def results_file(path: Path) -> Path:
    """The file of results that is meant: of a folder the document, or else the journal."""
    if not path.is_dir():
        return path
    document, journal = path / "results.json", path / "records.jsonl"
    return journal if journal.exists() and not document.exists() else document

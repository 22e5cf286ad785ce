"""What commands share: their options' types, and what becomes of an error."""

from __future__ import annotations

import os
import secrets
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from rnn_conformance.errors import SuiteError, UsageError
from rnn_conformance.report.outputs import OUTPUTS
from rnn_conformance.report.wording import one_line
from rnn_conformance.results.verdict import Exit
from rnn_conformance.results.writing import write

MOST_WORKERS = 8
"""More processes start more slowly than they finish."""

F = TypeVar("F", bound=Callable[..., Any])


def debug_option(function: F) -> F:
    """``--debug`` on every command: a mistake is one line without it."""
    return click.option(
        "--debug", is_flag=True, help="Show the traceback of a mistake instead of one line."
    )(function)


@contextmanager
def faults(debug: bool) -> Iterator[None]:
    """Turn each error into its exit code and one line that says what to do."""
    try:
        yield
    except UsageError as error:
        if debug:
            traceback.print_exc()
        click.echo(f"rnn-conformance: {one_line(str(error))}", err=True)
        sys.exit(Exit.USAGE)
    except SuiteError as error:
        click.echo(f"rnn-conformance: a fault of the suite itself: {error}", err=True)
        sys.exit(Exit.FAULT)
    except KeyboardInterrupt:
        # Pressed twice, or before there was anything to keep: nothing is waited for.
        click.echo("rnn-conformance: stopped", err=True)
        sys.stderr.flush()
        os._exit(Exit.NOT_GREEN)
    except Exception:
        traceback.print_exc()
        click.echo("rnn-conformance: a fault of the suite itself; please report it", err=True)
        sys.exit(Exit.FAULT)


class Seed(click.ParamType[int]):
    """A seed: a number, or ``random`` for one that is drawn and then reported."""

    name = "seed"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        """A number from 0 to 2**32 - 1."""
        if value == "random":
            return secrets.randbelow(2**32)
        try:
            seed = int(value)
        except ValueError:
            self.fail(f"{value!r} is neither a number nor 'random'", param, ctx)
        if not 0 <= seed < 2**32:
            self.fail(f"{seed} does not lie in 0 to 2**32 - 1", param, ctx)
        return seed


class Workers(click.ParamType[int]):
    """A number of processes, or ``auto`` for one a core that this process may use."""

    name = "workers"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        """At least 0, which is this process."""
        if value == "auto":
            import loky

            # It knows affinities and the quotas of containers, on every system.
            return min(MOST_WORKERS, int(loky.cpu_count()))
        try:
            workers = int(value)
        except ValueError:
            self.fail(f"{value!r} is neither a number nor 'auto'", param, ctx)
        if workers < 0:
            self.fail("the number of processes cannot be negative", param, ctx)
        return workers


class ShareOf(click.ParamType[tuple[int, int]]):
    """One of several shares: ``2/5``."""

    name = "share"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, int]:
        """Its number, from 1, and how many there are."""
        number, slash, count = str(value).partition("/")
        if not (slash and number.isdecimal() and count.isdecimal()):
            self.fail(f"{value!r} is not K/N, as in 1/3", param, ctx)
        if not 1 <= int(number) <= int(count) <= 10_000:
            self.fail(f"there is no share {value}: K goes from 1 to N, up to 10000", param, ctx)
        return int(number), int(count)


def format_option(function: F) -> F:
    """``--format`` on what writes a report: what else is written beside it."""
    return click.option(
        "--format",
        "formats",
        multiple=True,
        type=click.Choice(list(OUTPUTS)),
        help="Write this as well; may be given several times.",
    )(function)


def write_formats(document: Mapping[str, Any], formats: Iterable[str], folder: Path) -> None:
    """Each format's file, beside the page; what is read from standard output is printed too."""
    for output in (OUTPUTS[name] for name in dict.fromkeys(formats)):
        text = output.made(document)
        write(folder / output.file, text)
        if output.printed:
            click.echo(text, nl=False)


def limit_options(function: F) -> F:
    """What an implementation may take; what is not given is as the profile has it."""
    limits = (
        ("--check-timeout", "check", "SECONDS", "One case of a check; 60, 300 or 1800."),
        ("--timeout", "implementation", "SECONDS", "All checks of an implementation's kind; 3600."),
        ("--import-timeout", "loading", "SECONDS", "Importing an implementation; 300."),
        ("--memory", "memory", "MIB", "Its process; 8192."),
        ("--deaths", "deaths", "N", "Checks that a process did not survive, before the rest; 10."),
    )
    for name, field, metavar, text in reversed(limits):
        positive = (
            click.IntRange(min=1) if metavar != "SECONDS" else click.FloatRange(0, min_open=True)
        )
        function = click.option(name, field, type=positive, metavar=metavar, help=text)(function)
    return function


def progress_bar(console: Console, what: str) -> Progress:
    """How far it is; a task of it has a field ``bad``."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(what),
        TimeElapsedColumn(),
        TextColumn("{task.fields[bad]}"),
        console=console,
        transient=True,
    )

"""How fast implementations are beside ``torch.nn``: each in a process of its own, one at a time."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Any

import psutil

from rnn_conformance.errors import Refusal, UsageError
from rnn_conformance.results.speed import Bench, Measurement, Shape, Timed, Work, document
from rnn_conformance.running.isolation import Death, Isolated, warm
from rnn_conformance.running.jobs import Candidate, Limits
from rnn_conformance.running.local import Processes
from rnn_conformance.running.planning import plan
from rnn_conformance.running.selection import Selection, require
from rnn_conformance.running.timing import CONFIDENCE, PAIRS
from rnn_conformance.running.versions import versions
from rnn_conformance.spec.config import Dtype, Kind, Level

GRID = (
    Shape("one step", 1, 1, 32, 32),
    Shape("short", 6, 3, 5, 7),
    Shape("long", 256, 1, 32, 32),
    Shape("batch of 1", 32, 1, 64, 64),
    Shape("batch of 64", 16, 64, 64, 64),
    Shape("wide", 16, 8, 256, 256),
)
"""What a call costs by itself, what a step costs, and what products cost."""

DTYPES = (Dtype.FLOAT32, Dtype.FLOAT64)
"""Those that are timed; of the half types a processor has no arithmetic."""

SECONDS = 300.0
"""That one figure may take: compiling, the reference and the pairs."""

THREADS = ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "NUMBA")
"""Whose number of threads is read from ``…_NUM_THREADS`` when a process starts."""

Progress = Callable[[str, int, int], None]
"""Called with what is being timed, the figures done and those in all."""


@dataclass(frozen=True)
class Choice:
    """What is timed; no targets are everything registered, other empty choices everything.

    ``shapes`` are names in :data:`GRID`. Raises ``UsageError`` for what does not exist, and
    without what measures.
    """

    targets: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    shapes: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ()
    threads: int = 1

    def __post_init__(self) -> None:
        known: dict[str, list[str]] = {
            "kind": list(Kind),
            "shape": [shape.name for shape in GRID],
            "dtype": list(DTYPES),
        }
        for what, names in known.items():
            given = require(getattr(self, f"{what}s"), what, names)
            object.__setattr__(self, f"{what}s", given)
        if find_spec("pyperf") is None:
            raise UsageError(
                "bench measures with pyperf: pip install 'rnn-conformance[bench]'",
                Refusal.PACKAGE,
            )

    @property
    def grid(self) -> list[Shape]:
        """The shapes chosen, in the grid's order."""
        return [shape for shape in GRID if not self.shapes or shape.name in self.shapes]


@dataclass(frozen=True)
class Point:
    """One figure that is due."""

    candidate: Candidate
    shape: Shape
    dtype: Dtype
    work: Work

    def __str__(self) -> str:
        name, kind = self.candidate.key
        return f"{name} ({kind}): {self.shape.name}, {self.dtype}, {self.work}"


def measure(choice: Choice, progress: Progress = lambda what, done, total: None) -> dict[str, Any]:
    """The figures of a choice, as a document (see ``results.speed``).

    Each implementation is timed in a process of its own, and nothing beside it. Stopped from the
    keyboard, it is what there is. Raises ``UsageError`` if there is nothing to time.
    """
    begun, started = perf_counter(), datetime.now(UTC).isoformat(timespec="seconds")
    # Read by what is loaded in processes that are started from now on.
    os.environ.update({f"{library}_NUM_THREADS": str(choice.threads) for library in THREADS})
    warm()
    load = psutil.getloadavg()[0]
    selection = Selection(choice.targets, not choice.targets, choice.kinds)
    candidates = plan(selection, Processes(1), Limits())
    points = [point for candidate in candidates for point in _points(candidate, choice)]
    if not points:
        raise UsageError(
            f"none of what was loaded has {' or '.join(choice.dtypes or DTYPES)}; leave --dtype out"
        )
    measured: dict[tuple[str, str], list[Measurement]] = {one.key: [] for one in candidates}
    process = Isolated(Limits())
    complete = False
    try:
        for done, point in enumerate(points):
            progress(str(point), done, len(points))
            measured[point.candidate.key].append(_measured(process, point, choice.threads))
        complete = True
    except KeyboardInterrupt:
        pass
    finally:
        process.end()
    run = Bench(
        threads=choice.threads,
        pairs=PAIRS,
        confidence=CONFIDENCE,
        machine=machine(),
        load=load,
        versions={**versions(), **_version("pyperf")},
        started=started,
        seconds=perf_counter() - begun,
        complete=complete,
    )
    timed = [
        Timed(*one.key, one.entry.target, one.entry.fails_on_purpose, tuple(measured[one.key]))
        for one in candidates
        if measured[one.key]
    ]
    return document(run, choice.grid, timed)


def machine() -> dict[str, str]:
    """What the figures were measured on; nothing that tells whose machine it is."""
    described = {"system": platform.system(), "architecture": platform.machine()}
    cores = psutil.cpu_count()
    if cores:
        described["cores"] = str(cores)
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [
            line.partition(":")[2].strip()
            for line in info.read_text(errors="replace").splitlines()
            if line.startswith("model name")
        ]
        described |= {"processor": names[0]} if names else {}
    return described


def _version(name: str) -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name)}


def _points(candidate: Candidate, choice: Choice) -> Iterator[Point]:
    """What is due of an implementation: what it declares, and of a cell each size once."""
    declared, kind = candidate.entry.dtypes, Kind(candidate.entry.kind)
    trains = Level(candidate.entry.level).rank >= Level.TRAINING.rank
    sizes = set()
    for shape in choice.grid:
        size = (1 if kind.is_cell else shape.length, shape.batch, shape.hidden_size)
        if size in sizes:
            continue
        sizes.add(size)
        for dtype in DTYPES:
            if dtype in declared and (not choice.dtypes or dtype in choice.dtypes):
                for work in Work if trains else [Work.FORWARD]:
                    yield Point(candidate, shape, dtype, work)


def _measured(process: Isolated, point: Point, threads: int) -> Measurement:
    """A figure, or why there is none."""
    source, (name, kind) = point.candidate.source, point.candidate.key
    answer: Mapping[str, Any] | Death = process.hold(source)
    if not isinstance(answer, Death) and not answer:
        request = {
            "do": "time",
            "position": source.position,
            "name": name,
            "kind": kind,
            "without": [],
            "shape": asdict(point.shape),
            "dtype": point.dtype,
            "work": point.work,
            "threads": threads,
        }
        answer = process.ask(request, SECONDS)
    if not isinstance(answer, Death) and "measurement" in answer:
        return Measurement.of_record(answer["measurement"])
    return Measurement(point.shape.name, point.dtype, point.work, reason=_why(answer))


def _why(answer: Mapping[str, Any] | Death) -> str:
    """Why there is no figure, in a line."""
    if isinstance(answer, Death):
        return answer.message
    told: str = answer["refusal"][0] if "refusal" in answer else answer["fault"]
    return told.strip().rpartition("\n")[2]

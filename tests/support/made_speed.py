"""Figures made up for tests: a bench document as a measurement would give it, without one."""

from typing import Any

from rnn_conformance.results.speed import (
    Bench,
    Clock,
    Measurement,
    Ratio,
    Shape,
    Timed,
    Work,
    document,
)

RUN = Bench(
    threads=1,
    pairs=20,
    confidence=0.95,
    machine={"system": "Linux", "processor": "A processor"},
    load=1.5,
    versions={"torch": "2.13.0"},
    started="2026-03-01T12:30:00+00:00",
    seconds=3.5,
    complete=True,
)

GRID = (Shape("one step", 1, 1, 32, 32), Shape("short", 6, 3, 5, 7))


def figure(shape: str = "short", ratio: float = 0.5, **fields: Any) -> Measurement:
    """A measurement of a float32 call that took so much of ``torch.nn``'s time."""
    return Measurement(
        shape,
        "float32",
        Work.FORWARD,
        building=0.001,
        first=2.5,
        seconds=ratio * 1e-4,
        reference_seconds=1e-4,
        ratio=Ratio(ratio, 0.9 * ratio, 1.1 * ratio),
        clock=Clock.PROCESSOR,
        **fields,
    )


def timed(*figures: Measurement, name: str = "loop", fails_on_purpose: str = "") -> Timed:
    """An LSTM with these figures."""
    return Timed(name, "LSTM", name, fails_on_purpose, figures)


def speeds(*implementations: Timed) -> dict[str, Any]:
    """A bench document of them."""
    return document(RUN, GRID, implementations)

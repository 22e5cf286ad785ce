"""What is drawn on the page: bars, histograms and trends, as inline SVG.

Colours come from the page's style, by class, so that they follow the light and the dark one;
what they tell is told by a pattern, a place or a number besides. Positions are in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import svg
from markupsafe import Markup, escape

from rnn_conformance.report.accuracy import BEYOND, Histogram

WIDTH, HEIGHT = 300.0, 110.0
"""Of a histogram with its axes."""

LEFT, BOTTOM, TOP = 34.0, 30.0, 8.0
"""What its axes take."""

STEP = 5
"""Pixels of a class in a histogram without axes."""


Way: TypeAlias = list[svg.PathData]


def bar(counts: Sequence[tuple[str, int]]) -> Markup:
    """Shares of outcomes; each has a pattern of its own, of ``<pattern id="p-…">``."""
    total = sum(count for _, count in counts) or 1
    parts: list[svg.Element] = []
    seen = 0
    for outcome, count in counts:
        name = outcome.replace(" ", "-")
        parts.append(
            svg.Rect(
                x=_share(seen / total),
                width=_share(count / total),
                height=_share(1.0),
                fill=f"url(#p-{name})",
                class_=[name],
            )
        )
        seen += count
    return _drawn(svg.SVG(class_=["bar"], elements=parts, extra={"aria-hidden": "true"}))


def sparkline(histogram: Histogram, what: str) -> Markup:
    """A histogram in a row of a table, without axes."""
    width, height = STEP * len(histogram.counts), 24
    parts = _bars(histogram, 0, height, STEP, height - 2)
    return _drawn(
        svg.SVG(
            class_=["sparkline"],
            viewBox=svg.ViewBoxSpec(0, 0, width, height),
            extra=_said(f"{what}: {histogram.described}"),
            elements=[*parts, _path("axis", [svg.M(0, height - 0.5), svg.h(width)])],
        )
    )


def chart(histogram: Histogram, what: str) -> Markup:
    """A histogram with its axes: classes of error across, elements upwards."""
    across = (WIDTH - LEFT) / len(histogram.counts)
    floor, up = HEIGHT - BOTTOM, HEIGHT - BOTTOM - TOP
    most = max(histogram.counts, default=0)
    parts = _bars(histogram, LEFT, floor, across, up)
    # Heights are square roots, so that a quarter of the most is half as high.
    for share in (1.0, 0.25):
        y = floor - up * share**0.5
        parts.append(_path("grid", [svg.M(LEFT, round(y, 1)), svg.H(WIDTH)]))
        count = f"{round(most * share):,}".replace(",", "\u202f")
        parts.append(_text(LEFT - 4, y + 3, count, "end"))
    for place, label in enumerate(histogram.labels):
        parts.append(_text(LEFT + across * (place + 0.5), floor + 12, label, "middle"))
    parts.append(_path("axis", [svg.M(LEFT, TOP), svg.V(floor), svg.H(WIDTH)]))
    parts.append(_text((LEFT + WIDTH) / 2, HEIGHT - 4, f"{what}, up to", "middle"))
    return _drawn(
        svg.SVG(
            class_=["chart"],
            viewBox=svg.ViewBoxSpec(0, 0, WIDTH, HEIGHT),
            extra=_said(f"{what}: {histogram.described}"),
            elements=parts,
        )
    )


def trend(values: Sequence[tuple[str, float]], what: str) -> Markup:
    """A number, from 0 to 1, over several runs in their order."""
    width, height, edge = 24 * max(len(values), 2), 32, 5
    step = (width - 2 * edge) / max(len(values) - 1, 1)
    points = [
        (round(edge + step * place, 1), round(height - edge - (height - 2 * edge) * value, 1))
        for place, (_, value) in enumerate(values)
    ]
    line: Way = [(svg.L if place else svg.M)(x, y) for place, (x, y) in enumerate(points)]
    grid: Way = [svg.M(0, edge), svg.H(width), svg.M(0, height - edge), svg.H(width)]
    said = "; ".join(f"{label}: {value:.0%}" for label, value in values)
    return _drawn(
        svg.SVG(
            class_=["trend"],
            width=width,
            height=height,
            viewBox=svg.ViewBoxSpec(0, 0, width, height),
            extra=_said(f"{what}: {said}"),
            elements=[
                _path("grid", grid),
                _path("line", line),
                *(svg.Circle(cx=x, cy=y, r=2.5) for x, y in points),
            ],
        )
    )


def _bars(
    histogram: Histogram, left: float, floor: float, across: float, up: float
) -> list[svg.Element]:
    """One path for what is allowed and one for what is beyond: few nodes, no borders between."""
    ways: dict[str, Way] = {"inside": [], "beyond": []}
    for place, tall, label, _ in histogram.bars:
        if tall:
            ways["beyond" if label == BEYOND else "inside"] += [
                svg.M(round(left + across * place, 1), floor),
                svg.v(round(-up * tall, 1)),
                svg.h(round(across, 1)),
                svg.V(floor),
            ]
    return [_path(name, way) for name, way in ways.items() if way]


def _share(of: float) -> svg.Length:
    return svg.Length(round(100 * of, 2), "%")


def _path(name: str, way: Way) -> svg.Element:
    return svg.Path(class_=[name], d=way)


def _text(x: float, y: float, text: str, anchor: str) -> svg.Element:
    extra = {"text-anchor": anchor}
    return svg.Text(x=round(x, 1), y=round(y, 1), text=str(escape(text)), extra=extra)


def _said(label: str) -> dict[str, str]:
    """What is heard by who does not see it. The library escapes nothing."""
    return {"role": "img", "aria-label": str(escape(label))}


def _drawn(picture: svg.SVG) -> Markup:
    return Markup(picture.as_str())

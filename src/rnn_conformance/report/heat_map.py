"""An array that is off, drawn: what was expected, what came, and the error by tolerance."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import svg
from markupsafe import Markup, escape

CELL = 9
"""Pixels of an element."""

GAP, LEFT, TOP, BOTTOM = 7, 26, 16, 30
"""Pixels between samples, and around a panel."""

NARROWEST = 170
"""Pixels of a panel, for what is written there."""

ERRORS = ((0.25, "up to a quarter"), (1.0, "up to the whole"), (4.0, "up to 4"), (64.0, "up to 64"))
"""Classes of error by tolerance; beyond the whole an element is off."""

SHADES = 4
"""Shades of a value to either side of zero."""


@dataclass(frozen=True)
class Elements:
    """A part of an array, as a failure records it (``elements`` in ``schemas/record.json``)."""

    record: Mapping[str, Any]

    @property
    def size(self) -> tuple[int, int, int]:
        """Elements across, blocks, and elements downwards in each.

        Steps by samples by units; of a matrix columns by one by rows, of a vector one column.
        """
        size = [*self.record["size"]]
        match size:
            case [across, blocks, down]:
                return across, blocks, down
            case [down, across]:
                return across, 1, down
        return 1, 1, math.prod(size)

    @property
    def axes(self) -> tuple[str, str, str]:
        """What is across, what the blocks are, what is downwards."""
        match [*self.record["axes"]]:
            case [across, blocks, down]:
                return across, blocks, down
            case [down, across]:
                return across, "", down
        return "", "", "element"

    def flat(self, across: int, block: int, down: int) -> int:
        """The position of an element."""
        wide, blocks, tall = self.size
        if len(self.record["size"]) == 3:
            return (across * blocks + block) * tall + down
        return down * wide + across

    @property
    def part(self) -> str:
        """Which part it is, if not all."""
        start, size, shape = (self.record[name] for name in ("start", "size", "shape"))
        if [*size] == [*shape]:
            return ""
        ranges = (
            f"{axis} {first} to {first + count - 1} of 0 to {of - 1}"
            for axis, first, count, of in zip(self.record["axes"], start, size, shape, strict=True)
            if count < of
        )
        return "; ".join(ranges)


def heat_map(failure: Mapping[str, Any]) -> Markup:
    """The pictures of a failure, beside one another; nothing where there is one element or none."""
    record = failure.get("elements")
    if not record or len(record["error"]) < 2:
        return Markup("")
    elements = Elements(record)
    values = [*map(float, (*record["expected"], *record["got"]))]
    most = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    off = sum(float(error) > 1.0 for error in record["error"])
    said = f"{off} of {len(record['error'])} elements are off"
    if elements.part:
        said += f"; {elements.part}"
    keys = Markup("").join(
        Markup('<span><i class="{}"></i> {}</span>').format(f"e{number}", words)
        for number, words in enumerate([*(words for _, words in ERRORS), "more, or no number"])
    )
    pictures = Markup("").join(
        _panel(elements, title, [*map(float, record[field])], shade)
        for title, field, shade in (
            ("error by tolerance", "error", _error),
            ("expected", "expected", _shade(most)),
            ("got", "got", _shade(most)),
        )
    )
    return Markup(
        '<figure class="heat-map"><figcaption>{array}: {said}. <span class="keys">{keys}</span>'
        "</figcaption>{pictures}</figure>"
    ).format(array=record["array"], said=said, keys=keys, pictures=pictures)


def _error(value: float) -> str:
    for number, (most, _) in enumerate(ERRORS):
        if value <= most:
            return f"e{number}"
    return f"e{len(ERRORS)}"


def _shade(most: float) -> Callable[[float], str]:
    def shade(value: float) -> str:
        if not math.isfinite(value):
            return f"e{len(ERRORS)}"
        level = math.ceil(SHADES * abs(value) / most) if most and value else 0
        return f"{'n' if value < 0 else 'v'}{level}"

    return shade


def _panel(
    elements: Elements, title: str, values: Sequence[float], shade: Callable[[float], str]
) -> Markup:
    wide, blocks, tall = elements.size
    across, block, down = elements.axes
    ways: dict[str, list[svg.PathData]] = {}
    classes: Counter[str] = Counter()
    for x, z, y in product(range(wide), range(blocks), range(tall)):
        name = shade(values[elements.flat(x, z, y)])
        classes[name] += 1
        ways.setdefault(name, []).extend(
            [
                svg.M(LEFT + CELL * x, TOP + CELL * y + (CELL * tall + GAP) * z),
                svg.h(CELL - 1),
                svg.v(CELL - 1),
                svg.h(1 - CELL),
            ]
        )
    width = max(LEFT + CELL * wide + 4, NARROWEST)
    height = TOP + (CELL * tall + GAP) * blocks + BOTTOM - GAP
    parts: list[svg.Element] = [
        svg.Path(class_=[name], d=way) for name, way in sorted(ways.items())
    ]
    parts.append(svg.Text(x=LEFT, y=TOP - 5, text=title, class_=["title"]))
    if across:
        parts.append(svg.Text(x=LEFT, y=height - 13, text=str(escape(f"{across} →"))))
    for z in range(blocks) if block else ():
        y = TOP + (CELL * tall + GAP) * z + CELL - 1
        parts.append(svg.Text(x=0, y=y, text=f"{elements.record['start'][1] + z}"))
    if down:
        words = f"{down} ↓" + (f", a block each {block}" if block else "")
        parts.append(svg.Text(x=LEFT, y=height - 3, text=str(escape(words))))
    counted = ", ".join(f"{count} {name}" for name, count in sorted(classes.items()))
    return Markup(
        svg.SVG(
            width=width,
            height=height,
            viewBox=svg.ViewBoxSpec(0, 0, width, height),
            elements=parts,
            extra={"role": "img", "aria-label": str(escape(f"{title}: {counted}"))},
        ).as_str()
    )

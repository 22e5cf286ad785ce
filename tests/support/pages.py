"""A page of the report, parsed."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

from rnn_conformance.report import render

VOID = {"meta", "link", "input", "use", "path", "circle", "rect", "line", "br", "img"}
"""Tags that are never closed."""


@dataclass
class Element:
    """An element of a page."""

    tag: str
    attributes: dict[str, str]
    parent: Element | None
    parts: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The text inside, spaces folded."""
        return " ".join(" ".join(self.parts).split())

    @property
    def classes(self) -> set[str]:
        """The names in ``class``."""
        return set(self.attributes.get("class", "").split())


class Parsed(HTMLParser):
    """A page's elements, in order; an element that is closed wrongly fails."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[Element] = []
        self.open: list[Element] = []
        self.feed(html)
        self.close()
        assert self.open == [], f"left open: {[element.tag for element in self.open]}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        parent = self.open[-1] if self.open else None
        element = Element(tag, attributes, parent)
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        parent = self.open[-1] if self.open else None
        attributes = {name: value or "" for name, value in attrs}
        self.elements.append(Element(tag, attributes, parent))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open[-1].tag == tag, f"</{tag}> closes <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        for element in self.open:
            element.parts.append(data)

    def all(self, tag: str, *classes: str, **attributes: str) -> list[Element]:
        """The elements of this tag with these classes and attributes."""
        return [
            element
            for element in self.elements
            if element.tag == tag
            and element.classes.issuperset(classes)
            and attributes.items() <= element.attributes.items()
        ]

    def one(self, tag: str, *classes: str, **attributes: str) -> Element:
        """The only one of them."""
        (element,) = self.all(tag, *classes, **attributes)
        return element

    @property
    def data(self) -> dict[str, Any]:
        """What the page shows when it is opened."""
        packed = base64.b64decode(self.one("script", id="data").text)
        unpacked: dict[str, Any] = json.loads(zlib.decompress(packed))
        return unpacked

    @property
    def findings(self) -> list[Parsed]:
        """What is put aside of each failure."""
        return [Parsed(html) for html in self.data["findings"]]

    @property
    def whole(self) -> str:
        """The text of the elements outside of any other."""
        return " ".join(element.text for element in self.elements if element.parent is None)

    def checks(self, clause: str, column: int = 0) -> list[tuple[str, str, int, str]]:
        """Sentence, outcome, cases and reason of a clause's checks, as a cell's panel has them."""
        texts = self.data["texts"]
        return [
            (texts[name], texts[outcome], cases, texts[reason])
            for name, outcome, cases, reason, clauses, _ in self.data["columns"][column]["checks"]
            if clause in texts[clauses].split()
        ]

    def inside(self, outer: Element) -> list[Element]:
        """The elements within another."""

        def ancestors(element: Element) -> Iterator[Element]:
            at = element.parent
            while at is not None:
                yield at
                at = at.parent

        return [
            element
            for element in self.elements
            if any(ancestor is outer for ancestor in ancestors(element))
        ]


def page(whole: dict[str, Any]) -> Parsed:
    """The report of a document."""
    return Parsed(render(whole))


def cells(of: Parsed, clause: str) -> list[Element]:
    """The matrix's cells of a clause."""
    (row,) = (
        element
        for element in of.all("tr")
        if any(part.text == clause for part in of.inside(element) if "id" in part.classes)
    )
    return [element for element in of.inside(row) if element.tag == "td"]

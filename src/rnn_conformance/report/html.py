"""A results document as one HTML file that needs nothing else: no network, no script.

The page is readable without JavaScript, which adds the filters, the panel of a cell and
the keys of the matrix, and fills in what is only data until it is opened. A content security
policy in the page lets nothing run or be loaded but the page's own script and style, whatever a
results file contains.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import jinja2
from markupsafe import Markup

from rnn_conformance.report.columns import LEGEND, Column, Matrix
from rnn_conformance.report.comparison import Comparison, repeated
from rnn_conformance.report.embedded import Store
from rnn_conformance.report.heat_map import heat_map
from rnn_conformance.report.pictures import bar, chart, sparkline, trend
from rnn_conformance.report.power import Strength
from rnn_conformance.report.speed import Speed, span
from rnn_conformance.report.wording import (
    PLURALS,
    TONES,
    capitalized,
    counted,
    headline,
    one_line,
    sentence,
    shortened,
    shortfall,
)
from rnn_conformance.results.records import Outcome
from rnn_conformance.results.verdict import Extent, green, judgements, source
from rnn_conformance.spec.config import Kind
from rnn_conformance.texts import LINE, bounded

PATTERNS: dict[str, str] = {
    Outcome.PASSED: "",
    Outcome.FAILED: "M0 6L6 0",
    Outcome.CRASHED: "M0 0L6 6M0 6L6 0",
    Outcome.TIMEOUT: "M3 0V6",
    Outcome.ERROR: "M0 3H6",
    Outcome.NOT_RUN: "M0 3H6M3 0V6",
    Outcome.UNSUPPORTED: "M2 3H4",
    Outcome.EXCLUDED: "M0 0L6 6",
    Outcome.UNTESTED: "M3 2V4",
}
"""What is drawn over an outcome's colour in a bar, within six by six, so that it needs none."""


def render(
    document: dict[str, Any],
    power: dict[str, Any] | None = None,
    speed: dict[str, Any] | None = None,
) -> str:
    """The report of a valid results document, as HTML.

    With ``power``, a valid power document, it also says how strong the suite is; with ``speed``,
    a valid bench document, how fast the implementations are. What is in it more than once, from
    several runs, is compared.
    """
    by_kind = _columns(document)
    ranked = sorted(by_kind, key=lambda column: column.rank)
    tones = list(dict.fromkeys(TONES.values()))
    tally = sorted(
        Counter(column.judgement for column in by_kind).items(),
        key=lambda item: tones.index(TONES[item[0]]),
    )
    sources = document.get("sources", [document["run"]])
    comparison = Comparison(sources, by_kind)
    store = Store()
    environment = _environment()
    style, script = _text(environment, "report.css"), _text(environment, "report.js")
    alone = by_kind[0] if len(by_kind) == 1 else None
    return environment.get_template("report.html").render(
        policy=policy(style, script),
        style=Markup(style),
        script=Markup(script),
        title=_title(by_kind, tally),
        run=document["run"],
        sources=sources,
        columns=by_kind,
        ranked=ranked,
        alone=alone,
        matrix=Matrix(document["clauses"], by_kind),
        failing=any(column.bad for column in by_kind),
        tally=tally,
        plurals=PLURALS,
        tone=_tone(document),
        shortfall=shortfall(document),
        legend=LEGEND,
        patterns=PATTERNS,
        comparison=comparison if comparison.rows else None,
        accuracy=any(column.accuracy for column in by_kind),
        power=None if power is None else Strength(power),
        speed=None if speed is None else Speed(speed, document),
        keep=store.keep,
        lay=store.lay,
        data=lambda: store.packed(by_kind, ranked),
    )


def policy(style: str, script: str) -> str:
    """A content security policy under which these two work, and nothing else."""
    return "; ".join(
        [
            "default-src 'none'",
            f"style-src '{_hash(style)}'",
            f"script-src '{_hash(script)}'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _text(environment: jinja2.Environment, name: str) -> str:
    """A file beside the templates, as it is."""
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


def _columns(document: Mapping[str, Any]) -> list[Column]:
    """Every implementation, by kind, what is wrong on purpose last; numbered in this order."""
    order = {clause["id"]: position for position, clause in enumerate(document["clauses"])}
    kinds = list(Kind)
    again = repeated(document["implementations"])
    by_kind = sorted(
        document["implementations"],
        key=lambda record: (
            kinds.index(Kind(record["kind"])),
            bool(record["fails_on_purpose"]),
            record["name"],
            record.get("source", 0),
        ),
    )
    return [
        Column(
            number,
            record,
            source(document, record),
            order,
            str(record.get("source", 0) + 1) if (record["name"], record["kind"]) in again else "",
        )
        for number, record in enumerate(by_kind)
    ]


def _title(columns: Sequence[Column], tally: Sequence[tuple[Any, int]]) -> str:
    """What is in the page, in a browser's tab."""
    if len(columns) == 1:
        (column,) = columns
        failing = column.failing
        fails = f": {counted(len(failing), 'clause')}" if failing else ""
        return f"{shortened(column.title)} {column.judgement}{fails}"
    told = [f"{amount} {PLURALS[one] if amount > 1 else one}" for one, amount in tally]
    return f"Conformance of recurrent layers: {', '.join(told) or 'nothing was tested'}"


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("rnn_conformance.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": number,
        "small": lambda value: number(value, 3),
        "duration": duration,
        "span": span,
        "date": date,
        "value": _value,
        "place": _place,
        "count": counted,
        "sentence": sentence,
        "headline": headline,
        "one_line": lambda text: one_line(text, LINE),
        "text": bounded,
        "shortened": shortened,
        "capitalized": capitalized,
        "tone": lambda judgement: TONES[judgement],
        "extent": Extent.of,
        "bar": bar,
        "sparkline": sparkline,
        "chart": chart,
        "trend": trend,
        "heat_map": heat_map,
    }
    environment.tests["link"] = lambda url: url.startswith(("https://", "http://"))
    return environment


def number(value: Any, digits: int = 9) -> str:
    """A number to so many significant digits; what is no number, as text."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.{digits}g}"
    return _value(value)


def duration(seconds: float) -> str:
    """Seconds as ``85 ms``, ``2.4 s`` or ``3 min 20 s``."""
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60} s"


def date(text: str) -> str:
    """An ISO 8601 date and time for people; what is none, as it is."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text
    return f"{moment.day} {moment:%B %Y, %H:%M %Z}".rstrip()


def _tone(document: Mapping[str, Any]) -> str:
    """The style of the whole page: green only if everything ran and is as it should be."""
    if green(document):
        return "conforms"
    tones = {TONES[judgement] for judgement in judgements(document)}
    return next((tone for tone in ("fails", "error") if tone in tones), "open")


def _value(value: Any) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.9g}"
        case list() | tuple():
            return "(" + ", ".join(map(_value, value)) + ")"
        case Mapping():
            return ", ".join(f"{key} {_value(item)}" for key, item in value.items())
    return str(value)


def _place(where: Mapping[str, Any]) -> str:
    """``output: time 3, sample 1, unit 4``."""
    indices = _value({key: item for key, item in where.items() if key != "array"})
    return ": ".join(filter(None, (str(where.get("array") or ""), indices)))

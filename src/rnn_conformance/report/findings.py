"""What a run found in real engines, each finding judged by hand: ``findings.md`` beside it.

Run as ``python -m rnn_conformance.report.findings reports/published reports/findings``. The
judgements are files in the second folder, one an adapter. Whatever fails and is not judged is
listed as such, since an accusation that is wrong costs more than one that is missed; a judgement
that the run does not bear out ends this with an error.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from rnn_conformance.report.addresses import address
from rnn_conformance.report.standing import share
from rnn_conformance.results.reading import read
from rnn_conformance.results.verdict import FAILING, counts
from rnn_conformance.spec.clauses import CLAUSES


class Assessment(StrEnum):
    """What a difference from ``torch.nn`` is."""

    DEVIATION = "deviation"
    """The engine claims what it does not do."""

    DOCUMENTED = "documented"
    """Its documentation says that it does something else."""

    ADAPTER = "adapter"
    """It has no place for what is asked, so that its adapter cannot do better."""


HEADINGS = {
    Assessment.DEVIATION: "Deviates",
    Assessment.DOCUMENTED: "Differs, as documented",
    Assessment.ADAPTER: "Has no place for it",
}


@dataclass(frozen=True)
class Finding:
    """One cause, in one implementation: what fails by it, and what was found by hand.

    Raises ``ValueError`` for a clause that does not exist and for an empty text.
    """

    implementation: str
    kinds: tuple[str, ...]
    clauses: tuple[str, ...]
    verdict: Assessment
    summary: str
    documentation: str
    url: str
    checked: str

    def __post_init__(self) -> None:
        if unknown := [clause for clause in self.clauses if clause not in CLAUSES]:
            raise ValueError(f"no clause {', '.join(unknown)}")
        for name in ("kinds", "clauses", "summary", "documentation", "checked"):
            if not getattr(self, name):
                raise ValueError(f"a finding in {self.implementation} has no {name}")
        if not self.url.startswith("https://"):
            raise ValueError(f"a finding in {self.implementation} names no page: {self.url!r}")

    def concerns(self, implementation: Mapping[str, Any]) -> bool:
        """Whether it is of this implementation and kind."""
        return (
            implementation["name"] == self.implementation and implementation["kind"] in self.kinds
        )


def judgements(folder: Path) -> list[Finding]:
    """All findings in the files of a folder."""
    return [
        Finding(
            **{
                **entry,
                "kinds": tuple(entry["kinds"]),
                "clauses": tuple(entry["clauses"]),
                "verdict": Assessment(entry["verdict"]),
            }
        )
        for file in sorted(folder.glob("*.toml"))
        for entry in tomllib.loads(file.read_text(encoding="utf-8")).get("finding", ())
    ]


def failing(implementation: Mapping[str, Any]) -> list[str]:
    """The clauses that count and fail, in their order."""
    return [
        clause
        for clause, outcome in implementation["clauses"].items()
        if outcome in FAILING and counts(clause)
    ]


def smallest(
    implementations: Sequence[Mapping[str, Any]], clauses: Sequence[str]
) -> tuple[Mapping[str, Any], Mapping[str, Any], str] | None:
    """The failure of these clauses that is told with the shortest call: whose, it, its clause."""
    found = [
        (implementation, check["failure"], clause)
        for implementation in implementations
        for check in implementation["checks"]
        if check["failure"]
        for clause in check["clauses"]
        if clause in clauses
    ]
    return min(found, key=lambda each: len("".join(each[1]["calls"])), default=None)


def rendered(document: Mapping[str, Any], findings: Sequence[Finding]) -> str:
    """``findings.md``, of a ``results.json`` and what was judged."""
    return "\n".join(_lines(document, findings)) + "\n"


def stale(document: Mapping[str, Any], findings: Sequence[Finding]) -> list[str]:
    """A line for each clause of a finding that does not fail in this run, though it was tested."""
    lines = []
    for finding in findings:
        own = [one for one in document["implementations"] if finding.concerns(one)]
        lines += [
            f"{finding.implementation}, {', '.join(finding.kinds)}: {clause} does not fail any more"
            for clause in finding.clauses
            if own and not any(clause in failing(one) for one in own)
        ]
    return lines


def _lines(document: Mapping[str, Any], findings: Sequence[Finding]) -> Iterator[str]:
    yield "# What was found"
    yield ""
    yield (
        "Each failure of an engine, by its cause, with the smallest case and the script that shows "
        "it, and what the engine's own documentation says. Made of [results.json](results.json); "
        "[index.html](index.html) has all of it."
    )
    names = dict.fromkeys(
        implementation["name"]
        for implementation in document["implementations"]
        if not implementation["fails_on_purpose"]
    )
    for name in sorted(names, key=str.casefold):
        own = [one for one in document["implementations"] if one["name"] == name]
        yield from _of_one(own, [one for one in findings if one.implementation == name])
    if elsewhere := [finding for finding in findings if finding.implementation not in names]:
        yield from ("", "## What this run does not have")
        for finding in elsewhere:
            yield from _told(finding, [])


def _of_one(
    implementations: Sequence[Mapping[str, Any]], findings: Sequence[Finding]
) -> Iterator[str]:
    name = implementations[0]["name"]
    versions = implementations[0].get("versions", {})
    yield from ("", f"## {name}", "")
    if versions:
        yield ", ".join(f"{package} {version}" for package, version in versions.items()) + "."
        yield ""
    yield "| kind | level | clauses | fails |"
    yield "|---|---|---|---|"
    for one in implementations:
        passed, of = share(one)
        link = f"[{one['kind']}](index.html#{address(one['kind'], name)})"
        level = one["level"] or f"not {one['claims']['level']}"
        yield f"| {link} | {level} | {passed} of {of} | {', '.join(failing(one)) or '–'} |"
    for finding in findings:
        yield from _told(finding, [one for one in implementations if finding.concerns(one)])
    open_ = {
        f"{clause} ({one['kind']})": None
        for one in implementations
        for clause in failing(one)
        if not any(clause in finding.clauses and finding.concerns(one) for finding in findings)
    }
    if open_:
        yield ""
        yield f"Not judged by hand, so not called a deviation: {', '.join(open_)}."


def _told(finding: Finding, implementations: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    kinds = ", ".join(finding.kinds)
    yield ""
    yield f"### {HEADINGS[finding.verdict]}: {finding.summary}"
    yield ""
    yield f"- {finding.implementation}, {kinds}: {', '.join(finding.clauses)}."
    yield f"- Its documentation: {finding.documentation} ([source]({finding.url}))"
    yield f"- By hand: {finding.checked}"
    case = smallest(implementations, finding.clauses)
    if case is None:
        return
    of, failure, clause = case
    link = f"index.html#{address(of['kind'], of['name'], clause)}"
    call = " ".join(failure["calls"][-1].split()) if failure["calls"] else "no call"
    yield f"- The smallest case ([{clause}]({link})): `{call}`"
    yield f"- What is seen: {_escaped(failure['message'].splitlines()[0])}"
    if failure["script"]:
        yield from ("", "<details><summary>The script</summary>", "", "```python")
        yield failure["script"].rstrip()
        yield from ("```", "", "</details>")


def _escaped(text: str) -> str:
    return text.replace("<", "&lt;").replace("*", "\\*").replace("_", "\\_")


def main(folder: Path, judged: Path) -> int:
    """Write ``findings.md``; 1 if the run is not whole or does not bear a judgement out."""
    document, findings = read(folder / "results.json").content, judgements(judged)
    (folder / "findings.md").write_text(rendered(document, findings), encoding="utf-8")
    wrong = stale(document, findings)
    if not document["run"]["complete"]:
        wrong.append("the run was cut short")
    print(*wrong, sep="\n", file=sys.stderr)
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))

"""A results document as JUnit XML, which every CI reads: one suite an implementation."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from typing import Any

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from rnn_conformance.report.standing import pardon
from rnn_conformance.report.wording import one_line, sentence
from rnn_conformance.results.records import Outcome
from rnn_conformance.results.verdict import judge, source
from rnn_conformance.texts import LINE, bounded, printable

STOPPED = frozenset({Outcome.CRASHED, Outcome.TIMEOUT, Outcome.ERROR, Outcome.NOT_RUN})
"""What is an error there and no failure: the check came to no end."""


def junit(document: Mapping[str, Any]) -> str:
    """The checks of each implementation as the cases of a suite.

    What did not pass and does not tell against an implementation is skipped, with the reason, so
    that a CI is as red as the exit code.
    """
    suites = JUnitXml("rnn-conformance")
    for implementation in document["implementations"]:
        run = source(document, implementation)
        judgement = judge(implementation, run)
        suite = TestSuite(printable(f"{implementation['name']} ({implementation['kind']})"))
        suite.timestamp = str(run["started"])[:19]
        for name in ("seed", "profile", "device"):
            suite.add_property(name, str(run.get(name, "")))
        suite.add_property("verdict", judgement.value)
        for check in implementation["checks"]:
            case = TestCase(sentence(check["check"]), check["check"].partition("::")[0])
            case.time = round(check["seconds"], 3)
            if check["outcome"] != Outcome.PASSED:
                case.result = [_result(check, pardon(implementation, judgement, check))]
            suite.add_testcase(case)
        suite.update_statistics()  # type: ignore[no-untyped-call]  # junitparser's
        suites.add_testsuite(suite)
    # Not by junitparser, which counts what is skipped there too, and the schema has no such count.
    for name in ("tests", "failures", "errors"):
        setattr(suites, name, sum(getattr(suite, name) for suite in suites))
    suites.time = round(sum(suite.time for suite in suites), 3)
    written = BytesIO()
    suites.write(written, pretty=True)
    return written.getvalue().decode()


def _result(check: Mapping[str, Any], why: str) -> Any:
    if why:
        return Skipped(one_line(why, LINE))
    clauses, failure = ", ".join(check["clauses"]), check["failure"]
    if failure is None:
        return Error(one_line(check["reason"] or check["outcome"], LINE), clauses)
    sort = Error if check["outcome"] in STOPPED else Failure
    result = sort(one_line(failure["message"], LINE), clauses)
    diagnosis = failure.get("diagnosis") or {"text": ""}
    told = [diagnosis["text"], failure["message"], *failure["calls"], failure.get("script") or ""]
    result.text = "\n\n".join(printable(bounded(text)) for text in told if text)
    return result

"""ACC: how accurate, by dtype: errors as small as those of correct implementations.

A case is refused only if it is further off than rounding at the hand of any correct
implementation; what is systematic and smaller shows over many cases, which is why these
checks have twice as many (see ``agreement``).
"""

from typing import Any

from rnn_conformance.checking import (
    Agreement,
    Case,
    Dtype,
    Subject,
    Values,
    assert_within_scatter,
    cases,
    clause,
    drawn,
    for_all,
)

# Values of every size; strong recurrent weights amplify rounding until nothing is told by it.
TELLING: dict[str, Any] = {
    "values": [Values.PLAIN, Values.TYPICAL, Values.SATURATED, Values.MIXED, Values.POSITIVE],
    "layers": (1, 2),
    "degenerate": False,
}
# A backward pass costs twice its forward pass, and so does its reference.
SMALL = TELLING | {"length": (2, 5), "batch": (3, 4), "inputs": (2, 5), "hidden": (2, 6)}


def results(subject: Subject, case: Case) -> Agreement:
    """How well the results agree with the equations."""
    return assert_within_scatter(subject(case.call()))


def gradients(subject: Subject, case: Case) -> Agreement:
    """How well the gradients do."""
    call = case.call()
    return assert_within_scatter(subject.pullback(call)(drawn(call, case.seed)))


@clause("ACC-1")
@for_all(cases(dtypes=[Dtype.FLOAT32], **TELLING), examples=2)
def test_results_in_float32_are_accurate(subject: Subject, case: Case) -> Agreement:
    return results(subject, case)


@clause("ACC-1")
@for_all(cases(dtypes=[Dtype.FLOAT64], **TELLING), examples=2)
def test_results_in_float64_are_accurate(subject: Subject, case: Case) -> Agreement:
    return results(subject, case)


@clause("ACC-1")
@for_all(cases(dtypes=[Dtype.FLOAT16], **TELLING), examples=2)
def test_results_in_float16_are_accurate(subject: Subject, case: Case) -> Agreement:
    return results(subject, case)


@clause("ACC-1")
@for_all(cases(dtypes=[Dtype.BFLOAT16], **TELLING), examples=2)
def test_results_in_bfloat16_are_accurate(subject: Subject, case: Case) -> Agreement:
    return results(subject, case)


@clause("ACC-2")
@for_all(cases(dtypes=[Dtype.FLOAT32], **SMALL), examples=2)
def test_gradients_in_float32_are_accurate(subject: Subject, case: Case) -> Agreement:
    return gradients(subject, case)


@clause("ACC-2")
@for_all(cases(dtypes=[Dtype.FLOAT64], **SMALL), examples=2)
def test_gradients_in_float64_are_accurate(subject: Subject, case: Case) -> Agreement:
    return gradients(subject, case)


@clause("ACC-2")
@for_all(cases(dtypes=[Dtype.FLOAT16], **SMALL), examples=2)
def test_gradients_in_float16_are_accurate(subject: Subject, case: Case) -> Agreement:
    return gradients(subject, case)


@clause("ACC-2")
@for_all(cases(dtypes=[Dtype.BFLOAT16], **SMALL), examples=2)
def test_gradients_in_bfloat16_are_accurate(subject: Subject, case: Case) -> Agreement:
    return gradients(subject, case)

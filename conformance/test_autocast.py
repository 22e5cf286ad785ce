"""AMP: under autocast, in which most training runs are, wherever torch.nn answers there."""

from typing import Any

from rnn_conformance.checking import (
    Case,
    Dtype,
    Feature,
    State,
    Subject,
    Values,
    cases,
    clause,
    for_all,
)

# What a half type leaves of larger or saturated sums is little, and the bounds are wide there.
SMALL: dict[str, Any] = {
    "layers": (1, 2),
    "length": (2, 4),
    "values": [Values.TYPICAL],
    "dtypes": [Dtype.FLOAT32],
    "states": [State.GIVEN, State.OMITTED],
    "degenerate": False,
}


@clause("AMP-1")
@for_all(cases(**SMALL), examples=0.2)
def test_autocast_to_bfloat16_is_as_accurate_as_that_allows(subject: Subject, case: Case) -> None:
    from rnn_conformance.checking import torch_kit

    call = case.call()
    # The state that a layer makes for itself is of a dtype of its own.
    for asked in (call, call.replace(h_0=None, c_0=None)) if call.h_0 is not None else (call,):
        torch_kit.autocast(subject, asked, Dtype.BFLOAT16)


@clause("AMP-1")
@for_all(cases(Feature.PACKED, **SMALL), examples=0.1)
def test_packed_input_is_answered_under_autocast(subject: Subject, case: Case) -> None:
    from rnn_conformance.checking import torch_kit

    torch_kit.autocast(subject, case.call(), Dtype.BFLOAT16)


@clause("AMP-1")
@for_all(cases(**SMALL), examples=0.1)
def test_autocast_to_float16_is_as_accurate_as_that_allows(subject: Subject, case: Case) -> None:
    from rnn_conformance.checking import torch_kit

    torch_kit.autocast(subject, case.call(), Dtype.FLOAT16)


@clause("AMP-1")
@for_all(cases(**SMALL | {"dtypes": [Dtype.FLOAT64]}), examples=0.1)
def test_autocast_leaves_float64_alone(subject: Subject, case: Case) -> None:
    from rnn_conformance.checking import torch_kit

    torch_kit.autocast(subject, case.call(), Dtype.BFLOAT16)


@clause("AMP-1")
@for_all(cases(**SMALL | {"layers": (1, 1), "length": (1, 3), "hidden": (2, 4)}), examples=0.2)
def test_gradients_of_a_call_under_autocast(subject: Subject, case: Case) -> None:
    from rnn_conformance.checking import torch_kit

    torch_kit.gradients_after_autocast(subject, case.call(), Dtype.BFLOAT16, case.seed)

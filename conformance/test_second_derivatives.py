"""GRD-5: derivatives of derivatives, against the reference's own and within their bound."""

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
    drawn,
    for_all,
)

# Magnitudes multiply along every path there and back: few steps, and no sums that are large.
SMALL: dict[str, Any] = {
    "layers": (1, 2),
    "length": (2, 3),
    "batch": (2, 3),
    "inputs": (2, 4),
    "hidden": (2, 4),
    "values": [Values.TYPICAL, Values.PLAIN, Values.POSITIVE],
    "states": [State.GIVEN, State.OMITTED],
    "degenerate": False,
}


def is_differentiable(subject: Subject, case: Case) -> None:
    """The backward pass through the graph, again; raises ``NonConforming``."""
    from rnn_conformance.checking import torch_kit

    call = case.call()
    torch_kit.assert_right_changes(
        subject, drawn(call, case.seed), case.seed, torch_kit.through_the_graph
    )


@clause("GRD-5")
@for_all(cases(**SMALL), examples=0.2)
def test_a_backward_pass_can_be_differentiated(subject: Subject, case: Case) -> None:
    is_differentiable(subject, case)


@clause("GRD-5")
@for_all(cases(Feature.MULTI_LAYER, **SMALL), examples=0.1)
def test_a_backward_pass_through_layers_can_be_differentiated(subject: Subject, case: Case) -> None:
    is_differentiable(subject, case)


@clause("GRD-5")
@for_all(cases(Feature.PACKED, **SMALL), examples=0.1)
def test_a_packed_backward_pass_can_be_differentiated(subject: Subject, case: Case) -> None:
    is_differentiable(subject, case)


# To be a function of its parameters for torch.func, as functional_call makes it, is LIF-3's.
@clause("GRD-5", "LIF-3")
@for_all(cases(without=[Feature.PACKED], **SMALL | {"dtypes": [Dtype.FLOAT32]}), examples=0.1)
def test_transforms_of_functions_in_float32(subject: Subject, case: Case) -> None:
    from rnn_conformance.checking import torch_kit

    call = case.call()
    ways = torch_kit.transforming(subject)
    torch_kit.assert_right_changes(subject, drawn(call, case.seed), case.seed, *ways)


@clause("GRD-5", "LIF-3")
@for_all(cases(without=[Feature.PACKED], **SMALL | {"dtypes": [Dtype.FLOAT64]}), examples=0.1)
def test_transforms_of_functions_in_float64(subject: Subject, case: Case) -> None:
    from rnn_conformance.checking import torch_kit

    call = case.call()
    ways = torch_kit.transforming(subject)
    torch_kit.assert_right_changes(subject, drawn(call, case.seed), case.seed, *ways)

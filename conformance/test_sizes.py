"""EQ-7, and GRD-1 with it: sizes where kernels change their way, one axis at a time.

What goes wrong there is no matter of rounding, so that the hard bound tells it; but of long
sums in float32 it claims little, and the scatter is asked.
"""

from rnn_conformance.checking import (
    Axis,
    Case,
    Dtype,
    Ladder,
    Subject,
    assert_within_bound,
    assert_within_scatter,
    clause,
    drawn,
    for_each,
)


def is_right(subject: Subject, case: Case) -> None:
    """The answer to one call."""
    call = case.call()
    assert_within_bound(subject(call))
    subject.forget(call)


def adds_up(subject: Subject, case: Case) -> None:
    """The answer to one call whose sums are long."""
    call = case.call()
    answer = subject(call)
    if case.dtype is Dtype.FLOAT32:
        assert_within_scatter(answer)
    else:
        assert_within_bound(answer)
    subject.forget(call)


def goes_back(subject: Subject, case: Case) -> None:
    """All gradients through all results."""
    call = case.call()
    assert_within_bound(subject.pullback(call)(drawn(call, case.seed)))
    subject.forget(call)


@clause("EQ-7")
@for_each(Ladder(Axis.UNITS))
def test_so_many_units(subject: Subject, case: Case) -> None:
    adds_up(subject, case)


@clause("EQ-7")
@for_each(Ladder(Axis.FEATURES))
def test_so_many_input_features(subject: Subject, case: Case) -> None:
    adds_up(subject, case)


@clause("EQ-7")
@for_each(Ladder(Axis.SAMPLES))
def test_so_many_samples(subject: Subject, case: Case) -> None:
    is_right(subject, case)


@clause("EQ-7")
@for_each(Ladder(Axis.STEPS))
def test_so_many_steps(subject: Subject, case: Case) -> None:
    is_right(subject, case)


@clause("EQ-7")
@for_each(Ladder(Axis.LAYERS))
def test_so_many_layers(subject: Subject, case: Case) -> None:
    is_right(subject, case)


@clause("EQ-7")
@for_each(Ladder(Axis.PROJECTED))
def test_so_many_projected_features(subject: Subject, case: Case) -> None:
    adds_up(subject, case)


@clause("GRD-1")
@for_each(Ladder(Axis.UNITS, backward=True))
def test_gradients_of_so_many_units(subject: Subject, case: Case) -> None:
    goes_back(subject, case)


@clause("GRD-1")
@for_each(Ladder(Axis.FEATURES, backward=True))
def test_gradients_of_so_many_input_features(subject: Subject, case: Case) -> None:
    goes_back(subject, case)


@clause("GRD-1")
@for_each(Ladder(Axis.SAMPLES, backward=True))
def test_gradients_of_so_many_samples(subject: Subject, case: Case) -> None:
    goes_back(subject, case)


@clause("GRD-1")
@for_each(Ladder(Axis.STEPS, backward=True))
def test_gradients_of_so_many_steps(subject: Subject, case: Case) -> None:
    goes_back(subject, case)


@clause("GRD-1")
@for_each(Ladder(Axis.LAYERS, backward=True))
def test_gradients_of_so_many_layers(subject: Subject, case: Case) -> None:
    goes_back(subject, case)


@clause("GRD-1")
@for_each(Ladder(Axis.PROJECTED, backward=True))
def test_gradients_of_so_many_projected_features(subject: Subject, case: Case) -> None:
    goes_back(subject, case)

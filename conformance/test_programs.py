"""STA-3, PAR-4, MEM, LIF, GRD-4 in programs: sequences of calls and of what comes between.

Each check draws programs from steps of its own; a failure belongs to what the steps do. Calls
alone, of all kinds, are test_successions' matter.
"""

from rnn_conformance.checking import (
    Feature,
    Program,
    Programs,
    Step,
    Subject,
    cases,
    clause,
    for_all,
)

# Small, since a program is a dozen calls.
CASES = cases(without=[Feature.PROJECTION], layers=(1, 2), length=(2, 3), batch=(3, 4))


def run(subject: Subject, program: Program, *, unmodified: bool = False) -> None:
    """Run it, where the subject is a torch module; loads torch only then."""
    from rnn_conformance.checking import torch_kit

    torch_kit.run(subject, program, unmodified=unmodified)


@clause("STA-3")
@for_all(Programs(CASES, tuple(Step)), examples=0.5)
def test_whatever_was_done_before_a_call_answers_by_its_own_arguments(
    subject: Subject, program: Program
) -> None:
    run(subject, program)


CHANGES = (Step.OPTIMISER, Step.IN_PLACE, Step.DATA, Step.LOAD, Step.CAST)


@clause("PAR-4")
@for_all(Programs(CASES, (*CHANGES, Step.FLATTEN)), examples=0.5)
def test_changed_parameters_are_used_by_the_very_next_call(
    subject: Subject, program: Program
) -> None:
    run(subject, program)


# What is modified is this check's matter alone: a call in each of the others has fresh arguments.
@clause("MEM-1")
@for_all(Programs(CASES, (Step.TRAIN, Step.EVAL, Step.BACKWARD, Step.KEEP)), examples=0.3)
def test_no_call_modifies_what_it_was_given(subject: Subject, program: Program) -> None:
    run(subject, program, unmodified=True)


@clause("MEM-3")
@for_all(Programs(CASES, (Step.KEEP, Step.OVERWRITE, Step.IN_PLACE)), examples=0.5)
def test_results_kept_or_overwritten_are_the_callers_own(
    subject: Subject, program: Program
) -> None:
    run(subject, program)


@clause("LIF-1")
@for_all(Programs(CASES, (Step.COPY, Step.PICKLE, Step.IN_PLACE)), examples=0.5)
def test_a_copy_goes_on_where_the_original_was(subject: Subject, program: Program) -> None:
    run(subject, program)


@clause("LIF-2")
@for_all(Programs(CASES, (Step.TRAIN, Step.EVAL, Step.BACKWARD)))
def test_the_mode_of_earlier_calls_does_not_matter(subject: Subject, program: Program) -> None:
    run(subject, program)


@clause("GRD-4")
@for_all(Programs(CASES, (Step.BACKWARD, Step.ZERO_GRAD, Step.OPTIMISER)), examples=0.5)
def test_training_goes_on_after_backward(subject: Subject, program: Program) -> None:
    run(subject, program)

"""DCL: what is declared is answered; and what is not is refused: no wrong answer in silence.

Each feature is asked for under the clause that it belongs to. An exception is what is
due, and a right answer does no harm; neither is a pass, the feature stays unsupported.
A case needs the feature and nothing else, so that what is wrong elsewhere is not told here.
"""

from collections.abc import Callable
from dataclasses import replace

from rnn_conformance.checking import (
    Apart,
    Call,
    Case,
    Cases,
    Combination,
    Dtype,
    Expected,
    Feature,
    Kind,
    Nature,
    NonConforming,
    Result,
    Sort,
    State,
    Subject,
    Together,
    Unsupported,
    Values,
    assert_within_bound,
    cases,
    clause,
    deliberate,
    demand_answers,
    for_all,
    for_each,
    reading_zeros,
)


@clause("DCL-1")
def test_what_is_declared_is_answered(subject: Subject) -> None:
    demand_answers(subject)


@clause("DCL-1")
@for_each(Apart())
def test_what_is_not_declared_together_is_refused(subject: Subject, asked: Together) -> None:
    call = asked.case.call()
    refused_or_right(subject.asking(call), call, lacking(subject, asked.combination))


TAME = (Values.PLAIN, Values.TYPICAL)


def undeclared(*needs: Feature, beside: tuple[Feature, ...] = ()) -> Cases:
    """Cases that need a feature which the implementation does not declare, and no other.

    ``beside`` are those that they may have, as far as they are declared.
    """
    whole = frozenset(needs).union(*(feature.within for feature in needs))
    # Zeros would be right where a state is ignored; none is simplest where none is needed.
    states = (State.GIVEN,) if Feature.INITIAL_STATE in whole else (State.OMITTED, State.GIVEN)
    return cases(
        *needs,
        without=frozenset(Feature) - whole - frozenset(beside),
        states=states,
        values=TAME,
        undeclared=True,
    )


def lacking(subject: Subject, what: Feature | Dtype | Combination) -> str:
    """Why it must be refused: it is not declared, or it is, and was not there when asked for."""
    missing = what in subject.implementation.declaration.refused
    return f"{what} is declared but missing (DCL-1)" if missing else f"{what} is not declared"


def refused_or_right(
    answer: Callable[[Call], Result], call: Call, why: str, due: Expected | None = None
) -> None:
    """An exception, or what is right; raises ``NonConforming`` for anything else."""
    try:
        result = answer(call)
        if set(result.dtypes.values()) != {call.dtype.value}:
            raise NonConforming(
                f"the results are {dict(result.dtypes)}", sort=Sort.TYPE, calls=(call,)
            )
        assert_within_bound(result, expected=due)
    except NonConforming as error:
        if error.nature is not Nature.REFUSAL:
            error.message = f"{why} and must be refused: {error.message}"
            raise


def asked(subject: Subject, case: Case, feature: Feature) -> None:
    """Ask for an undeclared feature."""
    call, why = case.call(), lacking(subject, feature)
    subject = subject.asking(call)
    if answers(subject, call):
        try:
            with subject.doing(call, f"{why}, yet not refused; to use it"):
                subject.implementation.build(call.layer)
        except NonConforming as error:
            # What takes the parameters may say what it does not take.
            if deliberate(error.exception):
                return
            raise
    refused_or_right(subject, call, why)


def answers(subject: Subject, call: Call) -> bool:
    """Whether a class's fresh layer answers: parameters that do not fit are no refusal."""
    from rnn_conformance.checking import torch_kit

    try:
        with subject.doing(call):
            module = subject.implementation.construct(call.config)
            module.to(subject.implementation.device, torch_kit.torch_dtype(call.dtype)).eval()
        torch_kit.answer(subject, module, call)
    except Unsupported:
        return False
    except NonConforming as error:
        return error.nature is None
    return True


@clause("EQ-1")
@for_all(undeclared(Feature.RELU), examples=0.5)
def test_undeclared_relu_is_refused(subject: Subject, case: Case) -> None:
    asked(subject, case, Feature.RELU)


@clause("EQ-2")
@for_all(undeclared(Feature.PROJECTION), examples=0.5)
def test_an_undeclared_projection_is_refused(subject: Subject, case: Case) -> None:
    asked(subject, case, Feature.PROJECTION)


@clause("EQ-4")
@for_all(undeclared(Feature.BIAS_FREE), examples=0.5)
def test_undeclared_lack_of_biases_is_refused(subject: Subject, case: Case) -> None:
    asked(subject, case, Feature.BIAS_FREE)


@clause("DIR-1")
@for_all(undeclared(Feature.BIDIRECTIONAL), examples=0.5)
def test_an_undeclared_second_direction_is_refused(subject: Subject, case: Case) -> None:
    asked(subject, case, Feature.BIDIRECTIONAL)


@clause("LAY-2")
@for_all(undeclared(Feature.MULTI_LAYER), examples=0.5)
def test_an_undeclared_second_layer_is_refused(subject: Subject, case: Case) -> None:
    asked(subject, case, Feature.MULTI_LAYER)


@clause("BF-1")
@for_all(undeclared(Feature.BATCH_FIRST), examples=0.5)
def test_undeclared_batch_first_is_refused(subject: Subject, case: Case) -> None:
    asked(subject, case, Feature.BATCH_FIRST)


@clause("SHP-5")
@for_all(undeclared(Feature.EMPTY_BATCH), examples=0.5)
def test_an_undeclared_empty_batch_is_refused(subject: Subject, case: Case) -> None:
    asked(subject, case, Feature.EMPTY_BATCH)


@clause("SHP-6")
@for_all(undeclared(Feature.UNBATCHED), examples=0.5)
def test_undeclared_unbatched_input_is_refused(subject: Subject, case: Case) -> None:
    asked(subject, case, Feature.UNBATCHED)


@clause("STA-4")
@for_all(undeclared(Feature.INITIAL_STATE), examples=0.5)
def test_an_undeclared_initial_state_is_refused(subject: Subject, case: Case) -> None:
    asked(subject, case, Feature.INITIAL_STATE)


@clause("PCK-2")
@for_all(undeclared(Feature.PACKED), examples=0.5)
def test_undeclared_packed_input_is_refused(subject: Subject, case: Case) -> None:
    asked(subject, case, Feature.PACKED)


@clause("PCK-3")
@for_all(undeclared(Feature.UNSORTED), examples=0.5)
def test_undeclared_unsorted_sequences_are_refused(subject: Subject, case: Case) -> None:
    asked(subject, case, Feature.UNSORTED)


@clause("STA-1")
@for_all(undeclared(Feature.OMITTED_STATE), examples=0.5)
def test_an_undeclared_lack_of_a_state_is_refused(subject: Subject, case: Case) -> None:
    asked(subject, case, Feature.OMITTED_STATE)


@clause("STA-4")
@for_all(undeclared(Feature.BIDIRECTIONAL_STATE), examples=0.5)
def test_an_undeclared_state_of_two_directions_is_refused(subject: Subject, case: Case) -> None:
    asked(subject, case, Feature.BIDIRECTIONAL_STATE)


@clause("CEL-1")
@for_all(undeclared(Feature.OMITTED_STATE), examples=0.5)
def test_a_cells_undeclared_lack_of_a_state_is_refused(subject: Subject, case: Case) -> None:
    asked(subject, case, Feature.OMITTED_STATE)


@clause("CEL-1")
@for_all(undeclared(Feature.INITIAL_STATE), examples=0.5)
def test_a_cells_undeclared_initial_state_is_refused(subject: Subject, case: Case) -> None:
    asked(subject, case, Feature.INITIAL_STATE)


@clause("CEL-1")
@for_all(undeclared(Feature.UNBATCHED), examples=0.5)
def test_a_cells_undeclared_unbatched_input_is_refused(subject: Subject, case: Case) -> None:
    asked(subject, case, Feature.UNBATCHED)


@clause("CEL-1")
@for_all(undeclared(Feature.EMPTY_BATCH), examples=0.5)
def test_a_cells_undeclared_empty_batch_is_refused(subject: Subject, case: Case) -> None:
    asked(subject, case, Feature.EMPTY_BATCH)


@clause("CEL-2")
@for_all(undeclared(Feature.BIAS_FREE), examples=0.5)
def test_a_cells_undeclared_lack_of_biases_is_refused(subject: Subject, case: Case) -> None:
    asked(subject, case, Feature.BIAS_FREE)


@clause("CEL-2", kinds=frozenset({Kind.RNN_CELL}))
@for_all(undeclared(Feature.RELU), examples=0.5)
def test_a_cells_undeclared_relu_is_refused(subject: Subject, case: Case) -> None:
    asked(subject, case, Feature.RELU)


@clause("DRP-1")
# In a single layer it does nothing.
@for_all(undeclared(Feature.DROPOUT, beside=(Feature.MULTI_LAYER,)), examples=0.5)
def test_undeclared_dropout_is_refused(subject: Subject, case: Case) -> None:
    call = case.call().replace(config=replace(case.config, dropout=1.0))
    why = lacking(subject, Feature.DROPOUT)
    subject = subject.asking(call)
    refused_or_right(subject, call, why)
    due = subject.expected(reading_zeros(case.call()))

    def training(call: Call) -> Result:
        from rnn_conformance.checking import torch_kit

        return torch_kit.Training(subject, call)(call)

    refused_or_right(training, call, why, due)


@clause("TYP-1")
@for_all(
    cases(
        dtypes=tuple(Dtype),
        without=frozenset(Feature),
        states=[State.OMITTED, State.GIVEN],
        values=TAME,
        undeclared=True,
    ),
    examples=0.5,
)
def test_an_undeclared_dtype_is_refused(subject: Subject, case: Case) -> None:
    refused_or_right(subject, case.call(), lacking(subject, case.dtype))

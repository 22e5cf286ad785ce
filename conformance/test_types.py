"""TYP: dtypes and devices."""

from dataclasses import replace

from rnn_conformance.cases import Case, State, Values
from rnn_conformance.errors import NonConforming, Unsupported
from rnn_conformance.spec import Dtype
from rnn_conformance.strategies import cases
from rnn_conformance.subject import Subject
from rnn_conformance.suite import clause, for_all


def has_the_inputs_dtype_and_device(subject: Subject, case: Case) -> None:
    """Every result; raises ``NonConforming``."""
    call = case.call()
    result, device = subject(call), subject.implementation.device
    for name in result.given:
        found = (result.dtypes[name], result.devices[name])
        if found != (case.dtype.value, device):
            raise NonConforming(
                f"{name} is {found[0]} on {found[1]}; the input is {case.dtype.value} on {device}",
                calls=(call,),
                array=name,
                expected=case.dtype.value,
                got=found[0],
            )


@clause("TYP-1")
@for_all(cases(dtypes=tuple(Dtype), values=[Values.PLAIN, Values.TYPICAL]))
def test_results_have_the_inputs_dtype_and_device(subject: Subject, case: Case) -> None:
    has_the_inputs_dtype_and_device(subject, case)


@clause("TYP-1")
@for_all(
    cases(dtypes=tuple(Dtype), values=[Values.PLAIN, Values.TYPICAL], states=[State.OMITTED]),
)
def test_a_state_that_is_omitted_has_the_inputs_dtype_and_device(
    subject: Subject, case: Case
) -> None:
    has_the_inputs_dtype_and_device(subject, case)


@clause("TYP-2")
@for_all(cases(dtypes=tuple(Dtype)))
def test_an_input_of_another_dtype_than_the_weights_is_refused(
    subject: Subject, case: Case
) -> None:
    others = sorted(subject.implementation.declaration.dtypes - {case.dtype})
    if not others:
        raise Unsupported("declares a single dtype")
    call = case.call()
    other = others[case.seed % len(others)]
    subject.refuses(
        replace(call, dtype=other), f"{other} input for {case.dtype} weights", subject.build(call)
    )


@clause("TYP-2")
@for_all(cases(dtypes=tuple(Dtype), states=[State.OMITTED]), examples=0.5)
def test_whatever_dtype_torch_refuses_beside_the_weights_is_refused(
    subject: Subject, case: Case
) -> None:
    from rnn_conformance.violations import dtypes, refuses_calls

    refuses_calls(subject, case.call(), dtypes)

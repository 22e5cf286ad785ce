"""TYP: dtypes and devices."""

from dataclasses import replace

from rnn_conformance.checking import (
    Case,
    Dtype,
    Gap,
    NonConforming,
    Sort,
    State,
    Subject,
    Unsupported,
    Values,
    cases,
    clause,
    for_all,
)


def has_the_inputs_dtype_and_device(subject: Subject, case: Case) -> None:
    """Every result; raises ``NonConforming``."""
    call = case.call()
    result, device = subject(call), subject.implementation.device
    for name in result.given:
        given = (result.dtypes[name], result.devices[name])
        if given != (case.dtype.value, device):
            raise NonConforming(
                f"{name} is {given[0]} on {given[1]}; the input is {case.dtype.value} on {device}",
                sort=Sort.TYPE,
                calls=(call,),
                array=name,
                expected=case.dtype.value,
                got=given[0],
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
        raise Unsupported("declares a single dtype", Gap.UNDECLARED)
    call = case.call()
    other = others[case.seed % len(others)]
    cast = replace(call, arguments=replace(call.arguments, dtype=other))
    subject.refuses(cast, f"{other} input for {case.dtype} weights", subject.build(call))


@clause("TYP-2")
@for_all(cases(dtypes=tuple(Dtype), states=[State.OMITTED]), examples=0.5)
def test_whatever_dtype_torch_refuses_beside_the_weights_is_refused(
    subject: Subject, case: Case
) -> None:
    from rnn_conformance.checking import torch_kit

    torch_kit.refuses_calls(subject, case.call(), torch_kit.input_dtypes)

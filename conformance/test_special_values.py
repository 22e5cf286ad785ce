"""SPC: NaN, infinities, huge and subnormal numbers."""

import numpy as np

from rnn_conformance.checking import (
    FORMATS,
    Case,
    Feature,
    State,
    Subject,
    Values,
    assert_within_bound,
    cases,
    clause,
    for_all,
    rounded,
)


@clause("SPC-1")
@for_all(cases(without=[Feature.PACKED], values=[Values.PLAIN, Values.TYPICAL]))
def test_a_nan_reaches_its_own_sample_from_its_own_step_on(subject: Subject, case: Case) -> None:
    call = case.call()
    data = call.input.copy()
    data[case.seed % call.length, case.seed % call.batch, case.seed % case.config.input_size] = (
        np.nan
    )
    assert_within_bound(subject(call.replace(input=data)))


@clause("SPC-2")
@for_all(cases(without=[Feature.RELU], values=[Values.PLAIN, Values.TYPICAL]))
def test_infinite_inputs_saturate_the_gates(subject: Subject, case: Case) -> None:
    # In one feature of one step: two of them could cancel to NaN, as they may.
    call = case.call()
    data = call.input.copy()
    place = case.seed % call.length, slice(None), case.seed % case.config.input_size
    data[place] = np.inf * np.sign(data[place])
    assert_within_bound(subject(call.replace(input=data)))


@clause("SPC-2")
@for_all(cases(without=[Feature.RELU], values=[Values.PLAIN, Values.TYPICAL]))
def test_huge_inputs_saturate_the_gates(subject: Subject, case: Case) -> None:
    call = case.call()
    # exp overflows from 89 (float32) and 710 (float64) on; the products must not.
    scale = (100.0, 1e3, 1e6, 2.0**-16 * FORMATS[case.dtype].largest)[case.seed % 4]
    assert_within_bound(subject(call.replace(input=rounded(scale * call.input, case.dtype))))


@clause("SPC-2")
@for_all(cases(values=[Values.SATURATED], states=[State.GIVEN], without=[Feature.RELU]))
def test_huge_biases_saturate_the_gates(subject: Subject, case: Case) -> None:
    call = case.call()
    parameters = {
        name: 1e4 * array if case.config.parameters[name].role.is_bias else array
        for name, array in call.parameters.items()
    }
    parameters = {name: rounded(array, case.dtype) for name, array in parameters.items()}
    assert_within_bound(subject(call.replace(parameters=parameters)))


@clause("SPC-2")
@for_all(cases(Feature.RELU, values=[Values.PLAIN, Values.TYPICAL]))
def test_huge_inputs_stay_huge_under_relu(subject: Subject, case: Case) -> None:
    call = case.call()
    assert_within_bound(subject(call.replace(input=rounded(2.0**20 * call.input, case.dtype))))


@clause("SPC-3")
@for_all(cases(values=[Values.PLAIN, Values.TYPICAL]))
def test_subnormal_inputs_change_nothing_beyond_rounding(subject: Subject, case: Case) -> None:
    call = case.call()
    data = rounded(0.25 * FORMATS[case.dtype].eta * call.input, case.dtype)
    assert_within_bound(subject(call.replace(input=data)))


@clause("SPC-3")
@for_all(cases(values=[Values.PLAIN, Values.TYPICAL]))
def test_steps_and_samples_of_zeros_are_computed_like_any_other(
    subject: Subject, case: Case
) -> None:
    # Padding and masks are zeros by convention, and code takes zeros for them.
    rng = np.random.default_rng(case.seed)
    call = case.call()
    zero = rng.random((call.length, call.batch)) < rng.choice([0.3, 0.7])
    zero[:, rng.integers(call.batch)] |= rng.random() < 0.5
    zero[rng.integers(call.length)] = True
    assert_within_bound(subject(call.replace(input=np.where(zero[:, :, None], 0.0, call.input))))


@clause("SPC-3")
@for_all(cases(values=[Values.PLAIN, Values.TYPICAL]))
def test_steps_and_samples_that_are_alike_are_computed_each(subject: Subject, case: Case) -> None:
    rng = np.random.default_rng(case.seed)
    call = case.call()
    data = call.input.copy()
    if rng.random() < 0.5:
        data[:] = data[rng.integers(call.length)]
    else:
        data[:] = data[:, [rng.integers(call.batch)]]
    assert_within_bound(subject(call.replace(input=data)))

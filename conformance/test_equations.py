"""EQ: the values, by the equations, within the error that any correct arithmetic may make."""

from rnn_conformance.checking import (
    Agreement,
    Case,
    Dtype,
    Feature,
    State,
    Subject,
    Values,
    assert_within_bound,
    assert_within_scatter,
    cases,
    clause,
    for_all,
)

# One layer in one direction, dense input: nothing but the equations can be wrong.
PLAIN = [Feature.MULTI_LAYER, Feature.BIDIRECTIONAL, Feature.PACKED, Feature.UNBATCHED]
# A state that grows with every step soon reaches bounds that exclude nothing.
TAME = [Values.PLAIN, Values.TYPICAL, Values.SATURATED, Values.MIXED]


@clause("EQ-1")
@for_all(cases(without=[*PLAIN, Feature.RELU]), examples=2)
def test_an_elman_network_with_tanh(subject: Subject, case: Case) -> Agreement:
    return assert_within_scatter(subject(case.call()))


@clause("EQ-1")
@for_all(cases(Feature.RELU, without=PLAIN), examples=2)
def test_an_elman_network_with_relu(subject: Subject, case: Case) -> Agreement:
    return assert_within_scatter(subject(case.call()))


@clause("EQ-1")
@for_all(cases(Feature.RELU))
def test_relu_in_every_layer_and_direction(subject: Subject, case: Case) -> Agreement:
    return assert_within_scatter(subject(case.call()))


@clause("EQ-2")
@for_all(cases(without=[*PLAIN, Feature.PROJECTION]), examples=3)
def test_an_lstm(subject: Subject, case: Case) -> Agreement:
    return assert_within_scatter(subject(case.call()))


@clause("EQ-2")
@for_all(cases(Feature.PROJECTION, without=PLAIN), examples=2)
def test_an_lstm_whose_projected_output_recurs(subject: Subject, case: Case) -> Agreement:
    return assert_within_scatter(subject(case.call()))


@clause("EQ-2")
@for_all(cases(Feature.PROJECTION))
def test_a_projection_in_every_layer_and_direction(subject: Subject, case: Case) -> Agreement:
    return assert_within_scatter(subject(case.call()))


@clause("EQ-3")
@for_all(cases(without=PLAIN), examples=3)
def test_a_gru_resets_after_the_matrix_product(subject: Subject, case: Case) -> Agreement:
    return assert_within_scatter(subject(case.call()))


@clause("EQ-4")
@for_all(cases(Feature.BIAS_FREE))
def test_without_bias_there_is_none(subject: Subject, case: Case) -> Agreement:
    return assert_within_scatter(subject(case.call()))


@clause("EQ-4")
@for_all(cases(without=[Feature.BIAS_FREE]))
def test_each_bias_of_each_place_counts(subject: Subject, case: Case) -> Agreement:
    call = case.call()
    assert_within_bound(subject(call))
    # Each alone: a bias that is lost cannot be made up for by another.
    described = call.config.parameters
    biases = [name for name, parameter in described.items() if parameter.role.is_bias]
    chosen = biases[case.seed % len(biases)]
    alone = {
        name: array if name == chosen or name not in biases else 0.0 * array
        for name, array in call.parameters.items()
    }
    return assert_within_scatter(subject(call.replace(parameters=alone)))


@clause("EQ-4")
@for_all(cases(without=[Feature.BIAS_FREE, Feature.PACKED], length=(1, 1), states=[State.OMITTED]))
def test_both_biases_count_at_the_first_step(subject: Subject, case: Case) -> Agreement:
    return assert_within_scatter(subject(case.call()))


@clause("EQ-5")
@for_all(cases(), examples=3)
def test_every_configuration(subject: Subject, case: Case) -> Agreement:
    return assert_within_scatter(subject(case.call()))


@clause("EQ-5")
@for_all(
    cases(
        length=(40, 260),
        batch=(3, 4),
        inputs=(2, 5),
        hidden=(2, 8),
        layers=(1, 2),
        values=TAME,
        degenerate=False,
    ),
    # Sizes are test_sizes' matter; here, the errors that add up along the way.
    examples=0.2,
)
def test_long_sequences(subject: Subject, case: Case) -> Agreement:
    return assert_within_scatter(subject(case.call()))


@clause("EQ-5")
@for_all(
    cases(
        length=(2, 4),
        batch=(3, 40),
        inputs=(33, 70),
        hidden=(33, 70),
        layers=(1, 2),
        values=TAME,
        degenerate=False,
    ),
    examples=0.3,
)
def test_wide_layers_and_batches(subject: Subject, case: Case) -> Agreement:
    return assert_within_scatter(subject(case.call()))


@clause("EQ-5")
@for_all(cases(inputs=(1, 1), hidden=(1, 2), layers=(1, 2), length=(4, 9), degenerate=False))
def test_narrow_layers(subject: Subject, case: Case) -> Agreement:
    return assert_within_scatter(subject(case.call()))


@clause("EQ-5")
@for_all(cases(values=[Values.SATURATED]), examples=2)
def test_saturated_gates(subject: Subject, case: Case) -> Agreement:
    return assert_within_scatter(subject(case.call()))


@clause("EQ-5")
@for_all(cases(values=[Values.MIXED], states=[State.GIVEN]))
def test_inputs_and_states_of_mixed_magnitude(subject: Subject, case: Case) -> Agreement:
    return assert_within_scatter(subject(case.call()))


@clause("EQ-6")
@for_all(cases(dtypes=[Dtype.FLOAT64]), examples=2)
def test_float64_is_computed_in_float64(subject: Subject, case: Case) -> Agreement:
    return assert_within_scatter(subject(case.call()))


@clause("EQ-6")
@for_all(cases(dtypes=[Dtype.FLOAT16], values=TAME))
def test_float16_is_as_right_as_float16_allows(subject: Subject, case: Case) -> Agreement:
    return assert_within_scatter(subject(case.call()))


@clause("EQ-6")
@for_all(cases(dtypes=[Dtype.BFLOAT16], values=TAME))
def test_bfloat16_is_as_right_as_bfloat16_allows(subject: Subject, case: Case) -> Agreement:
    return assert_within_scatter(subject(case.call()))

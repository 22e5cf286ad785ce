"""DIR: the two directions of a bidirectional layer, and the one of any other."""

import numpy as np

from rnn_conformance.checking import (
    Case,
    Feature,
    Subject,
    assert_close,
    assert_composed_of_parts,
    between_calls,
    cases,
    clause,
    for_all,
    place,
)


@clause("DIR-1")
@for_all(cases(Feature.BIDIRECTIONAL, without=[Feature.MULTI_LAYER]))
def test_output_is_the_forward_half_beside_the_reverse_half(subject: Subject, case: Case) -> None:
    assert_composed_of_parts(subject, case.call(), "output")


@clause("DIR-2")
@for_all(cases(Feature.BIDIRECTIONAL, without=[Feature.MULTI_LAYER, Feature.PACKED]))
def test_the_reverse_half_is_a_forward_layer_over_flipped_input_flipped_back(
    subject: Subject, case: Case
) -> None:
    call = case.call()
    size = case.config.output_size
    both, alone = subject(call), subject(place(call, 0, 1, call.input))
    expected, bound = both.output.copy(), between_calls(both, "output")
    expected[:, :, size:] = alone.output[::-1]
    # The forward half is no part of this clause.
    bound[:, :, :size] = np.inf
    assert_close(
        "output",
        both.output,
        expected,
        bound,
        calls=(alone.call, call),
        what="the reverse half equals a forward layer over flipped input",
    )


@clause("DIR-3")
@for_all(cases(without=[Feature.PACKED]))
def test_the_last_layers_final_states_are_the_ends_of_the_output(
    subject: Subject, case: Case
) -> None:
    call = case.call()
    result = subject(call)
    size = case.config.output_size
    expected = result.h_n.copy()
    bound = np.full_like(expected, np.inf)
    ends = [result.output[-1, :, :size], result.output[0, :, size:]]
    for direction in range(case.config.num_directions):
        index = (case.config.num_layers - 1) * case.config.num_directions + direction
        expected[index] = ends[direction]
        bound[index] = between_calls(result, "h_n")[index]
    assert_close(
        "h_n",
        result.h_n,
        expected,
        bound,
        calls=(call,),
        what="h_n is the output's last step forward, its first step in reverse",
    )


@clause("DIR-3")
@for_all(cases(Feature.BIDIRECTIONAL, without=[Feature.PACKED]))
def test_final_states_are_each_directions_own(subject: Subject, case: Case) -> None:
    call = case.call()
    assert_composed_of_parts(subject, call, *(name for name in call.results if name != "output"))


@clause("DIR-4")
@for_all(cases(Feature.BIDIRECTIONAL, Feature.MULTI_LAYER))
def test_layers_above_the_first_read_both_halves(subject: Subject, case: Case) -> None:
    assert_composed_of_parts(subject, case.call())


@clause("DIR-5")
@for_all(cases(without=[Feature.BIDIRECTIONAL, Feature.PACKED], length=(3, 7)))
def test_with_one_direction_the_output_depends_on_no_later_step(
    subject: Subject, case: Case
) -> None:
    call = case.call()
    cut = max(1, call.length // 2)
    later = call.input.copy()
    later[cut:] = -later[cut:]
    result = subject(call)
    other = subject(call.replace(input=later))
    bound = between_calls(result, "output")
    bound[cut:] = np.inf
    assert_close(
        "output",
        other.output,
        result.output,
        bound,
        calls=(call, other.call),
        what=f"steps before {cut} do not change when later input does",
    )

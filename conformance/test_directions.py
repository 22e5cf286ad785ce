"""DIR: the two directions of a bidirectional layer, and the one of any other."""

from dataclasses import replace

import numpy as np

from rnn_conformance.bounds import reference
from rnn_conformance.cases import Case
from rnn_conformance.checks import within
from rnn_conformance.parts import consists_of_parts, place
from rnn_conformance.spec import Feature
from rnn_conformance.strategies import cases
from rnn_conformance.subject import Subject
from rnn_conformance.suite import clause, for_all


@clause("DIR-1")
@for_all(cases(Feature.BIDIRECTIONAL, without=[Feature.MULTI_LAYER]))
def test_output_is_the_forward_half_beside_the_reverse_half(subject: Subject, case: Case) -> None:
    consists_of_parts(subject, case.call(), "output")


@clause("DIR-2")
@for_all(cases(Feature.BIDIRECTIONAL, without=[Feature.MULTI_LAYER, Feature.PACKED]))
def test_the_reverse_half_is_a_forward_layer_over_flipped_input_flipped_back(
    subject: Subject, case: Case
) -> None:
    call = case.call()
    size = case.config.output_size
    both, alone = subject(call), subject(place(call, 0, 1, call.input))
    expected, bound = both.output.copy(), reference(call).output_bound.copy()
    expected[:, :, size:] = alone.output[::-1]
    # The forward half is no part of this clause.
    bound[:, :, :size] = np.inf
    within(
        "output",
        both.output,
        expected,
        2.0 * bound,
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
        bound[index] = 2.0 * reference(call).h_n_bound[index]
    within(
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
    consists_of_parts(subject, call, *(name for name in call.results if name != "output"))


@clause("DIR-4")
@for_all(cases(Feature.BIDIRECTIONAL, Feature.MULTI_LAYER))
def test_layers_above_the_first_read_both_halves(subject: Subject, case: Case) -> None:
    consists_of_parts(subject, case.call())


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
    other = subject(replace(call, input=later))
    bound = 2.0 * reference(call).output_bound
    bound[cut:] = np.inf
    within(
        "output",
        other.output,
        result.output,
        bound,
        calls=(call, other.call),
        what=f"steps before {cut} do not change when later input does",
    )

"""PCK: sequences of different lengths."""

import numpy as np

from rnn_conformance.checking import (
    Array,
    Call,
    Case,
    EveryLength,
    Feature,
    Gap,
    NonConforming,
    Sort,
    State,
    Subject,
    Unsupported,
    alone,
    assert_close,
    assert_composed_of_parts,
    assert_equivalent,
    assert_within_bound,
    between_calls,
    cases,
    clause,
    for_all,
    for_each,
)


def with_padding(call: Call, value: float) -> Call:
    """The same call with something else in the padding."""
    return call.replace(input=np.where(call.steps[:, :, None], call.input, value))


@clause("PCK-1")
@for_all(cases(Feature.PACKED))
def test_packed_comes_out_packed_in_the_same_order(subject: Subject, case: Case) -> None:
    call = case.call()
    assert call.lengths is not None
    result = subject(call)
    if result.packed is None:
        raise Unsupported("takes padded input with lengths, and packs nothing", Gap.NO_PACKING)
    sizes = tuple(int(size) for size in call.steps.sum(axis=1))
    if result.packed["batch_sizes"] != sizes:
        raise NonConforming(
            f"batch_sizes of the packed output are {result.packed['batch_sizes']}, "
            f"those of the input {sizes}",
            sort=Sort.STRUCTURE,
            calls=(call,),
            array="output",
            expected=list(sizes),
            got=list(result.packed["batch_sizes"] or ()),
        )
    # As torch packs: None where the lengths come sorted, else a sort and its inverse.
    order, back = result.packed["sorted_indices"], result.packed["unsorted_indices"]
    lengths = np.array(call.lengths)
    in_order = bool((np.diff(lengths) <= 0).all())
    consistent = (
        order is None and back is None
        if in_order
        else order is not None
        and back is not None
        and sorted(order) == list(range(call.batch))
        and bool((np.diff(lengths[list(order)]) <= 0).all())
        and [order[i] for i in back] == list(range(call.batch))
    )
    if not consistent:
        raise NonConforming(
            f"sorted_indices {order} and unsorted_indices {back} of the packed output are not "
            f"those of the input, whose lengths are {list(lengths)}",
            sort=Sort.STRUCTURE,
            calls=(call,),
            array="output",
        )


@clause("PCK-2")
@for_all(cases(Feature.PACKED, layers=(1, 3)))
def test_each_sequence_gives_what_it_gives_alone(subject: Subject, case: Case) -> None:
    call = case.call()
    together, layer = subject(call), subject.build(call)
    for sample, length in enumerate(case.lengths or ()):
        single = layer(alone(call, sample))
        for name in call.results:
            steps = slice(length) if name == "output" else slice(None)
            bound = np.full(call.shape(name), np.inf)
            expected = together[name].copy()
            bound[steps, sample] = between_calls(together, name)[steps, sample]
            expected[steps, sample] = single[name][:, 0]
            assert_close(
                name,
                together[name],
                expected,
                bound,
                calls=(single.call, call),
                what=f"sequence {sample} of length {length} gives what it gives alone",
            )


@clause("PCK-3")
@for_all(cases(Feature.PACKED, layers=(1, 3)))
def test_final_states_are_at_each_sequences_own_end_in_the_callers_order(
    subject: Subject, case: Case
) -> None:
    call = case.call()
    assert_composed_of_parts(subject, call, *(name for name in call.results if name != "output"))


@clause("PCK-3")
@for_each(EveryLength())
def test_a_sequence_of_any_length_ends_at_its_own_end(subject: Subject, case: Case) -> None:
    assert_within_bound(subject(case.call()))


@clause("PCK-3")
@for_all(cases(Feature.PACKED, Feature.INITIAL_STATE, states=[State.GIVEN], layers=(1, 2)))
def test_initial_states_are_read_in_the_callers_order(subject: Subject, case: Case) -> None:
    assert_composed_of_parts(subject, case.call())


@clause("PCK-4")
@for_all(cases(Feature.PACKED, Feature.BIDIRECTIONAL, layers=(1, 3)))
def test_the_reverse_direction_starts_at_each_sequences_own_end(
    subject: Subject, case: Case
) -> None:
    assert_composed_of_parts(subject, case.call())


@clause("PCK-5")
@for_all(cases(Feature.PACKED))
def test_what_stands_in_the_padding_has_no_influence(subject: Subject, case: Case) -> None:
    call = case.call()
    layer = subject.build(call)
    first = layer(call)
    for value in (0.0, -1e4, np.nan):
        assert_equivalent(
            first,
            layer(with_padding(call, value)),
            what=f"padding of {value} in place of 7 has no influence",
        )


def equal_lengths(call: Call) -> Call:
    """The same call with every sequence as long as the longest, so without padding."""
    data: Array = np.where(call.steps[:, :, None], call.input, 0.5)
    return call.replace(input=data, lengths=(call.length,) * call.batch)


@clause("PCK-6")
@for_all(cases(Feature.PACKED))
def test_equal_lengths_equal_the_unpacked_call(subject: Subject, case: Case) -> None:
    packed = equal_lengths(case.call())
    layer = subject.build(packed)
    assert_equivalent(
        layer(packed.replace(lengths=None)),
        layer(packed),
        what="equal lengths equal the unpacked call",
    )

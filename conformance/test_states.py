"""STA: initial and final states, and what calls leave behind."""

from itertools import pairwise

import numpy as np

from rnn_conformance.checking import (
    Call,
    Case,
    Feature,
    Kind,
    State,
    Subject,
    assert_close,
    assert_equivalent,
    assert_identical,
    assert_within_bound,
    between_calls,
    cases,
    clause,
    for_all,
)


def with_zeros(call: Call) -> Call:
    """The same call with a state of zeros."""
    has_c = call.config.kind.has_cell_state
    return call.replace(
        h_0=np.zeros(call.shape("h_n")), c_0=np.zeros(call.shape("c_n")) if has_c else None
    )


@clause("STA-1")
@for_all(cases(states=[State.OMITTED]))
def test_an_omitted_state_is_the_same_each_time(subject: Subject, case: Case) -> None:
    call = case.call()
    layer = subject.build(call)
    what = "a state that is omitted is zeros, so two calls agree (is it drawn at random?)"
    assert_identical(layer(call), layer(call), what=what)


@clause("STA-1")
@for_all(cases(Feature.INITIAL_STATE, states=[State.OMITTED]))
def test_an_omitted_state_equals_zeros_bit_for_bit(subject: Subject, case: Case) -> None:
    call = case.call()
    layer = subject.build(call)
    assert_identical(layer(call), layer(with_zeros(call)), what="an omitted state equals zeros")


@clause("STA-2")
@for_all(
    cases(
        Feature.INITIAL_STATE,
        without=[Feature.BIDIRECTIONAL, Feature.PACKED],
        length=(3, 7),
        degenerate=False,
    )
)
def test_a_sequence_in_pieces_equals_the_whole(subject: Subject, case: Case) -> None:
    call = case.call()
    layer = subject.build(call)
    whole = layer(call)
    cuts = sorted({0, 1, call.length // 2, call.length})
    outputs, calls = [], []
    h, c = call.h_0, call.c_0
    for start, stop in pairwise(cuts):
        piece = layer(call.replace(input=call.input[start:stop], h_0=h, c_0=c))
        h, c = piece.h_n, piece.c_n if case.config.kind.has_cell_state else None
        outputs.append(piece.output)
        calls.append(piece.call)
    pieces = {"output": np.concatenate(outputs), "h_n": h, "c_n": c}
    for name in call.results:
        joined = pieces[name]
        assert joined is not None
        assert_close(
            name,
            joined,
            whole[name],
            between_calls(whole, name),
            calls=(*calls, call),
            what=f"pieces cut at {cuts} with the state carried equal the whole",
        )


@clause("STA-3")
@for_all(cases(), examples=0.5)
def test_calls_leave_nothing_behind(subject: Subject, case: Case) -> None:
    call = case.call()
    layer = subject.build(call)
    first = layer(call)
    between = [call.replace(input=-call.input[:, ::-1])]
    if case.state is not State.OMITTED:
        between.append(call.replace(h_0=None, c_0=None))
    elif Feature.INITIAL_STATE in subject.features:
        between.append(with_zeros(call).replace(h_0=np.ones(call.shape("h_n"))))
    if call.lengths is None and not call.unbatched and call.batch > 1:
        # Another length and another batch size, so that a buffer kept would show.
        part = call.replace(h_0=None, c_0=None)
        between.append(part.replace(input=call.input[:1, :1]))
        between.append(part.replace(input=np.concatenate([call.input, call.input])))
    for other in filter(subject.declares, between):
        assert_equivalent(
            subject(other), layer(other), what="a layer called before, beside a fresh one"
        )
    assert_equivalent(first, layer(call), what="the same call again after other calls")


@clause("STA-4")
@for_all(cases(Feature.INITIAL_STATE, states=[State.GIVEN]))
def test_each_initial_state_of_each_place_matters(subject: Subject, case: Case) -> None:
    call = case.call()
    layer = subject.build(call)
    assert_within_bound(layer(call))
    assert call.h_0 is not None
    for place in range(case.config.num_states):
        alone = np.zeros_like(call.h_0)
        alone[place] = call.h_0[place]
        none = None if call.c_0 is None else np.zeros_like(call.c_0)
        assert_within_bound(layer(call.replace(h_0=alone, c_0=none)))
        if call.c_0 is not None:
            alone = np.zeros_like(call.c_0)
            alone[place] = call.c_0[place]
            assert_within_bound(layer(call.replace(h_0=np.zeros_like(call.h_0), c_0=alone)))


@clause("STA-4", kinds=frozenset({Kind.LSTM}))
@for_all(cases())
def test_c_n_is_the_cell_state(subject: Subject, case: Case) -> None:
    assert_within_bound(subject(case.call()), "c_n")

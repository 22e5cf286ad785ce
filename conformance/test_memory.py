"""MEM: what a layer reads and writes, where it lies."""

from typing import Any

import numpy as np

from rnn_conformance.checking import (
    LAYOUTS,
    Bare,
    Call,
    Case,
    Feature,
    NonConforming,
    Snapshot,
    Sort,
    State,
    Subject,
    assert_equivalent,
    assert_identical,
    cases,
    clause,
    contents,
    difference,
    expanded,
    for_all,
    leaves,
    mapped,
    overwrite,
    parts_of,
    snapshot,
)


def arguments_by_name(call: Call, arguments: tuple[Any, ...]) -> dict[str, Any]:
    """The arguments, with the names that a message should give them."""
    state: Any = arguments[1] if len(arguments) > 1 else None
    h_0, c_0 = (state, None) if call.c_0 is None else state
    return {"input": arguments[0], "h_0": h_0, "c_0": c_0, "lengths": arguments[2:]}


def run(subject: Subject, bare: Bare, call: Call, arguments: tuple[Any, ...]) -> Any:
    """What the layer itself returns, if it is of the structure that is due."""
    with subject.doing(call):
        returned = bare.layer(*arguments)
    bare.result(call.arguments, returned)
    return returned


def unchanged(call: Call, before: Snapshot, now: Any, what: str) -> None:
    """What was looked at before is as it was; raises ``NonConforming``."""
    if changed := difference(before, snapshot(now)):
        raise NonConforming(f"{what}: {changed}", sort=Sort.SIDE_EFFECT, calls=(call,))


@clause("MEM-1")
@for_all(cases())
def test_a_call_does_not_modify_its_arguments(subject: Subject, case: Case) -> None:
    call = case.call()
    bare = subject.bare(call)
    arguments = bare.arguments(call.arguments)
    given = arguments_by_name(call, arguments)
    before = snapshot(given)
    run(subject, bare, call, arguments)
    unchanged(call, before, given, "the call modified its arguments")


@clause("MEM-1")
@for_all(cases())
def test_a_call_does_not_modify_the_parameters(subject: Subject, case: Case) -> None:
    call = case.call()
    bare = subject.bare(call)
    before = snapshot(bare.parameters())
    run(subject, bare, call, bare.arguments(call.arguments))
    unchanged(call, before, bare.parameters(), "the call modified the parameters")


@clause("MEM-1")
@for_all(cases(states=[State.GIVEN, State.OMITTED]))
def test_a_call_that_records_gradients_modifies_nothing_either(
    subject: Subject, case: Case
) -> None:
    call = case.call()
    module = subject.module(call)
    arguments = subject.arguments(call)
    given = {**arguments_by_name(call, arguments), **dict(module.named_parameters())}
    before = snapshot(given)
    with subject.doing(call):
        module(*arguments)
    unchanged(call, before, given, "the call modified what it was given")


@clause("MEM-2")
@for_all(cases(), examples=2)
def test_arguments_of_any_layout_give_what_contiguous_ones_give(
    subject: Subject, case: Case
) -> None:
    rng = np.random.default_rng(case.seed)
    names = []

    def laid_out(array: Any) -> Any:
        layout = LAYOUTS[rng.integers(len(LAYOUTS))]
        names.append(layout.__name__.replace("_", " "))
        return layout(array)

    call = case.call()
    bare = subject.bare(call)
    arguments = mapped(laid_out, bare.arguments(call.arguments))
    what = f"with the arguments in memory {'; '.join(names)}"
    with subject.doing(call, what):
        returned = bare.layer(*arguments)
    assert_equivalent(subject(call), bare.result(call.arguments, returned), what=what)


@clause("MEM-2")
@for_all(cases(without=[Feature.PACKED]))
def test_expanded_arguments_give_what_contiguous_ones_give(subject: Subject, case: Case) -> None:
    rng = np.random.default_rng(case.seed)
    axes = []

    def stretched(array: Any) -> Any:
        axes.append(int(rng.integers(array.ndim)))
        return expanded(array, axes[-1])

    call = case.call()
    bare = subject.bare(call)
    arguments = mapped(stretched, bare.arguments(call.arguments))
    given = arguments_by_name(call, arguments)
    values: dict[str, Any] = {
        name: call.take(name, contents(given[name]).astype(np.float64))
        for name in ("input", "h_0", "c_0")
        if given[name] is not None
    }
    call = call.replace(**values)
    what = f"with the arguments expanded along axes {axes}"
    with subject.doing(call, what):
        returned = bare.layer(*arguments)
    assert_equivalent(subject(call), bare.result(call.arguments, returned), what=what)


@clause("MEM-3")
@for_all(cases())
def test_the_next_call_leaves_earlier_results_alone(subject: Subject, case: Case) -> None:
    call = case.call()
    bare = subject.bare(call)
    returned = run(subject, bare, call, bare.arguments(call.arguments))
    results = parts_of(call, returned)
    before = snapshot(results)
    run(subject, bare, call, mapped(lambda array: -array, bare.arguments(call.arguments)))
    unchanged(call, before, results, "another call changed the results of the one before")


@clause("MEM-3")
@for_all(cases())
def test_results_that_are_overwritten_change_nothing_else(subject: Subject, case: Case) -> None:
    call = case.call()
    bare = subject.bare(call)
    arguments = bare.arguments(call.arguments)
    returned = run(subject, bare, call, arguments)
    first = bare.result(call.arguments, returned)
    given = {**arguments_by_name(call, arguments), **bare.parameters()}
    before = snapshot(given)
    overwrite(parts_of(call, returned))
    unchanged(call, before, given, "to overwrite the results changed what the call was given")
    with subject.doing(call):
        second = bare(call.arguments)
    assert_identical(first, second, what="the same call after its results were overwritten")


@clause("MEM-3")
@for_all(cases(layers=(1, 2)))
def test_a_result_that_is_overwritten_leaves_the_others_alone(subject: Subject, case: Case) -> None:
    call = case.call()
    bare = subject.bare(call)
    results = parts_of(call, run(subject, bare, call, bare.arguments(call.arguments)))
    for name, result in results.items():
        others = leaves({other: array for other, array in results.items() if other != name})
        # Their elements alone: they may lie side by side in one allocation.
        before = {other: contents(array) for other, array in others.items()}
        overwrite(result)
        for other, array in others.items():
            if not np.array_equal(before[other], contents(array), equal_nan=True):
                raise NonConforming(
                    f"to overwrite {name} changed {other}", sort=Sort.SIDE_EFFECT, calls=(call,)
                )


@clause("MEM-3")
@for_all(cases())
def test_what_is_given_can_be_overwritten_and_leaves_results_alone(
    subject: Subject, case: Case
) -> None:
    call = case.call()
    bare = subject.bare(call)
    arguments = bare.arguments(call.arguments)
    results = parts_of(call, run(subject, bare, call, arguments))
    before = snapshot(results)
    overwrite(arguments)
    unchanged(call, before, results, "to overwrite the arguments changed the results")
    overwrite(dict(bare.parameters()))
    unchanged(call, before, results, "to overwrite the parameters changed the results")

"""ENV: what a layer leaves behind in the process that it runs in.

Everything that is set otherwise after an entry than before it is set back at once, in every
check; here it is a failure.
"""

import sys
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from typing import Any

from rnn_conformance.checking import (
    Call,
    Case,
    Change,
    Feature,
    Gap,
    Level,
    NonConforming,
    Sort,
    Subject,
    Unsupported,
    cases,
    clause,
    drawn,
    for_all,
    generators,
    set_generators,
    set_otherwise,
    watching,
)


def left_as_found(call: Call, changes: Collection[Change], what: str) -> None:
    """Nothing was changed; raises ``NonConforming``."""
    if changes:
        listed = "; ".join(dict.fromkeys(map(str, changes)))
        raise NonConforming(
            f"{what} changed the process that it ran in: {listed}",
            sort=Sort.SIDE_EFFECT,
            calls=(call,),
        )


def of(subject: Subject, call: Call) -> Callable[[Call], Any]:
    """The call's layer, which leaves it to the caller whether gradients are recorded."""
    try:
        module = subject.module(call)
    except Unsupported:
        return subject.build(call)

    def called(asked: Call) -> Any:
        given = subject.arguments(asked)
        with subject.doing(asked):
            return module(*given)

    return called


def constructor(subject: Subject, call: Call) -> Callable[[], Any]:
    """What constructs the call's layer, parameters and all, after the seed of the moment."""
    try:
        cls = subject.implementation.module_class
    except Unsupported:
        return partial(subject.build, call)
    told = subject.implementation.keywords(call.config)

    def construct() -> Any:
        with subject.doing(call, "the constructor"):
            return cls(**told)

    return construct


def modes() -> dict[str, AbstractContextManager[Any]]:
    """Autograd's modes, where there is torch: a layer must neither turn it on nor off."""
    if torch := sys.modules.get("torch"):
        return {
            "recording gradients": torch.enable_grad(),
            "without gradients": torch.no_grad(),
            "in inference mode": torch.inference_mode(),
        }
    return {"": nullcontext()}


def does_not_seed(subject: Subject, call: Call, act: Callable[[], Any], what: str) -> None:
    """``act`` takes the generators as they are, and leaves them where its draws end.

    Two states of one seed stay two; what was twice the same comes to be the same twice.
    Raises ``NonConforming``.
    """
    device = subject.implementation.device

    def after(count: int) -> dict[str, Any]:
        set_generators(7, count, device)
        act()
        return generators(device)

    act()
    first, again, other = after(1), after(1), after(2)
    for name, state in first.items():
        if state == other[name] or state != again[name]:
            how = "anew" if state == other[name] else "from outside"
            raise NonConforming(
                f"{what} seeded the generator of {name} {how}: its state after does not follow "
                "from the state before",
                sort=Sort.SIDE_EFFECT,
                calls=(call,),
            )


def in_each_mode(subject: Subject, call: Call, what: str) -> None:
    """A call leaves the process as it was, whatever records gradients."""
    layer = of(subject, call)
    for how, mode in modes().items():
        with mode, watching() as changes:
            layer(call)
        left_as_found(call, changes, f"{what} {how}".rstrip())


def held_to_refuse(subject: Subject) -> None:
    """Others may do whatever they like with an illegal call, a crash not excepted."""
    if subject.implementation.declaration.level is not Level.DROP_IN:
        raise Unsupported("does not declare to refuse illegal calls", Gap.UNDECLARED)


@clause("ENV-1")
@for_all(cases())
def test_a_construction_leaves_the_process_as_it_was(subject: Subject, case: Case) -> None:
    call = case.call()
    with watching() as changes:
        subject.build(call)
    left_as_found(call, changes, "the construction of a layer")


@clause("ENV-1")
@for_all(cases())
def test_a_call_leaves_the_process_as_it_was(subject: Subject, case: Case) -> None:
    in_each_mode(subject, case.call(), "a call")


@clause("ENV-1")
@for_all(cases(Feature.PACKED), examples=0.5)
def test_a_call_with_packed_input_leaves_the_process_as_it_was(
    subject: Subject, case: Case
) -> None:
    in_each_mode(subject, case.call(), "a call with packed input")


@clause("ENV-1")
@for_all(cases(), examples=0.5)
def test_a_call_keeps_settings_that_are_not_the_usual_ones(subject: Subject, case: Case) -> None:
    call = case.call()
    with set_otherwise(), watching() as changes:
        try:
            of(subject, call)(call)
        except NonConforming:
            # Nobody promises to compute there.
            return
    left_as_found(call, changes, "a call")


@clause("ENV-1")
@for_all(cases(layers=(1, 2)), examples=0.5)
def test_a_backward_pass_leaves_the_process_as_it_was(subject: Subject, case: Case) -> None:
    call = case.call()
    back = subject.pullback(call)
    with watching() as changes:
        back(drawn(call, case.seed))
    left_as_found(call, changes, "a call with its backward pass")


@clause("ENV-1")
@for_all(cases(Feature.DROPOUT, Feature.MULTI_LAYER), examples=0.5)
def test_a_call_in_training_leaves_the_process_as_it_was(subject: Subject, case: Case) -> None:
    from rnn_conformance.checking import torch_kit

    call = case.call()
    layer = torch_kit.Training(subject, call)
    with watching() as changes:
        layer(call)
    left_as_found(call, changes, "a call in training mode")
    does_not_seed(subject, call, partial(layer, call), "a call in training mode")


@clause("ENV-1")
@for_all(cases(without=[Feature.PACKED]), examples=0.3)
def test_a_call_that_is_refused_leaves_the_process_as_it_was(subject: Subject, case: Case) -> None:
    from rnn_conformance.checking import torch_kit

    held_to_refuse(subject)
    call = case.call()
    # Whether it refuses them is for other clauses.
    with watching() as changes, suppress(NonConforming):
        torch_kit.refuses_calls(subject, call, torch_kit.inputs)
    left_as_found(call, changes, "calls with input of a wrong size")
    with watching() as changes, suppress(NonConforming):
        torch_kit.refuses_calls(subject, call, torch_kit.states)
    left_as_found(call, changes, "calls with a state of a wrong size")


@clause("ENV-1")
@for_all(cases(), examples=0.3)
def test_a_construction_that_is_refused_leaves_the_process_as_it_was(
    subject: Subject, case: Case
) -> None:
    from rnn_conformance.checking import torch_kit

    held_to_refuse(subject)
    call = case.call()
    with watching() as changes, suppress(NonConforming):
        torch_kit.refuses_constructions(subject, call)
    left_as_found(call, changes, "constructions with illegal arguments")


@clause("ENV-1")
@for_all(cases(), examples=0.5)
def test_a_module_s_own_methods_leave_the_process_as_it_was(subject: Subject, case: Case) -> None:
    call = case.call()
    module = subject.module(call)
    for name in ("reset_parameters", "flatten_parameters", "train", "eval", "state_dict"):
        method = getattr(module, name, None)
        if method is None:
            continue
        with watching() as changes, subject.doing(call, f"{name}()"):
            method()
        left_as_found(call, changes, f"{name}()")
    if hasattr(module, "reset_parameters"):
        does_not_seed(subject, call, module.reset_parameters, "reset_parameters()")


@clause("ENV-1")
@for_all(cases())
def test_a_call_in_evaluation_draws_no_random_numbers(subject: Subject, case: Case) -> None:
    call = case.call()
    device = subject.implementation.device
    layer = subject.build(call)
    # Not where Hypothesis puts them for each case, which a layer may do too.
    set_generators(case.seed, 1, device)
    before = generators(device)
    layer(call)
    for name, state in generators(device).items():
        # Not there before, where the call was the first to need torch.
        if state != before.get(name, state):
            raise NonConforming(
                f"a call in evaluation mode changed the state of the generator of {name}",
                sort=Sort.SIDE_EFFECT,
                calls=(call,),
            )


@clause("ENV-1")
@for_all(cases(), examples=0.3)
def test_a_construction_seeds_no_generator(subject: Subject, case: Case) -> None:
    call = case.call()
    does_not_seed(subject, call, constructor(subject, call), "the construction of a layer")


@clause("ENV-1")
def test_what_other_checks_did_before_left_the_process_as_it_was(subject: Subject) -> None:
    for change, call in subject.changes.items():
        left_as_found(call, [change], "a call in another check")

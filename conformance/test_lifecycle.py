"""LIF: copying and storing a layer, its modes, and what works on any module.

Copies after all that a layer may have been through are test_copies' matter.
"""

import copy
import io
import pickle
from dataclasses import replace
from typing import Any

import numpy as np

from rnn_conformance.checking import (
    Call,
    Case,
    Feature,
    NonConforming,
    Sort,
    Subject,
    assert_equivalent,
    assert_within_bound,
    cases,
    clause,
    difference,
    drawn,
    for_all,
    leaves,
    overwrite,
    reading_zeros,
    snapshot,
)


def other_parameters(call: Call) -> Call:
    """The call with every parameter's sign changed and its size halved, which is exact."""
    return call.replace(parameters={name: -0.5 * array for name, array in call.parameters.items()})


def is_a_copy(subject: Subject, call: Call, module: Any, made: Any, what: str) -> None:
    """``made`` does what ``module`` does, and shares nothing with it."""
    from rnn_conformance.checking import torch_kit

    first = torch_kit.answer(subject, module, call)
    assert_equivalent(first, torch_kit.answer(subject, made, call), what=what)
    overwrite(dict(made.named_parameters()))
    assert_equivalent(
        first, torch_kit.answer(subject, module, call), what=f"{what}, whose parameters changed"
    )
    then = other_parameters(call)
    with subject.doing(call, "load_state_dict of a copy"):
        made.load_state_dict(torch_kit.tensors(subject, then))
    assert_equivalent(
        subject(then), torch_kit.answer(subject, made, then), what=f"{what}, other parameters"
    )
    assert_equivalent(
        first, torch_kit.answer(subject, module, call), what=f"{what}, which changed and was called"
    )


@clause("LIF-1")
@for_all(cases(), examples=0.4)
def test_a_deep_copy_does_the_same_and_shares_nothing(subject: Subject, case: Case) -> None:
    from rnn_conformance.checking import torch_kit

    call = case.call()
    module = subject.module(call)
    if case.seed % 2:
        torch_kit.answer(subject, module, call)
    with subject.doing(call, "copy.deepcopy"):
        made = copy.deepcopy(module)
    is_a_copy(subject, call, module, made, "a deep copy")


@clause("LIF-1")
@for_all(cases(), examples=0.4)
def test_what_was_pickled_does_the_same(subject: Subject, case: Case) -> None:
    from rnn_conformance.checking import torch_kit

    call = case.call()
    module = subject.module(call)
    if case.seed % 2:
        torch_kit.answer(subject, module, call)
    with subject.doing(call, "pickling"):
        made = pickle.loads(pickle.dumps(module))
    is_a_copy(subject, call, module, made, "pickled and loaded")


@clause("LIF-1")
@for_all(cases(), examples=0.3)
def test_what_torch_saved_does_the_same(subject: Subject, case: Case) -> None:
    import torch

    call = case.call()
    module = subject.module(call)
    file = io.BytesIO()
    with subject.doing(call, "torch.save and torch.load"):
        torch.save(module, file)
        made = torch.load(io.BytesIO(file.getvalue()), weights_only=False)
    is_a_copy(subject, call, module, made, "saved and loaded by torch")


@clause("LIF-1")
@for_all(cases(), examples=0.3)
def test_a_state_dict_that_torch_saved_can_be_loaded(subject: Subject, case: Case) -> None:
    import torch

    call = case.call()
    module = subject.module(call)
    made = subject.module(other_parameters(call))
    file = io.BytesIO()
    with subject.doing(call, "torch.save and torch.load of the state_dict"):
        torch.save(module.state_dict(), file)
        made.load_state_dict(torch.load(io.BytesIO(file.getvalue()), weights_only=True))
    is_a_copy(subject, call, module, made, "with the state_dict that torch saved and loaded")


@clause("LIF-2")
@for_all(cases(Feature.DROPOUT, Feature.MULTI_LAYER), examples=0.5)
def test_the_mode_at_the_call_decides_dropout(subject: Subject, case: Case) -> None:
    from rnn_conformance.checking import torch_kit

    call = case.call()
    # All is dropped: the layers above the first read zeros.
    dropping = call.replace(config=replace(call.config, dropout=1.0))
    due = {False: subject(call), True: subject(reading_zeros(call))}
    module = subject.module(dropping)
    rng = np.random.default_rng(case.seed)
    history = "constructed, eval()"
    for mode in [bool(bit) for bit in rng.integers(2, size=4)] + [True, False]:
        with subject.doing(dropping, f"train({mode})"):
            returned = module.train() if mode else module.eval()
        if returned is not module:
            raise NonConforming(
                "train() and eval() return the module", sort=Sort.SURFACE, calls=(dropping,)
            )
        history += f", {'train' if mode else 'eval'}(), called"
        assert_equivalent(
            due[mode], torch_kit.answer(subject, module, call), what=f"with p = 1 {history}"
        )


@clause("LIF-3")
@for_all(cases())
def test_functional_call_uses_the_parameters_given_for_that_call_alone(
    subject: Subject, case: Case
) -> None:
    import torch

    from rnn_conformance.checking import torch_kit

    call = case.call()
    then = other_parameters(call)
    names = list(then.parameters)
    if case.seed % 2:
        # The others stay the module's own.
        names = names[case.seed % len(names) :]
        then = call.replace(
            parameters={
                name: (then if name in names else call).parameters[name] for name in then.parameters
            },
        )
    module = torch_kit.named(subject, call)
    first = torch_kit.answer(subject, module, call)
    new = {name: array for name, array in torch_kit.tensors(subject, then).items() if name in names}
    with subject.doing(call, "torch.func.functional_call"), torch.no_grad():
        returned = torch.func.functional_call(module, new, subject.arguments(call))
    assert_equivalent(
        subject(then), subject.result(then, returned), what="functional_call with other parameters"
    )
    assert_equivalent(
        first, torch_kit.answer(subject, module, call), what="the module after functional_call"
    )


@clause("LIF-3")
@for_all(cases())
def test_without_gradients_asked_for_none_are_recorded(subject: Subject, case: Case) -> None:
    import torch

    call = case.call()
    module = subject.module(call)
    first = subject(call)
    frozen = subject.module(call)
    with subject.doing(call, "requires_grad_(False)"):
        frozen.requires_grad_(False)
    for what, called, mode in (
        ("under no_grad", module, torch.no_grad()),
        ("in inference mode", module, torch.inference_mode()),
        ("after requires_grad_(False)", frozen, torch.enable_grad()),
    ):
        with subject.doing(call, what), mode:
            returned = called(*subject.arguments(call))
        assert_equivalent(first, subject.result(call, returned), what=what)
        for place, array in leaves(returned).items():
            if array.requires_grad:
                raise NonConforming(
                    f"result {place} records gradients {what}",
                    sort=Sort.SIDE_EFFECT,
                    calls=(call,),
                )
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:
            raise NonConforming(
                f"{name} asks for no gradient any more", sort=Sort.SIDE_EFFECT, calls=(call,)
            )


@clause("LIF-3")
@for_all(cases())
def test_forward_hooks_see_and_replace_arguments_and_results(subject: Subject, case: Case) -> None:
    from rnn_conformance.checking import torch_kit

    call = case.call()
    other = call.replace(input=-call.input)
    seen: list[tuple[str, Any]] = []

    def before(module: Any, arguments: tuple[Any, ...]) -> Any:
        seen.append(("pre-hook", arguments))
        return subject.arguments(other)

    def after(module: Any, arguments: tuple[Any, ...], returned: Any) -> Any:
        seen.append(("hook", returned))
        return returned

    module = subject.module(call)
    first = torch_kit.answer(subject, module, call)
    with subject.doing(call, "registering hooks"):
        handles = module.register_forward_pre_hook(before), module.register_forward_hook(after)
    hooked = torch_kit.answer(subject, module, call)
    if [what for what, _ in seen] != ["pre-hook", "hook"]:
        raise NonConforming(
            f"one call ran the hooks {[what for what, _ in seen]}, not a pre-hook and a hook",
            sort=Sort.SURFACE,
            calls=(call,),
        )
    if difference(
        snapshot(subject.arguments(call), writes=False), snapshot(seen[0][1], writes=False)
    ):
        raise NonConforming(
            "a forward pre-hook did not get the call's arguments",
            sort=Sort.SURFACE,
            calls=(call,),
        )
    assert_equivalent(subject(other), hooked, what="with a forward pre-hook that gives other input")
    for handle in handles:
        handle.remove()
    assert_equivalent(
        first, torch_kit.answer(subject, module, call), what="after the hooks were removed"
    )
    if len(seen) != 2:
        raise NonConforming("hooks run after they were removed", sort=Sort.SURFACE, calls=(call,))


@clause("LIF-3")
@for_all(cases(without=[Feature.PACKED]), examples=0.5)
def test_backward_hooks_run_once(subject: Subject, case: Case) -> None:
    call = case.call()
    module = subject.module(call)
    seen: list[Any] = []
    module.register_full_backward_hook(lambda module, inner, outer: seen.append(outer))
    data, *state = subject.arguments(call)
    with subject.doing(call, "a call with a full backward hook"):
        returned = module(data.requires_grad_(), *state)
    with subject.doing(call, "backward with a full backward hook"):
        sum(array.sum() for array in leaves(returned).values()).backward()
    if len(seen) != 1:
        raise NonConforming(
            f"a full backward hook ran {len(seen)} times in one backward pass",
            sort=Sort.SURFACE,
            calls=(call,),
        )


@clause("LIF-3")
@for_all(cases(length=(2, 4), batch=(2, 3)), examples=0.5)
def test_gradients_are_right_of_a_call_that_is_recomputed_for_them(
    subject: Subject, case: Case
) -> None:
    from rnn_conformance.checking import torch_kit

    call = case.call()
    module = torch_kit.Recomputed(subject.module(call))
    with subject.doing(call, "a call through torch.utils.checkpoint"):
        graph = torch_kit.graph(subject, module, call)
        gradients = graph.gradients(drawn(call, case.seed))
    assert_within_bound(gradients)

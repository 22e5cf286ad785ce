"""PAR-6: parameters that are computed, shared or exchanged; and PAR-4, LIF-3 where they are."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np

from rnn_conformance.checking import (
    SMALL,
    Call,
    Case,
    Dtype,
    Feature,
    Kind,
    NonConforming,
    Sort,
    Subject,
    assert_equivalent,
    assert_tied_within_bound,
    assert_within_bound,
    cases,
    clause,
    contents,
    drawn,
    for_all,
)


def fails(call: Call, message: str) -> NonConforming:
    """A failure of a layer as such."""
    return NonConforming(f"{call.config}: {message}", sort=Sort.SURFACE, calls=(call,))


def scaled(call: Call) -> Call:
    """The call with its parameters as what is computed in their places is, where all are."""
    from rnn_conformance.checking import torch_kit

    return call.replace(
        parameters={name: torch_kit.FACTOR * array for name, array in call.parameters.items()}
    )


def computed_parameters_are_used(subject: Subject, case: Case, ways: str) -> None:
    """What is computed in one of these ways is used, and followed; so is what is put back."""
    import torch

    from rnn_conformance.checking import torch_kit

    call = case.call()
    # One parameter, or all of them, each in another way; a norm is that of a matrix.
    names = [n for n, a in call.parameters.items() if a.ndim == 2 or ways != "norms"]
    if case.seed // 16 % 2:
        names = [names[case.seed // 32 % len(names)]]
    module = torch_kit.named(subject, call)
    if case.seed // 8 % 2:
        # Called once, so that whatever it keeps is kept.
        torch_kit.answer(subject, module, call)

    def uses(what: str, read: Callable[[str], Any], before: Callable[[], None]) -> None:
        """The next call is that of a layer with the parameters that are ``read`` after it."""
        with subject.doing(call, what), torch.no_grad():
            before()
            returned = module(*subject.arguments(call))
            now = {
                n: contents(read(n)).astype(np.float64) if n in names else array
                for n, array in call.parameters.items()
            }
        then = call.replace(parameters=now)
        assert_equivalent(subject(then), subject.result(then, returned), what=what)

    known = torch_kit.WAYS[ways]
    of_each = {n: known[(case.seed + place) % len(known)] for place, n in enumerate(names)}
    in_words = " and ".join(f"{what} of {n}" for n, (what, _) in of_each.items())
    with subject.doing(call, in_words), torch_kit.quiet():
        made = {n: way(module, n) for n, (_, way) in of_each.items()}

    def before() -> None:
        for computed in made.values():
            computed.before()

    def change() -> None:
        for computed in made.values():
            computed.change()
        before()

    def put_back() -> None:
        for computed in made.values():
            computed.remove()
        # As an optimizer does.
        for n in names:
            getattr(module, n).mul_(torch_kit.FACTOR)

    uses(in_words, lambda n: made[n].value(), before)
    uses(f"{in_words}, of which something changed", lambda n: made[n].value(), change)
    uses(f"{in_words}, removed again", lambda n: getattr(module, n), put_back)


@clause("PAR-6")
@for_all(cases(**SMALL), examples=0.2)
def test_parametrizations_are_used(subject: Subject, case: Case) -> None:
    computed_parameters_are_used(subject, case, "parametrizations")


@clause("PAR-6")
@for_all(cases(**SMALL), examples=0.2)
def test_weight_and_spectral_norm_are_used(subject: Subject, case: Case) -> None:
    computed_parameters_are_used(subject, case, "norms")


@clause("PAR-6")
@for_all(cases(**SMALL), examples=0.2)
def test_pruning_is_used(subject: Subject, case: Case) -> None:
    computed_parameters_are_used(subject, case, "pruning")


@clause("PAR-6")
@for_all(cases(**SMALL), examples=0.2)
def test_tensors_in_the_place_of_parameters_are_used(subject: Subject, case: Case) -> None:
    computed_parameters_are_used(subject, case, "tensors")


@clause("PAR-6")
@for_all(cases(**SMALL), examples=0.2)
def test_gradients_reach_what_a_parameter_is_computed_from(subject: Subject, case: Case) -> None:
    import torch

    from rnn_conformance.checking import torch_kit

    call, then = case.call(), scaled(case.call())
    module = torch_kit.named(subject, call)
    sources = dict(module.named_parameters())
    backward = drawn(then, case.seed)
    if case.seed // 4 % 2:
        torch_kit.answer(subject, module, call)

    def functional(*arguments: Any) -> Any:
        given = {name: torch_kit.FACTOR * source for name, source in sources.items()}
        return torch.func.functional_call(module, given, arguments)

    def attributes(*arguments: Any) -> Any:
        for name, source in sources.items():
            delattr(module, name)
            setattr(module, name, torch_kit.FACTOR * source)
        return module(*arguments)

    def parametrized(*arguments: Any) -> Any:
        for name in sources:
            torch_kit.WAYS["parametrizations"][0][1](module, name)
        return module(*arguments)

    what, called = (
        ("functional_call", functional),
        ("tensors in the place of parameters", attributes),
        ("parametrizations", parametrized),
    )[case.seed % 3]
    with subject.doing(then, f"{backward.described} and {what}"):
        gradients = torch_kit.gradients_through(
            subject, called, backward, sources, torch_kit.FACTOR
        )
    assert_within_bound(gradients, what=f"through {what}, to what they are computed from")


def tied(call: Call, seed: int) -> tuple[Call, str, str]:
    """The call with two parameters of one shape alike, and their names."""
    named = list(call.parameters.items())
    pairs = [
        (one, two)
        for i, (one, array) in enumerate(named)
        for two, other in named[i + 1 :]
        if array.shape == other.shape
    ]
    one, two = pairs[seed % len(pairs)]
    return call.replace(parameters={**call.parameters, two: call.parameters[one]}), one, two


# Biases come in pairs, so that there are always two parameters of one shape.
@clause("PAR-6")
@for_all(cases(without=[Feature.BIAS_FREE], **SMALL), examples=0.2)
def test_tied_parameters_stay_tied(subject: Subject, case: Case) -> None:
    import torch

    from rnn_conformance.checking import torch_kit

    call, one, two = tied(case.call(), case.seed)
    module = torch_kit.named(subject, call)
    dtype, device = torch_kit.torch_dtype(call.dtype), subject.implementation.device

    def called(module: Any) -> Any:
        module(*subject.arguments(call))
        return module

    def flattened(module: Any) -> Any:
        # A cell has nothing to flatten; that a layer has no such method is PAR-5's matter.
        if hasattr(module, "flatten_parameters"):
            module.flatten_parameters()
        return module

    def cast(module: Any) -> Any:
        if {Dtype.FLOAT32, Dtype.FLOAT64} <= subject.implementation.declaration.dtypes:
            module.double()
        return module.to(device, dtype)

    def loaded(module: Any) -> Any:
        module.load_state_dict(torch_kit.tensors(subject, call))
        return module

    def pickled(module: Any) -> Any:
        return pickle.loads(pickle.dumps(module))

    ways: dict[str, Callable[[Any], Any]] = {
        "calling": called,
        "flatten_parameters()": flattened,
        "casting": cast,
        "load_state_dict()": loaded,
        "pickling": pickled,
        "copy.deepcopy()": copy.deepcopy,
    }
    try:
        pickle.dumps(module)
    except Exception:
        # That it cannot be pickled at all is LIF-1's matter.
        del ways["pickling"]
    with subject.doing(call, f"{two} set to {one}"):
        setattr(module, two, getattr(module, one))
    for what, way in ways.items():
        with subject.doing(call, f"{what} with {two} tied to {one}"), torch.no_grad():
            module = way(module)
        if getattr(module, one) is not getattr(module, two):
            raise fails(call, f"{one} and {two}, which were one parameter, are two after {what}")
    then = scaled(call)
    changed = {one: then.parameters[one], two: then.parameters[two]}
    then = call.replace(parameters={**call.parameters, **changed})
    with subject.doing(call, f"{one} changed in place"), torch.no_grad():
        getattr(module, one).mul_(torch_kit.FACTOR)
    assert_equivalent(
        subject(then),
        torch_kit.answer(subject, module, then),
        what=f"{one} changed, to which {two} is tied",
    )


@clause("PAR-6")
@for_all(cases(without=[Feature.BIAS_FREE], **SMALL), examples=0.1)
def test_tied_parameters_get_both_gradients(subject: Subject, case: Case) -> None:
    from rnn_conformance.checking import torch_kit

    call, one, two = tied(case.call(), case.seed)
    module, backward = torch_kit.named(subject, call), drawn(call, case.seed)
    with subject.doing(call, f"{backward.described} with {two} tied to {one}"):
        setattr(module, two, getattr(module, one))
        sources = {name: getattr(module, name) for name in call.parameters}
        gradients = torch_kit.gradients_through(subject, module, backward, sources, 1.0)
    assert_tied_within_bound(gradients, one, two)


@clause("PAR-6", "LIF-3")
@for_all(cases(without=[Feature.BIAS_FREE], **SMALL), examples=0.2)
def test_functional_call_keeps_ties_or_loosens_them(subject: Subject, case: Case) -> None:
    import torch

    from rnn_conformance.checking import torch_kit

    call, one, two = tied(case.call(), case.seed)
    module = torch_kit.named(subject, call)
    tie = case.seed // 2 % 2 == 0
    given = {one: scaled(call).parameters[one]}
    if not tie:
        given[two] = call.parameters[two][::-1]
    then = call.replace(parameters={**call.parameters, two: given[one], **given})
    new = {name: torch_kit.tensors(subject, then)[name] for name in given}
    what = f"functional_call with tie_weights={tie} and {two} tied to {one}"
    with subject.doing(call, what), torch.no_grad():
        setattr(module, two, getattr(module, one))
        returned = torch.func.functional_call(module, new, subject.arguments(call), tie_weights=tie)
    assert_equivalent(subject(then), subject.result(then, returned), what=what)
    assert_equivalent(
        subject(call), torch_kit.answer(subject, module, call), what=f"the module after {what}"
    )


@clause("LIF-3")
@for_all(cases(**SMALL), examples=0.1)
def test_parameters_thawed_again_get_gradients(subject: Subject, case: Case) -> None:
    from rnn_conformance.checking import torch_kit

    call = case.call()
    module, backward = torch_kit.named(subject, call), drawn(call, case.seed)
    names = list(call.parameters)
    frozen = names if case.seed % 2 else names[case.seed // 2 % len(names) :]
    what = "once the parameters ask for gradients again"
    with subject.doing(call, "a call with some parameters frozen"):
        for name in frozen:
            getattr(module, name).requires_grad_(False)
        module(*subject.arguments(call))
        module.requires_grad_(True)
    with subject.doing(call, f"{backward.described} {what}"):
        gradients = torch_kit.graph(subject, module, call).gradients(backward)
    assert_within_bound(gradients, what=what)


# torch.nn's own layers hold weak references to their parameters, which forbid it.
@clause("PAR-4", kinds=frozenset(kind for kind in Kind if kind.is_cell))
@for_all(cases(**SMALL), examples=0.1)
def test_swapped_parameters_are_used_by_the_next_call(subject: Subject, case: Case) -> None:
    import torch

    from rnn_conformance.checking import torch_kit

    call, then = case.call(), scaled(case.call())
    module = torch_kit.named(subject, call)
    torch_kit.answer(subject, module, call)
    with subject.doing(call, "torch.utils.swap_tensors"):
        for name, new in torch_kit.tensors(subject, then).items():
            other = torch.nn.Parameter(new)
            torch.utils.swap_tensors(getattr(module, name), other)  # type: ignore[no-untyped-call]
    assert_equivalent(
        subject(then), torch_kit.answer(subject, module, then), what="after parameters were swapped"
    )

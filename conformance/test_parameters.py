"""PAR: the constructor and the parameters."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from rnn_conformance.checking import (
    ARGUMENTS,
    Call,
    Case,
    Dtype,
    Feature,
    Gap,
    Kind,
    NonConforming,
    Sort,
    Subject,
    Unsupported,
    allowed_gap,
    assert_equivalent,
    assert_identical,
    assert_within_bound,
    cases,
    clause,
    contents,
    demand_torchs_defaults,
    difference,
    for_all,
    gap,
    shown,
    snapshot,
)


def fails(case: Case, message: str) -> NonConforming:
    """A failure of a layer as such, before any call."""
    return NonConforming(f"{case.config}: {message}", sort=Sort.SURFACE, calls=(case.call(),))


def construct(subject: Subject, case: Case, *args: Any, **keywords: Any) -> Any:
    """The class's own constructor; without arguments, those of the case by name."""
    if not args and not keywords:
        keywords = subject.implementation.keywords(case.config)
    cls = subject.implementation.module_class
    with subject.doing(case.call(), "the constructor"):
        return cls(*args, **keywords)


def shaped_as_due(subject: Subject, case: Case, module: Any, how: str = "") -> None:
    """Names, order and shapes of the parameters; raises ``NonConforming``."""
    try:
        names = subject.implementation.names(case.config)
    except Unsupported:
        # Of names that nobody has declared, this is the place to speak.
        names = {name: name for name in case.config.parameters}
    due = [(names[name], shape) for name, shape in case.config.parameter_shapes.items()]
    for what, shapes in (
        ("parameters", [(name, tuple(p.shape)) for name, p in module.named_parameters()]),
        ("state_dict", [(name, tuple(p.shape)) for name, p in module.state_dict().items()]),
    ):
        missing, beyond = dict(due).keys() - dict(shapes), dict(shapes).keys() - dict(due)
        if missing or beyond:
            named = " and ".join(
                f"{text} {', '.join(sorted(some))}"
                for text, some in (("lack", missing), ("have besides", beyond))
                if some
            )
            raise fails(case, f"the {what}{how} {named}")
        if shapes != due:
            raise fails(case, f"the {what}{how} are {shapes}, not {due}")


@clause("PAR-1")
@for_all(cases())
def test_parameters_have_the_names_order_and_shapes_of_torch_nn(
    subject: Subject, case: Case
) -> None:
    shaped_as_due(subject, case, construct(subject, case))


@clause("PAR-1")
@for_all(cases(Feature.BIAS_FREE), examples=0.5)
def test_without_bias_there_are_no_bias_parameters(subject: Subject, case: Case) -> None:
    shaped_as_due(subject, case, construct(subject, case))


@clause("PAR-1")
@for_all(cases())
def test_the_constructors_arguments_are_attributes(subject: Subject, case: Case) -> None:
    import torch

    module, config = construct(subject, case), case.config
    reference = getattr(torch.nn, config.kind.value)(**config.arguments())
    names = ["input_size", "hidden_size", "bias"]
    if not config.kind.is_cell:
        names += ["num_layers", "batch_first", "dropout", "bidirectional", "proj_size", "mode"]
    if config.kind.layer is Kind.RNN:
        names.append("nonlinearity")
    for name in names:
        due, value = getattr(reference, name), getattr(module, name, "absent")
        if value != due:
            raise fails(case, f"the attribute {name} is {shown(value)}, not {due!r}")


@clause("PAR-1")
def test_what_is_not_told_is_as_torch_nn_has_it(subject: Subject) -> None:
    demand_torchs_defaults(subject)


@clause("PAR-1")
@for_all(cases())
def test_arguments_may_be_given_by_position(subject: Subject, case: Case) -> None:
    config = case.config
    order = config.kind.arguments
    named = subject.implementation.keywords(config)
    given = [named.pop("input_size"), named.pop("hidden_size")]
    for name in order:
        # From the first argument on that the class need not have, by name.
        if ARGUMENTS[name] not in subject.features:
            break
        named.pop(name, None)
        given.append(getattr(config, name))
    module = construct(subject, case, *given, **named)
    made = f"{config.kind}{tuple(given)}"
    shaped_as_due(subject, case, module, how=f" after {made}")
    for name in order:
        due = getattr(config, name)
        if (value := getattr(module, name, due)) != due:
            raise fails(case, f"{made} has {name}={shown(value)}, not {due!r}")


@clause("PAR-1")
@for_all(cases(dtypes=tuple(Dtype)))
def test_parameters_are_made_in_the_dtype_and_on_the_device_asked_for(
    subject: Subject, case: Case
) -> None:
    from rnn_conformance.checking import torch_kit

    dtype, device = torch_kit.torch_dtype(case.dtype), subject.implementation.device
    if not subject.implementation.factory:
        raise Unsupported("takes no device and no dtype, as it declares", Gap.UNDECLARED)
    keywords = subject.implementation.keywords(case.config)
    module = construct(subject, case, **keywords, dtype=dtype, device=device)
    asked = f"dtype={dtype}, device={device!r}"
    for name, parameter in module.named_parameters():
        if (parameter.dtype, str(parameter.device)) != (dtype, device):
            raise fails(case, f"{name} is {parameter.dtype} on {parameter.device} after {asked}")


@clause("PAR-1")
@for_all(cases(), examples=0.3)
def test_parameters_are_made_in_torchs_default_dtype_and_on_its_default_device(
    subject: Subject, case: Case
) -> None:
    import torch

    usual = torch.get_default_dtype()
    # On "meta" nothing is computed, and every machine has it.
    device = "meta" if subject.implementation.factory else torch.get_default_device()
    for dtype in (torch.float64, torch.float32):
        try:
            torch.set_default_dtype(dtype)
            with torch.device(device):
                module = construct(subject, case)
        finally:
            torch.set_default_dtype(usual)
        for name, parameter in module.named_parameters():
            if (parameter.dtype, parameter.device) != (dtype, torch.device(device)):
                raise fails(
                    case,
                    f"{name} is {parameter.dtype} on {parameter.device}, made while torch's "
                    f"default dtype is {dtype} and its default device {device}",
                )


def fresh(subject: Subject, case: Case, seed: int) -> dict[str, Any]:
    """The parameters of a layer just made, by name, as NumPy arrays."""
    from rnn_conformance.checking import torch_kit

    torch_kit.seed_generators(seed, subject.implementation.device)
    given = {name: contents(p) for name, p in construct(subject, case).named_parameters()}
    return torch_kit.by_torchs_names(subject, case.call(), given)


def assert_uniform(subject: Subject, case: Case) -> None:
    """Each fresh parameter is uniform in ±1/sqrt(hidden_size), as a thousand elements tell."""
    limit = 1.0 / math.sqrt(case.config.hidden_size)
    # As many layers as give each parameter a thousand elements, which tell apart
    # distributions a sixth away from each other.
    smallest = min(math.prod(shape) for shape in case.config.parameter_shapes.values())
    drawn = [fresh(subject, case, case.seed + n) for n in range(math.ceil(1000 / smallest))]
    for name in case.config.parameter_shapes:
        values = np.concatenate([parameters[name].ravel() for parameters in drawn])
        largest = float(np.abs(values).max())
        # The limit as the dtype rounds it, and the rounding of what is scaled by it.
        if largest > np.nextafter(np.float32(limit), np.float32(1.0)):
            raise fails(
                case,
                f"{name} of a fresh layer holds {largest:.9g} in absolute value; "
                f"1/sqrt(hidden_size) is {limit:.9g}",
            )
        distance, allowed = gap(values, -limit, limit), allowed_gap(values.size)
        if distance > allowed:
            raise fails(
                case,
                f"{name} of fresh layers is not uniform in ±1/sqrt(hidden_size) = ±{limit:.4g}: "
                f"{values.size} elements from {values.min():.4g} to {values.max():.4g} with mean "
                f"{values.mean():.4g}, whose distribution is {distance:.3g} away from that, where "
                f"chance allows {allowed:.3g}",
            )


# Sizes whose roots are told apart.
told_apart = partial(cases, hidden=(16, 24), inputs=(8, 30), degenerate=False)


@clause("PAR-2")
@for_all(told_apart(layers=(1, 2)), examples=0.25)
def test_fresh_parameters_are_uniform_within_one_over_the_root_of_hidden_size(
    subject: Subject, case: Case
) -> None:
    assert_uniform(subject, case)


@clause("PAR-2")
@for_all(told_apart(Feature.MULTI_LAYER, Feature.BIDIRECTIONAL, layers=(2, 3)), examples=0.1)
def test_fresh_parameters_of_every_layer_and_direction_are_uniform_within_the_same(
    subject: Subject, case: Case
) -> None:
    assert_uniform(subject, case)


@clause("PAR-2")
@for_all(told_apart(Feature.PROJECTION, layers=(1, 2)), examples=0.1)
def test_a_fresh_projection_is_uniform_within_the_same(subject: Subject, case: Case) -> None:
    assert_uniform(subject, case)


@clause("PAR-2")
@for_all(cases(hidden=(4, 9), degenerate=False), examples=0.5)
def test_the_seed_decides_fresh_parameters(subject: Subject, case: Case) -> None:
    first, again = fresh(subject, case, case.seed), fresh(subject, case, case.seed)
    other = fresh(subject, case, case.seed + 1)
    for name, values in first.items():
        if not np.array_equal(values, again[name]):
            raise fails(case, f"{name} differs between two layers made after manual_seed alike")
        # Of at least four draws, each one of 2**24: alike by chance once in 2**96.
        if np.array_equal(values, other[name]):
            raise fails(case, f"{name} is the same whatever the seed")


@clause("PAR-2")
@for_all(cases(hidden=(4, 9), degenerate=False), examples=0.5)
def test_no_two_fresh_parameters_are_alike(subject: Subject, case: Case) -> None:
    parameters = list(fresh(subject, case, case.seed).items())
    for i, (name, values) in enumerate(parameters):
        for other, there in parameters[:i]:
            count = min(values.size, there.size)
            if np.array_equal(values.ravel()[:count], there.ravel()[:count]):
                raise fails(case, f"{name} begins with the very values of {other}")


def changed(call: Call, seed: int) -> Call:
    """The call with other parameters, of which only some differ for some seeds."""
    rng = np.random.default_rng(seed)
    names = list(call.parameters)
    chosen = names if rng.random() < 0.5 else [names[rng.integers(len(names))]]
    # Halves are exact; so is their sign.
    parameters = {
        name: -0.5 * array if name in chosen else array for name, array in call.parameters.items()
    }
    return call.replace(parameters=parameters)


def named_as_in_torch_nn(subject: Subject, case: Case) -> None:
    """Raises ``Unsupported`` where the parameters have other names."""
    if any(own != name for name, own in subject.implementation.names(case.config).items()):
        raise Unsupported("has its parameters under names of its own, as declared", Gap.NAMES)


@clause("PAR-3")
@for_all(cases())
def test_torch_nn_takes_the_state_dict_and_computes_the_same(subject: Subject, case: Case) -> None:
    import torch

    from rnn_conformance.checking import torch_kit

    named_as_in_torch_nn(subject, case)
    call = changed(case.call(), case.seed)
    module = subject.module(case.call())
    reference = torch_kit.torchs_own(call, subject.implementation.device)
    with subject.doing(call, "torch.nn's load_state_dict(state_dict(), strict=True)"):
        # Changed since they were loaded, so that no copy kept from then will do.
        with torch.no_grad():
            for name, new in torch_kit.tensors(subject, call).items():
                module.get_parameter(name).copy_(new)
        reference.load_state_dict(module.state_dict(), strict=True)
    assert_within_bound(torch_kit.answer(subject, reference, call))


@clause("PAR-3")
@for_all(cases())
def test_it_takes_the_state_dict_of_torch_nn_and_computes_the_same(
    subject: Subject, case: Case
) -> None:
    from rnn_conformance.checking import torch_kit

    named_as_in_torch_nn(subject, case)
    call = case.call()
    device = subject.implementation.device
    reference = torch_kit.torchs_own(call, device)
    reference.load_state_dict(torch_kit.tensors(subject, call))
    module = construct(subject, case).to(device, torch_kit.torch_dtype(call.dtype)).eval()
    torch_kit.answer(subject, module, call)
    with subject.doing(call, "load_state_dict(torch.nn's state_dict(), strict=True)"):
        module.load_state_dict(reference.state_dict(), strict=True)
    assert_equivalent(
        subject(call), torch_kit.answer(subject, module, call), what="loaded from torch.nn"
    )
    # By name: their order is for PAR-1, and strict loading does not look at it.
    due, kept = (dict(sorted(of.state_dict().items())) for of in (reference, module))
    if what := difference(snapshot(due, writes=False), snapshot(kept, writes=False)):
        raise fails(case, f"its state_dict is not the one that was loaded: {what}")


def altered(state: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """State dictionaries that strict loading must refuse, one for each key, and why."""
    for name, tensor in state.items():
        yield f"without {name}", {key: value for key, value in state.items() if key != name}
        yield f"with {name} one row longer", {**state, name: tensor.new_zeros(len(tensor) + 1, 1)}
    yield "with a key that no layer has", {**state, "beyond": next(iter(state.values()))}


@clause("PAR-3")
@for_all(cases(), examples=0.5)
def test_strict_loading_refuses_what_is_missing_unknown_or_of_another_shape(
    subject: Subject, case: Case
) -> None:
    named_as_in_torch_nn(subject, case)
    module = construct(subject, case)
    for what, state in altered(dict(module.state_dict())):
        try:
            module.load_state_dict(state, strict=True)
        # Whatever it raises, it has not been silent.
        except Exception:
            continue
        raise fails(case, f"load_state_dict(strict=True) takes a state_dict {what}")


def uses(
    subject: Subject, case: Case, change: Callable[[Any, dict[str, Any]], None], what: str
) -> None:
    """After a call and a change of parameters, the next call is that of a layer made so.

    ``change`` gets the module and the new tensors by name.
    """
    from rnn_conformance.checking import torch_kit

    call = case.call()
    then = changed(call, case.seed)
    module = subject.module(call)
    # Called once, so that whatever it keeps is kept.
    torch_kit.answer(subject, module, call)
    with subject.doing(call, what):
        change(module, torch_kit.tensors(subject, then))
    assert_equivalent(
        subject(then), torch_kit.answer(subject, module, then), what=f"the next call after {what}"
    )


@clause("PAR-4")
@for_all(cases())
def test_parameters_changed_in_place_are_used_by_the_next_call(
    subject: Subject, case: Case
) -> None:
    import torch

    @torch.no_grad()
    def change(module: Any, new: dict[str, Any]) -> None:
        for name, parameter in module.named_parameters():
            parameter.copy_(new[name])

    uses(subject, case, change, "parameters changed in place")


@clause("PAR-4")
@for_all(cases(), examples=0.5)
def test_parameters_with_other_data_are_used_by_the_next_call(subject: Subject, case: Case) -> None:
    def change(module: Any, new: dict[str, Any]) -> None:
        for name, parameter in module.named_parameters():
            if in_place:
                # Which autograd does not count as a change.
                parameter.data.copy_(new[name])
            else:
                parameter.data = new[name]

    in_place = case.seed % 2 == 1
    uses(subject, case, change, f"data {'changed' if in_place else 'assigned'} in the parameters")


@clause("PAR-4")
@for_all(cases(), examples=0.5)
def test_parameters_that_are_parts_of_a_vector_are_used_by_the_next_call(
    subject: Subject, case: Case
) -> None:
    import torch

    def change(module: Any, new: dict[str, Any]) -> None:
        parameters = dict(module.named_parameters())
        flat = torch.cat([torch.zeros_like(new[name]).ravel() for name in parameters])
        torch.nn.utils.vector_to_parameters(flat, parameters.values())
        # The parameters are views of it now.
        flat.copy_(torch.cat([new[name].ravel() for name in parameters]))

    uses(subject, case, change, "torch.nn.utils.vector_to_parameters")


@clause("PAR-4")
@for_all(cases(), examples=0.5)
def test_parameters_that_are_made_empty_and_loaded_are_used(subject: Subject, case: Case) -> None:
    from rnn_conformance.checking import torch_kit

    if not subject.implementation.factory:
        raise Unsupported("takes no device and no dtype, as it declares", Gap.UNDECLARED)
    call = case.call()
    keywords = subject.implementation.keywords(case.config)
    dtype, device = torch_kit.torch_dtype(case.dtype), subject.implementation.device
    cls = subject.implementation.module_class
    with subject.doing(call, "device='meta', to_empty() and load_state_dict()"):
        module = cls(**keywords, dtype=dtype, device="meta").to_empty(device=device)
        module.load_state_dict(torch_kit.tensors(subject, call))
    assert_equivalent(
        subject(call),
        torch_kit.answer(subject, module.eval(), call),
        what="made without initial values and loaded",
    )


@clause("PAR-4")
@for_all(cases())
def test_replaced_parameters_are_used_by_the_next_call(subject: Subject, case: Case) -> None:
    import torch

    def change(module: Any, new: dict[str, Any]) -> None:
        for name, array in new.items():
            owner, _, last = name.rpartition(".")
            setattr(module.get_submodule(owner), last, torch.nn.Parameter(array))

    uses(subject, case, change, "other parameters set as attributes")


@clause("PAR-4")
@for_all(cases())
def test_parameters_that_were_loaded_are_used_by_the_next_call(
    subject: Subject, case: Case
) -> None:
    def change(module: Any, new: dict[str, Any]) -> None:
        module.load_state_dict(new, assign=case.seed % 2 == 1)

    uses(subject, case, change, f"load_state_dict(…, assign={case.seed % 2 == 1})")


@clause("PAR-4")
@for_all(cases())
def test_parameters_that_were_cast_are_used_by_the_next_call(subject: Subject, case: Case) -> None:
    from rnn_conformance.checking import torch_kit

    if not {Dtype.FLOAT32, Dtype.FLOAT64} <= subject.implementation.declaration.dtypes:
        raise Unsupported("does not declare both float32 and float64", Gap.UNDECLARED)
    # Every float32 is a float64, so the parameters stay what they are.
    call = replace(case, dtype=Dtype.FLOAT32).call()
    wide = call.replace(dtype=Dtype.FLOAT64)
    module = subject.module(call)
    first = torch_kit.answer(subject, module, call)
    for then, what in ((wide, ".to(float64)"), (call, ".to(float32) after that")):
        with subject.doing(call, what):
            module.to(torch_kit.torch_dtype(then.dtype))
        result = torch_kit.answer(subject, module, then)
        assert_equivalent(subject(then), result, what=f"the next call after {what}")
        if set(result.dtypes.values()) != {then.dtype.value}:
            raise fails(case, f"after {what} the results are {dict(result.dtypes)}")
    assert_identical(first, result, what="the same call after a cast and back")

"""PAR-7: what public code does with a layer besides calling it by position.

Demanded is what PyTorch documents or public code does: what the attributes are is PAR-1's,
``flatten_parameters`` and ``all_weights`` are PAR-5's. Not demanded are names that begin with
an underline, the methods by which ``torch.nn`` checks its arguments, and the text of ``repr``.
"""

import copy
import math
import pickle
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np

from rnn_conformance.checking import (
    SMALL,
    Case,
    Feature,
    NonConforming,
    Sort,
    Subject,
    assert_equivalent,
    cases,
    clause,
    contents,
    for_all,
    reading_zeros,
)

Told: TypeAlias = Callable[[Any, Any], tuple[tuple[Any, ...], dict[str, Any]]]
"""The positional and the named arguments of a call, of the input and the state."""


def fails(case: Case, message: str) -> NonConforming:
    """A failure of a layer as such."""
    return NonConforming(f"{case.config}: {message}", sort=Sort.SURFACE, calls=(case.call(),))


@clause("PAR-7")
@for_all(cases(**SMALL), examples=0.2)
def test_input_and_hx_are_the_keywords_of_forward(subject: Subject, case: Case) -> None:
    import torch

    call = case.call()
    module = subject.module(call)
    keywords: dict[str, Told] = {"input=…": lambda data, _: ((), {"input": data})}
    # A class that declares no state need not have that argument.
    if Feature.INITIAL_STATE in subject.features:
        keywords["None for a state"] = lambda data, _: ((data, None), {})
        keywords["hx=None"] = lambda data, _: ((data,), {"hx": None})
    without = call.replace(h_0=None, c_0=None)
    ways = [(without, what, told) for what, told in keywords.items()]
    if call.arguments.states:
        ways.append((call, "hx=… and input=…", lambda data, hx: ((), {"hx": hx, "input": data})))
        ways.append((call, "hx=…", lambda data, hx: ((data,), {"hx": hx})))
    due = {asked: subject(asked) for asked, *_ in ways}
    for asked, what, told in ways:
        # Each time fresh ones: that none is modified is MEM-1's matter.
        data, *state = subject.arguments(call)
        arguments, named = told(data, *(state or [None]))
        with subject.doing(asked, f"called with {what},"), torch.no_grad():
            returned = module(*arguments, **named)
        result = subject.result(asked, returned)
        assert_equivalent(due[asked], result, what=f"called with {what}")


@clause("PAR-7")
@for_all(cases(**SMALL | {"layers": (2, 3), "hidden": (4, 9)}), examples=0.3)
def test_reset_parameters_draws_all_of_them_anew(subject: Subject, case: Case) -> None:
    from rnn_conformance.checking import torch_kit

    call = case.call()
    module, names = subject.module(call), subject.implementation.names(case.config)
    if case.seed % 2:
        torch_kit.answer(subject, module, call)
    own = dict(module.named_parameters())
    drawn: list[dict[str, Any]] = []
    for seed in (case.seed, case.seed + 1, case.seed):
        torch_kit.seed_generators(seed, subject.implementation.device)
        with subject.doing(call, "reset_parameters()"):
            module.reset_parameters()
        drawn.append({name: contents(own[names[name]]) for name in call.parameters})
    if [id(p) for p in own.values()] != [id(p) for p in module.parameters()]:
        raise fails(case, "reset_parameters() replaced parameters, which optimizers hold")
    if frozen := [name for name, parameter in own.items() if not parameter.requires_grad]:
        raise fails(case, f"{frozen[0]} asks for no gradient after reset_parameters()")
    limit = 1.0 / math.sqrt(case.config.hidden_size)
    for name, loaded in call.parameters.items():
        one, other, again = (values[name] for values in drawn)
        # Four draws or more, each one of 2**24: alike by chance once in 2**96.
        if np.array_equal(one, loaded) or np.array_equal(one, other):
            raise fails(case, f"reset_parameters() leaves {name} as it was")
        if not np.array_equal(one, again):
            raise fails(case, f"reset_parameters() draws {name} whatever manual_seed was given")
        largest = float(np.abs(one).max())
        # The limit as the dtype rounds it, and the rounding of what is scaled by it.
        if largest > np.nextafter(np.float32(limit), np.float32(1.0)):
            raise fails(
                case,
                f"{name} holds {largest:.9g} in absolute value after reset_parameters(); "
                f"1/sqrt(hidden_size) is {limit:.9g}",
            )
    then = call.replace(
        parameters={name: drawn[-1][name].astype(np.float64) for name in call.parameters}
    )
    assert_equivalent(
        subject(then),
        torch_kit.answer(subject, module, then),
        what="the next call after reset_parameters()",
    )


@clause("PAR-7")
@for_all(cases(Feature.DROPOUT, Feature.MULTI_LAYER, **SMALL | {"layers": (2, 3)}), examples=0.2)
def test_dropout_can_be_set(subject: Subject, case: Case) -> None:
    import torch

    call = case.call()
    # All is dropped, or nothing.
    due = {0.0: subject(call), 1.0: subject(reading_zeros(call))}
    for made, then in ((0.5, (0.0, 1.0)), (0.0, (1.0, 0.0))):
        module = subject.module(call.replace(config=replace(call.config, dropout=made)))
        for p in then:
            with subject.doing(call, f"training with dropout={p} set"), torch.no_grad():
                module.train()
                module.dropout = p
                returned = module(*subject.arguments(call))
            assert_equivalent(
                due[p],
                subject.result(call, returned),
                what=f"in training, dropout set from {made} to {p}",
            )


@clause("PAR-7")
@for_all(
    cases(Feature.BATCH_FIRST, without=[Feature.PACKED, Feature.UNBATCHED], **SMALL), examples=0.2
)
def test_batch_first_can_be_set(subject: Subject, case: Case) -> None:
    from rnn_conformance.checking import torch_kit

    call = case.call()
    other = call.replace(config=replace(call.config, batch_first=False))
    one, two = (call, other) if case.seed % 2 else (other, call)
    module = subject.module(one)
    if case.seed // 2 % 2:
        torch_kit.answer(subject, module, one)
    for asked in (two, one):
        with subject.doing(asked, "setting batch_first"):
            module.batch_first = asked.config.batch_first
        assert_equivalent(
            subject(asked),
            torch_kit.answer(subject, module, asked),
            what=f"batch_first set to {asked.config.batch_first}",
        )


@clause("PAR-7")
@for_all(cases(without=[Feature.PROJECTION], **SMALL), examples=0.1)
def test_what_was_pickled_before_there_were_projections_can_be_loaded(
    subject: Subject, case: Case
) -> None:
    import torch

    from rnn_conformance.checking import torch_kit

    call = case.call()
    module = subject.module(call)
    with subject.doing(call, "loading a state without proj_size, as of torch.nn before 1.8"):
        make, arguments, *rest = copy.deepcopy(module).__reduce_ex__(pickle.HIGHEST_PROTOCOL)
        made, state = make(*arguments), rest[0] if rest else None
        # What inherits from torch.nn's own stands for pickles of it; others have no such past.
        if isinstance(module, torch.nn.RNNBase) and isinstance(state, dict):
            state.pop("proj_size", None)
        if state is not None:
            made.__setstate__(state)
        answered = torch_kit.answer(subject, made, call)
    assert_equivalent(subject(call), answered, what="loaded from a state without proj_size")


@clause("PAR-7")
@for_all(cases(**SMALL), examples=0.1)
def test_it_can_be_printed(subject: Subject, case: Case) -> None:
    import torch

    call = case.call()
    module = subject.module(call)
    with subject.doing(call, "repr()"):
        alone, inside = repr(module), repr(torch.nn.Sequential(module))
    if not alone or alone.splitlines()[0] not in inside:
        raise fails(case, f"repr() is {alone!r}, and {inside!r} inside of another module")

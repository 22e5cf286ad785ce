"""A failure as a script, which is its proof: it exits with 1 as long as it fails, and else with 0.

Where one call shows it, a script has torch, the implementation, the arrays, and nothing else. Where
it takes the check's own steps, the script has these done again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rnn_conformance.checking.locating import in_words, locate
from rnn_conformance.errors import NonConforming, Unsupported
from rnn_conformance.implementations.interface import Implementation
from rnn_conformance.results.records import Recipe
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.calls import Call

LARGEST = 2000
"""Numbers that a script spells out at most; a larger case is had again and not written out."""

STATE = {"h_0": "h_n", "c_0": "c_n"}
"""The result of the same shape as a state."""

_HEAD = '''\
"""{said}"""

import sys

import torch

torch.set_printoptions(precision=9)
dtype = torch.{dtype}
parameters = {{
{parameters}
}}
input = {input}
state = {state}
lengths = {lengths}
{cotangents}

def forward(cls):
    layer = cls({arguments}).to(dtype).eval()
    layer.load_state_dict({loaded})
{asking}{packing}{answer}


print("torch.nn:", forward(torch.nn.{kind}))

'''


_PACKING = """\
    data = torch.nn.utils.rnn.pack_padded_sequence(
        input, lengths, batch_first={batch_first}, enforce_sorted=False
    )
"""

_ANSWER = """\
    with torch.no_grad():
        return layer({data}) if state is None else layer({data}, state)"""

_ASKING = """\
    asking = {"input": input}
    if state is not None:
        asking |= dict(zip(("h_0", "c_0"), state if isinstance(state, tuple) else (state,)))
    for tensor in asking.values():
        tensor.requires_grad_()
    asking |= dict(layer.named_parameters())
"""

_GRADIENTS = """\
    returned = layer({data}) if state is None else layer({data}, state)
    output, states = {returned}
{padding}    states = states if isinstance(states, tuple) else (states,)
    results = dict(zip(("output", "h_n", "c_n"), (output, *states)))
    gradients = torch.autograd.grad(
        [results[name] for name in cotangents],
        list(asking.values()),
        list(cotangents.values()),
        allow_unused=True,
    )
    return dict(zip(asking, gradients))"""


_PADDING = """\
{indent}if not hasattr(output, "shape"):
{indent}    output, _ = torch.nn.utils.rnn.pad_packed_sequence(
{indent}        output, batch_first={batch_first}, total_length={length}
{indent}    )
"""

_ELEMENT = """
{finding}expected, allowed = {expected}, {bound}
same = element == expected or (element != element and expected != expected)
off = 0.0 if same else abs(element - expected)
print(f"{where} is {{element:.9g}}, not {{expected:.9g}};")
print(f"off by {{off:.3g}} where {{allowed:.3g}} is allowed")
sys.exit(not off <= allowed)
"""

_FINDING = """\
output, states = {returned}
{padding}states = states if isinstance(states, tuple) else (states,)
element = float(dict(zip(("output", "h_n", "c_n"), (output, *states)))[{name!r}][{index}])
"""

_AGAIN = '''\
"""{said}

It takes more than one call: the check's own steps are done again, as they were.
"""

import sys

import rnn_conformance

if __name__ == "__main__":
    sys.exit(
        rnn_conformance.replay(
            {target!r},
            kind={kind!r},
            check={check!r},
            seed={seed},
            profile={profile!r},
            draw={draw!r},
        )
    )
'''


def again(implementation: Implementation, said: str, kind: str, check: str, recipe: Recipe) -> str:
    """The script that has a check's steps done again in the case that failed."""
    return _AGAIN.format(
        said=_quoted(said),
        target=implementation.target or implementation.name,
        kind=kind,
        check=check,
        seed=recipe.seed,
        profile=recipe.profile,
        draw=recipe.draw,
    )


def _quoted(text: str) -> str:
    """As it may stand in a docstring."""
    return text.replace("\\", "\\\\").replace('"""', "'''").rstrip('"')


def script(implementation: Implementation, shown: NonConforming, said: str) -> str | None:
    """The script that shows what ``implementation`` answers beside ``torch.nn``.

    ``shown`` is what a call shows, or with a backward pass, of modules, its gradients; ``said``
    is what is said of it. ``None`` for a case too large to be read.
    """
    call, backward = shown.calls[-1], shown.backward
    size = call.input.size + sum(array.size for array in call.parameters.values())
    if size > LARGEST:
        return None
    if backward is not None:
        call = backward.call
        try:
            implementation.module_class  # noqa: B018
        except Unsupported:
            return None

    def tensor(name: str, array: Array) -> str:
        given = array if name == "parameter" else call.give(name, array)
        if not given.size:
            # An empty array has a shape that nested lists cannot spell.
            return f"torch.zeros({given.shape}, dtype=dtype)"
        return f"torch.tensor({_literal(given)}, dtype=dtype)"

    packed = call.lengths is not None
    state = "None"
    if call.h_0 is not None:
        state = tensor("h_0", call.h_0)
        if call.c_0 is not None:
            state = f"({state}, {tensor('c_0', call.c_0)})"
    arguments = implementation.keywords(call.config)
    loaded, cotangents, answer, asking = "parameters", "", "", ""
    if other := _other_names(implementation, call):
        loaded = (
            f"parameters if cls is torch.nn.{call.config.kind} else "
            f"{{{other!r}.get(name, name): value for name, value in parameters.items()}}"
        )
    if backward is not None:
        cotangents = "cotangents = {\n" + "".join(
            f"    {name!r}: {tensor(name, array)},\n" for name, array in backward.cotangents.items()
        )
        cotangents += "}\n"
        asking = _ASKING
        answer = _GRADIENTS.format(
            data="data" if packed else "input",
            returned="None, returned" if call.config.kind.is_cell else "returned",
            padding=_padded(call, "    "),
        )
    head = _HEAD.format(
        said=_quoted(said),
        dtype=call.dtype,
        parameters="\n".join(
            f"    {name!r}: {tensor('parameter', array)},"
            for name, array in call.parameters.items()
        ),
        input=tensor("input", call.input),
        state=state,
        lengths="None" if call.lengths is None else f"torch.tensor({list(call.lengths)})",
        arguments=", ".join(f"{name}={value!r}" for name, value in arguments.items()),
        packing=_PACKING.format(batch_first=call.config.batch_first) if packed else "",
        cotangents=cotangents,
        asking=asking,
        loaded=loaded,
        answer=answer or _ANSWER.format(data="data" if packed else "input"),
        kind=call.config.kind,
    )
    answered = f"\n\nprint({implementation.name!r}, got)\n"
    return head + implementation.script(call) + answered + _ending(shown, other)


def _padded(call: Call, indent: str = "") -> str:
    if call.lengths is None:
        return ""
    return _PADDING.format(indent=indent, batch_first=call.config.batch_first, length=call.length)


def _ending(shown: NonConforming, other: Mapping[str, str]) -> str:
    """The element that is furthest off, and the exit; none after what raises."""
    if shown.index is None or shown.array is None:
        return ""
    call, name = shown.calls[-1], shown.array
    index = shown.index
    if name not in call.parameters:
        # Where it is in the caller's layout.
        mask = np.zeros(call.input.shape if name == "input" else call.shape(STATE.get(name, name)))
        mask[index] = 1.0
        index = tuple(int(at) for at in np.argwhere(call.give(name, mask))[0])
    place = ", ".join(map(str, index))
    if shown.gradient:
        finding = f"element = float(got[{other.get(name, name)!r}][{place}])\n"
    else:
        finding = _FINDING.format(
            returned="None, got" if call.config.kind.is_cell else "got",
            padding=_padded(call),
            name=name,
            index=place,
        )
    where = locate(call, name, shown.index, gradient=shown.gradient)
    return _ELEMENT.format(
        finding=finding,
        expected=_spelt(shown.expected),
        bound=_spelt(shown.bound),
        where=f"{where['array']} at {in_words(where)}",
    )


def _other_names(implementation: Implementation, call: Call) -> dict[str, str]:
    """The names of parameters that are declared and are not ``torch.nn``'s."""
    try:
        names = implementation.names(call.config)
    except Unsupported:
        return {}
    return {name: own for name, own in names.items() if name != own}


def _literal(array: Array) -> str:
    """Nested lists of numbers, each exact."""

    def spell(value: Any) -> str:
        if isinstance(value, list):
            return "[" + ", ".join(map(spell, value)) + "]"
        return _spelt(value)

    return spell(array.tolist())


def _spelt(value: Any) -> str:
    """A number, exact; NaN and infinities as ``float('nan')``."""
    return repr(value) if np.isfinite(value) else f"float('{value}')"

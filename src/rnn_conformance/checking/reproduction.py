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
from rnn_conformance.spec.backward import Backward
from rnn_conformance.spec.calls import Call

LARGEST = 2000
"""Numbers that a script spells out at most; a larger case is had again and not written out."""

STATE = {"h_0": "h_n", "c_0": "c_n"}
"""The result of the same shape as a state."""

_SCRIPT = '''\
"""{said}"""

import sys

import torch
{imports}
torch.set_printoptions(precision=9)
dtype = torch.{dtype}
parameters = {{
{parameters}
}}
{given}


def forward(cls):
    layer = cls({constructor}).to(dtype).eval()
    layer.load_state_dict({loaded})
{asked}{answer}


print("torch.nn:", forward(torch.nn.{kind}))

{got}
print({name!r}, got)
'''

_PACKED = "from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence\n"

_PACKING = """\
    packed = pack_padded_sequence(input, lengths, batch_first={batch_first}, enforce_sorted=False)
"""

_CALL = """\
    with torch.no_grad():
        return {call}"""

_ASKED = """\
    asked = {arguments}
    for tensor in asked.values():
        tensor.requires_grad_()
    asked |= dict(layer.named_parameters())
"""

_GRADIENTS = """\
    {returned} = {call}
{padding}    found = torch.autograd.grad(
        [{results}], list(asked.values()), cotangents, allow_unused=True
    )
    return dict(zip(asked, found))"""

_ELEMENT = """
{padding}element, expected, allowed = float({array}[{index}]), {expected}, {bound}
off = abs(element - expected)
print(f"{where} is {{element:.9g}}, not {{expected:.9g}};")
print(f"off by {{off:.3g}} where {{allowed:.3g}} is allowed")
sys.exit(not off <= allowed)
"""

_SPECIAL = """
{padding}element = float({array}[{index}])
print(f"{where} is {{element}}, not {expected}")
sys.exit(str(element) != {expected!r})
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
    is what is said of it. ``None`` for a case too large to be read, and for an implementation that
    no plain script can call.
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

    if (got := implementation.script(call)) is None:
        return None

    def tensor(name: str, array: Array) -> str:
        given = array if name == "parameter" else call.give(name, array)
        if not given.size:
            # An empty array has a shape that nested lists cannot spell.
            return f"torch.zeros({given.shape}, dtype=dtype)"
        return f"torch.tensor({_literal(given)}, dtype=dtype)"

    other = _other_names(implementation, call)
    loaded = "parameters"
    if other:
        loaded = (
            f"parameters if cls is torch.nn.{call.config.kind} else "
            f"{{{other!r}.get(name, name): value for name, value in parameters.items()}}"
        )
    given = [f"input = {tensor('input', call.input)}"]
    if states := [tensor(name, array) for name, array in call.arguments.states.items()]:
        pair = call.config.kind.has_cell_state
        given.append(f"state = ({', '.join(states)})" if pair else f"state = {states[0]}")
    if call.lengths is not None:
        given.append(f"lengths = torch.tensor({list(call.lengths)})")
    if backward is not None:
        arrays = [f"    {tensor(name, array)}," for name, array in backward.cotangents.items()]
        given.append("\n".join(["cotangents = [", *arrays, "]"]))
    batch_first = call.config.batch_first
    arguments = implementation.keywords(call.config)
    head = _SCRIPT.format(
        said=_quoted(said),
        imports=_PACKED if call.lengths is not None else "",
        dtype=call.dtype,
        parameters="\n".join(
            f"    {name!r}: {tensor('parameter', array)},"
            for name, array in call.parameters.items()
        ),
        given="\n".join(given),
        constructor=", ".join(f"{name}={value!r}" for name, value in arguments.items()),
        loaded=loaded,
        asked="" if call.lengths is None else _PACKING.format(batch_first=batch_first),
        answer=_CALL.format(call=_call(call)) if backward is None else _gradients(backward),
        kind=call.config.kind,
        got=got,
        name=implementation.name,
    )
    return head + _ending(shown, other)


def _call(call: Call) -> str:
    """The call of a module, as it is written."""
    input = "input" if call.lengths is None else "packed"
    return f"layer({input})" if call.h_0 is None else f"layer({input}, state)"


def _gradients(backward: Backward) -> str:
    """What a call of a module returns, and the gradients of that, as they are written."""
    call, cell = backward.call, backward.call.config.kind.is_cell
    asked = {"input": "input"}
    if call.h_0 is not None:
        pair = call.config.kind.has_cell_state
        parts = ("state[0]", "state[1]") if pair else ("state",)
        asked |= dict(zip(("h_0", "c_0"), parts, strict=False))
    arguments = ", ".join(f'"{name}": {given}' for name, given in asked.items())
    states = "h_n, c_n" if call.config.kind.has_cell_state else "h_n"
    nested = f"({states})" if call.config.kind.has_cell_state else states
    padding = ""
    if call.lengths is not None and "output" in backward.cotangents:
        padding = f"    output, _ = {_padded(call, 'output')}\n"
    return _ASKED.format(arguments=f"{{{arguments}}}") + _GRADIENTS.format(
        returned=states if cell else f"output, {nested}",
        call=_call(call),
        padding=padding,
        results=", ".join(backward.cotangents),
    )


def _padded(call: Call, output: str) -> str:
    given = f"batch_first={call.config.batch_first}, total_length={call.length}"
    return f"pad_packed_sequence({output}, {given})"


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
    where = locate(call, name, shown.index, gradient=shown.gradient)
    array, padding = f"got[{other.get(name, name)!r}]", ""
    if not shown.gradient:
        array = _array(call, name)
    if array == "got[0]" and call.lengths is not None:
        # A module's is packed, a function's is padded.
        padded = _padded(call, "got[0]")
        padding = f'output = got[0] if hasattr(got[0], "shape") else {padded}[0]\n'
        array = "output"
    ending = _ELEMENT if np.isfinite(shown.expected) else _SPECIAL
    return ending.format(
        padding=padding,
        array=array,
        index=", ".join(map(str, index)),
        expected=_spelt(shown.expected) if ending is _ELEMENT else str(float(shown.expected)),
        bound=_spelt(shown.bound),
        where=f"{where['array']} at {in_words(where)}",
    )


def _array(call: Call, name: str) -> str:
    """Where a result is in what a call returns."""
    if name == "output":
        return "got[0]"
    states = "got" if call.config.kind.is_cell else "got[1]"
    return f"{states}[{int(name == 'c_n')}]" if call.config.kind.has_cell_state else states


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

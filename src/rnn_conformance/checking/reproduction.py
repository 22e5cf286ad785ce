"""A failure as a script, which is its proof: it exits with 1 as long as it fails, and else with 0.

Where one call shows it, a script has torch, the implementation, the arrays, and nothing else. Where
it takes the check's own steps, the script has these done again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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

LINES = 39
"""Lines that a script has at most, its diagnosis among them; the steps of a longer one are done
again."""

OF_DIAGNOSIS = 1
"""Lines that a diagnosis takes, which is put in later (``results.journal``)."""

_SCRIPT = '''\
"""{said}"""
{imports}import sys

import torch
{packing}
torch.set_printoptions(precision=9)
dtype = torch.{dtype}
parameters = {{
{parameters}
}}
{given}

def forward(cls):
    torch.manual_seed(0)
    layer = cls({constructor}).to(dtype).eval()
    layer.load_state_dict({loaded})
{answer}

{got}
print("torch.nn:", forward(torch.nn.{kind}), {named!r}, got)
'''

_PACKED = "from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence\n"

_CALL = """\
    with torch.no_grad():
        return {call}"""

_GRADIENTS = """\
    asked = {{{arguments}, **dict(layer.named_parameters())}}
    {returned} = {call}
{padding}    of, given = [{results}], asked.values()
    return dict(zip(asked, torch.autograd.grad(of, given, cotangents, allow_unused=True)))"""

_ELEMENT = """\
{padding}element, expected, allowed = float({array}[{index}]), {expected}, {bound}
off = abs(element - expected)
print(f"{where} is {{element:.9g}}, not {{expected:.9g}};")
print(f"off by {{off:.3g}} where {{allowed:.3g}} is allowed")
sys.exit(not off <= allowed)
"""

_SPECIAL = """\
{padding}element = float({array}[{index}])
print(f"{where} is {{element}}, not {expected}")
sys.exit(str(element) != {expected!r})
"""

_AGAIN = '''\
"""{said}

The check's own steps are done again, as they were: it takes more than one call, or a large one.
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

    if (answering := implementation.script(call)) is None:
        return None
    imports, _, got = answering.rpartition("\n\n")
    other = _other_names(implementation, call)
    loaded = "parameters"
    if other:
        loaded = (
            f"parameters if cls is torch.nn.{call.config.kind} else "
            f"{{{other!r}.get(name, name): value for name, value in parameters.items()}}"
        )
    arguments = implementation.keywords(call.config)
    whole = _SCRIPT.format(
        said=_quoted(said),
        imports=f"{imports}\n" if imports else "",
        packing=_PACKED if call.lengths is not None else "",
        dtype=call.dtype,
        parameters="\n".join(_parameters(call)),
        given="\n".join(_given(call, backward)),
        constructor=", ".join(f"{name}={value!r}" for name, value in arguments.items()),
        loaded=loaded,
        answer=_CALL.format(call=_call(call)) if backward is None else _gradients(backward),
        kind=call.config.kind,
        got=got,
        named=f"\n{implementation.name}:",
    ) + _ending(shown, other)
    return whole if whole.count("\n") + OF_DIAGNOSIS <= LINES else None


def _parameters(call: Call) -> Iterator[str]:
    """A line for each layer and direction, two where there is one: its weights, its biases."""
    lines = dict[tuple[int, int, bool], list[str]]()
    one = call.config.num_layers * call.config.num_directions == 1
    for name, parameter in call.config.parameters.items():
        line = parameter.layer, parameter.direction, one and parameter.role.is_bias
        lines.setdefault(line, []).append(f"{name!r}: {_tensor(call.parameters[name])}")
    return (f"    {', '.join(line)}," for line in lines.values())


def _given(call: Call, backward: Backward | None) -> Iterator[str]:
    """The arguments of a call, and the cotangents of its results, a line each."""
    given = {
        name: _tensor(call.give(name, array), differentiated=backward is not None)
        for name, array in {"input": call.input, **call.arguments.states}.items()
    }
    if call.lengths is None:
        yield f"input = {given.pop('input')}"
    else:
        yield f"input, lengths = {given.pop('input')}, torch.tensor({list(call.lengths)})"
    if given:
        pair = call.config.kind.has_cell_state
        states = ", ".join(given.values())
        yield f"state = ({states})" if pair else f"state = {states}"
    if backward is not None:
        arrays = (_tensor(call.give(name, one)) for name, one in backward.cotangents.items())
        yield f"cotangents = [{', '.join(arrays)}]"


def _tensor(array: Array, *, differentiated: bool = False) -> str:
    """A tensor, as it is written."""
    recorded = ", requires_grad=True" if differentiated else ""
    if not array.size:
        # An empty array has a shape that nested lists cannot spell.
        return f"torch.zeros({array.shape}, dtype=dtype{recorded})"
    return f"torch.tensor({_literal(array)}, dtype=dtype{recorded})"


def _call(call: Call) -> str:
    """The call of a module, as it is written."""
    given = "input"
    if call.lengths is not None:
        order = f"batch_first={call.config.batch_first}, enforce_sorted=False"
        given = f"pack_padded_sequence(input, lengths, {order})"
    return f"layer({given})" if call.h_0 is None else f"layer({given}, state)"


def _gradients(backward: Backward) -> str:
    """What a call of a module returns, and the gradients of that, as they are written."""
    call, cell = backward.call, backward.call.config.kind.is_cell
    asked = {"input": "input"}
    if call.h_0 is not None:
        pair = call.config.kind.has_cell_state
        parts = ("state[0]", "state[1]") if pair else ("state",)
        asked |= dict(zip(("h_0", "c_0"), parts, strict=False))
    states = "h_n, c_n" if call.config.kind.has_cell_state else "h_n"
    nested = f"({states})" if call.config.kind.has_cell_state else states
    padding = ""
    if call.lengths is not None and "output" in backward.cotangents:
        padding = f"    output, _ = {_padded(call, 'output')}\n"
    return _GRADIENTS.format(
        arguments=", ".join(f'"{name}": {given}' for name, given in asked.items()),
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

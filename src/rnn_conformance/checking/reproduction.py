"""A failure as a script: torch, the implementation, the arrays, and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnn_conformance.errors import Unsupported
from rnn_conformance.implementations.interface import Implementation
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.backward import Backward
from rnn_conformance.spec.calls import Call

LARGEST = 2000
"""Numbers that a script spells out at most; a larger case is named and not written out."""

_HEAD = '''\
"""The smallest case found, with torch and the implementation alone."""

import torch

dtype = torch.{dtype}
parameters = {{
{parameters}
}}
input = {input}
state = {state}
lengths = {lengths}
{cotangents}

def forward(cls):
    layer = cls({arguments}).to(dtype).{mode}()
    layer.load_state_dict({loaded})
{asking}    data = input
    if lengths is not None:
        data = torch.nn.utils.rnn.pack_padded_sequence(
            data, lengths, batch_first={batch_first}, enforce_sorted=False
        )
{seed}{answer}


print("torch.nn:", forward(torch.nn.{kind}))

'''


_ANSWER = """\
    with torch.no_grad():
        return layer(data) if state is None else layer(data, state)"""

_ASKING = """\
    asking = {"input": input}
    if state is not None:
        asking |= dict(zip(("h_0", "c_0"), state if isinstance(state, tuple) else (state,)))
    for tensor in asking.values():
        tensor.requires_grad_()
    asking |= dict(layer.named_parameters())
"""

_GRADIENTS = """\
    returned = layer(data) if state is None else layer(data, state)
    output, states = {returned}
    if lengths is not None:
        output, _ = torch.nn.utils.rnn.pad_packed_sequence(
            output, batch_first={batch_first}, total_length={length}
        )
    states = states if isinstance(states, tuple) else (states,)
    results = dict(zip(("output", "h_n", "c_n"), (output, *states)))
    gradients = torch.autograd.grad(
        [results[name] for name in cotangents],
        list(asking.values()),
        list(cotangents.values()),
        allow_unused=True,
    )
    return dict(zip(asking, gradients))"""


def script(
    implementation: Implementation, call: Call, backward: Backward | None = None
) -> str | None:
    """The script that shows what ``implementation`` answers beside ``torch.nn``.

    With a backward pass it shows the gradients, for modules. ``None`` for a case too large
    to be read.
    """
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
            returned="None, returned" if call.config.kind.is_cell else "returned",
            batch_first=call.config.batch_first,
            length=call.length,
        )
    head = _HEAD.format(
        dtype=call.dtype,
        parameters="\n".join(
            f"    {name!r}: {tensor('parameter', array)},"
            for name, array in call.parameters.items()
        ),
        input=tensor("input", call.input),
        state=state,
        lengths="None" if call.lengths is None else f"torch.tensor({list(call.lengths)})",
        arguments=", ".join(f"{name}={value!r}" for name, value in arguments.items()),
        batch_first=call.config.batch_first,
        cotangents=cotangents,
        asking=asking,
        loaded=loaded,
        answer=answer or _ANSWER,
        kind=call.config.kind,
        mode="train" if call.training else "eval",
        seed="    torch.manual_seed(0)\n" if call.training else "",
    )
    return head + implementation.script(call) + f"\n\nprint({implementation.name!r}, got)\n"


def _other_names(implementation: Implementation, call: Call) -> dict[str, str]:
    """The names of parameters that are declared and are not ``torch.nn``'s."""
    try:
        names = implementation.names(call.config)
    except Unsupported:
        return {}
    return {name: own for name, own in names.items() if name != own}


def _literal(array: Array) -> str:
    """Nested lists of numbers, each exact; NaN and infinities as ``float('nan')``."""

    def spell(value: Any) -> str:
        if isinstance(value, list):
            return "[" + ", ".join(map(spell, value)) + "]"
        return repr(value) if np.isfinite(value) else f"float('{value}')"

    return spell(array.tolist())

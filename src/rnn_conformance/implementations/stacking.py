"""What adapters of engines have in common: ``torch.nn``'s layouts around one layer at a time.

Most engines have one layer, in one direction or in two, and lay arrays out in their own way.
What is the same for all of them is written here: refusing what is not declared, time first,
the batch of one of an unbatched call, and the chain of layers. No value is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rnn_conformance.spec.config import Config

Array: TypeAlias = NDArray[Any]
States: TypeAlias = tuple[Array, ...]
OneLayer: TypeAlias = Callable[
    [int, Array, States | None, Array | None], tuple[Array, tuple[Array, ...]]
]


def stacked(
    config: Config, features: Collection[str], dtype: Any, one_layer: OneLayer
) -> Callable[..., Any]:
    """A layer as ``@implementation`` wants it, of an engine's ``one_layer``.

    ``one_layer(index, x, states, lengths)`` runs the layer of that index in all of its
    directions: ``x`` is ``(L, N, input)``; ``states`` are ``h_0``, and for LSTM ``c_0``, each
    ``(D, N, H)``, or ``None`` where the caller gives none; ``lengths`` is ``(N,)`` or ``None``.
    It returns ``(L, N, D*H)`` and the final states, laid out as the initial ones. ``dtype`` is
    that of the parameters.

    Raises ``NotImplementedError`` for what is not among ``features``; the layer raises it too,
    ``TypeError`` for another dtype and ``ValueError`` for shapes that do not fit.
    """
    if missing := config.features - set(features):
        raise NotImplementedError(f"not available: {', '.join(sorted(missing))}")

    def layer(input: Array, state: Any = None, lengths: Array | None = None) -> Any:
        unbatched = input.ndim == 2
        asked = {"unbatched": unbatched, "packed": lengths is not None}
        asked |= {"initial_state": state is not None, "empty_batch": input.size == 0}
        if missing := [name for name, used in asked.items() if used and name not in features]:
            raise NotImplementedError(f"not available: {', '.join(missing)}")
        x = input[:, None] if unbatched else input
        if config.batch_first and not unbatched:
            x = x.swapaxes(0, 1)
        if x.ndim != 3 or x.shape[0] == 0 or x.shape[2] != config.input_size:
            raise ValueError(f"an input of shape {input.shape} does not fit {config}")
        if input.dtype != dtype:
            raise TypeError(f"an input of {input.dtype} for weights of {dtype}")
        steps, batch = x.shape[:2]
        if lengths is not None and (
            unbatched or lengths.shape != (batch,) or lengths.min() < 1 or lengths.max() > steps
        ):
            raise ValueError(f"lengths {lengths} do not fit {batch} sequences of {steps} steps")
        given = _initial(config, state, batch, dtype, unbatched=unbatched)
        finals = []
        for index in range(config.num_layers):
            start = index * config.num_directions
            own = slice(start, start + config.num_directions)
            states = None if given is None else tuple(part[own] for part in given)
            x, final = one_layer(index, np.ascontiguousarray(x), states, lengths)
            finals.append(final)
        joined = [np.concatenate(parts) for parts in zip(*finals, strict=True)]
        if unbatched:
            x, *joined = (array[:, 0] for array in (x, *joined))
        elif config.batch_first:
            x = x.swapaxes(0, 1)
        return x, tuple(joined) if config.kind.has_cell_state else joined[0]

    return layer


def _initial(
    config: Config, state: Any, batch: int, dtype: Any, *, unbatched: bool
) -> list[Array] | None:
    """``h_0``, and for LSTM ``c_0``, with a batch dimension; ``None`` where none is given."""
    if state is None:
        return None
    pair = isinstance(state, tuple)
    if pair != config.kind.has_cell_state or (pair and len(state) != 2):
        raise ValueError("the state is a pair (h_0, c_0) for LSTM, h_0 for the others")
    given = [part[:, None] if unbatched else part for part in (state if pair else (state,))]
    widths = (config.output_size, config.hidden_size)
    for part, width in zip(given, widths, strict=False):
        if part.shape != (config.num_states, batch, width):
            raise ValueError(f"a state of shape {part.shape} does not fit {config}")
        if part.dtype != dtype:
            raise TypeError(f"a state of {part.dtype} for weights of {dtype}")
    return given

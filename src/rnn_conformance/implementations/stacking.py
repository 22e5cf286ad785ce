"""What adapters of engines have in common: ``torch.nn``'s layouts around one layer at a time.

Most engines have one layer, in one direction or in two, and lay arrays out in their own way.
What is the same for all of them is written here: refusing what is not declared, time first,
the batch of one of an unbatched call, the chain of layers, and its way back. No value is
computed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rnn_conformance.spec.config import Config

Array: TypeAlias = NDArray[Any]
States: TypeAlias = tuple[Array, ...]
OneLayer: TypeAlias = Callable[
    [int, Array, States | None, Array | None], tuple[Array, tuple[Array, ...]]
]
Back: TypeAlias = Callable[
    [int, Array, States | None, Array | None, Array, States],
    tuple[Any, Any, Mapping[str, Any]],
]


class Given(NamedTuple):
    """A call's arguments time first: ``(L, N, input)``, each state ``(D*layers, N, H)``."""

    x: Array
    states: list[Array] | None
    lengths: Array | None
    unbatched: bool


def stacked(
    config: Config,
    features: Collection[str],
    dtype: Any,
    one_layer: OneLayer,
    back: Back | None = None,
    *,
    whole: bool = False,
) -> Callable[..., Any]:
    """A layer as ``@implementation`` wants it, of an engine's ``one_layer``.

    ``one_layer(index, x, states, lengths)`` runs the layer of that index in all of its
    directions: ``x`` is ``(L, N, input)``; ``states`` are ``h_0``, and for LSTM ``c_0``, each
    ``(D, N, H)``, or ``None`` where the caller gives none; ``lengths`` is ``(N,)`` or ``None``.
    It returns ``(L, N, D*H)`` and the final states, laid out as the initial ones. ``dtype`` is
    that of the parameters.

    ``back(index, x, states, lengths, output, finals)`` is its way back, which makes the layer's
    ``vjp``: ``output`` and ``finals`` are the gradients with respect to what ``one_layer`` returns,
    and it gives back those with respect to ``x``, to the states (``None`` where none are given)
    and to each parameter of this layer, by name.

    An engine that has several layers in one call is ``whole``: ``one_layer`` and ``back`` are
    called once, with index 0, for all layers and with all of their states.

    Raises ``NotImplementedError`` for what is not among ``features``; the layer raises it too,
    ``TypeError`` for another dtype and ``ValueError`` for shapes that do not fit.
    """
    if missing := config.features - set(features):
        raise NotImplementedError(f"not available: {', '.join(sorted(missing))}")

    def accepted(input: Array, state: Any, lengths: Array | None) -> Given:
        unbatched = input.ndim == 2
        asked = {"unbatched": unbatched, "packed": lengths is not None}
        asked |= {"initial_state": state is not None, "empty_batch": input.size == 0}
        if missing := [name for name, used in asked.items() if used and name not in features]:
            raise NotImplementedError(f"not available: {', '.join(missing)}")
        x = _time_first(config, input, unbatched=unbatched)
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
        return Given(np.ascontiguousarray(x), given, lengths, unbatched)

    layers = range(1 if whole else config.num_layers)
    count = config.num_states // len(layers)

    def of_layer(index: int, states: list[Array] | None) -> States | None:
        own = slice(index * count, (index + 1) * count)
        return None if states is None else tuple(part[own] for part in states)

    def chain(given: Given) -> tuple[list[Array], list[Array]]:
        """What each layer reads, and at the end the output; the final states."""
        between, finals = [given.x], []
        for index in layers:
            states = of_layer(index, given.states)
            output, final = one_layer(index, between[-1], states, given.lengths)
            between.append(np.ascontiguousarray(output))
            finals.append(final)
        return between, [np.concatenate(parts) for parts in zip(*finals, strict=True)]

    def layer(input: Array, state: Any = None, lengths: Array | None = None) -> Any:
        given = accepted(input, state, lengths)
        between, finals = chain(given)
        if given.unbatched:
            finals = [part[:, 0] for part in finals]
        output = _laid_out(config, between[-1], unbatched=given.unbatched)
        return output, tuple(finals) if config.kind.has_cell_state else finals[0]

    def vjp(
        cotangents: Mapping[str, Array],
        input: Array,
        state: Any = None,
        lengths: Array | None = None,
    ) -> dict[str, Any]:
        assert back is not None
        given = accepted(input, state, lengths)
        between, finals = chain(given)
        above = np.zeros_like(between[-1])
        if "output" in cotangents:
            above = _time_first(config, cotangents["output"], unbatched=given.unbatched)
        ends = []
        for name, part in zip(("h_n", "c_n"), finals, strict=False):
            end = cotangents.get(name, np.zeros_like(part))
            ends.append(end[:, None] if end.ndim == 2 else end)
        gradients: dict[str, Any] = {}
        initial: list[Any] = []
        for index in reversed(layers):
            states, own = of_layer(index, given.states), of_layer(index, ends)
            assert own is not None
            above = np.ascontiguousarray(above)
            above, to_states, to_parameters = back(
                index, between[index], states, given.lengths, above, own
            )
            gradients |= to_parameters
            if states is not None:
                initial.insert(0, to_states)
        gradients["input"] = _laid_out(config, above, unbatched=given.unbatched)
        for name, parts in zip(("h_0", "c_0"), zip(*initial, strict=True), strict=False):
            joined = np.concatenate(parts)
            gradients[name] = joined[:, 0] if given.unbatched else joined
        return gradients

    if back is not None:
        layer.vjp = vjp  # type: ignore[attr-defined]  # as an interface of functions has it
    return layer


def _time_first(config: Config, array: Array, *, unbatched: bool) -> Array:
    """``(L, N, ·)`` of an input or output as ``torch.nn`` lays it out."""
    if unbatched:
        return array[:, None]
    return array.swapaxes(0, 1) if config.batch_first else array


def _laid_out(config: Config, array: Array, *, unbatched: bool) -> Array:
    """The other way."""
    if unbatched:
        return array[:, 0]
    return array.swapaxes(0, 1) if config.batch_first else array


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

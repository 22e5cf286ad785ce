"""What engines on JAX have in common: functions of arrays, compiled and differentiated by JAX.

Parameters are arguments of what is compiled and not constants in it, so that all layers with the
same sizes share it, however many are built. Mapping ``torch.nn``'s parameters to the engine's is
part of it: the gradients that come back are those of ``torch.nn``'s, by JAX's own rules. Float64
is JAX's flag for the whole process.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import cache
from typing import Any, TypeAlias

import jax
import numpy as np

from rnn_conformance.implementations.stacking import Array, States, stacked
from rnn_conformance.spec.config import Config

jax.config.update("jax_enable_x64", True)

Run: TypeAlias = Callable[[Config, Mapping[str, Any], Any, Any, Any], tuple[Any, tuple[Any, ...]]]


@cache
def compiled(run: Run) -> tuple[Any, Any]:
    """``run`` and its way back; the configuration, which comes first, is no array."""

    def back(
        config: Config, parameters: Any, x: Any, states: Any, lengths: Any, cotangents: Any
    ) -> Any:
        _, pull = jax.vjp(
            lambda *given: run(config, *given, lengths),  # type: ignore[call-arg]
            parameters,
            x,
            states,
        )
        return pull(cotangents)

    return jax.jit(run, static_argnums=0), jax.jit(back, static_argnums=0)


def jax_layers(
    config: Config, features: Collection[str], parameters: Mapping[str, Array], run: Run
) -> Callable[..., Any]:
    """A layer as ``@implementation`` wants it, with its ``vjp``, of an engine's ``run``.

    ``run(config, parameters, x, states, lengths)`` computes one layer in all of its directions,
    in JAX, of arrays laid out as those of ``one_layer`` in ``stacked`` (see there), and returns
    what that returns. Whichever layer it is, ``config`` has one layer of its sizes, and the
    parameters are named as those of layer 0. ``run`` stands at the top of its file: what is
    compiled is kept by it.
    """
    forward, backward = compiled(run)

    def renamed(index: int) -> dict[str, str]:
        """The names of this layer's parameters by their names in layer 0."""
        return {
            config.parameter_name(own.role, 0, own.direction): name
            for name, own in config.parameters.items()
            if own.layer == index
        }

    def arguments(index: int, x: Array, states: States | None, lengths: Array | None) -> Any:
        single = Config(
            config.kind,
            config.layer_input_size(index),
            config.hidden_size,
            bias=config.bias,
            bidirectional=config.bidirectional,
            nonlinearity=config.nonlinearity,
            proj_size=config.proj_size,
        )
        own = {name: parameters[given] for name, given in renamed(index).items()}
        return single, own, x, states, None if lengths is None else lengths.astype(np.int32)

    def one_layer(
        index: int, x: Array, states: States | None, lengths: Array | None
    ) -> tuple[Array, States]:
        output, finals = forward(*arguments(index, x, states, lengths))
        return np.asarray(output), tuple(np.asarray(final) for final in finals)

    def back(
        index: int,
        x: Array,
        states: States | None,
        lengths: Array | None,
        output: Array,
        finals: States,
    ) -> tuple[Any, Any, Mapping[str, Any]]:
        given = arguments(index, x, states, lengths)
        to_parameters, to_x, to_states = backward(*given, (output, finals))
        names = renamed(index)
        own = {names[name]: np.asarray(part) for name, part in to_parameters.items()}
        return np.asarray(to_x), jax.tree.map(np.asarray, to_states), own

    return stacked(config, features, parameters["weight_ih_l0"].dtype, one_layer, back)

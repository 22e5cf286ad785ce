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

# Of a layer that is called a few times, compiling it is all that takes time: a third as much
# without what makes it fast. What is computed is the same, but for rounding.
QUICKLY = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
    "xla_cpu_use_fusion_emitters": False,
}

MOST = 200
"""What is compiled and kept at once. Each maps memory of its own, of which a process may have so
many pieces (65,530 on Linux unless told) and then dies."""

_kept: set[Any] = set()

Run: TypeAlias = Callable[[Config, Mapping[str, Any], Any, Any, Any], tuple[Any, tuple[Any, ...]]]


def _keep(run: Run, arguments: Any, *, back: bool = False) -> Any:
    """The arguments; before what they need is compiled, all is thrown away where it is too much."""
    config, *arrays = arguments
    shapes = jax.tree.map(lambda array: (array.shape, str(array.dtype)), arrays)
    _kept.add((run, config, str(shapes), back))
    if len(_kept) > MOST:
        _kept.clear()
        jax.clear_caches()
    return arguments


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

    options: dict[str, Any] = {"static_argnums": 0, "compiler_options": QUICKLY}
    return jax.jit(run, **options), jax.jit(back, **options)


def jax_layers(
    config: Config,
    features: Collection[str],
    parameters: Mapping[str, Array],
    run: Run,
    *,
    state_needed: bool = False,
    whole: bool = False,
) -> Callable[..., Any]:
    """A layer as ``@implementation`` wants it, with its ``vjp``, of an engine's ``run``.

    ``run(config, parameters, x, states, lengths)`` computes one layer in all of its directions,
    in JAX, of arrays laid out as those of ``one_layer`` in ``stacked`` (see there), and returns
    what that returns. Whichever layer it is, ``config`` has one layer of its sizes, and the
    parameters are named as those of layer 0. ``run`` stands at the top of its file: what is
    compiled is kept by it. A call without a state that is ``state_needed`` is refused. Of an engine
    that has several layers in one call, ``whole`` as in ``stacked``, ``config`` has all of them.
    """
    forward, backward = compiled(run)

    def renamed(index: int) -> dict[str, str]:
        """The names of this layer's parameters by their names in layer 0."""
        return {
            config.parameter_name(own.role, own.layer if whole else 0, own.direction): name
            for name, own in config.parameters.items()
            if whole or own.layer == index
        }

    def arguments(index: int, x: Array, states: States | None, lengths: Array | None) -> Any:
        if states is None and state_needed:
            raise NotImplementedError("not available: omitted_state")
        single = Config(
            config.kind,
            config.layer_input_size(index),
            config.hidden_size,
            num_layers=config.num_layers if whole else 1,
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
        output, finals = forward(*_keep(run, arguments(index, x, states, lengths)))
        return np.asarray(output), tuple(np.asarray(final) for final in finals)

    def back(
        index: int,
        x: Array,
        states: States | None,
        lengths: Array | None,
        output: Array,
        finals: States,
    ) -> tuple[Any, Any, Mapping[str, Any]]:
        given = _keep(run, arguments(index, x, states, lengths), back=True)
        to_parameters, to_x, to_states = backward(*given, (output, finals))
        names = renamed(index)
        own = {names[name]: np.asarray(part) for name, part in to_parameters.items()}
        return np.asarray(to_x), jax.tree.map(np.asarray, to_states), own

    dtype = next(iter(parameters.values())).dtype
    return stacked(config, features, dtype, one_layer, back, whole=whole)


def jax_cell(
    config: Config, parameters: Mapping[str, Array], run: Run, *, state_needed: bool = False
) -> Callable[..., Any]:
    """The same of a cell: ``run``'s ``x`` is ``(N, input)``, a state ``(N, H)``.

    An unbatched call's have no ``N``. ``run`` is given no lengths, and returns the new states
    alone. Where a ``state_needed`` is not given, the call is refused.
    """
    forward, backward = compiled(run)
    dtype = parameters["weight_ih"].dtype

    def arguments(input: Array, state: Any) -> Any:
        if state is None and state_needed:
            raise NotImplementedError("not available: omitted_state")
        if input.ndim not in (1, 2) or input.shape[-1] != config.input_size:
            raise ValueError(f"an input of shape {input.shape} does not fit {config}")
        if state is not None and isinstance(state, tuple) != config.kind.has_cell_state:
            raise ValueError("the state is a pair (h, c) for LSTMCell, h for the others")
        states = (state,) if isinstance(state, np.ndarray) else state
        for part in states or ():
            if part.shape != (*input.shape[:-1], config.hidden_size):
                raise ValueError(f"a state of shape {part.shape} does not fit {config}")
        if any(part.dtype != dtype for part in (input, *(states or ()))):
            raise TypeError(f"an input or a state of another dtype than the weights' {dtype}")
        return config, dict(parameters), input, states, None

    def cell(input: Array, state: Any = None) -> Any:
        finals = tuple(np.asarray(part) for part in forward(*_keep(run, arguments(input, state))))
        return finals if config.kind.has_cell_state else finals[0]

    def vjp(cotangents: Mapping[str, Array], input: Array, state: Any = None) -> dict[str, Any]:
        shape = (*input.shape[:-1], config.hidden_size)
        names = ("h_n", "c_n") if config.kind.has_cell_state else ("h_n",)
        finals = tuple(cotangents.get(name, np.zeros(shape, dtype)) for name in names)
        given = _keep(run, arguments(input, state), back=True)
        own, to_input, to_states = backward(*given, finals)
        gradients = {
            **own,
            "input": to_input,
            **dict(zip(("h_0", "c_0"), to_states or (), strict=False)),
        }
        return {name: np.asarray(part) for name, part in gradients.items()}

    cell.vjp = vjp  # type: ignore[attr-defined]  # as an interface of functions has it
    return cell

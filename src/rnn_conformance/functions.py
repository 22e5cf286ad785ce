"""Form 2: a function over NumPy arrays, which is how any framework registers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from rnn_conformance.calls import Call, Result
from rnn_conformance.errors import AdapterError, NonConforming, Unsupported, UsageError
from rnn_conformance.gradients import Backward, Gradients
from rnn_conformance.interface import Bare, Declaration, Implementation, Layer, Pullback
from rnn_conformance.spec import Config, Dtype, Level

Build: TypeAlias = Callable[[Config, Mapping[str, Any]], Callable[..., Any]]


@dataclass(frozen=True, eq=False)
class FunctionImplementation(Implementation):
    """``build(config, parameters)`` returns ``layer(input, state=None, lengths=None)``.

    Parameters have ``torch.nn``'s names, shapes and gate order. ``input`` and ``state``
    are laid out as ``torch.nn`` has them, for the configuration's ``batch_first`` and for
    unbatched input too; ``state`` is ``h_0``, or ``(h_0, c_0)`` for LSTM; ``lengths`` is
    an int64 array in the caller's order, ``input`` then being padded. The layer returns
    ``(output, state)`` of the same layouts; what it returns in the padding is ignored.
    A cell takes ``(input, state=None)`` and returns ``h`` or ``(h, c)``.

    The callable may have an attribute ``vjp``, its vector-Jacobian product, and must have it
    if level ``training`` is declared: ``vjp(cotangents, input, state=None, lengths=None)``,
    where ``cotangents`` maps some of ``output``, ``h_n`` and ``c_n`` to the gradients of a
    scalar with respect to them. It returns a mapping from ``input``, ``h_0`` and ``c_0`` (as
    far as they are given) and each parameter's name to the gradients with respect to them,
    of the shapes and layouts of what they belong to; ``None`` stands for zeros.
    """

    build_layer: Build = field(kw_only=True)

    def build(self, call: Call) -> Layer:
        """Hand over fresh copies, so that nothing an implementation does to them spreads."""
        return self.bare(call)

    def bare(self, call: Call) -> Bare:
        """See :meth:`Implementation.bare`; the parameters are those handed over."""
        dtype = numpy_dtype(call.dtype)
        config = call.config
        parameters = {name: array.astype(dtype) for name, array in call.parameters.items()}
        layer = self.build_layer(config, parameters)
        if not callable(layer):
            raise AdapterError(
                f"build(config, parameters) of {self.name} must return a callable "
                f"layer(input, state=None, lengths=None), not {type(layer).__name__}"
            )

        return Bare(lambda: parameters, arguments, layer, _result)

    def pullback(self, call: Call) -> Pullback:
        """The layer's ``vjp``; raises ``AdapterError`` if it is declared and absent."""
        vjp = getattr(self.bare(call).layer, "vjp", None)
        if vjp is None and self.declaration.level.rank >= Level.TRAINING.rank:
            raise AdapterError(
                f"{self.name} declares the level {self.declaration.level}, so the callable that "
                "it builds must have an attribute vjp(cotangents, input, state=None, lengths=None)"
            )
        if vjp is None:
            raise Unsupported("has no vector-Jacobian product (vjp)")

        def back(backward: Backward) -> Gradients:
            dtype = numpy_dtype(backward.call.dtype)
            given = {
                name: np.array(backward.call.give(name, array), dtype=dtype, order="C")
                for name, array in backward.cotangents.items()
            }
            returned = vjp(given, *arguments(backward.call))
            if not isinstance(returned, Mapping) or set(returned) != set(backward.arguments):
                found = list(returned) if isinstance(returned, Mapping) else describe(returned)
                raise AdapterError(
                    f"vjp of {self.name} must return a mapping with the names "
                    f"{', '.join(backward.arguments)}; it returned {found}"
                )
            return Gradients(
                backward,
                {
                    name: None if array is None else np.asarray(array).astype(np.float64)
                    for name, array in returned.items()
                },
            )

        return back

    def __call__(self, config: Config, parameters: Mapping[str, Any]) -> Callable[..., Any]:
        """The function itself, as if it had not been registered."""
        return self.build_layer(config, parameters)

    def script(self, call: Call) -> str:
        """See :meth:`Implementation.script`."""
        path, _, name = self.target.rpartition(":")
        config = ", ".join(f"{k}={v!r}" for k, v in call.config.arguments().items())
        return "\n".join(
            [
                "from rnn_conformance.registry import load",
                "from rnn_conformance.spec import Config, Kind",
                "",
                f"(implementation,) = load({(path + ':' + name) if path else name!r})",
                f"config = Config(Kind({call.config.kind.value!r}), {config})",
                "layer = implementation.build_layer(config, "
                "{name: tensor.numpy() for name, tensor in parameters.items()})",
                "as_numpy = lambda x: None if x is None else "
                "tuple(map(as_numpy, x)) if isinstance(x, tuple) else x.numpy()",
                "got = layer(as_numpy(input), as_numpy(state)"
                + (", as_numpy(lengths))" if call.lengths is not None else ")"),
            ]
        )


def implementation(
    *,
    kinds: Iterable[str],
    features: Iterable[str] = (),
    dtypes: Iterable[str] = (Dtype.FLOAT32, Dtype.FLOAT64),
    level: str = Level.INFERENCE,
    name: str = "",
    compiles_per_shape: bool = False,
    fails_on_purpose: str = "",
) -> Callable[[Build], FunctionImplementation]:
    """Register ``build(config, parameters)``; what is not declared is not claimed.

    Raises ``UsageError`` for a kind, feature, dtype or level that does not exist.
    """
    declaration = Declaration.of(
        kinds,
        features,
        dtypes,
        level,
        compiles_per_shape=compiles_per_shape,
        fails_on_purpose=fails_on_purpose,
    )
    if Dtype.BFLOAT16 in declaration.dtypes:
        raise UsageError("NumPy has no bfloat16: a function over NumPy arrays cannot declare it")

    def register(build: Build) -> FunctionImplementation:
        return FunctionImplementation(
            name or build.__module__.rpartition(".")[2], declaration, build_layer=build
        )

    return register


def numpy_dtype(dtype: Dtype) -> np.dtype[Any]:
    """NumPy's dtype of this name; bfloat16 has none and raises ``TypeError``."""
    return np.dtype(dtype.value)


def arguments(call: Call) -> tuple[Any, ...]:
    """``(input[, state[, lengths]])``; omitted at the end where the caller passes none."""
    dtype = numpy_dtype(call.dtype)

    def given(name: str) -> Any:
        # Copied in order: a view of one element may have any stride and count as contiguous.
        return np.array(call.give(name, getattr(call, name)), dtype=dtype, order="C")

    state = None
    if call.h_0 is not None:
        state = given("h_0") if call.c_0 is None else (given("h_0"), given("c_0"))
    if call.lengths is not None:
        return given("input"), state, np.array(call.lengths, dtype=np.int64)
    return (given("input"),) if state is None else (given("input"), state)


def _result(call: Call, returned: Any) -> Result:
    structure = "(h, c)" if call.config.kind.is_cell else "(output, (h_n, c_n))"
    if not call.config.kind.has_cell_state:
        structure = "h" if call.config.kind.is_cell else "(output, h_n)"
    parts: dict[str, Any]
    match returned, call.config.kind.is_cell, call.config.kind.has_cell_state:
        case (h, c), True, True:
            parts = {"h_n": h, "c_n": c}
        case h, True, False:
            parts = {"h_n": h}
        case (output, (h, c)), False, True:
            parts = {"output": output, "h_n": h, "c_n": c}
        case (output, h), False, False if not isinstance(h, (tuple, list)):
            parts = {"output": output, "h_n": h}
        case _:
            raise NonConforming(
                f"returned {describe(returned)}; {call.config.kind} returns {structure}",
                calls=(call,),
            )
    arrays = {name: np.asarray(part) for name, part in parts.items()}
    return Result(
        call,
        {name: array.astype(np.float64) for name, array in arrays.items()},
        dtypes={name: str(array.dtype) for name, array in arrays.items()},
        devices=dict.fromkeys(arrays, "cpu"),
    )


def describe(returned: Any) -> str:
    """The structure of what came back, in words: ``(8x5, (3x8, 3x8))``."""
    if isinstance(returned, (tuple, list)):
        inside = ", ".join(map(describe, returned))
        return f"({inside})" if isinstance(returned, tuple) else f"[{inside}]"
    shape = getattr(returned, "shape", None)
    if shape is None:
        return type(returned).__name__
    return "x".join(map(str, shape)) or "a scalar"

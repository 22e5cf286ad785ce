"""Form 2: a function over NumPy arrays, which is how any framework registers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rnn_conformance.errors import AdapterError, Gap, Refusal, Unsupported, UsageError
from rnn_conformance.implementations.interface import (
    Bare,
    Declaration,
    Implementation,
    Layer,
    Pullback,
)
from rnn_conformance.implementations.process import contained
from rnn_conformance.implementations.structure import parts_of
from rnn_conformance.implementations.trees import describe
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.backward import Backward, Gradients
from rnn_conformance.spec.calls import Call, LayerSpec
from rnn_conformance.spec.config import Config, Dtype, Level
from rnn_conformance.spec.result import Result
from rnn_conformance.texts import name_of, shown

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

    def arguments(self, call: Call) -> tuple[Any, ...]:
        """``(input[, state[, lengths]])``; omitted at the end where the caller passes none."""
        dtype, lengths = numpy_dtype(call.arguments.dtype), call.lengths

        def given(name: str, array: Array) -> NDArray[Any]:
            # Copied in order: a view of one element may have any stride and count as contiguous.
            return np.array(call.give(name, array), dtype=dtype, order="C")

        input = given("input", call.input)
        states = tuple(given(name, state) for name, state in call.arguments.states.items())
        state: Any = None
        if states:
            state = states if call.config.kind.has_cell_state else states[0]
        if lengths is not None:
            return input, state, np.array(lengths, dtype=np.int64)
        return (input,) if state is None else (input, state)

    def result(self, call: Call, returned: Any) -> Result:
        """See :meth:`Implementation.result`."""
        arrays = {name: np.asarray(part) for name, part in parts_of(call, returned).items()}
        return Result(
            call,
            {name: array.astype(np.float64) for name, array in arrays.items()},
            dtypes={name: str(array.dtype) for name, array in arrays.items()},
            devices=dict.fromkeys(arrays, "cpu"),
            weights=self.declaration.weights,
        )

    def build(self, layer: LayerSpec) -> Layer:
        """Hand over fresh copies, so that nothing an implementation does to them spreads."""
        return self.bare(layer)

    @staticmethod
    def parameters(layer: LayerSpec) -> dict[str, NDArray[Any]]:
        """What is handed over when a layer is built: fresh arrays by name."""
        dtype = numpy_dtype(layer.dtype)
        return {name: array.astype(dtype) for name, array in layer.parameters.items()}

    def bare(self, layer: LayerSpec) -> Bare:
        """See :meth:`Implementation.bare`; the parameters are those handed over."""
        parameters = self.parameters(layer)
        with contained():
            built = self.build_layer(layer.config, parameters)
        if not callable(built):
            raise AdapterError(
                f"build(config, parameters) of {self.name} must return a callable "
                f"layer(input, state=None, lengths=None), not {name_of(type(built))}"
            )
        return Bare(self, layer, lambda: parameters, built)

    def pullback(self, layer: LayerSpec) -> Pullback:
        """The layer's ``vjp``; raises ``AdapterError`` if it is declared and absent."""
        vjp = getattr(self.bare(layer).layer, "vjp", None)
        if vjp is None and self.declaration.level.rank >= Level.TRAINING.rank:
            raise AdapterError(
                f"{self.name} declares the level {self.declaration.level}, so the callable that "
                "it builds must have an attribute vjp(cotangents, input, state=None, lengths=None)"
            )
        if vjp is None:
            raise Unsupported("has no vector-Jacobian product (vjp)", Gap.NO_GRADIENT)

        def back(backward: Backward) -> Gradients:
            call = backward.call
            dtype = numpy_dtype(call.dtype)
            cotangents = {
                name: np.array(call.give(name, array), dtype=dtype, order="C")
                for name, array in backward.cotangents.items()
            }
            given = self.arguments(call)
            with contained():
                returned = vjp(cotangents, *given)
            if not isinstance(returned, Mapping) or set(returned) != set(backward.arguments):
                names = (
                    shown(list(returned)) if isinstance(returned, Mapping) else describe(returned)
                )
                raise AdapterError(
                    f"vjp of {self.name} must return a mapping with the names "
                    f"{', '.join(backward.arguments)}; it returned {names}"
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
        config = ", ".join(f"{k}={v!r}" for k, v in call.config.arguments().items())
        given = ["input.numpy()"]
        if call.h_0 is not None:
            pair = call.config.kind.has_cell_state
            given.append("tuple(part.numpy() for part in state)" if pair else "state.numpy()")
        if call.lengths is not None:
            given += [*(["None"] if call.h_0 is None else []), "lengths.numpy()"]
        return "\n".join(
            [
                "from rnn_conformance.implementations.registry import load",
                "from rnn_conformance.spec.config import Config, Kind",
                "",
                f"(build,) = load({self.target or self.name!r})",
                f"config = Config(Kind({call.config.kind.value!r}), {config})",
                "arrays = {name: tensor.numpy() for name, tensor in parameters.items()}",
                f"got = build(config, arrays)({', '.join(given)})",
            ]
        )


def implementation(
    *,
    kinds: Iterable[str],
    features: Iterable[str] = (),
    without: Iterable[str] = (),
    dtypes: Collection[str] = (Dtype.FLOAT32, Dtype.FLOAT64),
    level: str = Level.INFERENCE,
    name: str = "",
    excluded: Mapping[str, str] | None = None,
    compiles_per_shape: bool = False,
    weights: str | None = None,
    fails_on_purpose: str = "",
    packages: Iterable[str] = (),
    notes: Iterable[str] = (),
) -> Callable[[Build], FunctionImplementation]:
    """Register ``build(config, parameters)``; what is not declared is not claimed.

    The finer features (``unsorted``, ``omitted_state``, ``bidirectional_state``) are claimed
    with what they are part of, but those ``without`` which it is; clauses are ``excluded`` with
    a reason. ``packages`` are what it computes with, whose versions are recorded with it, and
    ``notes`` say where it had to choose. Raises ``UsageError`` for a kind, feature, dtype, level,
    clause or package that does not exist.
    """
    declaration = Declaration.of(
        kinds,
        features,
        dtypes,
        level,
        without=without,
        excluded=excluded,
        compiles_per_shape=compiles_per_shape,
        weights=weights,
        fails_on_purpose=fails_on_purpose,
        packages=packages,
        notes=notes,
    )
    if Dtype.BFLOAT16 in declaration.dtypes:
        raise UsageError(
            "NumPy has no bfloat16: a function over NumPy arrays cannot declare it",
            Refusal.DECLARATION,
        )

    def register(build: Build) -> FunctionImplementation:
        return FunctionImplementation(
            name or build.__module__.rpartition(".")[2], declaration, build_layer=build
        )

    return register


def numpy_dtype(dtype: Dtype) -> np.dtype[Any]:
    """NumPy's dtype of this name; bfloat16 has none and raises ``TypeError``."""
    return np.dtype(dtype.value)

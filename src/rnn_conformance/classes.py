"""Form 1: a ``torch.nn.Module`` class with the surface of ``torch.nn``'s own."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from rnn_conformance.calls import Array, Call, Result
from rnn_conformance.errors import NonConforming, UsageError
from rnn_conformance.functions import describe
from rnn_conformance.interface import Bare, Declaration, Implementation, Layer
from rnn_conformance.spec import Dtype, Feature, Kind, Level

DECLARATION = "rnn_conformance"
"""The class attribute, a mapping, in which a class may declare what it leaves out."""


@dataclass(frozen=True, eq=False)
class DropInImplementation(Implementation):
    """A class that is swapped for one of ``torch.nn`` by changing one line.

    Nothing is declared but what the class leaves out, in an attribute ``rnn_conformance``
    with any of the keys ``kind``, ``without`` (features), ``dtypes``, ``level`` and
    ``fails_on_purpose``. Constructor arguments are passed by name, and only those that
    differ from ``torch.nn``'s defaults.
    """

    cls: type[torch.nn.Module] = field(kw_only=True)

    def module(self, call: Call) -> torch.nn.Module:
        """Construct, cast, load the parameters by name, and put in evaluation mode."""
        # A fixed seed: a class that draws random numbers is reproduced by its report. Not
        # torch.manual_seed, which leaves a pending call behind for each absent accelerator.
        torch.default_generator.manual_seed(0)
        dtype = torch_dtype(call.dtype)
        module = self.cls(**call.config.arguments()).to(dtype)
        module.load_state_dict(
            {name: tensor(array, dtype) for name, array in call.parameters.items()}
        )
        return module.eval()

    def build(self, call: Call) -> Layer:
        """A module, called without gradients."""
        return self.bare(call)

    def bare(self, call: Call) -> Bare:
        """See :meth:`Implementation.bare`."""
        module = self.module(call)

        def layer(*arguments: Any) -> Any:
            with torch.no_grad():
                return module(*arguments)

        return Bare(lambda: dict(module.named_parameters()), arguments, layer, result_of)

    @property
    def module_class(self) -> type[torch.nn.Module]:
        """See :meth:`Implementation.module_class`."""
        return self.cls

    def __call__(self, *args: Any, **kwargs: Any) -> torch.nn.Module:
        """The class itself, as if it had not been registered."""
        return self.cls(*args, **kwargs)

    def script(self, call: Call) -> str:
        """See :meth:`Implementation.script`."""
        place, _, name = self.target.rpartition(":")
        if place.endswith(".py"):
            load = f"import runpy\n\n{name} = runpy.run_path({place!r})[{name!r}]"
            return f"{load}\ngot = forward({name})"
        return f"from {place} import {name}\n\ngot = forward({name})"


def drop_in(cls: type[torch.nn.Module], *, name: str = "", kind: str = "") -> DropInImplementation:
    """An implementation from a class.

    Raises ``UsageError`` if its kind cannot be told or its declaration is wrong.
    """
    declared = dict(getattr(cls, DECLARATION, {}))
    unknown = set(declared) - {"kind", "without", "dtypes", "level", "fails_on_purpose"}
    if unknown:
        raise UsageError(
            f"{cls.__name__}.{DECLARATION} has unknown keys {sorted(unknown)}; "
            "known are kind, without, dtypes, level, fails_on_purpose"
        )
    # What is passed outranks the name alone: a name may mislead.
    found = kind_of(cls, by_name=not kind) or (Kind(kind) if kind else None)
    if found is None:
        raise UsageError(
            f"{cls.__name__} does not say whether it is an RNN, an LSTM or a GRU: "
            "derive it from torch.nn's class, name it so, or pass --kind"
        )
    complete = Feature.of(found)
    left_out = Declaration.of([], declared.get("without", ())).features
    declaration = Declaration.of(
        [found],
        complete - left_out,
        declared.get("dtypes", tuple(Dtype)),
        declared.get("level", Level.DROP_IN),
        fails_on_purpose=declared.get("fails_on_purpose", ""),
    )
    return DropInImplementation(name or cls.__name__, declaration, cls=cls)


def kind_of(cls: type, *, by_name: bool = True) -> Kind | None:
    """The kind, from the declaration, the base class, ``mode`` or the name; else ``None``."""
    declared = getattr(cls, DECLARATION, {}).get("kind")
    if declared:
        try:
            return Kind(declared)
        except ValueError:
            known = ", ".join(Kind)
            raise UsageError(
                f"{cls.__name__} declares the kind {declared!r}, not one of {known}"
            ) from None
    if not issubclass(cls, torch.nn.Module):
        return None
    for kind in Kind:
        if issubclass(cls, getattr(torch.nn, kind.value)):
            return kind
    words = [getattr(cls, "mode", None), *([cls.__name__] if by_name else [])]
    for word in words:
        if isinstance(word, str) and (layer := re.search("LSTM|GRU|RNN", word, re.IGNORECASE)):
            kind = Kind(layer.group().upper())
            return kind.cell if "cell" in cls.__name__.lower() else kind
    return None


def drop_in_classes(namespace: dict[str, Any], module_name: str) -> Iterable[type[torch.nn.Module]]:
    """The public recurrent classes that a module itself defines."""
    for name, value in namespace.items():
        if (
            inspect.isclass(value)
            and issubclass(value, torch.nn.Module)
            and value.__module__ == module_name
            and not name.startswith("_")
            and kind_of(value) is not None
        ):
            yield value


def torch_dtype(dtype: Dtype) -> torch.dtype:
    """torch's dtype of this name."""
    found = getattr(torch, dtype.value)
    assert isinstance(found, torch.dtype)
    return found


def tensor(array: Array, dtype: torch.dtype) -> torch.Tensor:
    """A fresh contiguous tensor of these values."""
    return torch.tensor(np.array(array, order="C"), dtype=dtype)


def arguments(call: Call) -> tuple[Any, ...]:
    """``(input[, state])`` as torch takes them; packed where there are lengths."""
    dtype = torch_dtype(call.dtype)

    def given(name: str) -> torch.Tensor:
        return tensor(call.give(name, getattr(call, name)), dtype)

    data: Any = given("input")
    if call.lengths is not None:
        data = pack(call, data)
    if call.h_0 is None:
        return (data,)
    return (data, given("h_0") if call.c_0 is None else (given("h_0"), given("c_0")))


def pack(call: Call, padded: torch.Tensor) -> PackedSequence:
    """The caller's packing, with ``enforce_sorted`` where the lengths are in order."""
    assert call.lengths is not None
    in_order = list(call.lengths) == sorted(call.lengths, reverse=True)
    return pack_padded_sequence(
        padded,
        torch.tensor(call.lengths),
        batch_first=call.config.batch_first,
        enforce_sorted=in_order,
    )


def result_of(call: Call, returned: Any) -> Result:
    """What a module returned, by name; raises ``NonConforming`` for another structure."""
    parts = _parts(call, returned)
    packed = None
    if call.lengths is not None:
        if not isinstance(parts["output"], PackedSequence):
            raise NonConforming(
                "a packed input must give a packed output (PCK-1), "
                f"not {type(parts['output']).__name__}",
                calls=(call,),
                array="output",
            )
        packed = bookkeeping(parts["output"])
        parts["output"] = _unpack(call, parts["output"])
    for name, part in parts.items():
        if not isinstance(part, torch.Tensor):
            raise NonConforming(
                f"{name} must be a tensor, not {type(part).__name__}", calls=(call,), array=name
            )
    return Result(
        call,
        {name: part.detach().to("cpu", torch.float64).numpy() for name, part in parts.items()},
        dtypes={name: str(part.dtype).removeprefix("torch.") for name, part in parts.items()},
        devices={name: str(part.device) for name, part in parts.items()},
        packed=packed,
    )


def _parts(call: Call, returned: Any) -> dict[str, Any]:
    """``output``, ``h_n``, ``c_n`` by name, if the structure is as due (SHP-4)."""
    kind = call.config.kind
    state, due = returned, "h"
    parts: dict[str, Any] = {}
    if not kind.is_cell:
        due = "(output, h_n)"
        if (
            isinstance(returned, tuple)
            and not isinstance(returned, PackedSequence)
            and len(returned) == 2
        ):
            parts["output"], state = returned
        else:
            state = None
    if kind.has_cell_state:
        due = "(h, c)" if kind.is_cell else "(output, (h_n, c_n))"
        if isinstance(state, tuple) and len(state) == 2:
            parts["h_n"], parts["c_n"] = state
    elif isinstance(state, torch.Tensor):
        parts["h_n"] = state
    if set(parts) != set(call.results):
        raise NonConforming(
            f"returned {describe(returned)}; {kind} returns {due} (SHP-4)", calls=(call,)
        )
    return parts


def bookkeeping(packed: PackedSequence) -> dict[str, tuple[int, ...] | None]:
    """``batch_sizes``, ``sorted_indices`` and ``unsorted_indices`` as plain numbers."""
    return {
        name: None if value is None else tuple(value.tolist())
        for name in ("batch_sizes", "sorted_indices", "unsorted_indices")
        for value in [getattr(packed, name)]
    }


def _unpack(call: Call, packed: PackedSequence) -> torch.Tensor:
    """Unpack as a caller would, by what the output itself says."""
    try:
        padded, _ = pad_packed_sequence(
            packed, batch_first=call.config.batch_first, total_length=call.length
        )
    except (RuntimeError, ValueError, IndexError) as error:
        raise NonConforming(
            f"the packed output cannot be unpacked: {error} (PCK-1)", calls=(call,), array="output"
        ) from error
    return padded

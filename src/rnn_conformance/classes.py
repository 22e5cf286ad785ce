"""Form 1: a ``torch.nn.Module`` class with the surface of ``torch.nn``'s own."""

from __future__ import annotations

import inspect
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from rnn_conformance.calls import Array, Call, Result
from rnn_conformance.errors import NonConforming, UsageError
from rnn_conformance.functions import describe
from rnn_conformance.gradients import Backward, Gradients
from rnn_conformance.interface import Bare, Declaration, Implementation, Layer, Pullback
from rnn_conformance.spec import Dtype, Feature, Kind, Level

DECLARATION = "rnn_conformance"
"""The class attribute, a mapping, in which a class may declare what it leaves out."""

KEYS = ("kind", "without", "dtypes", "level", "tf32", "fails_on_purpose")
"""What a class may declare there."""


@dataclass(frozen=True, eq=False)
class DropInImplementation(Implementation):
    """A class that is swapped for one of ``torch.nn`` by changing one line.

    Nothing is declared but what the class leaves out, in an attribute ``rnn_conformance``
    with any of the keys ``kind``, ``without`` (features), ``dtypes``, ``level``, ``tf32``
    and ``fails_on_purpose``. ``tf32`` counts on accelerators alone. Constructor arguments
    are passed by name, and only those that differ from ``torch.nn``'s defaults.
    """

    cls: type[torch.nn.Module] = field(kw_only=True)
    tf32: bool = field(default=False, kw_only=True)

    def on(self, device: str) -> DropInImplementation:
        """See :meth:`Implementation.on`."""
        found = device_named(device)
        declaration = replace(self.declaration, tf32=self.tf32 and found != "cpu")
        return replace(self, device=found, declaration=declaration)

    def module(self, call: Call) -> torch.nn.Module:
        """Construct, cast, load the parameters by name, and put in evaluation mode."""
        # A fixed seed: a class that draws random numbers is reproduced by its report.
        seed_generators(0, self.device)
        dtype = torch_dtype(call.dtype)
        module = self.cls(**call.config.arguments()).to(self.device, dtype)
        module.load_state_dict(
            {name: tensor(array, dtype, self.device) for name, array in call.parameters.items()}
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

        on_device = partial(arguments, device=self.device)
        return Bare(lambda: dict(module.named_parameters()), on_device, layer, result_of)

    def pullback(self, call: Call) -> Pullback:
        """Automatic differentiation of a module, each time through a fresh graph."""
        module = self.module(call)
        return lambda backward: Graph.of(module, backward.call).gradients(backward)

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
        if not place:
            load = f"from rnn_conformance.registry import load\n\n(layer_class,) = load({name!r})"
            return f"{load}\ngot = forward(layer_class)"
        if place.endswith(".py"):
            load = f"import runpy\n\n{name} = runpy.run_path({place!r})[{name!r}]"
            return f"{load}\ngot = forward({name})"
        return f"from {place} import {name}\n\ngot = forward({name})"


def drop_in(
    cls: type[torch.nn.Module], *, name: str = "", kind: str = "", tf32: bool = False
) -> DropInImplementation:
    """An implementation from a class.

    ``tf32`` declares what the class itself does not, being ``torch.nn``'s.
    Raises ``UsageError`` if its kind cannot be told or its declaration is wrong.
    """
    declared = dict(getattr(cls, DECLARATION, {}))
    if unknown := set(declared) - set(KEYS):
        raise UsageError(
            f"{cls.__name__}.{DECLARATION} has unknown keys {sorted(unknown)}; "
            f"known are {', '.join(KEYS)}"
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
    return DropInImplementation(
        name or cls.__name__, declaration, cls=cls, tf32=declared.get("tf32", tf32)
    )


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


def device_named(name: str) -> str:
    """torch's full name of a device, as a tensor on it has it: ``cuda:0`` for ``cuda``.

    Raises ``UsageError``, naming those that there are, if there is no such device.
    """
    try:
        return str(torch.empty(0, device=name).device)
    except Exception as error:
        # Each backend says so with an exception of its own.
        accelerator = torch.accelerator.current_accelerator()
        found = [accelerator.type] if accelerator and torch.accelerator.is_available() else []
        raise UsageError(
            f"there is no device {name!r} here ({str(error).splitlines()[0]}); "
            f"there is {' and '.join(['cpu', *found])}"
        ) from error


def seed_generators(seed: int, device: str) -> None:
    """As ``torch.manual_seed``, but for what concerns absent devices.

    For each absent accelerator, that one leaves a call pending, which costs time and memory.
    """
    if device == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)


def tensor(array: Array, dtype: torch.dtype, device: str = "cpu") -> torch.Tensor:
    """A fresh contiguous tensor of these values."""
    return torch.tensor(np.array(array, order="C"), dtype=dtype, device=device)


def tensors(call: Call, device: str = "cpu") -> dict[str, torch.Tensor]:
    """The input and the states that are given, by name, in the layout of the call."""
    return {
        name: tensor(call.give(name, array), torch_dtype(call.dtype), device)
        for name in ("input", "h_0", "c_0")
        for array in [getattr(call, name)]
        if array is not None
    }


def assembled(call: Call, given: Mapping[str, torch.Tensor]) -> tuple[Any, ...]:
    """``(input[, state])`` as torch takes them; packed where there are lengths."""
    data = given["input"] if call.lengths is None else pack(call, given["input"])
    if call.h_0 is None:
        return (data,)
    return (data, given["h_0"] if call.c_0 is None else (given["h_0"], given["c_0"]))


def arguments(call: Call, device: str = "cpu") -> tuple[Any, ...]:
    """A module's arguments, made afresh."""
    return assembled(call, tensors(call, device))


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


def tensors_of(call: Call, returned: Any) -> tuple[dict[str, torch.Tensor], PackedSequence | None]:
    """What a module returned, by name and unpacked, and the packed output as it came.

    Raises ``NonConforming`` for another structure.
    """
    parts, packed = _parts(call, returned), None
    if call.lengths is not None:
        packed = parts["output"]
        if not isinstance(packed, PackedSequence):
            raise NonConforming(
                f"a packed input must give a packed output (PCK-1), not {type(packed).__name__}",
                calls=(call,),
                array="output",
            )
        parts["output"] = _unpack(call, packed)
    for name, part in parts.items():
        if not isinstance(part, torch.Tensor):
            raise NonConforming(
                f"{name} must be a tensor, not {type(part).__name__}", calls=(call,), array=name
            )
    return parts, packed


def result_of(call: Call, returned: Any) -> Result:
    """What a module returned, by name; raises ``NonConforming`` for another structure."""
    parts, packed = tensors_of(call, returned)
    return Result(
        call,
        {name: values(part) for name, part in parts.items()},
        dtypes={name: str(part.dtype).removeprefix("torch.") for name, part in parts.items()},
        devices={name: str(part.device) for name, part in parts.items()},
        packed=None if packed is None else bookkeeping(packed),
    )


@dataclass(frozen=True, eq=False)
class Graph:
    """A call of a module as automatic differentiation recorded it.

    ``leaves`` are the arguments and parameters by name, padded where there are lengths;
    ``results`` what came back, unpacked; both in the layout of the call.
    """

    leaves: Mapping[str, torch.Tensor]
    results: Mapping[str, torch.Tensor]

    @classmethod
    def of(cls, module: torch.nn.Module, call: Call, *, frozen: Collection[str] = ()) -> Graph:
        """Call the module; the arguments and parameters ``frozen`` ask for no gradient."""
        own = dict(module.named_parameters())
        device = str(next(iter(own.values()), torch.empty(0)).device)
        given = tensors(call, device)
        leaves = given | {name: own[name] for name in call.parameters if name in own}
        for name, leaf in leaves.items():
            leaf.requires_grad_(name not in frozen)
        results, _ = tensors_of(call, module(*assembled(call, given)))
        return cls(leaves, results)

    def cotangents(self, backward: Backward) -> dict[str, torch.Tensor]:
        """Those of a backward pass, laid out as the results are."""
        return {
            name: tensor(
                backward.call.give(name, array),
                torch_dtype(backward.call.dtype),
                str(self.results[name].device),
            )
            for name, array in backward.cotangents.items()
        }

    def gradients(
        self,
        backward: Backward,
        cotangents: Mapping[str, torch.Tensor] | None = None,
        *,
        retain: bool = False,
    ) -> Gradients:
        """The gradients of all leaves that ask for one; ``retain`` keeps the graph.

        ``cotangents`` replace those of ``backward`` by tensors of the same values.
        """
        cotangents = self.cotangents(backward) if cotangents is None else cotangents
        asking = {name: leaf for name, leaf in self.leaves.items() if leaf.requires_grad}
        found = torch.autograd.grad(
            [self.results[name] for name in cotangents],
            list(asking.values()),
            list(cotangents.values()),
            retain_graph=retain,
            allow_unused=True,
        )
        return self._gradients(backward, dict(zip(asking, found, strict=True)))

    def accumulate(self, backward: Backward, *, retain: bool = False) -> None:
        """Add the gradients to the leaves' ``grad``, as a training step does."""
        cotangents = self.cotangents(backward)
        torch.autograd.backward(
            [self.results[name] for name in cotangents],
            list(cotangents.values()),
            retain_graph=retain,
        )

    def accumulated(self, backward: Backward) -> Gradients:
        """What has been added up in the leaves' ``grad``."""
        return self._gradients(backward, {name: leaf.grad for name, leaf in self.leaves.items()})

    def _gradients(self, backward: Backward, found: Mapping[str, torch.Tensor | None]) -> Gradients:
        return Gradients(
            backward,
            {name: None if array is None else values(array) for name, array in found.items()},
        )


def values(tensor: torch.Tensor) -> Array:
    """A tensor's values; NaN on the meta device, where it has a shape and no values."""
    if tensor.is_meta:
        return np.full(tuple(tensor.shape), np.nan)
    # One after the other: not every accelerator knows float64. Copied: a result kept must
    # not change when the implementation writes into what it returned.
    array: Array = np.array(tensor.detach().cpu().double().numpy())
    return array


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

"""What an implementation is, whichever form it comes in.

An :class:`Implementation` builds a :class:`Layer` from a configuration and parameters;
the layer answers calls. The two forms, a drop-in class and a function over NumPy arrays,
are adapters to this one interface (``classes`` and ``functions``); there is no other way
in, for what is bundled either.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from rnn_conformance.calls import Call, Result
from rnn_conformance.errors import Unsupported, UsageError
from rnn_conformance.gradients import Backward, Gradients
from rnn_conformance.spec import Dtype, Feature, Kind, Level


@dataclass(frozen=True)
class Declaration:
    """What an implementation claims; it is held to all of it and to nothing else.

    ``compiles_per_shape`` asks for cases from a small palette of shapes.
    ``tf32`` says that float32 numbers are multiplied in TF32, which widens the tolerance.
    ``fails_on_purpose`` says, for an example of what goes wrong, what is wrong with it:
    then failing is expected and conforming is not.
    """

    kinds: frozenset[Kind]
    features: frozenset[Feature]
    dtypes: frozenset[Dtype]
    level: Level
    compiles_per_shape: bool = False
    fails_on_purpose: str = ""
    tf32: bool = False

    @classmethod
    def of(
        cls,
        kinds: Iterable[str],
        features: Iterable[str] = (),
        dtypes: Iterable[str] = (Dtype.FLOAT32, Dtype.FLOAT64),
        level: str = Level.INFERENCE,
        *,
        compiles_per_shape: bool = False,
        fails_on_purpose: str = "",
    ) -> Declaration:
        """From names; raises ``UsageError`` with the known names for an unknown one."""

        def known(enum: type, what: str, names: Iterable[str]) -> frozenset:  # type: ignore[type-arg]
            try:
                return frozenset(enum(name) for name in names)
            except ValueError as error:
                raise UsageError(f"{error}: a {what} is one of {', '.join(enum)}") from None  # type: ignore[arg-type]

        (level_,) = known(Level, "level", [level])
        return cls(
            kinds=known(Kind, "kind", kinds),
            features=known(Feature, "feature", features),
            dtypes=known(Dtype, "dtype", dtypes),
            level=level_,
            compiles_per_shape=compiles_per_shape,
            fails_on_purpose=fails_on_purpose,
        )


class Layer(Protocol):
    """A layer with its parameters in place.

    Raises ``NonConforming`` if what comes back is not of the structure that is due
    (SHP-4, PCK-1) and ``AdapterError`` where the adapter breaks the interface; an
    exception of the implementation's own passes through.
    """

    def __call__(self, call: Call) -> Result:
        """Answer a call; only its input, state and lengths are read."""


class Pullback(Protocol):
    """A layer's backward pass, its vector-Jacobian product.

    Raises ``NonConforming`` and ``AdapterError`` as a layer does.
    """

    def __call__(self, backward: Backward) -> Gradients:
        """Pass back; of the call only its input, state and lengths are read."""


@dataclass(frozen=True, eq=False)
class Bare:
    """A layer without its adapter, for the clauses on memory: no copies are made for it.

    ``layer`` takes ``arguments(call)``, which are fresh arrays of its framework's own, and
    ``result(call, returned)`` reads what it returned. ``parameters()`` are its parameters
    as it holds them at that moment.
    """

    parameters: Callable[[], Mapping[str, Any]]
    arguments: Callable[[Call], tuple[Any, ...]]
    layer: Callable[..., Any]
    result: Callable[[Call, Any], Result]

    def __call__(self, call: Call) -> Result:
        """Answer a call, as a :class:`Layer`."""
        return self.result(call, self.layer(*self.arguments(call)))


@dataclass(frozen=True, eq=False)
class Implementation(ABC):
    """Something that can be tested.

    ``target`` is what ``rnn-conformance run`` takes to load it again; ``device`` is where it
    computes, by torch's name.
    """

    name: str
    declaration: Declaration
    target: str = field(default="", kw_only=True)
    device: str = field(default="cpu", kw_only=True)

    def on(self, device: str) -> Implementation:
        """The same on another device; raises ``Unsupported`` for what knows none.

        ``UsageError``, naming those that there are, if there is no such device.
        """
        if device == self.device:
            return self
        raise Unsupported("is a function over NumPy arrays, which computes on the CPU")

    @abstractmethod
    def build(self, call: Call) -> Layer:
        """A layer of the call's configuration, dtype and parameters."""

    def bare(self, call: Call) -> Bare:
        """The layer without its adapter; raises ``Unsupported`` where it cannot be had."""
        raise Unsupported("shows nothing of its memory")

    def pullback(self, call: Call) -> Pullback:
        """The backward pass of a layer of the call's configuration, dtype and parameters.

        In evaluation mode. Raises ``Unsupported`` for what has none.
        """
        raise Unsupported("has no backward pass")

    @property
    def module_class(self) -> Any:
        """The ``torch.nn.Module`` class; raises ``Unsupported`` for what is none."""
        raise Unsupported("is no torch.nn.Module class")

    def module(self, call: Call) -> Any:
        """The layer as a ``torch.nn.Module``, for clauses on what such a module can do.

        In evaluation mode. Raises ``Unsupported`` for what is no such class.
        """
        raise Unsupported("is no torch.nn.Module class")

    @abstractmethod
    def script(self, call: Call) -> str:
        """Python source that answers ``call``, for the reader of a report.

        It may use ``parameters`` (tensors by name), ``input``, ``state`` and ``lengths``
        (tensors or ``None``), and ``forward(cls)``, which builds a ``torch.nn`` class,
        loads the parameters and calls it; it binds ``got``.
        """

"""What an implementation is, whichever form it comes in.

An :class:`Implementation` builds a :class:`Layer` from a configuration and parameters;
the layer answers calls. The forms, a drop-in class, a function over NumPy arrays and a program
in any language, are adapters to this one interface (``torch_module``, ``numpy_function`` and
``command``); there is no other way in, for what is bundled either.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Protocol

from rnn_conformance.errors import Gap, Refusal, Unsupported, UsageError
from rnn_conformance.implementations.process import contained
from rnn_conformance.spec.backward import Backward, Gradients
from rnn_conformance.spec.calls import Arguments, Call, LayerSpec
from rnn_conformance.spec.clauses import CLAUSES
from rnn_conformance.spec.combinations import Combination
from rnn_conformance.spec.config import Config, Dtype, Feature, Kind, Level, Storage
from rnn_conformance.spec.result import Result
from rnn_conformance.texts import named


@dataclass(frozen=True)
class Declaration:
    """What an implementation claims; it is held to all of it and to nothing else.

    Of the finer features (see :class:`Feature`) those stay that mean something.

    ``compiles_per_shape`` asks for cases from a small palette of shapes.
    ``tf32`` says that float32 numbers are multiplied in TF32, which widens the tolerance, and so
    does ``weights``, the format in which they are kept if it has fewer digits.
    ``fails_on_purpose`` says, for an example of what goes wrong, what is wrong with it:
    then failing is expected and conforming is not.
    ``excluded`` are clauses that are not to be checked, each with the reason.
    ``apart`` are combinations of features that it has, and not in one call.
    ``versions`` are those of the engine and of what it stands on, by package; ``notes`` say where
    an adapter had to choose, a sentence each.
    ``refused`` is what was declared until it was asked for, with what it raised.
    """

    kinds: frozenset[Kind]
    features: frozenset[Feature]
    dtypes: frozenset[Dtype]
    level: Level
    compiles_per_shape: bool = False
    fails_on_purpose: str = ""
    tf32: bool = False
    weights: Storage | None = None
    excluded: Mapping[str, str] = field(default_factory=dict, compare=False)
    versions: Mapping[str, str] = field(default_factory=dict, compare=False)
    notes: tuple[str, ...] = ()
    apart: frozenset[Combination] = frozenset()
    refused: Mapping[Feature | Dtype | Combination, str] = field(
        default_factory=dict, compare=False
    )

    def __post_init__(self) -> None:
        kept = {feature for feature in self.features if feature.within <= self.features}
        object.__setattr__(self, "features", frozenset(kept))

    @classmethod
    def of(
        cls,
        kinds: Iterable[str],
        features: Iterable[str] = (),
        dtypes: Collection[str] = (Dtype.FLOAT32, Dtype.FLOAT64),
        level: str = Level.INFERENCE,
        *,
        without: Iterable[str] = (),
        excluded: Mapping[str, Any] | None = None,
        compiles_per_shape: bool = False,
        weights: str | None = None,
        fails_on_purpose: str = "",
        packages: Iterable[str] = (),
        notes: Iterable[str] = (),
    ) -> Declaration:
        """From names; raises ``UsageError`` with the known names for an unknown one.

        And for a clause that is excluded without a reason, and for ``weights`` of fewer digits
        above the level of inference: of their gradients nothing can be told. The finer features
        need not be named; those ``without`` which it is are left out. ``packages`` are installed
        distributions, whose versions are recorded.
        """

        def known(enum: type, what: str, names: Iterable[str]) -> frozenset:  # type: ignore[type-arg]
            try:
                return frozenset(enum(name) for name in names)
            except ValueError as error:
                known_names = ", ".join(enum)  # type: ignore[arg-type]
                raise UsageError(
                    f"{error}: a {what} is one of {known_names}", Refusal.DECLARATION
                ) from None

        if not dtypes:
            raise UsageError(
                "no dtype is declared: leave dtypes out, or name one", Refusal.DECLARATION
            )
        for clause, reason in (excluded or {}).items():
            if clause not in CLAUSES:
                raise UsageError(
                    f"{clause!r} is excluded and no clause; see `rnn-conformance list --clauses`",
                    Refusal.DECLARATION,
                )
            if not (isinstance(reason, str) and reason.strip()):
                raise UsageError(
                    f"{clause} is excluded without a reason: say why, as in "
                    f'"excluded": {{"{clause}": "…"}}',
                    Refusal.DECLARATION,
                )
        (level_,) = known(Level, "level", [level])
        (kept,) = known(Storage, "format of weights", [weights]) if weights else (None,)
        if kept is not None and level_ is not Level.INFERENCE:
            raise UsageError(
                f"weights are declared to be kept in {kept}, and the level to be {level_}: of "
                'gradients nothing can then be told; declare "level": "inference"',
                Refusal.DECLARATION,
            )
        versions = {}
        for package in packages:
            try:
                versions[package] = version(package)
            except PackageNotFoundError:
                raise UsageError(
                    f"the package {package!r} is declared and not installed: install it, or name "
                    "it as pip does",
                    Refusal.DECLARATION,
                ) from None
        named = known(Feature, "feature", features)
        finer = {feature for feature in Feature if feature.is_finer and feature.within <= named}
        left_out = set(without)
        apart = frozenset(_combination(name) for name in left_out if "+" in name)
        left_out -= {name for name in left_out if "+" in name}
        return cls(
            kinds=known(Kind, "kind", kinds),
            features=(named | finer) - known(Feature, "feature", left_out),
            apart=apart,
            dtypes=known(Dtype, "dtype", dtypes),
            level=level_,
            compiles_per_shape=compiles_per_shape,
            weights=kept,
            fails_on_purpose=fails_on_purpose,
            excluded=dict(excluded or {}),
            versions=versions,
            notes=tuple(notes),
        )

    def without(self, left_out: Collection[str]) -> Declaration:
        """The same but for some features, combinations and dtypes, and what is part of them."""
        features = {feature for feature in self.features if feature.value not in left_out}
        return replace(
            self,
            features=frozenset(feature for feature in features if feature.within <= features),
            apart=self.apart | {_combination(name) for name in left_out if "+" in name},
            dtypes=frozenset(dtype for dtype in self.dtypes if dtype.value not in left_out),
        )

    def undeclared(self, call: Call) -> list[str]:
        """The features that a call needs and that are not claimed, or not together; in order."""
        parted = (combination.value for combination in self.parted(call.features))
        return [*sorted(call.features - self.features), *sorted(parted)]

    def parted(self, features: Collection[Feature]) -> list[Combination]:
        """The combinations among these features that are not had in one call."""
        return [one for one in self.apart if one.features <= frozenset(features)]

    def allows(self, features: Collection[Feature]) -> bool:
        """Whether a call may have these features."""
        return self.features >= frozenset(features) and not self.parted(features)


def _combination(name: str) -> Combination:
    """Raises ``UsageError`` for what is none."""
    try:
        return Combination.of(name)
    except ValueError as error:
        raise UsageError(
            f"{name!r} is left out: {error}; write it as in bidirectional+packed",
            Refusal.DECLARATION,
        ) from None


class Layer(Protocol):
    """A layer with its parameters in place.

    Raises ``NonConforming`` if what comes back is not of the structure that is due
    (SHP-4, PCK-1) and ``AdapterError`` where the adapter breaks the interface; an
    exception of the implementation's own passes through.
    """

    def __call__(self, arguments: Arguments) -> Result:
        """Answer a call."""


class Pullback(Protocol):
    """A layer's backward pass, its vector-Jacobian product.

    Raises ``NonConforming`` and ``AdapterError`` as a layer does.
    """

    def __call__(self, backward: Backward) -> Gradients:
        """Pass back; of the call only its arguments are read."""


@dataclass(frozen=True, eq=False)
class Bare:
    """A layer without its adapter, for the clauses on memory: no copies are made for it.

    ``layer`` takes ``arguments(…)``, which are fresh arrays of its framework's own, and
    ``result(…, returned)`` reads what it returned. ``parameters()`` are its parameters
    as it holds them at that moment.
    """

    implementation: Implementation
    spec: LayerSpec
    parameters: Callable[[], Mapping[str, Any]]
    layer: Callable[..., Any]

    def arguments(self, arguments: Arguments) -> tuple[Any, ...]:
        """The arguments as the layer takes them, made afresh."""
        return self.implementation.arguments(Call(self.spec, arguments))

    def result(self, arguments: Arguments, returned: Any) -> Result:
        """What the layer returned; raises ``NonConforming`` for another structure."""
        return self.implementation.result(Call(self.spec, arguments), returned)

    def __call__(self, arguments: Arguments) -> Result:
        """Answer a call, as a :class:`Layer`."""
        call = Call(self.spec, arguments)
        given = self.implementation.arguments(call)
        with contained():
            returned = self.layer(*given)
        return self.implementation.result(call, returned)


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

    def __post_init__(self) -> None:
        # It stands in files and on terminals, and whoever wrote the class chose it.
        object.__setattr__(self, "name", named(self.name))

    def on(self, device: str) -> Implementation:
        """The same on another device; raises ``Unsupported`` for what knows none.

        ``UsageError``, naming those that there are, if there is no such device.
        """
        if device == self.device:
            return self
        raise Unsupported(
            "is a function over NumPy arrays, which computes on the CPU", Gap.NO_DEVICE
        )

    @abstractmethod
    def build(self, layer: LayerSpec) -> Layer:
        """A layer of this configuration and dtype, with these parameters."""

    @abstractmethod
    def arguments(self, call: Call) -> tuple[Any, ...]:
        """What is handed over in a call: fresh arrays on its device, in the call's layout."""

    @abstractmethod
    def result(self, call: Call, returned: Any) -> Result:
        """What was returned to a call; raises ``NonConforming`` for another structure."""

    def bare(self, layer: LayerSpec) -> Bare:
        """The layer without its adapter; raises ``Unsupported`` where it cannot be had."""
        raise Unsupported("shows nothing of its memory", Gap.NO_MEMORY)

    def pullback(self, layer: LayerSpec) -> Pullback:
        """The backward pass of a layer, in evaluation mode.

        Raises ``Unsupported`` for what has none.
        """
        raise Unsupported("has no backward pass", Gap.NO_GRADIENT)

    @property
    def named(self) -> bool:
        """Whether the names of its parameters are known."""
        return True

    @property
    def loads(self) -> bool:
        """Whether its parameters can be given to it."""
        return True

    @property
    def factory(self) -> bool:
        """Whether the constructor takes ``device`` and ``dtype``."""
        return True

    def knowing(
        self,
        *,
        named: bool | None = None,
        loads: bool | None = None,
        told: Collection[str] | None = None,
    ) -> Implementation:
        """The same, and what was found out about it (see ``DropInImplementation``)."""
        return self

    def keywords(self, config: Config) -> dict[str, Any]:
        """The constructor's arguments by name, as far as they have to be told."""
        return config.arguments()

    def names(self, config: Config) -> Mapping[str, str]:
        """What each parameter is called, by ``torch.nn``'s name of it.

        Raises ``Unsupported`` where they have other names that are not known.
        """
        return {name: name for name in config.parameters}

    def construct(self, config: Config) -> Any:
        """A fresh ``torch.nn.Module``; raises ``Unsupported`` for what is no such class."""
        raise Unsupported("is no torch.nn.Module class", Gap.NO_MODULE)

    @property
    def module_class(self) -> Any:
        """The ``torch.nn.Module`` class; raises ``Unsupported`` for what is none."""
        raise Unsupported("is no torch.nn.Module class", Gap.NO_MODULE)

    def module(self, layer: LayerSpec) -> Any:
        """The layer as a ``torch.nn.Module``, for clauses on what such a module can do.

        In evaluation mode. Raises ``Unsupported`` for what is no such class.
        """
        raise Unsupported("is no torch.nn.Module class", Gap.NO_MODULE)

    @abstractmethod
    def script(self, call: Call) -> str | None:
        """Python source that answers ``call``, for the reader of a report.

        It may use ``parameters`` (tensors by name), ``input``, ``state`` and ``lengths`` (tensors,
        where there are any), and ``forward(cls)``, which builds a ``torch.nn`` class, loads the
        parameters and calls it; it binds ``got``. ``None`` says that there is none, so that a
        check's own steps are done again.
        """

"""Form 1: a ``torch.nn.Module`` class with the surface of ``torch.nn``'s own."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from rnn_conformance.errors import Gap, Refusal, Unsupported, UsageError
from rnn_conformance.implementations.autograd import Graph
from rnn_conformance.implementations.class_kinds import DECLARATION, kind_of
from rnn_conformance.implementations.devices import (
    device_named,
    seed_generators,
    torch_dtype,
    trains_only,
)
from rnn_conformance.implementations.interface import (
    Bare,
    Declaration,
    Implementation,
    Layer,
    Pullback,
)
from rnn_conformance.implementations.process import contained
from rnn_conformance.implementations.tensors import arguments, parameters, result_of
from rnn_conformance.spec.calls import Call, LayerSpec
from rnn_conformance.spec.config import Config, Dtype, Feature, Kind, Level, Role
from rnn_conformance.spec.result import Result
from rnn_conformance.texts import name_of, shown

KEYS = (
    "kind",
    "without",
    "dtypes",
    "level",
    "defaults",
    "parameters",
    "factory_arguments",
    "excluded",
    "tf32",
    "weights",
    "fails_on_purpose",
    "packages",
    "notes",
)
"""What a class may declare there."""


@dataclass(frozen=True, eq=False)
class DropInImplementation(Implementation):
    """A class that is swapped for one of ``torch.nn`` by changing one line.

    Nothing is declared but what the class leaves out, in an attribute ``rnn_conformance``
    with any of the keys :data:`KEYS`. ``tf32`` counts on accelerators alone. Constructor
    arguments are passed by name, and only those that differ from ``torch.nn``'s defaults
    or that have to be ``told``, having another default here: ``defaults`` are those that
    are declared. ``parameters`` are declared names, by role, with ``{layer}``,
    ``{direction}`` and ``{suffix}``; ``named`` is false where they are neither these nor
    ``torch.nn``'s, and ``loads`` if they do not load under ``torch.nn``'s either. ``factory``
    says that the constructor takes ``device`` and ``dtype``.
    """

    cls: type[torch.nn.Module] = field(kw_only=True)
    tf32: bool = field(default=False, kw_only=True)
    defaults: Mapping[str, Any] = field(default_factory=dict, kw_only=True)
    told: frozenset[str] = field(default=frozenset(), kw_only=True)
    parameters: Mapping[Role, str] = field(default_factory=dict, kw_only=True)
    named: bool = field(default=True, kw_only=True)
    loads: bool = field(default=True, kw_only=True)
    factory: bool = field(default=True, kw_only=True)

    def on(self, device: str) -> DropInImplementation:
        """See :meth:`Implementation.on`."""
        placed = device_named(device)
        declaration = replace(self.declaration, tf32=self.tf32 and placed != "cpu")
        return replace(self, device=placed, declaration=declaration)

    def arguments(self, call: Call) -> tuple[Any, ...]:
        """See :meth:`Implementation.arguments`."""
        return arguments(call, self.device)

    def result(self, call: Call, returned: Any) -> Result:
        """See :meth:`Implementation.result`."""
        declaration = self.declaration
        return result_of(call, returned, tf32=declaration.tf32, weights=declaration.weights)

    def knowing(
        self,
        *,
        named: bool | None = None,
        loads: bool | None = None,
        told: Collection[str] | None = None,
    ) -> DropInImplementation:
        """See :meth:`Implementation.knowing`."""
        return replace(
            self,
            named=self.named if named is None else named,
            loads=self.loads if loads is None else loads,
            told=self.told if told is None else frozenset(told),
        )

    def keywords(self, config: Config) -> dict[str, Any]:
        """See :meth:`Implementation.keywords`."""
        told = (self.told | set(self.defaults)) & set(config.kind.arguments)
        return {**{name: getattr(config, name) for name in sorted(told)}, **config.arguments()}

    def names(self, config: Config) -> Mapping[str, str]:
        """See :meth:`Implementation.names`."""
        if not self.named:
            raise Unsupported("has its parameters under names of its own", Gap.NAMES)
        return {
            name: self.parameters[parameter.role].format(
                layer=parameter.layer,
                direction=parameter.direction,
                suffix=config.suffix(parameter.layer, parameter.direction),
            )
            if parameter.role in self.parameters
            else name
            for name, parameter in config.parameters.items()
        }

    def construct(self, config: Config) -> torch.nn.Module:
        """A fresh module, the same each time; exceptions are the class's own."""
        # A fixed seed: a class that draws random numbers is reproduced by its report.
        seed_generators(0, self.device)
        with contained():
            return self.cls(**self.keywords(config))

    def module(self, layer: LayerSpec) -> torch.nn.Module:
        """Construct, cast, load the parameters by name, and put in evaluation mode.

        Raises ``Unsupported`` where the parameters have names that are not known, and what
        loads them does not know ``torch.nn``'s either.
        """
        if not self.loads:
            raise Unsupported("has parameters that do not load under torch.nn's names", Gap.NAMES)
        given = parameters(layer, self.device)
        if self.named:
            names = self.names(layer.config)
            given = {names[name]: value for name, value in given.items()}
        with contained():
            module = self.construct(layer.config).to(self.device, torch_dtype(layer.dtype))
            if self.cls.load_state_dict is torch.nn.Module.load_state_dict:
                given = {**_no_parameters(module), **given}
            module.load_state_dict(given)
            # Without dropout, the two modes differ in nothing but in what can be differentiated.
            trains = trains_only(self.device) and not layer.config.dropout
            return module.train() if trains else module.eval()

    def build(self, layer: LayerSpec) -> Layer:
        """A module, called without gradients."""
        return self.bare(layer)

    def bare(self, layer: LayerSpec) -> Bare:
        """See :meth:`Implementation.bare`."""
        module = self.module(layer)

        def call(*arguments: Any) -> Any:
            with torch.no_grad():
                return module(*arguments)

        return Bare(self, layer, lambda: dict(module.named_parameters()), call)

    def pullback(self, layer: LayerSpec) -> Pullback:
        """Automatic differentiation of a module, each time through a fresh graph.

        Raises ``Unsupported`` for what declares a level that has no gradients.
        """
        if self.declaration.level is Level.INFERENCE:
            raise Unsupported("is for inference alone, as it declares", Gap.UNDECLARED)
        module, tf32 = self.module(layer), self.declaration.tf32
        names = self.names(layer.config)
        return lambda backward: Graph.of(
            module, backward.call, self.device, names, tf32=tf32
        ).gradients(backward)

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
            return (
                "from rnn_conformance.implementations.registry import load\n\n"
                f"(layer_class,) = load({name!r})\ngot = forward(layer_class)"
            )
        if place.endswith(".py"):
            # What lies beside it is imported from there.
            beside = f"sys.path.insert(0, {os.path.dirname(place) or '.'!r})"
            load = f"{name} = runpy.run_path({place!r})[{name!r}]"
            return f"import runpy\n\n{beside}\n{load}\ngot = forward({name})"
        return f"from {place} import {name}\n\ngot = forward({name})"


def _no_parameters(module: torch.nn.Module) -> dict[str, Any]:
    """What else a module saves: buffers and extra state, of which PAR-3 has to speak."""
    own = dict(module.named_parameters(remove_duplicate=False))
    # A parameter under another name is one: it is not to be handed over a second time.
    memory = {parameter.data_ptr() for parameter in own.values()}
    return {
        name: kept
        for name, kept in module.state_dict().items()
        if name not in own and not (torch.is_tensor(kept) and kept.data_ptr() in memory)
    }


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
            f"{name_of(cls)}.{DECLARATION} has unknown keys {shown(sorted(unknown, key=str))}; "
            f"known are {', '.join(KEYS)}",
            Refusal.DECLARATION,
        )
    # What is passed outranks the name alone: a name may mislead.
    own_kind = kind_of(cls, by_name=not kind) or (Kind(kind) if kind else None)
    if own_kind is None:
        raise UsageError(
            f"{name_of(cls)} does not say whether it is an RNN, an LSTM or a GRU: "
            "derive it from torch.nn's class, name it so, or pass --kind",
            Refusal.DECLARATION,
        )
    declaration = Declaration.of(
        [own_kind],
        Feature.of(own_kind),
        declared.get("dtypes", tuple(Dtype)),
        declared.get("level", Level.DROP_IN),
        without=declared.get("without", ()),
        excluded=declared.get("excluded"),
        weights=declared.get("weights"),
        fails_on_purpose=declared.get("fails_on_purpose", ""),
        packages=declared.get("packages", ()),
        notes=declared.get("notes", ()),
    )
    return DropInImplementation(
        name or name_of(cls),
        declaration,
        cls=cls,
        tf32=declared.get("tf32", tf32),
        defaults=_defaults(cls, own_kind, declared.get("defaults", {})),
        parameters=_templates(cls, declared.get("parameters", {})),
        factory=declared.get("factory_arguments", True),
    )


def _defaults(cls: type, kind: Kind, declared: Mapping[str, Any]) -> Mapping[str, Any]:
    """Other defaults than ``torch.nn``'s; raises ``UsageError`` for no argument of the kind."""
    if unknown := set(declared) - set(kind.arguments):
        raise UsageError(
            f"{cls.__name__} declares a default of {', '.join(sorted(unknown))}; the arguments of "
            f"{kind} that have one are {', '.join(kind.arguments)}",
            Refusal.DECLARATION,
        )
    return dict(declared)


def _templates(cls: type, declared: Mapping[str, str]) -> Mapping[Role, str]:
    """Names of parameters by role; raises ``UsageError`` for one that cannot be made."""
    try:
        named = {Role(role): template for role, template in declared.items()}
        for template in named.values():
            template.format(layer=0, direction=0, suffix="")
    except (ValueError, LookupError, AttributeError) as error:
        raise UsageError(
            f"{cls.__name__} declares names of parameters that cannot be made ({error}): the keys "
            f"are {', '.join(Role)}, the values as in 'cells.{{layer}}.weight_hh' or "
            "'weight_hh{suffix}_raw'",
            Refusal.DECLARATION,
        ) from None
    return named

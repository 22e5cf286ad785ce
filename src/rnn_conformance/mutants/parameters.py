"""Constructors, initial values and parameters that are wrong (PAR)."""

# mypy: allow-subclassing-any

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from rnn_conformance.deviations.deviation import LSTMS
from rnn_conformance.mutants.mutant import Chapter, Mixin
from rnn_conformance.spec.clauses import LAYERS
from rnn_conformance.spec.config import Kind

PARAMETERS = Chapter("Parameters")


@PARAMETERS.add("parameters registered last first", "PAR-1")
class _ReversedParameters(Mixin):
    _parameters: Any

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self._parameters = dict(reversed(list(self._parameters.items())))


@PARAMETERS.add("biases although bias is False", "PAR-1")
class _BiasesAllTheSame(Mixin):
    def __init__(self, *args: Any, bias: bool = True, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self.bias = bias


@PARAMETERS.add("no attribute hidden_size", "PAR-1")
class _NoHiddenSize(Mixin):
    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        del self.hidden_size


@PARAMETERS.add("nothing but the sizes taken by position", "PAR-1", crashes=True)
class _BiasByName(Mixin):
    def __init__(self, input_size: int, hidden_size: int, **keywords: Any) -> None:
        super().__init__(input_size, hidden_size, **keywords)


@PARAMETERS.add(
    "batch_first before bias among the positional arguments", "PAR-1", kinds=[Kind.LSTM, Kind.GRU]
)
class _BatchFirstBeforeBias(Mixin):
    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        batch_first: bool = False,
        bias: bool = True,
        *args: Any,
        **keywords: Any,
    ) -> None:
        keywords |= {"num_layers": num_layers, "bias": bias, "batch_first": batch_first}
        names = ("dropout", "bidirectional", "proj_size")
        super().__init__(
            input_size, hidden_size, **keywords, **dict(zip(names, args, strict=False))
        )


@PARAMETERS.add(
    "the default dtype as it was when imported", "PAR-1", source="keras-team/keras#7951"
)
class _DtypeOfTheImport(Mixin):
    def __init__(
        self, *args: Any, device: Any = None, dtype: Any = torch.float32, **keywords: Any
    ) -> None:
        super().__init__(*args, device=device, dtype=dtype, **keywords)


@PARAMETERS.add("made on the CPU whatever the default device", "PAR-1")
class _OnTheCPU(Mixin):
    def __init__(self, *args: Any, device: Any = "cpu", **keywords: Any) -> None:
        super().__init__(*args, device=device, **keywords)


@PARAMETERS.add("the argument dtype ignored", "PAR-1")
class _NoDtype(Mixin):
    def __init__(self, *args: Any, dtype: Any = None, **keywords: Any) -> None:
        super().__init__(*args, **keywords)


@PARAMETERS.add("initial values within 1/H instead of 1/sqrt(H)", "PAR-2")
class _WithinOneOverHiddenSize(Mixin):
    def reset_parameters(self) -> None:
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -1 / self.hidden_size, 1 / self.hidden_size)


@PARAMETERS.add("initial values within 1", "PAR-2")
class _WithinOne(Mixin):
    def reset_parameters(self) -> None:
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -1.0, 1.0)


@PARAMETERS.add("biases that begin as zeros", "PAR-2")
class _ZeroBiases(Mixin):
    def reset_parameters(self) -> None:
        super().reset_parameters()
        for name, parameter in self.named_parameters():
            if name.startswith("bias"):
                nn.init.zeros_(parameter)


@PARAMETERS.add("a b_hh that begins as zeros", "PAR-2")
class _OneZeroBias(Mixin):
    def reset_parameters(self) -> None:
        super().reset_parameters()
        for name, parameter in self.named_parameters():
            if name.startswith("bias_hh"):
                nn.init.zeros_(parameter)


@PARAMETERS.add("initial values of a triangular distribution", "PAR-2")
class _Triangular(Mixin):
    def reset_parameters(self) -> None:
        limit = 1.0 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            parameter.data = (torch.rand_like(parameter) - torch.rand_like(parameter)) * limit


@PARAMETERS.add("a projection that begins within 1/sqrt(proj_size)", "PAR-2", kinds={Kind.LSTM})
class _ProjectionWithinItsOwn(Mixin):
    def reset_parameters(self) -> None:
        super().reset_parameters()
        for name, parameter in self.named_parameters():
            if name.startswith("weight_hr"):
                limit = self.proj_size**-0.5
                nn.init.uniform_(parameter, -limit, limit)


@PARAMETERS.add(
    "input weights above the first layer that begin within 1/sqrt of what they read",
    "PAR-2",
    kinds=LAYERS,
)
class _WithinWhatIsRead(Mixin):
    def reset_parameters(self) -> None:
        super().reset_parameters()
        for name, parameter in self.named_parameters():
            if name.startswith("weight_ih") and "_l0" not in name:
                limit = parameter.shape[1] ** -0.5
                nn.init.uniform_(parameter, -limit, limit)


@PARAMETERS.add("a reverse direction that begins as zeros", "PAR-2", kinds=LAYERS)
class _ZeroReverse(Mixin):
    def reset_parameters(self) -> None:
        super().reset_parameters()
        for name, parameter in self.named_parameters():
            if name.endswith("_reverse"):
                nn.init.zeros_(parameter)


@PARAMETERS.add(
    "weights initialised as Glorot and Bengio do", "PAR-2", source="Glorot & Bengio (2010)"
)
class _Xavier(Mixin):
    def reset_parameters(self) -> None:
        super().reset_parameters()
        for name, parameter in self.named_parameters():
            if name.startswith("weight"):
                nn.init.xavier_uniform_(parameter)


@PARAMETERS.add(
    "a forget gate that begins open",
    "PAR-2",
    kinds=LSTMS,
    source="Jozefowicz, Zaremba & Sutskever (2015)",
)
class _ForgetsNothing(Mixin):
    def reset_parameters(self) -> None:
        super().reset_parameters()
        for name, parameter in self.named_parameters():
            if name.startswith("bias_ih"):
                parameter.data[self.hidden_size : 2 * self.hidden_size] = 1.0


@PARAMETERS.add(
    "every layer and direction initialised with the first one's values", "PAR-2", kinds=LAYERS
)
class _LayersAlike(Mixin):
    def reset_parameters(self) -> None:
        super().reset_parameters()
        first: dict[str, Tensor] = {}
        for name, parameter in self.named_parameters():
            kept = first.setdefault(name.partition("_l")[0], parameter)
            if kept.shape == parameter.shape:
                parameter.data = kept.detach().clone()


@PARAMETERS.add("initial values that no seed decides", "PAR-2")
class _Unseeded(Mixin):
    def reset_parameters(self) -> None:
        generator = torch.Generator()
        generator.seed()
        limit = 1.0 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            parameter.data.uniform_(-limit, limit, generator=generator)


@PARAMETERS.add("initial values from a generator always seeded alike", "PAR-2")
class _AlwaysSeeded(Mixin):
    def reset_parameters(self) -> None:
        generator = torch.Generator().manual_seed(0)
        limit = 1.0 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            parameter.data.uniform_(-limit, limit, generator=generator)


@PARAMETERS.add("a prefix in the names of its state_dict", "PAR-1 PAR-3")
class _Prefixed(Mixin):
    def state_dict(self, *args: Any, **keywords: Any) -> Any:
        return super().state_dict(*args, **{"prefix": "rnn.", **keywords})


@PARAMETERS.add("a state_dict that is what was loaded last", "PAR-3")
class _StateDictOfLoading(Mixin):
    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **keywords: Any) -> Any:
        self._loaded = {name: array.clone() for name, array in state_dict.items()}
        return super().load_state_dict(state_dict, *args, **keywords)

    def state_dict(self, *args: Any, **keywords: Any) -> Any:
        return getattr(self, "_loaded", None) or super().state_dict(*args, **keywords)


class _Completing(Mixin):
    """Loads what there is of the right shape, and says nothing of the rest."""

    def complete(self, state_dict: Mapping[str, Any]) -> dict[str, Any]:
        raise NotImplementedError

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **keywords: Any) -> Any:
        return super().load_state_dict(self.complete(state_dict), *args, **keywords)


@PARAMETERS.add("biases that a state_dict lacks filled with zeros", "PAR-3")
class _FillsBiases(_Completing):
    def complete(self, state_dict: Mapping[str, Any]) -> dict[str, Any]:
        lacking = {
            name: torch.zeros_like(parameter)
            for name, parameter in self.named_parameters()
            if name.startswith("bias_hh")
        }
        return {**lacking, **state_dict}


@PARAMETERS.add("unknown keys of a state_dict passed over", "PAR-3")
class _PassesOverUnknown(_Completing):
    def complete(self, state_dict: Mapping[str, Any]) -> dict[str, Any]:
        known = dict(self.named_parameters())
        return {name: tensor for name, tensor in state_dict.items() if name in known}


@PARAMETERS.add("what is of another shape in a state_dict passed over", "PAR-3")
class _PassesOverShapes(_Completing):
    def complete(self, state_dict: Mapping[str, Any]) -> dict[str, Any]:
        own = dict(self.named_parameters())
        return {
            name: tensor if name not in own or tensor.shape == own[name].shape else own[name]
            for name, tensor in state_dict.items()
        }


@PARAMETERS.add("a load_state_dict that ignores torch.nn's", "PAR-3")
class _IgnoresUnknownNames(Mixin):
    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **keywords: Any) -> Any:
        if type(state_dict) is dict:
            return super().load_state_dict(state_dict, *args, **keywords)
        return None


@PARAMETERS.add("a constructor that looks at the values that it drew", "PAR-4", crashes=True)
class _LooksAtValues(Mixin):
    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        # On the device "meta" there are none.
        self.largest = max(float(parameter.abs().max()) for parameter in self.parameters())


@PARAMETERS.add(
    "weights packed at the first call and never again",
    "PAR-3 PAR-4 LIF-1",
    source="apache/mxnet#16037",
)
class _Packs(Mixin):
    _packed: Any

    def forward(self, input: Any, hx: Any = None) -> Any:
        if "_packed" not in self.__dict__:
            self.__dict__["_packed"] = self.packed()
        self._packed.training = self.training
        return self._packed(input, hx)

    def packed(self) -> Any:
        """A copy of what there is, as ``torch.nn`` has it."""
        kind: Any = next(cls for cls in type(self).__mro__ if cls.__module__ == nn.LSTM.__module__)
        made: Any = kind.__new__(kind)
        nn.Module.__init__(made)
        made.__dict__.update(
            {name: value for name, value in self.__dict__.items() if name[0] != "_"}
        )
        for name, parameter in self.named_parameters():
            made._parameters[name] = nn.Parameter(parameter.detach().clone())
        for name, parameter in self._parameters.items():
            made._parameters.setdefault(name, parameter)
        if hasattr(self, "_flat_weights_names"):
            made._flat_weights_names = self._flat_weights_names
            made._all_weights = self._all_weights
            made._init_flat_weights()
        return made


@PARAMETERS.add(
    "weights copied by the constructor, which runs on the copy",
    "PAR-3 PAR-4",
    source="pytorch/pytorch#33552",
)
class _PacksWhenConstructed(_Packs):
    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self.__dict__["_packed"] = self.packed()

    def _apply(self, *args: Any, **keywords: Any) -> Any:
        self._packed._apply(*args, **keywords)
        return super()._apply(*args, **keywords)


@PARAMETERS.add("packed weights that only loading and casts renew", "PAR-4 LIF-3")
class _RepacksWhenLoaded(_Packs):
    def load_state_dict(self, *args: Any, **keywords: Any) -> Any:
        self.__dict__.pop("_packed", None)
        return super().load_state_dict(*args, **keywords)

    def _apply(self, *args: Any, **keywords: Any) -> Any:
        self.__dict__.pop("_packed", None)
        return super()._apply(*args, **keywords)


@PARAMETERS.add("packed weights that notice other parameters, not other values", "PAR-4")
class _RepacksWhenAParameterIsReplaced(_RepacksWhenLoaded):
    def forward(self, input: Any, hx: Any = None) -> Any:
        now = [id(parameter) for parameter in self.parameters()]
        if self.__dict__.get("_packed_of") != now:
            self.__dict__.pop("_packed", None)
            self.__dict__["_packed_of"] = now
        return super().forward(input, hx)


@PARAMETERS.add("deep copies that run on what the original had packed", "LIF-1", kinds=LAYERS)
class _CopiesPacked(_RepacksWhenAParameterIsReplaced):
    def __deepcopy__(self, memo: Any) -> Any:
        made = type(self)(
            **{
                name: getattr(self, name)
                for name in ("input_size", "hidden_size", "num_layers", "bias", "batch_first",
                             "bidirectional")
            },
            **({"nonlinearity": self.nonlinearity} if hasattr(self, "nonlinearity") else {}),
            **({"proj_size": self.proj_size} if self.proj_size else {}),
        ).to(next(self.parameters()).dtype)  # fmt: skip
        made.load_state_dict(self.state_dict())
        if "_packed" in self.__dict__:
            made.__dict__["_packed"] = self._packed
            made.__dict__["_packed_of"] = [id(parameter) for parameter in made.parameters()]
        return made.train(self.training)


@PARAMETERS.add("the first call's parameters in every call", "PAR-4 LIF-3")
class _KeepsParameters(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        kept = self.__dict__.setdefault("_kept", dict(self._parameters))
        now = {name: self.__dict__.get(name) for name in ("_parameters", "_flat_weights")}
        self.__dict__["_parameters"] = kept
        if now["_flat_weights"] is not None:
            self.__dict__["_flat_weights"] = [kept[name] for name in self._flat_weights_names]
        try:
            return super().forward(input, hx)
        finally:
            self.__dict__.update({name: value for name, value in now.items() if value is not None})


@PARAMETERS.add("no flatten_parameters", "PAR-5", kinds=LAYERS, crashes=True)
class _NoFlattening(Mixin):
    def flatten_parameters(self) -> None:
        if "_flat_weight_refs" in self.__dict__ and "_ready" in self.__dict__:
            raise AttributeError(f"{type(self).__name__} has no flatten_parameters")

    def eval(self) -> Any:
        self._ready = True
        return super().eval()


@PARAMETERS.add("a flatten_parameters that replaces the parameters", "PAR-5", kinds=LAYERS)
class _FlattensIntoOthers(Mixin):
    def flatten_parameters(self) -> None:
        for name, parameter in list(self.named_parameters()):
            setattr(self, name, nn.Parameter(parameter.detach().clone()))


@PARAMETERS.add(
    "a flatten_parameters that loses the last parameter's values", "PAR-5", kinds=LAYERS
)
class _FlattensAway(Mixin):
    def flatten_parameters(self) -> None:
        list(self.parameters())[-1].data.zero_()


@PARAMETERS.add(
    "all_weights grouped by name instead of by layer and direction", "PAR-5", kinds=LAYERS
)
class _WeightsByName(Mixin):
    @property
    def all_weights(self) -> list[list[Tensor]]:
        groups: dict[str, list[Tensor]] = {}
        for name, parameter in self.named_parameters():
            groups.setdefault(name.partition("_l")[0], []).append(parameter)
        return list(groups.values())


@PARAMETERS.add("copies in all_weights", "PAR-5", kinds=LAYERS)
class _WeightsCopied(Mixin):
    @property
    def all_weights(self) -> list[list[Tensor]]:
        return [[weight.clone() for weight in place] for place in super().all_weights]

"""Drop-in classes that are wrong as classes: constructor, parameters, memory, errors, life.

Each is ``torch.nn``'s own class with one defect, to be mixed into any of the kinds that
``WRONG`` names with the clauses that it breaks. Defects that people met cite the thread.
"""

# mypy: allow-subclassing-any

from __future__ import annotations

import copy
import math
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from rnn_conformance.spec import Kind

Mixin: Any = object
"""What a defect is mixed into: a class of ``torch.nn``."""

LAYERS = "RNN LSTM GRU"
CELLS = "RNNCell LSTMCell GRUCell"
ALL = f"{LAYERS} {CELLS}"


@dataclass(frozen=True)
class Wrong:
    """What is wrong, the clauses that it breaks, and the kinds that it is made of.

    ``crashes`` says that the defect itself is an exception on a legal call.
    """

    cls: type
    breaks: str
    kinds: str = ALL
    crashes: bool = False


def of_kind(mixin: type, kind: Kind) -> type[nn.Module]:
    """``torch.nn``'s class of this kind with the defect; found under its name by pickle."""
    name = f"{mixin.__name__}{kind}"
    if name not in globals():
        bases = (mixin, getattr(nn, kind.value))
        globals()[name] = type(name, bases, {"__module__": __name__})
    found: type[nn.Module] = globals()[name]
    return found


def both(hx: Any) -> tuple[Tensor, ...]:
    """The state's tensors."""
    return hx if isinstance(hx, tuple) else (hx,)


def as_given(hx: Any, states: Any) -> Any:
    """Tensors in the structure of ``hx``."""
    states = tuple(states)
    return states if isinstance(hx, tuple) else states[0]


def tensors(returned: Any) -> list[Tensor]:
    """All that was returned."""
    if isinstance(returned, Tensor):
        return [returned]
    if isinstance(returned, PackedSequence):
        return [returned.data]
    return [array for each in returned for array in tensors(each)]


def mapped(change: Any, value: Any) -> Any:
    """``change`` applied to each tensor of floating-point numbers."""
    if isinstance(value, PackedSequence):
        return value._replace(data=change(value.data))
    if isinstance(value, tuple):
        return tuple(mapped(change, each) for each in value)
    return None if value is None else change(value)


# The constructor and the parameters.


class ReversedParameters(Mixin):
    """Parameters registered last first."""

    _parameters: Any

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self._parameters = dict(reversed(list(self._parameters.items())))


class BiasesAllTheSame(Mixin):
    """bias=False is taken note of and changes nothing."""

    def __init__(self, *args: Any, bias: bool = True, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self.bias = bias


class NoHiddenSize(Mixin):
    """Does not keep what it was constructed with."""

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        del self.hidden_size


class BiasByName(Mixin):
    """Takes nothing but the sizes by position."""

    def __init__(self, input_size: int, hidden_size: int, **keywords: Any) -> None:
        super().__init__(input_size, hidden_size, **keywords)


class BatchFirstBeforeBias(Mixin):
    """Other positions than torch.nn's."""

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


class NoDtype(Mixin):
    """Takes the dtype and makes its parameters in the default one."""

    def __init__(self, *args: Any, dtype: Any = None, **keywords: Any) -> None:
        super().__init__(*args, **keywords)


class WithinOneOverHiddenSize(Mixin):
    """Initial values within 1/H instead of 1/sqrt(H)."""

    def reset_parameters(self) -> None:
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -1 / self.hidden_size, 1 / self.hidden_size)


class WithinOne(Mixin):
    """Initial values within 1: a range that is too wide."""

    def reset_parameters(self) -> None:
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -1.0, 1.0)


class ZeroBiases(Mixin):
    """Biases begin as zeros."""

    def reset_parameters(self) -> None:
        super().reset_parameters()
        for name, parameter in self.named_parameters():
            if name.startswith("bias"):
                nn.init.zeros_(parameter)


class OneZeroBias(Mixin):
    """One of the biases begins as zeros, as if it were not there."""

    def reset_parameters(self) -> None:
        super().reset_parameters()
        for name, parameter in self.named_parameters():
            if name.startswith("bias_hh"):
                nn.init.zeros_(parameter)


class Triangular(Mixin):
    """Within the right range, but not uniform in it."""

    def reset_parameters(self) -> None:
        limit = 1.0 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            parameter.data = (torch.rand_like(parameter) - torch.rand_like(parameter)) * limit


class Xavier(Mixin):
    """Weights as Glorot and Bengio have them."""

    def reset_parameters(self) -> None:
        super().reset_parameters()
        for name, parameter in self.named_parameters():
            if name.startswith("weight"):
                nn.init.xavier_uniform_(parameter)


class ForgetsNothing(Mixin):
    """A forget gate that begins open, as it often is made by hand."""

    def reset_parameters(self) -> None:
        super().reset_parameters()
        for name, parameter in self.named_parameters():
            if name.startswith("bias_ih"):
                parameter.data[self.hidden_size : 2 * self.hidden_size] = 1.0


class LayersAlike(Mixin):
    """Every layer and direction begins with the first one's values, where they fit."""

    def reset_parameters(self) -> None:
        super().reset_parameters()
        first: dict[str, Tensor] = {}
        for name, parameter in self.named_parameters():
            kept = first.setdefault(name.partition("_l")[0], parameter)
            if kept.shape == parameter.shape:
                parameter.data = kept.detach().clone()


class Unseeded(Mixin):
    """Initial values from a generator of its own, seeded by the system."""

    def reset_parameters(self) -> None:
        own = torch.Generator()
        own.seed()
        limit = 1.0 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            parameter.data.uniform_(-limit, limit, generator=own)


class AlwaysSeeded(Mixin):
    """Initial values from a generator of its own, always seeded alike."""

    def reset_parameters(self) -> None:
        own = torch.Generator().manual_seed(0)
        limit = 1.0 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            parameter.data.uniform_(-limit, limit, generator=own)


class Prefixed(Mixin):
    """A state_dict with the names of something wrapped."""

    def state_dict(self, *args: Any, **keywords: Any) -> Any:
        return super().state_dict(*args, **{"prefix": "rnn.", **keywords})


class StateDictOfLoading(Mixin):
    """A state_dict that is what was loaded last."""

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **keywords: Any) -> Any:
        self._loaded = {name: array.clone() for name, array in state_dict.items()}
        return super().load_state_dict(state_dict, *args, **keywords)

    def state_dict(self, *args: Any, **keywords: Any) -> Any:
        return getattr(self, "_loaded", None) or super().state_dict(*args, **keywords)


class IgnoresUnknownNames(Mixin):
    """Loads what it finds under other names, so nothing of torch.nn's."""

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **keywords: Any) -> Any:
        if type(state_dict) is dict:
            return super().load_state_dict(state_dict, *args, **keywords)
        return None


class Packs(Mixin):
    """Weights packed at the first call and never again. apache/mxnet#16037"""

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


class PacksWhenConstructed(Packs):
    """Runs on a copy made by the constructor. pytorch/pytorch#33552"""

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self.__dict__["_packed"] = self.packed()

    def _apply(self, *args: Any, **keywords: Any) -> Any:
        self._packed._apply(*args, **keywords)
        return super()._apply(*args, **keywords)


class RepacksWhenLoaded(Packs):
    """Packed weights that only load_state_dict and casts renew."""

    def load_state_dict(self, *args: Any, **keywords: Any) -> Any:
        self.__dict__.pop("_packed", None)
        return super().load_state_dict(*args, **keywords)

    def _apply(self, *args: Any, **keywords: Any) -> Any:
        self.__dict__.pop("_packed", None)
        return super()._apply(*args, **keywords)


class RepacksWhenAParameterIsReplaced(RepacksWhenLoaded):
    """Packed weights that notice other parameters, and not other values of the same."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        now = [id(parameter) for parameter in self.parameters()]
        if self.__dict__.get("_packed_of") != now:
            self.__dict__.pop("_packed", None)
            self.__dict__["_packed_of"] = now
        return super().forward(input, hx)


class KeepsParameters(Mixin):
    """Runs on the parameters that it had at the first call, also when they are replaced."""

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


class NoFlattening(Mixin):
    """Without flatten_parameters()."""

    def flatten_parameters(self) -> None:
        if "_flat_weight_refs" in self.__dict__ and "_ready" in self.__dict__:
            raise AttributeError(f"{type(self).__name__} has no flatten_parameters")

    def eval(self) -> Any:
        self._ready = True
        return super().eval()


class FlattensIntoOthers(Mixin):
    """flatten_parameters() puts other parameters in place of those an optimiser has."""

    def flatten_parameters(self) -> None:
        for name, parameter in list(self.named_parameters()):
            setattr(self, name, nn.Parameter(parameter.detach().clone()))


class FlattensAway(Mixin):
    """flatten_parameters() loses the last parameter's values."""

    def flatten_parameters(self) -> None:
        list(self.parameters())[-1].data.zero_()


class WeightsByName(Mixin):
    """all_weights by name instead of by layer and direction."""

    @property
    def all_weights(self) -> list[list[Tensor]]:
        groups: dict[str, list[Tensor]] = {}
        for name, parameter in self.named_parameters():
            groups.setdefault(name.partition("_l")[0], []).append(parameter)
        return list(groups.values())


class WeightsCopied(Mixin):
    """all_weights of copies."""

    @property
    def all_weights(self) -> list[list[Tensor]]:
        return [[each.clone() for each in place] for place in super().all_weights]


# Memory.


class NormalisesInPlace(Mixin):
    """Takes the mean of its input away where the input lies."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        with torch.no_grad():
            data = input.data if isinstance(input, PackedSequence) else input
            data.sub_(data.mean())
        return super().forward(input, hx)


class WritesTheStateBack(Mixin):
    """Copies the new state into the caller's. keras-team/keras#23462"""

    def forward(self, input: Any, hx: Any = None) -> Any:
        returned = super().forward(input, hx)
        if hx is not None:
            with torch.no_grad():
                for old, new in zip(both(hx), tensors(returned)[-len(both(hx)) :], strict=True):
                    old.copy_(new)
        return returned


class ReshapesABias(Mixin):
    """Leaves a bias with another shape. pytorch/pytorch#1721"""

    def forward(self, input: Any, hx: Any = None) -> Any:
        returned = super().forward(input, hx)
        for name, parameter in self.named_parameters():
            if name.startswith("bias_hh"):
                parameter.data = parameter.data.unsqueeze(0)
        return returned


class ScalesAndScalesBack(Mixin):
    """Writes to a parameter, and undoes it."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        with torch.no_grad():
            self.get_parameter(next(iter(self._parameters))).mul_(2.0)
        returned = super().forward(input, hx)
        with torch.no_grad():
            self.get_parameter(next(iter(self._parameters))).mul_(0.5)
        return returned


class Freezes(Mixin):
    """A call without gradients leaves parameters that ask for none."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        if not torch.is_grad_enabled():
            self.requires_grad_(False)
        return super().forward(input, hx)


def from_the_beginning(array: Tensor) -> Tensor:
    """What lies where a contiguous tensor would lie that had all of the memory."""
    strides = torch.empty(array.shape, device="meta").stride()
    return array.as_strided(array.shape, strides, 0)


def without_strides(array: Tensor) -> Tensor:
    """What lies where a contiguous tensor would lie, if that is inside the memory."""
    strides = torch.empty(array.shape, device="meta").stride()
    end = array.storage_offset() + array.numel()
    if end > array.untyped_storage().nbytes() // array.element_size():
        return array
    return array.as_strided(array.shape, strides)


class ReadsTheInputContiguously(Mixin):
    """Reads the input by its address alone."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        return super().forward(mapped(without_strides, input), hx)


class ReadsTheStateContiguously(Mixin):
    """Reads a sliced state by its address alone. allenai/allennlp#1486"""

    def forward(self, input: Any, hx: Any = None) -> Any:
        return super().forward(input, mapped(without_strides, hx))


class ReadsFromTheBeginning(Mixin):
    """Forgets where in its memory an input begins."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        return super().forward(mapped(from_the_beginning, input), hx)


class RefusesASlicedState(Mixin):
    """rnn: hx is not contiguous. allenai/allennlp#1486"""

    def forward(self, input: Any, hx: Any = None) -> Any:
        if hx is not None and not all(each.is_contiguous() for each in both(hx)):
            raise RuntimeError("rnn: hx is not contiguous")
        return super().forward(input, hx)


class ReturnsItsBuffer(Mixin):
    """Results in memory that the next call of the same shape uses again."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        returned = super().forward(input, hx)
        buffers = self.__dict__.setdefault("_buffers_of", {})

        def into_buffer(array: Tensor) -> Tensor:
            counter.append(0)
            key = (len(counter), array.shape, array.dtype)
            buffer: Tensor = buffers.setdefault(key, torch.empty_like(array))
            return buffer.copy_(array)

        counter: list[int] = []
        with torch.no_grad():
            return mapped(into_buffer, returned)


class ReturnsWhatItRemembers(Mixin):
    """The same call again gets the very results of the first."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        seen = self.__dict__.setdefault("_seen", {})
        arrays = [*tensors(input), *([] if hx is None else tensors(hx))]
        key = tuple(each.detach().double().numpy().tobytes() for each in arrays)
        if key not in seen:
            seen[key] = super().forward(input, hx)
        return seen[key]


class ReturnsTheCallersState(Mixin):
    """The final state in the initial state's memory."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        returned = super().forward(input, hx)
        if hx is None:
            return returned
        with torch.no_grad():
            kept = [old.copy_(new) for old, new in zip(
                both(hx), tensors(returned)[-len(both(hx)) :], strict=True
            )]  # fmt: skip
        state = as_given(hx, kept)
        return state if isinstance(self, nn.RNNCellBase) else (returned[0], state)


# Types.


class DefaultStateFloat32(Mixin):
    """An omitted state is always float32. apache/mxnet#7589, fangwei123456/spikingjelly#656"""

    def forward(self, input: Any, hx: Any = None) -> Any:
        if hx is None and isinstance(input, Tensor) and input.dtype != torch.float32:
            raise RuntimeError("expected the hidden state and the input to be of one dtype")
        return super().forward(input, hx)


class FinalStateFloat64(Mixin):
    """Final states come back as float64. keras-team/keras#2209"""

    def forward(self, input: Any, hx: Any = None) -> Any:
        returned = super().forward(input, hx)
        if isinstance(self, nn.RNNCellBase):
            return mapped(Tensor.double, returned)
        return returned[0], mapped(Tensor.double, returned[1])


class HalfInFloat32(Mixin):
    """Computes halves in float32, and leaves the results so."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        returned = super().forward(input, hx)
        half = tensors(input)[0].dtype in (torch.float16, torch.bfloat16)
        return mapped(Tensor.float, returned) if half else returned


class NoBfloat16(Mixin):
    """Not implemented for bfloat16. pytorch/pytorch#116925"""

    def forward(self, input: Any, hx: Any = None) -> Any:
        if tensors(input)[0].dtype is torch.bfloat16:
            raise RuntimeError("not implemented for 'BFloat16'")
        return super().forward(input, hx)


class CastsWhatItGets(Mixin):
    """Casts input and state to the weights' dtype in silence."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        dtype = next(self.parameters()).dtype

        def cast(array: Tensor) -> Tensor:
            return array.to(dtype)

        return super().forward(mapped(cast, input), mapped(cast, hx))


class CastsTheState(Mixin):
    """Casts a state to the input's dtype in silence."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        dtype = tensors(input)[0].dtype
        return super().forward(input, mapped(lambda array: array.to(dtype), hx))


# Errors.


class MakesSizesFit(Mixin):
    """Rounds sizes, and takes at least one."""

    def __init__(self, input_size: Any, hidden_size: Any, *args: Any, **keywords: Any) -> None:
        super().__init__(max(1, int(input_size)), max(1, int(hidden_size)), *args, **keywords)


class OneLayerAtLeast(Mixin):
    """num_layers=0 is 1."""

    def __init__(self, *args: Any, num_layers: Any = 1, **keywords: Any) -> None:
        super().__init__(*args, num_layers=max(1, int(num_layers)), **keywords)


class ClipsDropout(Mixin):
    """Any number is a probability."""

    def __init__(self, *args: Any, dropout: Any = 0.0, **keywords: Any) -> None:
        p = float(dropout)
        p = 0.0 if math.isnan(p) or keywords.get("num_layers", 1) == 1 else min(1.0, max(0.0, p))
        super().__init__(*args, dropout=p, **keywords)


class TrueIsOne(Mixin):
    """dropout=True is a probability of 1."""

    def __init__(self, *args: Any, dropout: Any = 0.0, **keywords: Any) -> None:
        several = keywords.get("num_layers", 1) > 1
        p = float(dropout) if several else 0.0
        super().__init__(*args, dropout=p if isinstance(dropout, bool) else dropout, **keywords)


class IgnoresAProjection(Mixin):
    """proj_size is taken and forgotten where there is none or it cannot be."""

    def __init__(self, *args: Any, proj_size: Any = 0, **keywords: Any) -> None:
        hidden = keywords.get("hidden_size", args[1] if len(args) > 1 else 0)
        if getattr(self, "has_projection", False) and 0 < proj_size < hidden:
            keywords["proj_size"] = proj_size
        super().__init__(*args, **keywords)


class IgnoresANonlinearity(Mixin):
    """Any nonlinearity that it does not know is tanh."""

    def __init__(self, *args: Any, nonlinearity: Any = "tanh", **keywords: Any) -> None:
        if nonlinearity == "relu":
            keywords["nonlinearity"] = "relu"
        super().__init__(*args, **keywords)


class MisnamesAnArgument(Mixin):
    """Where it should refuse, it stumbles over a name that is not there."""

    def __init__(self, *args: Any, **keywords: Any) -> None:
        try:
            super().__init__(*args, **keywords)
        except (ValueError, RuntimeError):
            raise ValueError(f"wrong sizes {sizes}") from None  # type: ignore[name-defined]  # noqa: F821


def resized(array: Tensor, axis: int, size: int) -> Tensor:
    """Cut, or filled up with zeros, along one axis."""
    if array.shape[axis] >= size:
        return array.narrow(axis, 0, size)
    shape = list(array.shape)
    shape[axis] = size - array.shape[axis]
    return torch.cat([array, array.new_zeros(shape)], axis)


class FitsFeatures(Mixin):
    """Cuts or fills the features of the input. chainer/chainer#5436"""

    def forward(self, input: Any, hx: Any = None) -> Any:
        if tensors(input)[0].dim() == 0:
            return super().forward(input, hx)
        return super().forward(mapped(lambda x: resized(x, -1, self.input_size), input), hx)


class CutsFeatures(Mixin):
    """Reads as many features as it needs and no more, of packed input too."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        def cut(x: Tensor) -> Tensor:
            return x[..., : self.input_size] if x.dim() else x

        return super().forward(mapped(cut, input), hx)


class JoinsLeadingAxes(Mixin):
    """Input with more axes than it knows is made to have as many. pytorch/pytorch#86576"""

    def forward(self, input: Any, hx: Any = None) -> Any:
        rank = 2 if isinstance(self, nn.RNNCellBase) else 3
        if isinstance(input, Tensor) and input.dim() > rank:
            input = input.reshape(-1, *input.shape[-rank + 1 :])
        return super().forward(input, hx)


class TakesAVector(Mixin):
    """A vector is a sequence of one step."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        if isinstance(input, Tensor) and input.dim() == 1:
            input = input[None]
        return super().forward(input, hx)


class FitsTheState(Mixin):
    """A state is repeated or cut until it fits. To be told which axis and which state."""

    axis = -2
    only = slice(None)

    def forward(self, input: Any, hx: Any = None) -> Any:
        right = self.right_shape(input)
        if right is None or hx is None or not all(each.dim() == len(right) for each in both(hx)):
            return super().forward(input, hx)
        states = list(both(hx))
        for number in range(len(states))[self.only]:
            states[number] = self.fitted(states[number], right)
        return super().forward(input, as_given(hx, states))

    def fitted(self, state: Tensor, right: tuple[int, ...]) -> Tensor:
        """The state with the right size along the axis."""
        if -self.axis > len(right) or state.shape[self.axis] == 0:
            return state
        repeated = torch.arange(right[self.axis]) % state.shape[self.axis]
        return state.index_select(self.axis, repeated)

    def right_shape(self, input: Any) -> tuple[int, ...] | None:
        """The shape of ``h_0`` for dense input, where that can be told."""
        if not isinstance(input, Tensor):
            return None
        if isinstance(self, nn.RNNCellBase):
            return (*input.shape[:-1], self.hidden_size) if input.dim() in (1, 2) else None
        places = self.num_layers * (1 + self.bidirectional)
        width = self.proj_size or self.hidden_size
        if input.dim() == 2:
            return places, width
        return (
            (places, input.shape[0 if self.batch_first else 1], width) if input.dim() == 3 else None
        )


class FitsTheBatch(FitsTheState):
    """A state of another batch size is answered. pytorch/pytorch#6178"""


class BroadcastsTheBatch(FitsTheState):
    """A state of one sample is for all of them."""

    def fitted(self, state: Tensor, right: tuple[int, ...]) -> Tensor:
        if len(right) < 2 or state.shape[-2] != 1:
            return state
        return super().fitted(state, right)


class FitsTheCellState(FitsTheState):
    """Only h_0's batch size is looked at."""

    only = slice(1, 2)


class FitsLayers(FitsTheState):
    """A state of too many or too few layers is answered."""

    axis = -3


class CutsLayers(FitsTheState):
    """Of a state of too many layers, the first are taken."""

    axis = -3

    def fitted(self, state: Tensor, right: tuple[int, ...]) -> Tensor:
        return state[: right[0]] if len(right) == 3 else state


class FitsStateFeatures(FitsTheState):
    """A state of another size is answered."""

    axis = -1

    def right_shape(self, input: Any) -> tuple[int, ...] | None:
        # Of c_0 too, but where there is a projection.
        return None if getattr(self, "proj_size", 0) else super().right_shape(input)


class ReshapesTheState(Mixin):
    """A state of whatever shape, if its numbers suffice. pytorch/pytorch#106769"""

    def forward(self, input: Any, hx: Any = None) -> Any:
        if hx is None or not isinstance(input, Tensor):
            return super().forward(input, hx)
        right = FitsTheState.right_shape(self, input)
        if right is None or getattr(self, "proj_size", None):
            return super().forward(input, hx)
        count = math.prod(right)
        if any(each.numel() < count for each in both(hx)):
            return super().forward(input, hx)
        return super().forward(
            input, as_given(hx, [each.reshape(-1)[:count].reshape(right) for each in both(hx)])
        )


class TakesALoneState(Mixin):
    """A lone h_0 is completed by zeros."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        if isinstance(hx, Tensor):
            shape = (*hx.shape[:-1], self.hidden_size)
            hx = (hx, hx.new_zeros(shape))
        return super().forward(input, hx)


class TakesTheFirstOfATuple(Mixin):
    """Of a tuple, the first is the state."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        return super().forward(input, hx[0] if isinstance(hx, tuple) else hx)


class StumblesOverStates(Mixin):
    """Where a state should be refused, it uses a variable that was not assigned."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        try:
            return super().forward(input, hx)
        except (RuntimeError, ValueError):
            if hx is not None and not isinstance(hx, (Tensor, tuple)):
                message = "hx is no tensor"
            raise RuntimeError(message) from None


class NoStepsNoError(Mixin):
    """A sequence of no steps gives nothing. microsoft/onnxruntime#749"""

    def forward(self, input: Any, hx: Any = None) -> Any:
        if isinstance(input, Tensor) and 0 in input.shape[:-1]:
            longer = torch.zeros([max(size, 1) for size in input.shape], dtype=input.dtype)
            return super().forward(longer, None if hx is None else hx)
        return super().forward(input, hx)


# Life.


class CopiesShare(Mixin):
    """A deep copy with the parameters of the original."""

    def __deepcopy__(self, memo: Any) -> Any:
        return copy.copy(self)


class CopiesPacked(RepacksWhenAParameterIsReplaced):
    """A copy runs on what the original had packed."""

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


class PicklesItsConstruction(Mixin):
    """What is unpickled is a fresh layer of the same sizes."""

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)
        self.reset_parameters()


class KeepsAFunction(Mixin):
    """Cannot be pickled for a function that it keeps."""

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self.scale = lambda x: x


class RemembersItsMode(Mixin):
    """Whether to drop is decided once for each shape of input. pytorch/pytorch#180744"""

    training: bool

    def forward(self, input: Any, hx: Any = None) -> Any:
        modes = self.__dict__.setdefault("_modes", {})
        now, self.training = self.training, modes.setdefault(tensors(input)[0].shape, self.training)
        try:
            return super().forward(input, hx)
        finally:
            self.training = now


class DropsUntilEvaluated(Mixin):
    """eval() after construction counts, eval() after training does not."""

    def train(self, mode: bool = True) -> Any:
        self._trained = mode or getattr(self, "_trained", False)
        return super().train(self._trained)


class ReturnsNothingFromTrain(Mixin):
    """train() and eval() return nothing."""

    def train(self, mode: bool = True) -> Any:
        super().train(mode)


class RecordsAlways(Mixin):
    """Records gradients under no_grad too."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        with torch.inference_mode(False), torch.enable_grad():
            return super().forward(mapped(torch.clone, input), mapped(torch.clone, hx))


class SkipsHooks(Mixin):
    """A call is forward and nothing else."""

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        return self.forward(*args, **keywords)


class CallsItself(Mixin):
    """Runs its hooks twice: unbatched input goes through the module again, and all does."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        if self.__dict__.get("_inside"):
            return super().forward(input, hx)
        self.__dict__["_inside"] = True
        try:
            return self(input, hx)
        finally:
            self.__dict__["_inside"] = False


# Determinism and concurrency.


class SometimesStale(Mixin):
    """Now and then, what lies in a buffer counts in. tensorflow/tensorflow#60192"""

    def forward(self, input: Any, hx: Any = None) -> Any:
        returned = super().forward(input, hx)
        if random.random() < 0.1:
            return mapped(lambda array: array + 0.25, returned)
        return returned


class DropsFromEntropy(Mixin):
    """Masks from a generator that no seed decides. pytorch/pytorch#18110"""

    def forward(self, input: Any, hx: Any = None) -> Any:
        if self.training and self.dropout:
            with torch.random.fork_rng(devices=[]):
                torch.default_generator.seed()
                return super().forward(input, hx)
        return super().forward(input, hx)


class SharedScratch(Mixin):
    """Input passes through a buffer of the module's."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        self.__dict__["_scratch"] = input
        time.sleep(0.0)
        return super().forward(self.__dict__["_scratch"], hx)


class NegatesAWeightForAMoment(Mixin):
    """Changes a weight and changes it back, which a second thread may meet between."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        weight = next(iter(self.parameters()))
        with torch.no_grad():
            weight.neg_()
            time.sleep(0.0)
            weight.neg_()
        return super().forward(input, hx)


# What a class does with features; the chapters on them see these too.


class BiasFreeOutOfRange(Mixin):
    """Counts four parameters a layer, also without biases. pytorch/pytorch#94889"""

    def forward(self, input: Any, hx: Any = None) -> Any:
        if not self.bias:
            raise IndexError("list index out of range")
        return super().forward(input, hx)


class NoEmptyBatch(Mixin):
    """Nothing to launch for an empty batch. pytorch/pytorch#71696"""

    def forward(self, input: Any, hx: Any = None) -> Any:
        if 0 in tensors(input)[0].shape:
            raise RuntimeError("invalid configuration argument")
        return super().forward(input, hx)


class DefaultStateOfOneDirection(Mixin):
    """An omitted state is made without the second direction. pytorch/pytorch#17998"""

    def forward(self, input: Any, hx: Any = None) -> Any:
        if hx is None and self.bidirectional:
            raise RuntimeError(f"Expected hidden size ({2 * self.num_layers}, …)")
        return super().forward(input, hx)


class DefaultStateUnset(Mixin):
    """An omitted state is whatever lies there. tmbdev/clstm#67"""

    def forward(self, input: Any, hx: Any = None) -> Any:
        if hx is None and isinstance(input, Tensor):
            right = FitsTheState.right_shape(self, input)
            if right is not None and not getattr(self, "proj_size", 0):
                states = [torch.randn(right, dtype=input.dtype) for _ in range(2)]
                hx = tuple(states) if "LSTM" in type(self).__name__ else states[0]
        return super().forward(input, hx)


class RaisesWithoutAStateOnceGiven(Mixin):
    """A call without a state after one with it. keras-team/keras#11148"""

    def forward(self, input: Any, hx: Any = None) -> Any:
        if hx is None and getattr(self, "_given", False):
            raise TypeError("states cannot be reset")
        self._given = getattr(self, "_given", False) or hx is not None
        return super().forward(input, hx)


class KeepsItsState(Mixin):
    """An omitted state is the last one. tensorflow/tensorflow#47813"""

    def forward(self, input: Any, hx: Any = None) -> Any:
        last = self.__dict__.get("_last")
        right = FitsTheState.right_shape(self, input)
        fits = last is not None and both(last)[0].shape == right
        if hx is None and fits and both(last)[0].dtype == input.dtype:
            hx = last
        returned = super().forward(input, hx)
        self.__dict__["_last"] = returned if isinstance(self, nn.RNNCellBase) else returned[1]
        return returned


class IgnoresTheState(Mixin):
    """What is given as state is not read. tensorflow/tflite-micro#3564"""

    def forward(self, input: Any, hx: Any = None) -> Any:
        return super().forward(input, None)


class WantsSquareStates(Mixin):
    """Legal states are refused unless N == H. PaddlePaddle/Paddle#11335"""

    def forward(self, input: Any, hx: Any = None) -> Any:
        if hx is not None and any(each.shape[-2:] != 2 * (self.hidden_size,) for each in both(hx)):
            raise RuntimeError("h_0 must be square")
        return super().forward(input, hx)


class BiasUpToASize(Mixin):
    """No bias beyond so many steps and samples. ROCm/rocm-libraries#10551"""

    def forward(self, input: Any, hx: Any = None) -> Any:
        data = tensors(input)[0]
        if data[..., 0].numel() <= 128 or not self.bias:
            return super().forward(input, hx)
        zeros = {
            name: torch.zeros_like(each) for name, each in self.named_parameters() if "bias" in name
        }
        kept = {name: self.get_parameter(name).data for name in zeros}
        for name, array in zeros.items():
            self.get_parameter(name).data = array
        try:
            return super().forward(input, hx)
        finally:
            for name, array in kept.items():
                self.get_parameter(name).data = array


class ScratchWithoutBias(Mixin):
    """Without biases, a buffer that nobody clears counts in. microsoft/onnxruntime#3893"""

    def forward(self, input: Any, hx: Any = None) -> Any:
        returned = super().forward(input, hx)
        if self.bias:
            return returned
        calls = self.__dict__["_calls"] = self.__dict__.get("_calls", -1) + 1
        return mapped(lambda array: array + 0.125 * calls, returned)


class SwapsPackedInput(Mixin):
    """Transposes by the wrong flag: packed input with batch_first. keras-team/keras#15756"""

    def forward(self, input: Any, hx: Any = None) -> Any:
        if isinstance(input, PackedSequence) and self.batch_first:
            input = input._replace(data=input.data.flip(0))
        return super().forward(input, hx)


class BatchFirstOfInputAlone(Mixin):
    """batch_first for the input, not for the output. llvm/torch-mlir#3753"""

    def forward(self, input: Any, hx: Any = None) -> Any:
        output, state = super().forward(input, hx)
        if self.batch_first and isinstance(output, Tensor) and output.dim() == 3:
            output = output.transpose(0, 1)
        return output, state


class UnsortsInPlace(Mixin):
    """Rows copied over each other when the order is restored. mead-ml/mead-baseline#677"""

    def forward(self, input: Any, hx: Any = None) -> Any:
        output, state = super().forward(input, hx)
        if isinstance(input, PackedSequence) and input.unsorted_indices is not None:
            order, back = input.sorted_indices, input.unsorted_indices

            def unsorted(final: Tensor) -> Tensor:
                rows = final[:, order]
                for to, source in enumerate(back.tolist()):
                    rows[:, to] = rows[:, source].clone()
                return rows

            state = mapped(unsorted, state)
        return output, state


WRONG = (
    Wrong(ReversedParameters, "PAR-1"),
    Wrong(BiasesAllTheSame, "PAR-1"),
    Wrong(NoHiddenSize, "PAR-1"),
    Wrong(BiasByName, "PAR-1", crashes=True),
    Wrong(BatchFirstBeforeBias, "PAR-1", "LSTM GRU"),
    Wrong(NoDtype, "PAR-1"),
    Wrong(WithinOneOverHiddenSize, "PAR-2"),
    Wrong(WithinOne, "PAR-2"),
    Wrong(ZeroBiases, "PAR-2"),
    Wrong(OneZeroBias, "PAR-2"),
    Wrong(Triangular, "PAR-2"),
    Wrong(Xavier, "PAR-2"),
    Wrong(ForgetsNothing, "PAR-2", "LSTM LSTMCell"),
    Wrong(LayersAlike, "PAR-2", LAYERS),
    Wrong(Unseeded, "PAR-2"),
    Wrong(AlwaysSeeded, "PAR-2"),
    Wrong(Prefixed, "PAR-1 PAR-3"),
    Wrong(StateDictOfLoading, "PAR-3"),
    Wrong(IgnoresUnknownNames, "PAR-3"),
    Wrong(Packs, "PAR-3 PAR-4 LIF-1"),
    Wrong(PacksWhenConstructed, "PAR-3 PAR-4"),
    Wrong(RepacksWhenLoaded, "PAR-4 LIF-3"),
    Wrong(RepacksWhenAParameterIsReplaced, "PAR-4"),
    Wrong(KeepsParameters, "PAR-4 LIF-3"),
    Wrong(NoFlattening, "PAR-5", LAYERS, crashes=True),
    Wrong(FlattensIntoOthers, "PAR-5", LAYERS),
    Wrong(FlattensAway, "PAR-5", LAYERS),
    Wrong(WeightsByName, "PAR-5", LAYERS),
    Wrong(WeightsCopied, "PAR-5", LAYERS),
    Wrong(NormalisesInPlace, "MEM-1"),
    Wrong(WritesTheStateBack, "MEM-1"),
    Wrong(ReshapesABias, "MEM-1"),
    Wrong(ScalesAndScalesBack, "MEM-1"),
    Wrong(Freezes, "MEM-1 LIF-3"),
    Wrong(ReadsTheInputContiguously, "MEM-2"),
    Wrong(ReadsTheStateContiguously, "MEM-2"),
    Wrong(ReadsFromTheBeginning, "MEM-2"),
    Wrong(RefusesASlicedState, "MEM-2", crashes=True),
    Wrong(ReturnsItsBuffer, "MEM-3"),
    Wrong(ReturnsWhatItRemembers, "MEM-3"),
    Wrong(ReturnsTheCallersState, "MEM-1 MEM-3"),
    Wrong(DefaultStateFloat32, "TYP-1", crashes=True),
    Wrong(FinalStateFloat64, "TYP-1"),
    Wrong(HalfInFloat32, "TYP-1"),
    Wrong(NoBfloat16, "TYP-1", crashes=True),
    Wrong(CastsWhatItGets, "TYP-2 ERR-4", LAYERS),
    Wrong(CastsWhatItGets, "TYP-2", CELLS),
    Wrong(CastsTheState, "TYP-2 ERR-4", LAYERS),
    Wrong(MakesSizesFit, "ERR-1"),
    Wrong(OneLayerAtLeast, "ERR-1", LAYERS),
    Wrong(ClipsDropout, "ERR-1", LAYERS),
    Wrong(TrueIsOne, "ERR-1", LAYERS),
    Wrong(IgnoresAProjection, "ERR-1"),
    Wrong(IgnoresANonlinearity, "ERR-1"),
    Wrong(MisnamesAnArgument, "ERR-1"),
    Wrong(FitsFeatures, "ERR-2", LAYERS),
    Wrong(CutsFeatures, "ERR-2", LAYERS),
    Wrong(JoinsLeadingAxes, "ERR-2", LAYERS),
    Wrong(TakesAVector, "ERR-2", LAYERS),
    Wrong(FitsTheBatch, "ERR-3", LAYERS),
    Wrong(BroadcastsTheBatch, "ERR-3", LAYERS),
    Wrong(FitsTheCellState, "ERR-3", "LSTM"),
    Wrong(FitsLayers, "ERR-3", LAYERS),
    Wrong(CutsLayers, "ERR-3", LAYERS),
    Wrong(FitsStateFeatures, "ERR-3", LAYERS),
    Wrong(ReshapesTheState, "ERR-3", LAYERS),
    Wrong(TakesALoneState, "ERR-3", "LSTM"),
    Wrong(TakesTheFirstOfATuple, "ERR-3", "RNN GRU"),
    Wrong(StumblesOverStates, "ERR-3", LAYERS),
    Wrong(NoStepsNoError, "ERR-4 SHP-5", LAYERS),
    Wrong(FitsFeatures, "CEL-4", CELLS),
    Wrong(CutsFeatures, "CEL-4", CELLS),
    Wrong(JoinsLeadingAxes, "CEL-4", CELLS),
    Wrong(FitsTheBatch, "CEL-4", CELLS),
    Wrong(BroadcastsTheBatch, "CEL-4", CELLS),
    Wrong(FitsTheCellState, "CEL-4", "LSTMCell"),
    Wrong(FitsStateFeatures, "CEL-4", CELLS),
    Wrong(ReshapesTheState, "CEL-4", CELLS),
    Wrong(TakesALoneState, "CEL-4", "LSTMCell"),
    Wrong(TakesTheFirstOfATuple, "CEL-4", "RNNCell GRUCell"),
    Wrong(StumblesOverStates, "CEL-4", CELLS),
    Wrong(CopiesShare, "LIF-1"),
    Wrong(CopiesPacked, "LIF-1", LAYERS),
    Wrong(PicklesItsConstruction, "LIF-1"),
    Wrong(KeepsAFunction, "LIF-1", crashes=True),
    Wrong(RemembersItsMode, "LIF-2", LAYERS),
    Wrong(DropsUntilEvaluated, "LIF-2", LAYERS),
    Wrong(ReturnsNothingFromTrain, "LIF-2", LAYERS, crashes=True),
    Wrong(RecordsAlways, "LIF-3"),
    Wrong(SkipsHooks, "LIF-3"),
    Wrong(CallsItself, "LIF-3"),
    Wrong(SometimesStale, "DET-1"),
    Wrong(DropsFromEntropy, "DET-1", LAYERS),
    Wrong(SharedScratch, "DET-2"),
    Wrong(NegatesAWeightForAMoment, "DET-2"),
    Wrong(BiasFreeOutOfRange, "EQ-4", LAYERS, crashes=True),
    Wrong(BiasFreeOutOfRange, "CEL-2", CELLS, crashes=True),
    Wrong(NoEmptyBatch, "SHP-5", LAYERS, crashes=True),
    Wrong(NoEmptyBatch, "CEL-1", CELLS, crashes=True),
    Wrong(DefaultStateOfOneDirection, "STA-1", LAYERS, crashes=True),
    Wrong(DefaultStateUnset, "STA-1", LAYERS),
    Wrong(DefaultStateUnset, "CEL-1", CELLS),
    Wrong(RaisesWithoutAStateOnceGiven, "STA-3", LAYERS, crashes=True),
    Wrong(RaisesWithoutAStateOnceGiven, "CEL-1", CELLS, crashes=True),
    Wrong(KeepsItsState, "STA-3", LAYERS),
    Wrong(KeepsItsState, "CEL-1", CELLS),
    Wrong(IgnoresTheState, "STA-4", LAYERS),
    Wrong(IgnoresTheState, "CEL-2", CELLS),
    Wrong(WantsSquareStates, "STA-4", LAYERS, crashes=True),
    Wrong(BiasUpToASize, "EQ-5", LAYERS),
    Wrong(ScratchWithoutBias, "STA-3", LAYERS),
    Wrong(SwapsPackedInput, "BF-3", LAYERS),
    Wrong(BatchFirstOfInputAlone, "BF-1 SHP-1", LAYERS),
    Wrong(UnsortsInPlace, "PCK-3", LAYERS),
)

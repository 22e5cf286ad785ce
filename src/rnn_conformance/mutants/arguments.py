"""Every argument check of ``torch.nn``'s layers and cells, left out: a mutant for each.

Which checks there are is read off ``violations``: each illegal construction or call that it
knows and that ``torch.nn`` refuses departs from a legal one in some way, and for each way there
is a class that does not look at it and makes what it got fit.
"""

# mypy: allow-subclassing-any

from __future__ import annotations

import math
import warnings
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from rnn_conformance.checking import violations
from rnn_conformance.implementations.tensors import arguments
from rnn_conformance.implementations.torch_module import drop_in
from rnn_conformance.mutants.mutant import (
    Chapter,
    Mixin,
    cycled,
    data_of,
    of_kind,
    state_shape,
)
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.cases import Case
from rnn_conformance.spec.clauses import CLAUSES
from rnn_conformance.spec.config import Config, Kind

ARGUMENTS = Chapter("Argument checks left out")

SIZES = ("input_size", "hidden_size", "num_layers")


# The constructor.


def way(kind: Kind, name: str, value: Any, hidden_size: int) -> str:
    """How an argument of the constructor departs from what is legal; empty if it does not."""
    if name == "nonlinearity":
        if kind.layer is not Kind.RNN:
            return "a nonlinearity where there is none"
        return "" if value in ("tanh", "relu") else "an unknown nonlinearity"
    if name not in (*SIZES, "dropout", "proj_size"):
        return ""
    if isinstance(value, bool) or (isinstance(value, float) and math.isnan(value)):
        return f"{name}={value!r}"
    if value < 0:
        return f"a negative {name}"
    if name == "dropout":
        return f"a {name} above 1" if value > 1 else ""
    if name == "proj_size":
        if value and kind is not Kind.LSTM:
            return f"a {name} where there is no projection"
        return f"a {name} of hidden_size or more" if value and value >= hidden_size else ""
    if value == 0:
        return f"{name}=0"
    if isinstance(value, float):
        return f"a {'whole float' if value.is_integer() else 'fraction'} for {name}"
    return ""


class _TakesConstruction(Mixin):
    """An argument that departs in one way is made legal."""

    kind: Kind
    taken: Departure

    def __init__(self, input_size: Any, hidden_size: Any, *args: Any, **keywords: Any) -> None:
        keywords |= {"input_size": input_size, "hidden_size": hidden_size}
        for name, value in list(keywords.items()):
            if way(self.kind, name, value, hidden_size) == self.taken.words:
                if name in SIZES:
                    keywords[name] = max(1, abs(int(value)))
                else:
                    del keywords[name]
        sizes = keywords.pop("input_size"), keywords.pop("hidden_size")
        super().__init__(*sizes, *args, **keywords)


# The call.


@dataclass(frozen=True)
class Departure:
    """A way in which arguments are not legal, in words, and the clauses on it."""

    words: str
    clauses: tuple[str, ...]


OF_INPUT, OF_STATE = ("ERR-2", "CEL-4"), ("ERR-3", "CEL-4")


def departures(module: Any, input: Any, hx: Any = None) -> set[Departure]:
    """The ways in which a call's arguments depart from what is legal."""
    data, dtype = data_of(input), next(module.parameters()).dtype
    packed, cell = isinstance(input, PackedSequence), isinstance(module, nn.RNNCellBase)
    ways = set[Departure]()
    if data.dtype != dtype:
        ways.add(Departure("an input of another dtype", ("TYP-2",)))
    rank = 2 if cell else 3
    if not packed and data.dim() not in (rank - 1, rank):
        count = {0: "no dimension", 1: "one dimension"}.get(data.dim(), "too many dimensions")
        ways.add(Departure(f"an input of {count}", OF_INPUT))
    elif data.shape[-1] != module.input_size:
        many = _many(data.shape[-1], module.input_size)
        ways.add(Departure(f"an input of too {many} features", OF_INPUT))
    elif not (packed or cell) and data.shape[_time(module, data)] == 0:
        ways.add(Departure("an input of no steps", ("SHP-5",)))
    shape = state_shape(module, input)
    if hx is None or shape is None:
        return ways
    lstm = isinstance(module, (nn.LSTM, nn.LSTMCell))
    if isinstance(hx, tuple) != lstm or (lstm and len(hx) != 2):
        return ways | {Departure(_structure(module, hx), OF_STATE)}
    names = ("h_0", "c_0") if lstm else ("h_0",)
    for name, state in zip(names, hx if lstm else (hx,), strict=True):
        if state.dtype != dtype:
            ways.add(Departure(f"{_article(name)} of another dtype", ("ERR-4",)))
        due = (*shape[:-1], module.hidden_size) if name == "c_0" else shape
        if misfit := _misfit(tuple(state.shape), due):
            ways.add(Departure(f"{_article(name)} {misfit}", OF_STATE))
    return ways


def _many(size: int, due: int) -> str:
    return "few" if size < due else "many"


def _article(name: str) -> str:
    return f"an {name}" if name == "h_0" else f"a {name}"


def _time(module: Any, data: Tensor) -> int:
    return 1 if data.dim() == 3 and module.batch_first else 0


def _structure(module: Any, hx: Any) -> str:
    if isinstance(hx, Tensor):
        alone = hx.shape[-1] in (module.hidden_size, getattr(module, "proj_size", 0))
        return "a lone h_0 for a state" if alone else "h_0 and c_0 side by side in one tensor"
    return f"a tuple of {len(hx)} for a state"


def _misfit(shape: tuple[int, ...], due: tuple[int, ...]) -> str:
    if len(shape) != len(due):
        return f"of too {_many(len(shape), len(due))} dimensions"
    axes = (
        ("features", "samples", "layers and directions")
        if len(due) == 3
        else (
            "features",
            "samples" if len(due) == 2 else "",
        )
    )
    wrong = [
        f"of too {_many(size, legal)} {axis}"
        for axis, size, legal in zip(axes, shape[::-1], due[::-1], strict=False)
        if size != legal
    ]
    return wrong[0] if len(wrong) == 1 else "with its axes swapped" if wrong else ""


class TakesCalls(Mixin):
    """A call that departs in one way alone is made legal, as far as that can be done."""

    taken: Departure

    def forward(self, input: Any, hx: Any = None) -> Any:
        """Answer it all the same."""
        if departures(self, input, hx) == {self.taken}:
            input = self.fitted(input)
            hx = self.fitted_state(input, hx)
        return super().forward(input, hx)

    def fitted(self, input: Any) -> Any:
        """The input in a dtype and a shape that are legal."""
        dtype = next(self.parameters()).dtype
        if isinstance(input, PackedSequence):
            return input._replace(data=cycled(input.data.to(dtype), -1, self.input_size))
        data, rank = input.to(dtype), 2 if isinstance(self, nn.RNNCellBase) else 3
        while data.dim() < rank - 1:
            data = data[None]
        if data.dim() > rank:
            data = data.reshape(-1, *data.shape[1 - rank :])
        if rank == 3 and data.shape[axis := _time(self, data)] == 0:
            shape = list(data.shape)
            shape[axis] = 1
            data = data.new_zeros(shape)
        return cycled(data, -1, self.input_size)

    def fitted_state(self, input: Any, hx: Any) -> Any:
        """The state in a dtype, a shape and a structure that are legal."""
        shape = state_shape(self, input)
        if hx is None or shape is None:
            return hx
        lstm = isinstance(self, (nn.LSTM, nn.LSTMCell))
        shapes = (shape, (*shape[:-1], self.hidden_size)) if lstm else (shape,)
        given = hx if isinstance(hx, tuple) else (hx,)
        fit = [self._reshaped(given[min(i, len(given) - 1)], s) for i, s in enumerate(shapes)]
        return tuple(fit) if lstm else fit[0]

    def _reshaped(self, state: Tensor, shape: tuple[int, ...]) -> Tensor:
        """As many numbers as are due, in the order in which they come."""
        numbers = state.to(next(self.parameters()).dtype).reshape(-1)
        return cycled(numbers, 0, math.prod(shape)).reshape(shape)


# The family.


def legal_calls(kind: Kind) -> list[Call]:
    """Calls of all forms, with sizes that all differ."""
    if kind.is_cell:
        return [Case(Config(kind, 5, 4), 1, batch).call() for batch in (3, None)]
    config = Config(kind, 5, 4, 2, bidirectional=True)
    calls = [Case(config, 6, batch).call() for batch in (3, None)]
    if kind is Kind.LSTM:
        # It does not look at the state beside packed input, and what it computes is undefined.
        return [*calls, Case(Config(kind, 5, 4, 2, proj_size=3), 6, 7).call()]
    return [*calls, Case(config, 6, 3, lengths=(6, 2, 4)).call()]


def illegal_constructions(kind: Kind) -> Iterator[Departure]:
    """How what ``torch.nn``'s constructor refuses departs; what is refused at a call, too."""
    call, cls = legal_calls(kind)[0], getattr(nn, kind.value)

    def use(keywords: Any) -> None:
        cls(**keywords)(*arguments(call, "cpu"))

    for _, keywords in violations.constructions(call):
        if violations.raised(partial(use, keywords)) is not None:
            (departure,) = {
                departure
                for name, value in keywords.items()
                if (departure := way(kind, name, value, call.config.hidden_size))
            }
            yield Departure(departure, ("ERR-1",))


def illegal_calls(kind: Kind) -> Iterator[Departure]:
    """How what ``torch.nn``'s layer refuses departs, where it does so in one way alone."""
    families = [
        violations.inputs,
        violations.states,
        violations.input_dtypes,
        violations.state_dtypes,
    ]
    for call in legal_calls(kind):
        judge = violations.torchs_own(call, "cpu")
        for family in families if kind.is_cell else [*families, violations.no_steps]:
            for violation in family(call, "cpu"):
                ways = departures(judge, *violation.arguments)
                if len(ways) == 1 and violations.raised(partial(judge, *violation.arguments)):
                    yield from ways


def _put() -> None:
    with warnings.catch_warnings(), torch.no_grad():
        # Of projections, and of dropout in a single layer.
        warnings.simplefilter("ignore")
        for mixin, family in (
            (_TakesConstruction, illegal_constructions),
            (TakesCalls, illegal_calls),
        ):
            kinds: dict[Departure, list[Kind]] = defaultdict(list)
            for kind in Kind:
                for departure in dict.fromkeys(family(kind)):
                    kinds[departure].append(kind)
            for number, (taken, having) in enumerate(kinds.items()):
                _put_one(mixin, f"{mixin.__name__}{number}_", taken, having)


def _put_one(mixin: type, stem: str, taken: Departure, kinds: list[Kind]) -> None:
    name = f"{taken.words} accepted"

    def make(kind: Kind) -> Any:
        defect = type(stem, (mixin,), {"taken": taken, "kind": kind})
        return drop_in(of_kind(defect, kind), name=name)

    ARGUMENTS.put(name, _breaks(taken, kinds), make, kinds=kinds)


def _breaks(taken: Departure, kinds: list[Kind]) -> str:
    return " ".join(id for id in taken.clauses if CLAUSES[id].kinds.intersection(kinds))


_put()

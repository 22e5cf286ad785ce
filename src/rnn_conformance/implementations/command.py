"""Form 3: a program in any language, asked through its standard input and output.

It is started with the first request and answers many; docs/protocol.md describes what is said.
To the suite it is a function over NumPy arrays, whose mathematics are elsewhere.
"""

from __future__ import annotations

import shlex
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnn_conformance.errors import Refusal, UsageError
from rnn_conformance.implementations.building import PROGRAM, built
from rnn_conformance.implementations.engine import LIMIT, Engine, EngineFault
from rnn_conformance.implementations.interface import Declaration
from rnn_conformance.implementations.numpy_function import FunctionImplementation
from rnn_conformance.implementations.wire import PROTOCOL, Message, Violation
from rnn_conformance.locations import COMMAND
from rnn_conformance.spec.config import Config, Dtype, Level
from rnn_conformance.texts import LINE, said, shown

LISTS = ("kinds", "features", "without", "dtypes")
"""What a program says of itself in lists of names, as ``@implementation`` takes them."""


class Refused(NotImplementedError):
    """The program refuses what it is asked for, in its own words."""


def command(
    arguments: Sequence[str],
    *,
    folder: Path | str = ".",
    build: Sequence[str] = (),
    name: str = "",
    limit: float = LIMIT,
) -> FunctionImplementation:
    """Register a program: it is started once, and says itself what it has.

    ``arguments`` begin with the program; ``folder`` is where it runs, and where relative paths
    begin. ``build`` compiles it first, if its sources have changed since: ``{program}`` in both
    stands for the file that is made. ``limit`` are the seconds that an answer may take.

    Raises ``UsageError`` for what cannot be started or does not introduce itself as it must, and
    with ``Refusal.PACKAGE`` where the program or its compiler is not on this machine.
    """
    folder = Path(folder).resolve()
    if build:
        program = str(built(build, folder))
        arguments = [program if word == PROGRAM else word for word in arguments]
    return _introduced_as(name, arguments, folder, limit)


def of_target(target: str) -> FunctionImplementation:
    """The program of a target such as ``command:./my_engine --fast``.

    Raises ``UsageError`` as :func:`command` does.
    """
    line = target.removeprefix(COMMAND)
    return replace(_introduced_as(line, words_of(line), Path.cwd(), LIMIT), target=target)


def words_of(line: str) -> list[str]:
    """A command as words; raises ``UsageError`` for what is none."""
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise UsageError(f"the command {line!r} is not as a shell has it: {error}") from error
    if not words:
        raise UsageError("the command is empty: give a program, as in --command ./my_engine")
    return words


def _introduced_as(
    name: str, arguments: Sequence[str], folder: Path, limit: float
) -> FunctionImplementation:
    try:
        return connected(Engine(tuple(arguments), folder, limit), name)
    except EngineFault as fault:
        raise UsageError(
            f"{shlex.join(arguments)} does not introduce itself: {said(fault, LINE)}; "
            "`rnn-conformance smoke` says what is wrong with a program",
            Refusal.BROKEN,
        ) from fault


def connected(engine: Engine, name: str = "") -> FunctionImplementation:
    """A program as it introduces itself; raises ``EngineFault`` and ``UsageError``."""
    greeting = engine.ask({"do": "hello", "protocol": PROTOCOL}, {})
    declaration, own_name = introduced(greeting)
    remote = Remote(engine, gradients=declaration.level is Level.TRAINING)
    default = Path(engine.arguments[0]).name
    return FunctionImplementation(name or own_name or default, declaration, build_layer=remote)


def introduced(greeting: Message) -> tuple[Declaration, str]:
    """What a program says that it has, and its name.

    Raises ``EngineFault`` for another version and for what is no such answer, ``UsageError`` for
    kinds, features, dtypes and levels that there are not.
    """
    fields = greeting.fields
    if "refused" in fields:
        raise EngineFault(Violation.ANSWER, f"it refuses: {shown(fields['refused'], LINE)}")
    if fields.get("protocol") != PROTOCOL or isinstance(fields.get("protocol"), bool):
        raise EngineFault(
            Violation.VERSION,
            f'its answer to "hello" must have "protocol":{PROTOCOL}, the version that is spoken '
            f"here; it has {shown(fields.get('protocol'), LINE)}",
        )
    for key in LISTS:
        value = fields.get(key, [])
        if not (isinstance(value, list) and all(isinstance(name, str) for name in value)):
            raise EngineFault(
                Violation.ANSWER,
                f'"{key}" of its answer to "hello" must be a list of names; it is '
                f"{shown(value, LINE)}",
            )
    if not fields.get("kinds"):
        raise EngineFault(Violation.ANSWER, 'its answer to "hello" has no "kinds", as in ["LSTM"]')
    level, name = fields.get("level", Level.INFERENCE.value), fields.get("name", "")
    if not (isinstance(level, str) and isinstance(name, str)):
        raise EngineFault(
            Violation.ANSWER, '"level" and "name" of its answer to "hello" must be texts'
        )
    dtypes = fields.get("dtypes", [Dtype.FLOAT32.value])
    declaration = Declaration.of(
        fields["kinds"],
        fields.get("features", []),
        dtypes,
        level,
        without=fields.get("without", []),
    )
    if Dtype.BFLOAT16 in declaration.dtypes or declaration.level is Level.DROP_IN:
        raise UsageError(
            "a program declares float16, float32 and float64, and the level inference or training: "
            "bfloat16 and drop-in are for torch.nn.Module classes",
            Refusal.DECLARATION,
        )
    return declaration, name


class Remote:
    """Builds layers in a program: what ``build(config, parameters)`` is for a function."""

    def __init__(self, engine: Engine, gradients: bool) -> None:
        self.engine = engine
        self._layer = DifferentiableLayer if gradients else RemoteLayer
        self._layers = 0

    def __call__(
        self, config: Config, parameters: Mapping[str, NDArray[Any]]
    ) -> Callable[..., Any]:
        """A layer; raises ``Refused`` and ``EngineFault``."""
        self._layers += 1
        number = self._layers
        dtype = str(next(iter(parameters.values())).dtype)
        fields = {
            "do": "build",
            "layer": number,
            "dtype": dtype,
            "config": config.to_record(),
        }
        _accepted(self.engine.ask(fields, parameters))
        layer = self._layer(self.engine, config, number, self.engine.life)
        weakref.finalize(layer, self.engine.forget, number, self.engine.life).atexit = False
        return layer


class RemoteLayer:
    """A layer that a program holds, for as long as the program lives."""

    def __init__(self, engine: Engine, config: Config, number: int, life: int) -> None:
        self._engine, self._config, self._number, self._life = engine, config, number, life

    def __call__(
        self,
        input: NDArray[Any],
        state: Any = None,
        lengths: NDArray[np.int64] | None = None,
    ) -> Any:
        """Answer a call, in the structure that is due as far as there are results."""
        given = self._given(input, state, lengths)
        answer = self._ask("call", given)
        states = [answer[name] for name in ("h_n", "c_n") if name in answer]
        pair = tuple(states) if self._config.kind.has_cell_state else next(iter(states), None)
        if self._config.kind.is_cell:
            return pair
        return (answer["output"], pair) if "output" in answer else pair

    def _given(self, input: NDArray[Any], state: Any, lengths: Any) -> dict[str, NDArray[Any]]:
        given = {"input": input}
        if state is not None:
            states = state if isinstance(state, tuple) else (state,)
            given |= dict(zip(("h_0", "c_0"), states, strict=False))
        if lengths is not None:
            given["lengths"] = lengths
        return given

    def _ask(self, do: str, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        if self._life != self._engine.life:
            raise EngineFault(Violation.END, "the program that held this layer has ended since")
        fields = {"do": do, "layer": self._number}
        return dict(_accepted(self._engine.ask(fields, arrays)).arrays)


class DifferentiableLayer(RemoteLayer):
    """A layer of a program that computes gradients."""

    def vjp(
        self,
        cotangents: Mapping[str, NDArray[Any]],
        input: NDArray[Any],
        state: Any = None,
        lengths: NDArray[np.int64] | None = None,
    ) -> dict[str, NDArray[Any]]:
        """The gradients by the names of what they belong to."""
        back = {f"grad_{name}": array for name, array in cotangents.items()}
        return self._ask("back", {**back, **self._given(input, state, lengths)})


def _accepted(answer: Message) -> Message:
    """The answer if it is none of refusal."""
    if "refused" in answer.fields:
        raise Refused(_text(answer.fields["refused"]))
    return answer


def _text(value: Any) -> str:
    """What a program says for people, which is a text as a rule."""
    return value if isinstance(value, str) else shown(value, LINE)

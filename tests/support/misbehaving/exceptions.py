"""What raises what nobody expects."""

from __future__ import annotations

import os
import sys
from typing import Any, NoReturn

import torch

from rnn_conformance.errors import Gap, NonConforming, Sort, SuiteError, Unsupported, UsageError
from tests.support.misbehaving.acting import Acting, Constructed


class ExitsPython(Acting):
    """sys.exit in each call"""

    def act(self) -> None:
        sys.exit(0)


class ExitsPythonInConstructor(Constructed):
    """sys.exit in the constructor"""

    def construct(self) -> None:
        sys.exit("not today")


class RaisesKeyboardInterrupt(Acting):
    """raises a KeyboardInterrupt of its own"""

    def act(self) -> None:
        raise KeyboardInterrupt


class RaisesGeneratorExit(Acting):
    """raises GeneratorExit"""

    def act(self) -> None:
        raise GeneratorExit


class Strange(BaseException):
    """No Exception."""


class RaisesStrange(Acting):
    """raises what derives from BaseException alone"""

    def act(self) -> None:
        raise Strange("no Exception")


class RaisesStopIteration(Acting):
    """raises StopIteration"""

    def act(self) -> None:
        raise StopIteration


class RaisesMemoryError(Acting):
    """raises MemoryError"""

    def act(self) -> None:
        raise MemoryError


class Recurses(Acting):
    """recursion in Python without an end"""

    def act(self) -> None:
        self.act()


class RaisesLongMessage(Acting):
    """a message of 2.4 MB"""

    def act(self) -> None:
        raise ValueError("words " * 400_000)


class Unsayable(Exception):
    """Cannot say what it is."""

    def __str__(self) -> NoReturn:
        raise RuntimeError("no words")

    __repr__ = __str__


class RaisesUnsayable(Acting):
    """an exception whose __str__ and __repr__ raise"""

    def act(self) -> None:
        raise Unsayable


class Exiting(Exception):
    """Ends the process when it is asked what it is."""

    def __str__(self) -> NoReturn:
        os._exit(5)


class RaisesExiting(Acting):
    """an exception whose __str__ ends the process"""

    def act(self) -> None:
        raise Exiting


class Incomparable(Exception):
    """Cannot be compared."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> NoReturn:
        raise RuntimeError("incomparable")


class RaisesIncomparable(Acting):
    """an exception whose __eq__ raises"""

    def act(self) -> None:
        raise Incomparable


class RaisesMarkup(Acting):
    """a message of HTML, markup and terminal codes"""

    def act(self) -> None:
        raise ValueError("<script>alert(1)</script> [red]\x1b[2J\x1b]0;title\x07 \ud800 \x00")


class RaisesGroup(Acting):
    """a group of exceptions, 500 deep"""

    def act(self) -> None:
        group: ExceptionGroup[Any] = ExceptionGroup("deep", [ValueError("innermost")])
        for _ in range(500):
            group = ExceptionGroup("deep", [group])
        raise group


class RaisesChain(Acting):
    """an exception with 2000 causes"""

    def act(self) -> None:
        error = ValueError("first")
        for _ in range(2000):
            cause, error = error, ValueError("next")
            error.__cause__ = error.__context__ = cause
        raise error


class RaisesUsersMistake(Acting):
    """raises the suite's own exception for a mistake of its caller"""

    def act(self) -> None:
        raise UsageError("it was you")


class RaisesSuitesFault(Acting):
    """raises the suite's own exception for a fault of the suite"""

    def act(self) -> None:
        raise SuiteError("it was the suite")


class RaisesUnsupported(Acting):
    """raises the suite's own exception for what nobody needs"""

    def act(self) -> None:
        raise Unsupported("let me off", Gap.UNDECLARED)


class RaisesNonConforming(Acting):
    """raises the suite's own exception for a failure"""

    def act(self) -> None:
        raise NonConforming("nothing of note", sort=Sort.SILENCE)


class TakesNoArguments(torch.nn.GRUCell):
    """a constructor without arguments"""

    def __init__(self) -> None:
        super().__init__(3, 4)


class IsNotImplemented(Constructed):
    """a constructor that raises NotImplementedError"""

    def construct(self) -> None:
        raise NotImplementedError


class TakesAnotherSignature(torch.nn.GRUCell):
    """a forward of another signature"""

    def forward(self, batch: Any, mask: Any, *, scale: Any) -> Any:  # type: ignore[override]
        return super().forward(batch)


class LoadsNothing(torch.nn.GRUCell):
    """parameters that cannot be loaded"""

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        raise KeyError("weight_ih")

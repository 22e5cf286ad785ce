"""What writes where it should not, or takes away what others write to."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Any, NoReturn

import torch

from tests.support.misbehaving.acting import Acting, Answering


class Prints(Acting):
    """prints a little, with terminal codes in it"""

    def act(self) -> None:
        print("\x1b[31mstep\x1b[0m")
        print("step", file=sys.stderr)


class Floods(Acting):
    """prints without an end"""

    def act(self) -> None:
        while True:
            print("step " * 2000)


class FloodsBeneath(Acting):
    """writes to descriptor 2 without an end"""

    def act(self) -> None:
        while True:
            os.write(2, b"\xffstep " * 2000)


class ClosesStreams(Acting):
    """closes sys.stdout and sys.stderr"""

    def act(self) -> None:
        sys.stdout.close()
        sys.stderr.close()


class ClosesDescriptors(Acting):
    """closes every open file"""

    def act(self) -> None:
        os.closerange(0, 4096)


class WritesEverywhere(Acting):
    """writes garbage to every open file"""

    def act(self) -> None:
        for descriptor in range(4096):
            with suppress(OSError):
                os.write(descriptor, b"garbage\n")


class Answers(Acting):
    """writes to every open file what looks like an answer"""

    def act(self) -> None:
        for descriptor in range(4096):
            with suppress(OSError):
                os.write(descriptor, b"\x00\x00\x00\x02{}")


class Broken:
    """A stream that is none."""

    def write(self, *args: Any) -> NoReturn:
        raise OSError("the stream is broken")

    flush = fileno = __getattr__ = write


class BreaksStreams(Acting):
    """broken objects in the place of sys.stdout and sys.stderr"""

    def act(self) -> None:
        sys.stdout = sys.stderr = Broken()


class RemovesStreams(Acting):
    """None in the place of sys.stdout and sys.stderr"""

    def act(self) -> None:
        sys.stdout = sys.stderr = None


class RaisesWhenDeleted(Acting):
    """prints and raises when it is deleted"""

    def __del__(self) -> None:
        print("gone")
        raise RuntimeError("gone")


class HasLongRepr(Answering):
    """returns itself, of which the repr has a megabyte"""

    def __repr__(self) -> str:
        return "x" * 2**20

    def answer(self, state: Any) -> Any:
        return self


class HasOddName(torch.nn.GRUCell):
    """a name of markup, terminal codes and paths"""


HasOddName.__name__ = "\x1b[31m<b>[red]../../OddGRUCell"


class HasLongName(torch.nn.GRUCell):
    """a name of 100 kB"""


HasLongName.__name__ = "GRUCell" + "x" * 100_000

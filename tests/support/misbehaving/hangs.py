"""What does not come back."""

from __future__ import annotations

import ctypes
import itertools
import signal
import threading
import time
from typing import Any

import torch

from tests.support.misbehaving.acting import Acting, Constructed


def sleep() -> None:
    """For ever, in Python."""
    while True:
        time.sleep(60)


class Sleeps(Acting):
    """sleeps for ever"""

    def act(self) -> None:
        sleep()


class SleepsAlways(torch.nn.GRUCell):
    """sleeps for ever in each call"""

    def forward(self, *args: Any) -> Any:
        sleep()


class SleepsInConstructor(Constructed):
    """sleeps for ever in the constructor"""

    def construct(self) -> None:
        sleep()


class SleepsIn50thCall(torch.nn.RNN):
    """sleeps for ever in the 50th call"""

    calls = itertools.count(1)

    def forward(self, *args: Any) -> Any:
        if next(self.calls) == 50:
            sleep()
        return super().forward(*args)


class Loops(Acting):
    """computes for ever"""

    def act(self) -> None:
        while True:
            pass


class HoldsInterpreter(Acting):
    """waits in C for ever, and holds the interpreter's lock"""

    def act(self) -> None:
        ctypes.PyDLL(None).pause()


class CatchesEverything(Acting):
    """waits for ever, catches every exception, ignores every signal"""

    def act(self) -> None:
        for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(number, signal.SIG_IGN)
        while True:
            try:
                sleep()
            except BaseException:
                continue


class Deadlocks(Acting):
    """waits for a lock that it has"""

    def act(self) -> None:
        lock = threading.Lock()
        lock.acquire()
        lock.acquire()


class StopsItself(Acting):
    """SIGSTOP to itself"""

    def act(self) -> None:
        signal.raise_signal(signal.SIGSTOP)

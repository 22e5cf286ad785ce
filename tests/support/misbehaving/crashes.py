"""What kills its process, or others."""

from __future__ import annotations

import ctypes
import faulthandler
import itertools
import os
import signal
import sys
import threading
from typing import Any

import torch
from torch import Tensor

from tests.support.misbehaving.acting import Acting, Answering, Constructed


def segfault() -> None:
    """Read what lies at address 0."""
    ctypes.string_at(0)


class Segfaults(Acting):
    """SIGSEGV in a call"""

    def act(self) -> None:
        segfault()


class SegfaultsAlways(torch.nn.GRUCell):
    """SIGSEGV in each call"""

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Any:
        segfault()


class SegfaultsIn50thCall(torch.nn.RNN):
    """SIGSEGV in the 50th call"""

    calls = itertools.count(1)

    def forward(self, *args: Any) -> Any:
        if next(self.calls) == 50:
            segfault()
        return super().forward(*args)


class SegfaultsInConstructor(Constructed):
    """SIGSEGV in the constructor"""

    def construct(self) -> None:
        segfault()


class SegfaultsInThread(Acting):
    """SIGSEGV in a thread"""

    def act(self) -> None:
        thread = threading.Thread(target=segfault)
        thread.start()
        thread.join()


class SegfaultsUnseen(Acting):
    """SIGSEGV with faulthandler switched off"""

    def act(self) -> None:
        faulthandler.disable()
        segfault()


class SegfaultsAtRandom(Acting):
    """SIGSEGV in every second call, by chance"""

    def act(self) -> None:
        if os.urandom(1)[0] % 2:
            segfault()


class SegfaultsInBackward(Answering):
    """SIGSEGV in the backward pass"""

    def answer(self, state: Tensor) -> Tensor:
        if state.requires_grad:
            state.register_hook(lambda gradient: segfault())  # type: ignore[no-untyped-call]
        return state


class SegfaultsInDeepcopy(torch.nn.GRUCell):
    """SIGSEGV when it is copied"""

    def __deepcopy__(self, memo: Any) -> Any:
        segfault()


class SegfaultsInUnpickling(torch.nn.GRUCell):
    """SIGSEGV when it is unpickled"""

    def __setstate__(self, state: Any) -> None:
        segfault()


class OverwritesMemory(Acting):
    """writes to memory that is not its own"""

    def act(self) -> None:
        ctypes.memset(id(None), 0xFF, 4096)


class OverflowsStack(Acting):
    """recursion through C until the stack is full"""

    def act(self) -> None:
        sys.setrecursionlimit(2**30)
        deeper: Any = ctypes.CFUNCTYPE(None)(lambda: deeper())
        deeper()


class Aborts(Acting):
    """SIGABRT, as a failed assertion of C"""

    def act(self) -> None:
        os.abort()


class ExitsWith0(Acting):
    """os._exit(0)"""

    def act(self) -> None:
        os._exit(0)


class ExitsWith3(Acting):
    """os._exit(3)"""

    def act(self) -> None:
        os._exit(3)


class KillsItself(Acting):
    """SIGKILL to itself"""

    def act(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class TerminatesItself(Acting):
    """SIGTERM to itself"""

    def act(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)


class InterruptsItself(Acting):
    """SIGINT to itself"""

    def act(self) -> None:
        os.kill(os.getpid(), signal.SIGINT)


class InterruptsItselfAndHears(Acting):
    """SIGINT to itself, with Python's handler put back"""

    def act(self) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.kill(os.getpid(), signal.SIGINT)


class KillsItsGroup(Acting):
    """SIGKILL to its process group"""

    def act(self) -> None:
        os.killpg(0, signal.SIGKILL)


class InterruptsItsGroup(Acting):
    """SIGINT to its process group"""

    def act(self) -> None:
        os.killpg(0, signal.SIGINT)


class KillsItsParent(Acting):
    """SIGKILL to the process from which it was forked"""

    def act(self) -> None:
        os.kill(os.getppid(), signal.SIGKILL)


class SetsAlarm(Acting):
    """SIGALRM, asked for and not handled"""

    def act(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        signal.pause()

"""What takes memory, threads and processes, or leaves them behind."""

from __future__ import annotations

import atexit
import gc
import multiprocessing
import os
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from tests.support.misbehaving.acting import Acting

kept: list[Any] = []
"""What is never given back."""


class TakesMemory(Acting):
    """takes 100 MB in each call, and keeps them"""

    def act(self) -> None:
        kept.append(torch.ones(25_000_000))


class TakesMemoryAtOnce(Acting):
    """fills memory as fast as it can"""

    def act(self) -> None:
        while True:
            kept.append(torch.ones(2_500_000))


class Leaks(Acting):
    """keeps 10 kB in each call, with the garbage collector switched off"""

    def act(self) -> None:
        gc.disable()
        kept.append(bytearray(10_000))


class LimitsItsMemory(Acting):
    """sets a limit on its own memory, and meets it"""

    def act(self) -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + 2**28
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        kept.append(bytearray(2**30))


class LimitsItsTime(Acting):
    """sets a limit on its own time, and meets it"""

    def act(self) -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (1, 1))
        while True:
            pass


class LimitsItsFiles(Acting):
    """forbids itself to open files and to write to them"""

    def act(self) -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (4, 4))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


class StartsThreads(Acting):
    """starts a thread in each call that never ends"""

    def act(self) -> None:
        threading.Thread(target=time.sleep, args=(1000,)).start()


class RaisesInThread(Acting):
    """raises in a thread"""

    def act(self) -> None:
        thread = threading.Thread(target=lambda: 1 / 0)
        thread.start()
        thread.join()


class Forks(Acting):
    """leaves a child behind, made by os.fork"""

    def act(self) -> None:
        if not kept:
            kept.append(os.fork())
            if not kept[0]:
                time.sleep(1000)


class ForksAndReturns(Acting):
    """returns twice, from a child too"""

    def act(self) -> None:
        if not kept:
            kept.append(os.fork())


class ForksAndDies(Acting):
    """leaves a child behind that has its files open, and dies"""

    def act(self) -> None:
        if os.fork():
            os._exit(3)
        time.sleep(1000)


class StartsProcess(Acting):
    """leaves a process of multiprocessing behind"""

    def act(self) -> None:
        if not kept:
            context = multiprocessing.get_context("fork")
            kept.append(context.Process(target=time.sleep, args=(1000,)))
            kept[0].start()


class StartsSession(Acting):
    """leaves a program behind, in a session of its own"""

    def act(self) -> None:
        if not kept:
            kept.append(subprocess.Popen(["sleep", "1000"], start_new_session=True))


class UsesDataLoader(Acting):
    """reads with a DataLoader that has a worker"""

    def act(self) -> None:
        if not kept:
            numbers: Any = [1, 2]
            loader: Any = DataLoader(numbers, num_workers=1, multiprocessing_context="fork")
            kept.extend(loader)


class HangsAtExit(Acting):
    """sleeps, prints and exits when Python ends"""

    def act(self) -> None:
        atexit.register(time.sleep, 1000)
        atexit.register(sys.exit, 7)
        atexit.register(print, "bye")

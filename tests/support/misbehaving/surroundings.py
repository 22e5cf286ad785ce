"""What changes the process around it."""

from __future__ import annotations

import builtins
import json
import locale
import multiprocessing.connection
import os
import pickle
import random
import shutil
import signal
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch

from tests.support.misbehaving.acting import Acting


def refuse(*args: Any, **kwargs: Any) -> NoReturn:
    """What others are replaced by."""
    raise RuntimeError("this is patched")


class SetsHandlers(Acting):
    """sets handlers of signals, and ignores SIGTERM"""

    def act(self) -> None:
        signal.signal(signal.SIGALRM, refuse)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


class LosesFolder(Acting):
    """changes the working directory to one that it deletes"""

    def act(self) -> None:
        folder = tempfile.mkdtemp()
        os.chdir(folder)
        os.rmdir(folder)


class DeletesTemporaryFiles(Acting):
    """deletes the folder for its temporary files"""

    def act(self) -> None:
        folder = Path(tempfile.gettempdir())
        # Never one that others share.
        if folder.name.startswith("rnn_conformance_"):
            shutil.rmtree(folder, ignore_errors=True)


class LeavesTemporaryFiles(Acting):
    """leaves folders where its temporary files lie"""

    def act(self) -> None:
        Path(tempfile.mkdtemp(), "left").write_text("behind")


class ClearsEnvironment(Acting):
    """clears the environment"""

    def act(self) -> None:
        os.environ.clear()
        os.environ["PYTHONHASHSEED"] = "nonsense"


class ChangesLocale(Acting):
    """changes the locale and the time zone"""

    def act(self) -> None:
        locale.setlocale(locale.LC_ALL, "C")
        os.environ["TZ"] = "Pacific/Chatham"
        time.tzset()


class PatchesJson(Acting):
    """patches json"""

    def act(self) -> None:
        json.dumps = json.loads = refuse


class PatchesPickle(Acting):
    """patches pickle"""

    def act(self) -> None:
        pickle.dumps = pickle.loads = refuse


class PatchesConnections(Acting):
    """patches the connections of multiprocessing"""

    def act(self) -> None:
        connection: Any = multiprocessing.connection.Connection
        connection.send_bytes = connection.recv_bytes = refuse


class StopsClocks(Acting):
    """patches the clocks, which stand still"""

    def act(self) -> None:
        time.time = time.monotonic = time.perf_counter = lambda: 0.0


class PatchesBuiltins(Acting):
    """patches Python's own functions"""

    def act(self) -> None:
        builtins.sorted = builtins.open = refuse


class PatchesNumpy(Acting):
    """patches NumPy, with which the suite compares"""

    def act(self) -> None:
        np.concatenate = np.asarray = np.isnan = refuse  # type: ignore[assignment]


class RemovesFromNumpy(Acting):
    """removes from NumPy what the suite compares with"""

    def act(self) -> None:
        np.concatenate = np.isnan = None  # type: ignore[assignment]


class PatchesTorch(Acting):
    """patches torch, with which its own parameters are made"""

    def act(self) -> None:
        torch.from_numpy = torch.tensor = torch.as_tensor = refuse


class EmptiesModules(Acting):
    """removes modules from sys.modules"""

    def act(self) -> None:
        for name in list(sys.modules):
            if name.startswith(("rnn_conformance", "json", "hypothesis")):
                del sys.modules[name]


class ReplacesModules(Acting):
    """None in the place of modules in sys.modules, and an empty sys.path"""

    def act(self) -> None:
        sys.modules["json"] = sys.modules["traceback"] = None  # type: ignore[assignment]
        sys.path.clear()


class Traces(Acting):
    """sets a trace function and a profile function"""

    def act(self) -> None:
        sys.settrace(lambda *event: None)
        sys.setprofile(lambda *event: None)


class TracesAndRaises(Acting):
    """sets a trace function that raises"""

    def act(self) -> None:
        sys.settrace(refuse)


class LowersRecursionLimit(Acting):
    """leaves hardly any room for recursion"""

    def act(self) -> None:
        depth, frame = 0, sys._getframe()
        while frame.f_back:
            depth, frame = depth + 1, frame.f_back
        sys.setrecursionlimit(depth + 20)


class RaisesWarnings(Acting):
    """turns warnings into errors"""

    def act(self) -> None:
        warnings.simplefilter("error")
        np.seterr(all="raise")


class SeedsRandom(Acting):
    """seeds every generator"""

    def act(self) -> None:
        random.seed(0)
        np.random.seed(0)
        torch.manual_seed(0)


class ChangesDefaults(Acting):
    """changes torch's default dtype and grad mode"""

    def act(self) -> None:
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(False)

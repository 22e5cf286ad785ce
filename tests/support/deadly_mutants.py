"""Mutants that hang, or kill their process, found under their names by other processes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace

from rnn_conformance.implementations.interface import Implementation
from rnn_conformance.mutants import CATALOGUE, Mutant
from rnn_conformance.spec.config import Kind

SWAPPED = next(mutant for mutant in CATALOGUE if mutant.name == "gates in the order z, r, n")
"""One that is only wrong."""


def ending(name: str, end: Callable[[], None]) -> Mutant:
    """One that ends so when it is made."""

    def make(kind: Kind) -> Implementation:
        end()
        raise AssertionError("it is still alive")

    return replace(SWAPPED, name=name, make=make)


def hang() -> None:
    """For ever."""
    while True:
        time.sleep(0.1)


def die() -> None:
    """At once, and the process with it."""
    os._exit(1)


DEADLY = (ending("a layer that hangs", hang), ending("a layer that dies", die), SWAPPED)

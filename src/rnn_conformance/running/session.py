"""What holds one implementation and does with it what is asked: in a process of its own, or here.

Requests and answers are plain values that JSON can write: nothing that comes from a process
with an implementation in it is unpickled outside one.
"""

from __future__ import annotations

import base64
import functools
import importlib
import os
import pickle
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from types import ModuleType
from typing import TYPE_CHECKING, Any

import scipy.special  # noqa: F401  # before there is an implementation, which might have brought it

from rnn_conformance.checking.checks import checks
from rnn_conformance.checking.examining import examined, recalled, settle
from rnn_conformance.checking.probing import Probed, probe
from rnn_conformance.checking.subject import Profile, Subject, Tally
from rnn_conformance.errors import Fault, NonConforming, Sort, UsageError, interrupts
from rnn_conformance.implementations.devices import silenced
from rnn_conformance.implementations.interface import Implementation
from rnn_conformance.implementations.registry import load
from rnn_conformance.locations import relative
from rnn_conformance.results.records import Outcome, Recipe
from rnn_conformance.results.speed import Shape, Work
from rnn_conformance.running.jobs import Source
from rnn_conformance.running.selection import Selection
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.combinations import Combination
from rnn_conformance.spec.config import Dtype, Feature, Kind

if TYPE_CHECKING:
    from rnn_conformance.diagnosis.diagnosis import Diagnostician

EVIDENCE = 8 * 2**20
"""Bytes above which a counterexample is not handed on to be explained."""


OWN = sys.stdlib_module_names | {"rnn_conformance", "rnn_conformance_checks"}
"""Packages that no implementation brings, if they are not imported yet."""


@dataclass
class Session:
    """Answers requests: ``{"do": name of a method, **its arguments}``.

    ``observe`` is told each case and each call before it is made, so that what a process died
    of can be said. ``lost`` says why nothing more can be had of a device in this process.
    """

    observe: Callable[[Mapping[str, Any]], None] = lambda seen: None
    source: Source | None = None
    loaded: list[Implementation] = field(default_factory=list)
    probed: dict[tuple[int, str, tuple[str, ...]], Probed] = field(default_factory=dict)
    modules: Mapping[str, ModuleType] = field(default_factory=lambda: dict(sys.modules))
    diagnosticians: dict[tuple[int, str], Diagnostician] = field(default_factory=dict)
    lost: str = ""

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """What a request gives; a refusal or a fault of the suite's is an answer as well."""
        arguments = dict(request)
        try:
            result: dict[str, Any] = getattr(self, arguments.pop("do"))(**arguments)
        except UsageError as error:
            trace = "".join(traceback.format_exception(error))
            return {"refusal": [str(error), error.refusal.value, error.missing, relative(trace)]}
        except BaseException as error:
            if interrupts(error):
                raise
            return {"fault": relative("".join(traceback.format_exception(error)))}
        return result

    def describe(
        self, selection: Mapping[str, Any], target: str, kind: str, asked: bool, folder: str
    ) -> dict[str, Any]:
        """What a target holds (see ``Selection.described``)."""
        _settle_in(folder)
        chosen = Selection.of_record(selection)
        return {"candidates": chosen.described(target, kind, asked)}

    def hold(self, source: Mapping[str, Any]) -> dict[str, Any]:
        """Load an implementation."""
        self.source = Source(**source)
        _settle_in(self.source.folder)
        if not self.source.family:
            self.loaded = load(self.source.target, self.source.kind)
        return {}

    def probe(self, position: int, name: str, kind: str, without: list[str]) -> dict[str, Any]:
        """Whether it can be asked anything at all, and if not, why."""
        return {"unusable": self._probed(position, name, kind, without).unusable or ""}

    def _probed(self, position: int, name: str, kind: str, without: list[str]) -> Probed:
        """What every check is run on: asked for what it declares, and taken at its word."""
        key = position, kind, tuple(without)
        if key not in self.probed:
            implementation = self._loaded(position, name, kind, without)
            if not implementation.declaration.dtypes:
                unusable = f"of its dtypes its process survives none: {', '.join(without)}"
                self.probed[key] = Probed(implementation, Kind(kind), unusable)
            else:
                self.probed[key] = probe(implementation, Kind(kind), self._asking)
        return self.probed[key]

    def _asking(self, call: Call, asked: Feature | Dtype | Combination) -> None:
        self.observe({"call": str(call), "asked": asked.value})

    def _implementation(
        self, position: int, name: str, kind: str, without: list[str]
    ) -> Implementation:
        assert self.source is not None
        if self.source.family:
            # What is wrong on purpose is judged by the checks alone.
            return self._loaded(position, name, kind, without)
        return self._probed(position, name, kind, without).implementation

    def _loaded(self, position: int, name: str, kind: str, without: list[str]) -> Implementation:
        assert self.source is not None
        if self.source.family:
            module, _, family = self.source.target.partition(":")
            mutants = getattr(importlib.import_module(module), family)
            implementation: Implementation = mutants[position].implementation(Kind(kind))
        else:
            implementation = self.loaded[position].on(self.source.device)
        declaration = implementation.declaration.without(without)
        return replace(implementation, name=name, declaration=declaration)

    def examine(
        self,
        position: int,
        name: str,
        kind: str,
        check: str,
        profile: Mapping[str, Any],
        seed: int,
        without: list[str],
        recipe: Mapping[str, Any] | None = None,
        alone: bool = False,
    ) -> dict[str, Any]:
        """Run a check: its record, and what a diagnosis needs if it failed.

        A failure that is remembered is tried first (see ``examining.recalled``).
        """
        implementation = self._implementation(position, name, kind, without)
        subject = Subject(
            implementation, Kind(kind), Profile(**profile), seed, Tally(observe=self.observe)
        )
        if recipe is None:
            record, error = examined(by_id()[check], subject)
        else:
            record, error = recalled(by_id()[check], subject, Recipe(**recipe), alone=alone)
        if (
            record.failure
            and record.failure.fault is Fault.SUITE
            and (self._brought(error) or self._unsettled())
        ):
            # It has put its own code where ours runs, or taken from under it what that needs.
            failure = replace(record.failure, fault=Fault.IMPLEMENTATION, sort=Sort.SIDE_EFFECT)
            record = replace(record, outcome=Outcome.FAILED, failure=failure)
        if record.outcome in (Outcome.FAILED, Outcome.ERROR):
            self.lost = silenced(implementation.device)
        return {"record": record.to_record(), "evidence": evidence(error)}

    def _brought(self, error: BaseException | None, depth: int = 10) -> bool:
        """Whether code that came with the implementation had a part in an exception."""
        if error is None or not depth:
            return False
        brought = _packages(sys.modules) - _packages(self.modules) - OWN
        frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
        others = [error.__cause__, error.__context__, *getattr(error, "exceptions", ())]
        return not brought.isdisjoint(
            _packages(str(frame.f_globals.get("__name__")) for frame in frames)
        ) or any(self._brought(other, depth - 1) for other in others)

    def _unsettled(self) -> bool:
        """Whether modules that were there before the implementation are not there any more."""
        return any(sys.modules.get(name) is not module for name, module in self.modules.items())

    def time(
        self,
        position: int,
        name: str,
        kind: str,
        without: list[str],
        shape: Mapping[str, Any],
        dtype: str,
        work: str,
        threads: int,
    ) -> dict[str, Any]:
        """How fast it is beside ``torch.nn``."""
        # Not loaded where nothing is timed.
        from rnn_conformance.running.timing import measure

        # As it comes: what was asked what it can has compiled, and its first call tells nothing.
        implementation = self._loaded(position, name, kind, without)
        measurement = measure(
            implementation, Kind(kind), Shape(**shape), Dtype(dtype), Work(work), threads=threads
        )
        return {"measurement": asdict(measurement)}

    def diagnose(
        self,
        position: int,
        name: str,
        kind: str,
        without: list[str],
        clauses: list[str],
        evidence: str,
    ) -> dict[str, Any]:
        """What is behind a failure."""
        # Not loaded, and nothing paid for it, where everything conforms.
        from rnn_conformance.diagnosis.diagnosis import Diagnostician

        key = position, kind
        if key not in self.diagnosticians:
            implementation = self._implementation(position, name, kind, without)
            self.diagnosticians[key] = Diagnostician(implementation, Kind(kind))
        settle("diagnosis")
        try:
            shown = pickle.loads(base64.b64decode(evidence))
            diagnosis = self.diagnosticians[key].diagnose(shown, clauses)
        except Exception as fault:
            # The failure stands, whatever happens to its explanation.
            reason = f"it could not be diagnosed: {type(fault).__name__}: {fault}"
            return {"diagnosis": None, "reason": relative(reason)}
        return {
            "diagnosis": None if diagnosis is None else diagnosis.to_record(),
            "reason": None,
        }


def _packages(modules: Iterable[str]) -> frozenset[str]:
    """What modules of these names are parts of."""
    return frozenset(name.partition(".")[0] for name in list(modules))


@functools.cache
def by_id() -> dict[str, Any]:
    """The checks, by their ids."""
    return {check.id: check for check in checks()}


def evidence(error: BaseException | None) -> str:
    """What explains a failure, for a process like this one: opaque to all others."""
    if not isinstance(error, NonConforming):
        return ""
    shown = Shown(error.calls, error.case, error.backward, error.sort)
    pickled = pickle.dumps(shown)
    return base64.b64encode(pickled).decode() if len(pickled) <= EVIDENCE else ""


@dataclass(frozen=True, eq=False)
class Shown:
    """Of a ``NonConforming``, what a diagnosis reads."""

    calls: tuple[Any, ...]
    case: Any
    backward: Any
    sort: Sort


def _settle_in(folder: str) -> None:
    """Be where the command was called, if that is on this machine."""
    if folder and os.path.isdir(folder) and os.getcwd() != folder:
        os.chdir(folder)

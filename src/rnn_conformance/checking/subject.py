"""An implementation under test: what a check calls, times and counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any, TypeAlias

from rnn_conformance.errors import (
    AdapterError,
    Gap,
    Nature,
    NonConforming,
    Sort,
    SuiteError,
    Unsupported,
    interrupts,
    ours,
)
from rnn_conformance.implementations.interface import Bare, Implementation
from rnn_conformance.implementations.process import Change, contained, watching
from rnn_conformance.implementations.trees import describe
from rnn_conformance.reference import expected as reference
from rnn_conformance.reference.expected import Expected, expected
from rnn_conformance.reference.oracle import Masks
from rnn_conformance.reference.tolerance import Agreement
from rnn_conformance.spec import cases
from rnn_conformance.spec.backward import Backward, Gradients
from rnn_conformance.spec.calls import Call, LayerSpec
from rnn_conformance.spec.config import Dtype, Feature, Kind
from rnn_conformance.spec.result import Result
from rnn_conformance.texts import name_of, said, worded

Layer: TypeAlias = Callable[[Call], Result]
"""Answers calls of one layer; raises ``SuiteError`` for one of another layer."""

OURS = (NonConforming, AdapterError, SuiteError, Unsupported)
"""What passes through, if it is the suite that raised it."""

Pullback: TypeAlias = Callable[[Backward], Gradients]
"""Passes back through calls of one layer; raises ``SuiteError`` for one of another."""


LARGE = 2**21
"""How many numbers a call may have for it and its reference to be kept: 16 MB."""


@dataclass(frozen=True)
class Profile:
    """How much is tried: cases a check, and how many of them to shrink a failure."""

    name: str
    cases: int
    shrinks: int

    @property
    def whole(self) -> bool:
        """Whether what can be listed is tried as a whole, not in part."""
        return self.cases >= 100


PROFILES = {
    profile.name: profile
    for profile in (
        Profile("quick", 10, 60),
        Profile("standard", 100, 300),
        Profile("thorough", 1000, 1000),
    )
}


@dataclass
class Tally:
    """What the checks have cost so far; the one mutable thing about a subject.

    ``notes`` are remarks that are no failures, each once, in the order made; ``agreements``
    are how well the cases agreed that were compared with the equations, each with its case.
    ``observe`` is told each case and each call before it is made, as plain values.
    """

    cases: int = 0
    seconds_inside: float = 0.0
    notes: dict[str, None] = field(default_factory=dict)
    agreements: list[tuple[Any, Agreement]] = field(default_factory=list)
    observe: Callable[[Mapping[str, Any]], None] | None = None
    case: Mapping[str, Any] | None = None

    def begin(self, case: Any) -> None:
        """Count a case that is to be tried, and say so."""
        self.cases += 1
        if self.observe is not None:
            self.case = case.to_record()
            self.observe({"case": self.case, "cases": self.cases})

    def calling(self, call: Call) -> None:
        """Say that a call is to be made."""
        if self.observe is not None:
            self.observe({"case": self.case, "cases": self.cases, "call": str(call)})


@dataclass(frozen=True, eq=False)
class Subject:
    """One kind of one implementation, with the profile and the seed of the run.

    ``changes`` are those of the process that it was seen to make, each with the first call that
    did it; all checks in one process share them. With a ``draw`` (see ``recalling``) a check tries
    the case that it leads to and no other.
    """

    implementation: Implementation
    kind: Kind
    profile: Profile = PROFILES["quick"]
    seed: int = 0
    tally: Tally = field(default_factory=Tally)
    changes: dict[Change, Call] = field(default_factory=dict)
    draw: str = ""

    @property
    def name(self) -> str:
        """How it is called in records: ``name[kind]``."""
        return f"{self.implementation.name}[{self.kind}]"

    @property
    def full_dtypes(self) -> list[Dtype]:
        """Float32 and float64, as far as declared; raises ``Unsupported`` where neither is."""
        declared = self.implementation.declaration.dtypes
        dtypes: list[Dtype] = [
            dtype for dtype in (Dtype.FLOAT32, Dtype.FLOAT64) if dtype in declared
        ]
        if not dtypes:
            raise Unsupported("does not declare float32 or float64", Gap.UNDECLARED)
        return dtypes

    @property
    def features(self) -> frozenset[Feature]:
        """The features that are declared and that this kind has."""
        return self.implementation.declaration.features & Feature.of(self.kind)

    def declares(self, call: Call) -> bool:
        """Whether a call needs nothing but what is declared."""
        return not self.implementation.declaration.undeclared(call)

    def asking(self, call: Call) -> Subject:
        """The subject as if it declared what a call needs: to ask for what it does not."""
        declaration = self.implementation.declaration
        wider = replace(
            declaration,
            features=declaration.features | call.features,
            apart=declaration.apart.difference(declaration.parted(call.features)),
        )
        return replace(self, implementation=replace(self.implementation, declaration=wider))

    def expected(self, asked: Call | Backward, masks: Masks | None = None) -> Expected:
        """What must come of a call or of a backward pass, in the arithmetic that is declared.

        ``masks`` are what dropout drew in the call.
        """
        declaration = self.implementation.declaration
        return expected(asked, masks, tf32=declaration.tf32, weights=declaration.weights)

    @staticmethod
    def forget(call: Call) -> None:
        """Let go of all that is kept if a call is so large that few of its sort fit in memory."""
        arrays = (call.input, *call.parameters.values())
        if sum(array.size for array in arrays) > LARGE:
            cases.forget()
            reference.forget()

    def __call__(self, call: Call) -> Result:
        """Build a layer and call it once."""
        return self.build(call)(call)

    def build(self, call: Call) -> Layer:
        """The call's layer, which is timed, and whose exceptions are the implementation's fault."""
        with self._blaming(call):
            layer = self.implementation.build(call.layer)

        def timed(asked: Call) -> Result:
            _of_layer(call.layer, asked)
            with self._blaming(asked):
                return layer(asked.arguments)

        return timed

    def pullback(self, call: Call) -> Pullback:
        """A backward pass, timed as a layer is; raises ``Unsupported`` for what has none."""
        with self._blaming(call):
            back = self.implementation.pullback(call.layer)

        def timed(backward: Backward) -> Gradients:
            _of_layer(call.layer, backward.call)
            try:
                with self._blaming(backward.call, backward.described):
                    return back(backward)
            except NonConforming as error:
                error.backward = backward
                raise

        return timed

    def bare(self, call: Call) -> Bare:
        """The layer without its adapter; raises ``Unsupported`` where it cannot be had."""
        with self._blaming(call):
            return self.implementation.bare(call.layer)

    def module(self, call: Call) -> Any:
        """The layer as a ``torch.nn.Module``; raises ``Unsupported`` for what is none."""
        with self._blaming(call):
            return self.implementation.module(call.layer)

    def arguments(self, call: Call) -> tuple[Any, ...]:
        """What is handed over in a call: fresh arrays on the implementation's device."""
        return self.implementation.arguments(call)

    def result(self, call: Call, returned: Any) -> Result:
        """What was returned to a call; raises ``NonConforming`` for another structure."""
        with self._blaming(call):
            return self.implementation.result(call, returned)

    def refuses(self, call: Call, why: str, layer: Layer | None = None) -> None:
        """Demand an exception for an illegal call; raises ``NonConforming`` otherwise."""
        try:
            result = self(call) if layer is None else layer(call)
        except NonConforming as error:
            if error.exception is None:
                raise NonConforming(
                    f"{why} must be refused by an exception; it was answered, and {error}",
                    sort=Sort.NOT_REFUSED,
                    calls=(call,),
                ) from None
            if error.nature is Nature.ACCIDENT:
                raise _accident(why, call, error.exception) from error.exception
            return
        shapes = ", ".join(f"{name} {array.shape}" for name, array in result.given.items())
        raise NonConforming(
            f"{why} must be refused by an exception; it was answered with {shapes}",
            sort=Sort.NOT_REFUSED,
            calls=(call,),
        )

    def must_refuse(
        self,
        call: Call,
        why: str,
        act: Callable[[], Any],
        due: Exception | None = None,
    ) -> None:
        """Demand an exception from ``act``, which does what is illegal.

        Any class of exception is a refusal, but a fault met on the way is none; ``due`` is
        what ``torch.nn`` raises, and where the classes differ that is noted. ``call`` is
        the legal call from which ``act`` departs. Raises ``NonConforming``.
        """
        self.tally.calling(call)
        begun = perf_counter()
        try:
            with contained():
                answer = act()
        except BaseException as error:
            if interrupts(error):
                raise
            if Nature.of(error) is Nature.ACCIDENT:
                raise _accident(why, call, error) from error
            if due is not None and not isinstance(error, type(due)):
                self.tally.notes[
                    f"{why}: {name_of(type(error))} where torch.nn raises {name_of(type(due))}"
                ] = None
            return
        finally:
            self.tally.seconds_inside += perf_counter() - begun
        raised = "" if due is None else f"; torch.nn raises {worded(due)}"
        raise NonConforming(
            f"{why} must be refused by an exception; it was answered with "
            f"{describe(answer)}{raised}",
            sort=Sort.NOT_REFUSED,
            calls=(call,),
        )

    @contextmanager
    def doing(self, call: Call, what: str = "") -> Iterator[None]:
        """Time what is done with the implementation; its exceptions are its own fault.

        ``what`` says what was done, in a message that begins with it. What it changes in the
        process is set back. Raises ``Unsupported`` for a call that needs what is not declared.
        """
        with self._blaming(call, what), contained():
            yield

    @contextmanager
    def _blaming(self, call: Call, what: str = "") -> Iterator[None]:
        """As :meth:`doing`, for what sets back the changes of the process by itself."""
        if missing := self.implementation.declaration.undeclared(call):
            raise Unsupported(f"does not declare {', '.join(missing)}", Gap.UNDECLARED)
        self.tally.calling(call)
        begun = perf_counter()
        try:
            with self._remembering(call):
                yield
        except BaseException as error:
            if interrupts(error) or (issubclass(type(error), OURS) and ours(error)):
                raise
            raise NonConforming(
                f"{what + ' ' if what else ''}raised {worded(error)}",
                sort=Sort.RAISED,
                calls=(call,),
                exception=error,
            ) from error
        finally:
            self.tally.seconds_inside += perf_counter() - begun

    @contextmanager
    def _remembering(self, call: Call) -> Iterator[None]:
        with watching() as changes:
            yield
        for change in changes:
            self.changes.setdefault(change, call)


def _of_layer(layer: LayerSpec, call: Call) -> None:
    """A check that calls a layer for another one's call would test what it does not say."""
    if call.layer != layer:
        raise SuiteError(f"a layer is asked for a call of another one: {call}")


def _accident(why: str, call: Call, error: BaseException) -> NonConforming:
    return NonConforming(
        f"{why} must be refused; {name_of(type(error))} ({said(error)}) is a fault met on the way, "
        "not a refusal",
        sort=Sort.ACCIDENT,
        calls=(call,),
        exception=error,
    )

"""What is wrong with a program that is new to the protocol, in words, before anything is run.

One thing after another is asked of it, and the first that is wrong is told: how it introduces
itself, whether an answer comes and is whole, in which order the bytes of its numbers are, and, by
the diagnosis, which known deviation its values have.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rnn_conformance.checking.probing import probe
from rnn_conformance.checking.subject import Subject
from rnn_conformance.diagnosis.diagnosis import Diagnostician
from rnn_conformance.diagnosis.evidence import Evidence, ask
from rnn_conformance.diagnosis.probes import Probe, ladder
from rnn_conformance.errors import NonConforming, Refusal, Sort, UsageError
from rnn_conformance.implementations.command import Refused, connected, words_of
from rnn_conformance.implementations.engine import Engine, EngineFault
from rnn_conformance.implementations.interface import Implementation
from rnn_conformance.implementations.numpy_function import FunctionImplementation
from rnn_conformance.implementations.wire import Violation
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.cases import Case, State
from rnn_conformance.spec.config import Config, Feature, Kind
from rnn_conformance.spec.result import Result

RUNGS = 12
"""How many calls a kind is asked that is right: the smallest, and some features by themselves."""

PRINTED = frozenset({Violation.NO_JSON, Violation.NO_OBJECT, Violation.TRAILING, Violation.ENDLESS})
"""How it shows that something else is written to standard output than answers."""

PRINT = (
    "Standard output is for answers alone: is there a debugging print, or are more bytes written "
    "than the line lists? Print to standard error instead."
)


@dataclass(frozen=True)
class Remark:
    """One thing that was seen, in a sentence; ``wrong`` if it must be mended."""

    text: str
    wrong: bool = False


def smoke(command: str, limit: float) -> Iterator[Remark]:
    """What is seen of a program, as it is seen; the last is wrong, or nothing is.

    ``limit`` are the seconds that an answer may take. Raises ``UsageError`` for a command that
    cannot be started.
    """
    engine = Engine(tuple(words_of(command)), Path.cwd(), limit)
    try:
        yield from _seen(engine)
    finally:
        engine.end()


def _seen(engine: Engine) -> Iterator[Remark]:
    try:
        implementation = connected(engine)
    except EngineFault as fault:
        yield Remark(f'Asked for "hello": {_faulty(fault)}', wrong=True)
        return
    except UsageError as error:
        if error.refusal is not Refusal.DECLARATION:
            raise
        yield Remark(f'Its answer to "hello": {error}.', wrong=True)
        return
    declaration = implementation.declaration
    kinds = [kind for kind in Kind if kind in declaration.kinds]
    yield Remark(
        f"It introduces itself as {implementation.name}: {', '.join(kinds)}; level "
        f"{declaration.level}; {', '.join(sorted(declaration.dtypes))}; "
        f"{', '.join(sorted(declaration.features)) or 'no features'}."
    )
    for kind in kinds:
        for remark in _of_kind(implementation, kind):
            yield remark
            if remark.wrong:
                return
    yield from _refusing(implementation, kinds[0])


def _of_kind(implementation: FunctionImplementation, kind: Kind) -> Iterator[Remark]:
    simplest = _simplest(implementation, kind)
    if fault := _unanswered(implementation, simplest):
        yield Remark(f"{kind}: {fault}", wrong=True)
        return
    if words := _other_order(implementation, simplest):
        yield Remark(f"{kind}: {words}", wrong=True)
        return
    probed = probe(implementation, kind)
    if probed.unusable is not None:
        yield Remark(f"{kind}: {probed.unusable}", wrong=True)
        return
    for sentence in probed.refused.values():
        yield Remark(f"{kind}: {sentence}")
    subject = Subject(probed.implementation, kind)
    rungs = list(ladder(kind, probed.implementation.declaration))
    asked = 0
    for case in rungs[:RUNGS]:
        evidence = ask(subject, Probe.of(case))
        if evidence is not None and evidence.wrong:
            yield Remark(f"{kind}: {_explained(probed.implementation, kind, case, evidence)}", True)
            return
        asked += evidence is not None
    yield Remark(f"{kind}: {asked} calls are answered as torch.nn answers them.")


def _simplest(implementation: Implementation, kind: Kind) -> Case:
    declared = implementation.declaration
    omitted = Feature.OMITTED_STATE in declared.features
    state = State.OMITTED if omitted else State.GIVEN
    return Case(Config(kind, 2, 3), 1, 2, min(declared.dtypes), state=state)


def _unanswered(implementation: FunctionImplementation, case: Case) -> str:
    """What is wrong with the answer to a call, but for its values; empty if it is whole."""
    call = case.call()
    try:
        result = implementation.build(call.layer)(call.arguments)
        for name in result.names:
            result[name]
            if result.dtypes[name] != call.dtype.value:
                return f"{name} came in {result.dtypes[name]}, and was asked for in {call.dtype}."
    except EngineFault as fault:
        return f"{call}: {_faulty(fault)}"
    except Refused as refusal:
        return f'it refuses its simplest call ({call}): "{refusal}".'
    except NonConforming as error:
        return f"{call}: {error.message}."
    return ""


def _other_order(implementation: FunctionImplementation, case: Case) -> str:
    """Whether it reads or writes numbers with the first byte last; empty if not."""
    call = case.call()
    due = Subject(implementation, call.config.kind).expected(call)

    def right(reads: bool, writes: bool) -> bool:
        given, parameters = implementation.arguments(call), implementation.parameters(call.layer)
        if reads:
            given, parameters = _swapped(given), _swapped(parameters)
        try:
            layer = implementation.build_layer(call.config, parameters)
            answer = implementation.result(call, layer(*given))
            return all(_near(answer, name, due[name], writes) for name in answer.names)
        except (EngineFault, Refused, NonConforming):
            return False

    for reads, writes, words in (
        (False, False, ""),
        (False, True, "its results are right if their bytes are read in the other order"),
        (True, False, "it reads numbers in the other order of bytes: it is right if they are sent"),
        (True, True, "it reads and writes numbers in the other order of bytes"),
    ):
        if right(reads, writes):
            return words and f"{words}. Numbers are little-endian, the lowest byte first."
    return ""


def _swapped(arrays: Any) -> Any:
    """The same with the bytes of each number turned round."""
    match arrays:
        case np.ndarray():
            return arrays.byteswap()
        case tuple():
            return tuple(map(_swapped, arrays))
        case _:
            return {name: _swapped(array) for name, array in arrays.items()}


def _near(answer: Result, name: str, due: Array, swapped: bool) -> bool:
    """Whether a result is what is due to a thousandth: it is not rounding that is looked for."""
    with np.errstate(all="ignore"):
        got = answer[name].astype(answer.dtypes[name])
        return np.allclose(got.byteswap() if swapped else got, due, rtol=1e-3, atol=1e-3)


def _explained(implementation: Implementation, kind: Kind, case: Case, evidence: Evidence) -> str:
    call = case.call()
    if evidence.raised:
        return f"{call}: it {evidence.raised}"
    error = NonConforming("wrong", sort=Sort.VALUE, calls=(call,))
    error.case = case
    diagnosis = Diagnostician(implementation, kind).diagnose(error, ())
    what = "" if diagnosis is None else f" {diagnosis.text}"
    return f"{call} is answered, and not with the values of torch.nn.{what}"


def _refusing(implementation: FunctionImplementation, kind: Kind) -> Iterator[Remark]:
    """Whether it refuses, and answers afterwards, where what it is asked for does not fit."""
    call = _simplest(implementation, kind).call()
    input, *state = implementation.arguments(call)
    layer = implementation.bare(call.layer).layer
    try:
        layer(np.concatenate([input, input], axis=-1), *state)
    except Refused:
        layer(input, *state)
        yield Remark("An input of another size is refused, and the next call answered.")
    except EngineFault as fault:
        yield Remark(
            "An input of another size is no reason to fail; answer with "
            f'{{"id":…,"refused":"why"}} instead: {_faulty(fault)}',
            wrong=True,
        )
    else:
        yield Remark(
            "An input of another size is answered; it must be refused with "
            '{"id":…,"refused":"why"}.',
            wrong=True,
        )


def _faulty(fault: EngineFault) -> str:
    """A fault with what to do about it."""
    hint = f" {PRINT}" if fault.violation in PRINTED else ""
    return f"{fault}.{hint}"

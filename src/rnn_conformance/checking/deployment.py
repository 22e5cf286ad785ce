"""The ways out of eager PyTorch, and whether what comes back there is the same.

What ``torch.nn``'s own class cannot do either is no failing of an implementation: it is
reported as unsupported, with what came of it.
"""

from __future__ import annotations

import importlib.util
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import torch

from rnn_conformance.checking.assertions import assert_equivalent
from rnn_conformance.checking.subject import PROFILES, Subject
from rnn_conformance.errors import Gap, NonConforming, Unsupported, Untested
from rnn_conformance.implementations.torch_module import drop_in
from rnn_conformance.implementations.trees import leaves
from rnn_conformance.spec.calls import Call

Arguments: TypeAlias = tuple[Any, ...]
"""``(input[, state])``, as a module takes them."""

Way: TypeAlias = Callable[[torch.nn.Module, Arguments], Callable[..., Any]]
"""Takes a module out of eager mode, by the example of some arguments."""


def equals_eager(subject: Subject, call: Call, way: Way, name: str) -> None:
    """What a module gives when it went this way is what it gives in eager mode.

    Raises ``NonConforming`` if it is not, or there is no way; and ``Unsupported`` if that is
    so for ``torch.nn``'s own class too.
    """
    held_to_torch(subject, lambda tried: _equals_eager(tried, call, way, name))


def held_to_torch(subject: Subject, check: Callable[[Subject], None]) -> None:
    """A check that need hold only where it does for ``torch.nn``'s class of the same kind."""
    try:
        check(subject)
    except NonConforming:
        try:
            check(torchs(subject))
        except NonConforming as error:
            raise fails_itself(subject, error) from error
        raise


def torchs(subject: Subject) -> Subject:
    """``torch.nn``'s own class of the kind, on the same device."""
    cls = getattr(torch.nn, subject.kind.value)
    return Subject(drop_in(cls).on(subject.implementation.device), subject.kind)


def fails_itself(subject: Subject, error: NonConforming) -> Unsupported:
    """What is demanded of nobody, since ``torch.nn``'s own class fails there too."""
    version = torch.__version__.partition("+")[0]
    first_line = error.message.splitlines()[0]
    return Unsupported(
        f"torch.nn.{subject.kind} {version} itself fails: {first_line}", Gap.TORCH_FAILS
    )


def _equals_eager(subject: Subject, call: Call, way: Way, name: str) -> None:
    module = subject.module(call)
    # Other numbers: what is kept of the example must not be what comes back.
    example = subject.arguments(call.replace(input=-call.input))
    with subject.doing(call, name), quiet(), torch.no_grad():
        returned = way(module, example)(*subject.arguments(call))
    what = f"{name} gives what eager mode gives"
    assert_equivalent(subject(call), subject.result(call, returned), what=what)


@contextmanager
def quiet() -> Iterator[None]:
    """Without warnings, that a way is deprecated for instance, and without progress reports."""
    level = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def compiler_needed(subject: Subject) -> None:
    """For what loads torch's compiler, which alone takes longer than a quick run should."""
    if subject.profile.cases < PROFILES["standard"].cases:
        raise Untested("takes torch's compiler: left to --profile standard", Gap.PROFILE)


def compiled(module: torch.nn.Module, example: Arguments) -> Callable[..., Any]:
    """``torch.compile``: graphs are captured, and run without a backend's optimisations."""
    # What others compiled counts towards a limit beyond which nothing is captured any more.
    torch.compiler.reset()
    graph: Callable[..., Any] = torch.compile(module, backend="eager")
    graph(*example)
    return graph


def exported(module: torch.nn.Module, example: Arguments) -> Callable[..., Any]:
    """``torch.export``, non-strict, which is its default."""
    return torch.export.export(module, example, strict=False).module()


def traced(module: torch.nn.Module, example: Arguments) -> Callable[..., Any]:
    """``torch.jit.trace``."""
    trace: Callable[..., Any] = torch.jit.trace
    graph: Callable[..., Any] = trace(module, example, check_trace=False)
    return graph


def scripted(module: torch.nn.Module, example: Arguments) -> Callable[..., Any]:
    """``torch.jit.script``."""
    program: Callable[..., Any] = torch.jit.script(module)
    return program


def through_onnx(module: torch.nn.Module, example: Arguments) -> Callable[..., Any]:
    """An ONNX graph, run by ONNX Runtime."""
    packages = ("onnx", "onnxruntime", "onnxscript")
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise Untested(f"needs {', '.join(missing)} installed", Gap.PACKAGE)
    runtime = importlib.import_module("onnxruntime")
    with TemporaryDirectory() as folder:
        path = Path(folder) / "layer.onnx"
        torch.onnx.export(module, example, path, dynamo=True, verbose=False)
        session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [input.name for input in session.get_inputs()]

    def run(*given: Any) -> Any:
        arrays = [tensor.numpy(force=True) for tensor in leaves(given).values()]
        feed = dict(zip(names, arrays, strict=True))
        first, *rest = (torch.from_numpy(array) for array in session.run(None, feed))
        # An LSTM's is the only structure of three: (output, (h_n, c_n)).
        return first if not rest else (first, rest[0] if len(rest) == 1 else tuple(rest))

    return run


def mapped(call: Call) -> Way:
    """``torch.func.vmap`` over the samples of a batch, each of them unbatched."""
    states = 0 if call.config.kind.is_cell else 1
    samples = 0 if call.config.batch_first else states
    pair = (states, states) if call.config.kind.has_cell_state else states
    inputs: Any = (samples,) if call.h_0 is None else (samples, pair)
    results: Any = pair if call.config.kind.is_cell else (samples, pair)

    def way(module: torch.nn.Module, example: Arguments) -> Callable[..., Any]:
        return torch.func.vmap(module, inputs, results)

    return way

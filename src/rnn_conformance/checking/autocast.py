"""Calls under ``torch.autocast``, held to what ``torch.nn``'s own class does there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from rnn_conformance.checking.assertions import assert_close, assert_within_bound
from rnn_conformance.checking.deployment import fails_itself, quiet, torchs
from rnn_conformance.checking.modules import graph
from rnn_conformance.checking.subject import Subject
from rnn_conformance.errors import NonConforming, Sort
from rnn_conformance.implementations.devices import torch_dtype
from rnn_conformance.spec.backward import Backward, Gradients, drawn
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.cases import rounded
from rnn_conformance.spec.config import Dtype
from rnn_conformance.spec.result import Result


def autocast(subject: Subject, call: Call, dtype: Dtype) -> None:
    """Under autocast to ``dtype`` a call is answered as accurately as that allows.

    A float64 call is not cast. The results are of the dtypes of ``torch.nn``'s there, or of the
    module's own. Raises ``NonConforming``, and ``Unsupported`` if ``torch.nn``'s class raises.
    """
    wide, narrow = of_both(call, dtype)
    own = torchs(subject)
    try:
        reference = under_autocast(own, wide, dtype)
    except NonConforming as error:
        raise fails_itself(subject, error) from error
    result = under_autocast(subject, wide, dtype)
    what = f"under autocast, as accurate as {narrow.dtype} allows"
    due = subject.expected(narrow)
    for name in wide.results:
        assert_close(name, result[name], due[name], due.bounds[name], calls=(wide,), what=what)
    for name in wide.results:
        # What is computed step by step in torch's operations has its float32 biases added, and
        # so is float32 where torch.nn's kernel rounds: no digit is lost by that.
        if result.dtypes[name] not in (reference.dtypes[name], wide.dtype.value):
            raise NonConforming(
                f"{name} is {result.dtypes[name]} under autocast to {dtype}, where torch.nn's is "
                f"{reference.dtypes[name]}",
                sort=Sort.TYPE,
                calls=(wide,),
                array=name,
                expected=reference.dtypes[name],
                got=result.dtypes[name],
            )


def gradients_after_autocast(subject: Subject, call: Call, dtype: Dtype, seed: int) -> None:
    """The backward pass of a call under autocast is as accurate as ``dtype`` allows.

    It runs outside of autocast, as PyTorch recommends. Raises as :func:`autocast` does.
    """
    wide, narrow = of_both(call, dtype)
    own = torchs(subject)
    try:
        backward_pass(own, drawn(wide, seed), dtype)
    except NonConforming as error:
        raise fails_itself(subject, error) from error
    gradients = backward_pass(subject, drawn(wide, seed), dtype)
    due = subject.expected(drawn(narrow, seed))
    what = f"after a call under autocast, as accurate as {narrow.dtype} allows"
    assert_within_bound(gradients, expected=due, what=what)


def of_both(call: Call, dtype: Dtype) -> tuple[Call, Call]:
    """The call with numbers that are of ``dtype``: as it is, and as it is computed.

    For float64, which autocast leaves alone, both are in float64.
    """
    if call.dtype is Dtype.FLOAT64:
        return call, call
    parameters = {name: rounded(array, dtype) for name, array in call.parameters.items()}
    states = {name: rounded(array, dtype) for name, array in call.arguments.states.items()}
    wide = call.replace(parameters=parameters, input=rounded(call.input, dtype), **states)
    return wide, wide.replace(dtype=dtype)


@contextmanager
def casting(subject: Subject, dtype: Dtype) -> Iterator[None]:
    """Under autocast on the implementation's device."""
    device = torch.device(subject.implementation.device).type
    with quiet(), torch.autocast(device, dtype=torch_dtype(dtype)):
        yield


def under_autocast(subject: Subject, call: Call, dtype: Dtype) -> Result:
    """The answer to a call; results in another dtype are no failing yet."""
    module, arguments = subject.module(call), subject.arguments(call)
    with subject.doing(call, f"autocast to {dtype}"), torch.no_grad(), casting(subject, dtype):
        returned = module(*arguments)
    return subject.result(call, returned)


def backward_pass(subject: Subject, backward: Backward, dtype: Dtype) -> Gradients:
    """The gradients of a call under autocast."""
    call = backward.call
    module = subject.module(call)
    with subject.doing(call, f"{backward.described} of a call under autocast to {dtype}"):
        with casting(subject, dtype):
            recorded = graph(subject, module, call)
        cotangents = {
            name: array.to(recorded.results[name].dtype)
            for name, array in recorded.cotangents(backward).items()
        }
        return recorded.gradients(backward, cotangents)

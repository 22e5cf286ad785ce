"""What a backward pass leaves behind for the next one (GRD-4)."""

from __future__ import annotations

from rnn_conformance.checking.comparing import are_close
from rnn_conformance.checking.subject import Subject
from rnn_conformance.diagnosis.causes import Experiments, finest, plain_call
from rnn_conformance.spec.backward import drawn

ADDING = Experiments()


@ADDING.add(
    "gradients that add up from one backward pass to the next",
    "STA-3 GRD-3 GRD-4 GRD-5",
    fix="Make the array that gradients are summed in anew in every backward pass: that they add up "
    "in .grad is torch's work.",
)
def _added(subject: Subject) -> str:
    # Loads torch, which whatever has gradients is written in.
    from rnn_conformance.checking.training import Training

    call = plain_call(subject, finest(subject), (3, 4), seed=5)
    layer = Training(subject, call)
    passes = [drawn(call, seed) for seed in (1, 2)]
    (_, first), (_, second) = (layer.backward(one) for one in passes)
    due = [subject.expected(one) for one in passes]
    if not all(are_close(first[name], due[0][name], 1e-4) for name in first.names):
        return ""
    added = [
        name
        for name in second.names
        if not are_close(second[name], due[1][name], 1e-4)
        and are_close(second[name], due[0][name] + due[1][name], 1e-4)
    ]
    if not added:
        return ""
    return f"the second backward pass of a layer gives, of {', '.join(added)}, the first's as well"

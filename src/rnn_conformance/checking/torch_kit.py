"""What checks of ``torch.nn.Module`` classes need besides; loads torch.

Imported inside the checks that use it: ``from rnn_conformance.checking import torch_kit``.
"""

from rnn_conformance.checking.autocast import autocast, gradients_after_autocast
from rnn_conformance.checking.computed import FACTOR, WAYS
from rnn_conformance.checking.copying import copied
from rnn_conformance.checking.deployment import (
    compiled,
    compiler_needed,
    equals_eager,
    exported,
    mapped,
    quiet,
    scripted,
    through_onnx,
    traced,
)
from rnn_conformance.checking.following import follow
from rnn_conformance.checking.interpreter import run
from rnn_conformance.checking.modules import (
    Recomputed,
    answer,
    by_torchs_names,
    graph,
    named,
    tensors,
)
from rnn_conformance.checking.replicas import gradients_through, replica
from rnn_conformance.checking.second_derivatives import (
    assert_right_changes,
    through_the_graph,
    transforming,
)
from rnn_conformance.checking.training import Training
from rnn_conformance.checking.violations import (
    input_dtypes,
    inputs,
    no_steps,
    refuses_calls,
    refuses_constructions,
    state_dtypes,
    states,
    torchs_own,
)
from rnn_conformance.implementations.devices import seed_generators, torch_dtype

__all__ = [
    "FACTOR",
    "WAYS",
    "Recomputed",
    "Training",
    "answer",
    "assert_right_changes",
    "autocast",
    "by_torchs_names",
    "compiled",
    "compiler_needed",
    "copied",
    "equals_eager",
    "exported",
    "follow",
    "gradients_after_autocast",
    "gradients_through",
    "graph",
    "input_dtypes",
    "inputs",
    "mapped",
    "named",
    "no_steps",
    "quiet",
    "refuses_calls",
    "refuses_constructions",
    "replica",
    "run",
    "scripted",
    "seed_generators",
    "state_dtypes",
    "states",
    "tensors",
    "through_onnx",
    "through_the_graph",
    "torch_dtype",
    "torchs_own",
    "traced",
    "transforming",
]

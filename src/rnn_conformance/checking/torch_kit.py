"""What checks of ``torch.nn.Module`` classes need besides; loads torch.

Imported inside the checks that use it: ``from rnn_conformance.checking import torch_kit``.
"""

from rnn_conformance.checking.copying import copied
from rnn_conformance.checking.deployment import (
    autocast,
    compiled,
    compiler_needed,
    equals_eager,
    exported,
    mapped,
    scripted,
    through_onnx,
    traced,
)
from rnn_conformance.checking.following import follow
from rnn_conformance.checking.interpreter import run
from rnn_conformance.checking.modules import answer, graph, tensors
from rnn_conformance.checking.training import Training
from rnn_conformance.checking.violations import (
    dtypes,
    inputs,
    no_steps,
    refuses_calls,
    refuses_constructions,
    states,
    torchs_own,
)
from rnn_conformance.implementations.devices import seed_generators, torch_dtype

__all__ = [
    "Training",
    "answer",
    "autocast",
    "compiled",
    "compiler_needed",
    "copied",
    "dtypes",
    "equals_eager",
    "exported",
    "follow",
    "graph",
    "inputs",
    "mapped",
    "no_steps",
    "refuses_calls",
    "refuses_constructions",
    "run",
    "scripted",
    "seed_generators",
    "states",
    "tensors",
    "through_onnx",
    "torch_dtype",
    "torchs_own",
    "traced",
]

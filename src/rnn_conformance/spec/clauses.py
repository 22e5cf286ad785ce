"""The clauses: what ``torch.nn``'s recurrent layers promise, one checkable sentence each.

The norm is the documented behaviour of ``RNN``, ``LSTM``, ``GRU`` and their cells in
PyTorch 2.13. Symbols are those of ``spec``: ``L`` steps, ``N`` samples, ``H_in`` input
size, ``H`` hidden size, ``H_out`` features of one direction's output, ``D`` directions,
``K`` layers. Tests name the clauses that they check; the report shows every clause,
also one that no test checks.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from rnn_conformance.spec.config import Feature, Kind, Level

LAYERS = frozenset(kind for kind in Kind if not kind.is_cell)
CELLS = frozenset(kind for kind in Kind if kind.is_cell)
ALL = LAYERS | CELLS


@dataclass(frozen=True)
class Clause:
    """One sentence of the norm.

    ``feature`` is what the clause presupposes as a whole: without it there is nothing
    to check. ``advice`` is what people get wrong most, or empty. ``source`` is the URL
    of the documentation or paper that says so. An ``optional`` clause is reported by
    itself and counts for no level and no verdict.
    """

    id: str
    chapter: str
    title: str
    level: Level
    kinds: frozenset[Kind]
    source: str
    feature: Feature | None = None
    advice: str = ""
    optional: bool = False

    def to_record(self) -> dict[str, Any]:
        """Plain JSON values; the kinds in the order of :class:`Kind`."""
        return {
            "id": self.id,
            "chapter": self.chapter,
            "title": self.title,
            "level": str(self.level),
            "kinds": [str(kind) for kind in Kind if kind in self.kinds],
            "feature": None if self.feature is None else str(self.feature),
            "optional": self.optional,
            "advice": self.advice,
            "source": self.source,
        }


CHAPTERS: dict[str, str] = {
    "DCL": "Declarations",
    "SHP": "Shapes and structure",
    "BF": "batch_first",
    "DIR": "Directions",
    "LAY": "Layers and order of states",
    "STA": "State",
    "EQ": "Values",
    "ACC": "Accuracy",
    "PCK": "Packed sequences",
    "DRP": "Dropout",
    "GRD": "Gradients",
    "PAR": "Parameters",
    "MEM": "Memory",
    "TYP": "Types",
    "INV": "Laws that need no reference",
    "SPC": "Special values",
    "ERR": "Errors",
    "CEL": "Cells",
    "DET": "Determinism and concurrency",
    "ENV": "Process",
    "LIF": "Lifecycle",
    "AMP": "Autocast",
    "DEP": "Deployment",
}

_DOCS = "https://docs.pytorch.org/docs/stable/"
_RNN = _DOCS + "generated/torch.nn.RNN.html"
_LSTM = _DOCS + "generated/torch.nn.LSTM.html"
_GRU = _DOCS + "generated/torch.nn.GRU.html"
_CELL = _DOCS + "generated/torch.nn.LSTMCell.html"
_MODULE = _DOCS + "generated/torch.nn.Module.html"
_PACKED = _DOCS + "generated/torch.nn.utils.rnn.PackedSequence.html"
_PACK = _DOCS + "generated/torch.nn.utils.rnn.pack_padded_sequence.html"
_AUTOGRAD = _DOCS + "notes/autograd.html"
_ACCURACY = _DOCS + "notes/numerical_accuracy.html"
_RANDOMNESS = _DOCS + "notes/randomness.html"


def _clause(
    id: str,
    title: str,
    source: str = _LSTM,
    kinds: frozenset[Kind] = LAYERS,
    *,
    level: Level,
    feature: Feature | None = None,
    advice: str = "",
    optional: bool = False,
) -> Clause:
    chapter = id.partition("-")[0]
    return Clause(id, chapter, title, level, kinds, source, feature, advice, optional)


_inference = partial(_clause, level=Level.INFERENCE)
_training = partial(_clause, level=Level.TRAINING)
_drop_in = partial(_clause, level=Level.DROP_IN)

_CLAUSES = (
    # Declarations
    _inference(
        "DCL-1",
        "It can be constructed and called, and refuses nothing that it declares.",
        _DOCS + "nn.html#recurrent-layers",
        ALL,
        advice="What a class does not have it leaves out in its declaration; `rnn-conformance "
        "describe` writes it.",
    ),
    # Shapes and structure
    _inference(
        "SHP-1",
        "The output is (L, N, D*H_out); with batch_first (N, L, D*H_out); for unbatched input "
        "(L, D*H_out), whatever batch_first says.",
        advice="An output of (L*N, H), as tutorials return it, does not conform.",
    ),
    _inference(
        "SHP-2",
        "h_n is (D*K, N, H_out), for unbatched input (D*K, H_out); batch_first does not move it.",
        advice="A one-layer LSTM's state still has a leading dimension of size D*K.",
    ),
    _inference(
        "SHP-3",
        "c_n is (D*K, N, H): its width is the hidden size, also with a projection.",
        kinds=frozenset({Kind.LSTM}),
    ),
    _inference("SHP-4", "LSTM returns (output, (h_n, c_n)); GRU and RNN return (output, h_n)."),
    _inference(
        "SHP-5",
        "An empty batch gives empty results of the right shapes; a sequence of no steps is an "
        "error.",
    ),
    _inference(
        "SHP-6",
        "Unbatched input gives what a batch of one gives, without the batch dimension; its "
        "states are 2-D.",
        feature=Feature.UNBATCHED,
    ),
    # batch_first
    _inference(
        "BF-1",
        "batch_first swaps the first two dimensions of input and output and changes no value.",
        feature=Feature.BATCH_FIRST,
    ),
    _inference(
        "BF-2",
        "With batch_first, initial and final states keep their layout (D*K, N, ·).",
        feature=Feature.BATCH_FIRST,
        advice="batch_first does not move the states.",
    ),
    _inference(
        "BF-3",
        "batch_first has no effect on packed input.",
        feature=Feature.BATCH_FIRST,
    ),
    # Directions
    _inference(
        "DIR-1",
        "output[..., :H_out] is the forward direction and output[..., H_out:] the reverse one, "
        "both at the input's own time.",
        feature=Feature.BIDIRECTIONAL,
        advice="torch.nn.RNN has a bidirectional mode, too.",
    ),
    _inference(
        "DIR-2",
        "The reverse direction is a forward layer with the _reverse parameters over the flipped "
        "input, its output flipped back.",
        feature=Feature.BIDIRECTIONAL,
    ),
    _inference(
        "DIR-3",
        "The last layer's final states are output[-1, :, :H_out] forward and "
        "output[0, :, H_out:] reverse.",
        feature=Feature.BIDIRECTIONAL,
        advice="output[-1] is not the reverse direction's final state.",
    ),
    _inference(
        "DIR-4",
        "Layers above the first read both directions' outputs: their input size is D*H_out.",
        feature=Feature.BIDIRECTIONAL,
    ),
    _inference("DIR-5", "With one direction, output[t] depends on input[:t+1] alone."),
    # Layers and order of states
    _inference(
        "LAY-1",
        "The state of layer k and direction d is at index k*D + d, given and returned alike.",
        advice="States are ordered by layer first, by direction second.",
    ),
    _inference(
        "LAY-2",
        "K layers compute what K one-layer modules do, one reading the other's output.",
        feature=Feature.MULTI_LAYER,
    ),
    _inference("LAY-3", "The output is the last layer's alone.", feature=Feature.MULTI_LAYER),
    # State
    _inference("STA-1", "An omitted initial state equals zeros, bit for bit."),
    _inference(
        "STA-2",
        "With one direction, a sequence run in pieces, the state carried over, equals the "
        "sequence run whole.",
        feature=Feature.INITIAL_STATE,
    ),
    _inference(
        "STA-3",
        "A call leaves nothing behind: the same call gives the same result after any others.",
    ),
    _inference(
        "STA-4",
        "h_0 and c_0 each matter, for every layer and direction by itself; c_n is the cell state.",
        feature=Feature.INITIAL_STATE,
    ),
    # Values
    _inference(
        "EQ-1",
        "RNN: h = tanh(W_ih x + b_ih + W_hh h + b_hh), or relu in place of tanh.",
        _RNN,
        frozenset({Kind.RNN}),
    ),
    _inference(
        "EQ-2",
        "LSTM: i, f, o = sigmoid(…), g = tanh(…), c = f*c + i*g, h = o*tanh(c); with a "
        "projection h = W_hr h, and the projected h recurs.",
        kinds=frozenset({Kind.LSTM}),
        advice="The gates' rows are ordered i, f, g, o.",
    ),
    _inference(
        "EQ-3",
        "GRU: r, z = sigmoid(…), n = tanh(W_in x + b_in + r*(W_hn h + b_hn)), h = (1-z)*n + z*h.",
        _GRU,
        frozenset({Kind.GRU}),
        advice="The reset gate multiplies after the matrix product, unlike in the original paper.",
    ),
    _inference(
        "EQ-4",
        "bias=False drops every bias; otherwise both bias vectors of each layer and direction "
        "count, from the first step on.",
        advice="There are two biases, and in GRU they cannot be merged.",
    ),
    _inference(
        "EQ-5",
        "The equations hold for long sequences, wide and narrow layers, saturated gates and "
        "inputs of mixed magnitude.",
        _ACCURACY,
    ),
    _inference(
        "EQ-6",
        "float64 is computed in float64; float16 and bfloat16 results are as accurate as those "
        "formats allow.",
        _ACCURACY,
    ),
    _inference(
        "EQ-7",
        "Sizes where kernels change their way, powers of two and their neighbours along each axis, "
        "are computed as any others.",
        kinds=ALL,
    ),
    # Accuracy
    _inference(
        "ACC-1",
        "Errors are those of rounding: in each dtype and over many cases, no larger than correct "
        "implementations scatter.",
        _ACCURACY,
        ALL,
    ),
    _training(
        "ACC-2",
        "The errors of gradients are those of rounding, too.",
        _ACCURACY,
        ALL,
    ),
    # Packed sequences
    _inference(
        "PCK-1",
        "Packed input gives packed output with the same batch_sizes, sorted_indices and "
        "unsorted_indices.",
        _PACKED,
        feature=Feature.PACKED,
    ),
    _inference(
        "PCK-2",
        "Each packed sequence gives the outputs and states that it gives when run alone.",
        _PACKED,
        feature=Feature.PACKED,
    ),
    _inference(
        "PCK-3",
        "h_n and c_n are from each sequence's own last step; states are given and returned in "
        "the caller's order.",
        feature=Feature.PACKED,
    ),
    _inference(
        "PCK-4",
        "The reverse direction starts at each sequence's own last element.",
        feature=Feature.PACKED,
        advice="Padded and packed input differ for the reverse direction.",
    ),
    _inference(
        "PCK-5",
        "What stood in the padding has no influence.",
        _PACK,
        feature=Feature.PACKED,
    ),
    _inference(
        "PCK-6",
        "Sequences of equal lengths, packed, give what the unpacked call gives.",
        _PACK,
        feature=Feature.PACKED,
    ),
    # Dropout
    _training(
        "DRP-1",
        "Dropout does nothing in evaluation mode, with p = 0, or in a single layer (which warns).",
        _LSTM,
        feature=Feature.DROPOUT,
    ),
    _training(
        "DRP-2",
        "In training, dropout acts on every layer's output but the last's, and on nothing "
        "else: not on what recurs, not on returned states.",
        _LSTM,
        feature=Feature.DROPOUT,
        advice="Dropout acts between layers only.",
    ),
    _training(
        "DRP-3",
        "Each element is zeroed with probability p and the rest scaled by 1/(1-p), "
        "independently over time, batch and feature; p = 1 leaves zeros.",
        _DOCS + "generated/torch.nn.Dropout.html",
        feature=Feature.DROPOUT,
    ),
    _training(
        "DRP-4",
        "Masks come from the framework's generator: the same manual_seed gives the same mask, "
        "the next call another.",
        _RANDOMNESS,
        feature=Feature.DROPOUT,
    ),
    _training(
        "DRP-5",
        "The backward pass uses the forward pass's mask.",
        _AUTOGRAD,
        feature=Feature.DROPOUT,
    ),
    # Gradients
    _training(
        "GRD-1",
        "Gradients with respect to the input, each initial state and every parameter are right; "
        "the padding gets none.",
        _AUTOGRAD,
        kinds=ALL,
    ),
    _training(
        "GRD-2",
        "Gradients flow through the whole sequence, without truncation.",
        _AUTOGRAD,
    ),
    _training(
        "GRD-3",
        "Gradients flow through output, h_n and c_n, each alone and together; leaving one "
        "unused is no error.",
        _AUTOGRAD,
        kinds=ALL,
    ),
    _training(
        "GRD-4",
        "Gradients accumulate over repeated backward passes; what asks for no gradient gets none.",
        _AUTOGRAD,
        kinds=ALL,
    ),
    _training(
        "GRD-5",
        "Derivatives of derivatives are right wherever torch.nn has them; where it has none there "
        "is an exception, never a silent constant.",
        _DOCS + "generated/torch.autograd.grad.html",
        kinds=ALL,
    ),
    # Parameters
    _drop_in(
        "PAR-1",
        "Parameters have torch.nn's names, order and shapes, none for a bias with bias=False; "
        "the constructor's arguments are attributes.",
        _LSTM,
        kinds=ALL,
    ),
    _drop_in(
        "PAR-2",
        "Fresh parameters, biases too, are uniform in ±1/sqrt(H), decided by the seed, and "
        "differ between layers and directions.",
        _LSTM,
        kinds=ALL,
        advice="Initial weights are within 1/sqrt(H), not within 1/H.",
    ),
    _drop_in(
        "PAR-3",
        "state_dict goes both ways between the implementation and torch.nn, strictly.",
        _MODULE,
        kinds=ALL,
    ),
    _drop_in(
        "PAR-4",
        "A parameter changed in place, loaded by load_state_dict, or cast by .to(dtype) is "
        "used by the very next call.",
        _MODULE,
        kinds=ALL,
    ),
    _drop_in(
        "PAR-5",
        "flatten_parameters() exists and changes nothing visible; all_weights lists the "
        "parameters by layer and direction.",
        _RNN,
    ),
    _drop_in(
        "PAR-6",
        "What is computed in a parameter's place is used: parametrizations, weight and spectral "
        "norm, pruning, functional_call; tied parameters stay tied.",
        _DOCS + "generated/torch.nn.utils.parametrize.register_parametrization.html",
        kinds=ALL,
        advice="A parameter is an attribute to be read at each call, not an object to be kept.",
    ),
    _drop_in(
        "PAR-7",
        "reset_parameters() draws anew, forward's keywords are input and hx, and attributes that "
        "are set after construction count.",
        _RNN,
        kinds=ALL,
        advice="forward takes hx=, not h_0= as the documentation of its arguments may suggest.",
    ),
    # Memory
    _inference(
        "MEM-1",
        "Input, states and parameters are not modified.",
        kinds=ALL,
    ),
    _inference(
        "MEM-2",
        "Non-contiguous, expanded and strided inputs and states give what contiguous ones give.",
        _DOCS + "tensor_view.html",
        kinds=ALL,
    ),
    _inference(
        "MEM-3",
        "Results share no memory with inputs, with parameters, with one another, or with the next "
        "call's results.",
        _DOCS + "tensor_view.html",
        kinds=ALL,
    ),
    # Types
    _inference(
        "TYP-1",
        "Results have the input's dtype and device.",
        _DOCS + "tensor_attributes.html",
        kinds=ALL,
    ),
    _drop_in(
        "TYP-2",
        "An input whose dtype is not the weights' is refused.",
        _DOCS + "tensor_attributes.html",
        kinds=ALL,
    ),
    # Laws that need no reference
    _inference(
        "INV-1",
        "Samples are independent: permuting, changing or splitting the batch does the same to "
        "the results and no more.",
    ),
    _inference(
        "INV-2",
        "Permuting hidden units permutes the results; permuting input features together with "
        "weight_ih's columns changes nothing.",
    ),
    _inference(
        "INV-3",
        "Closed forms hold: zero weights and biases, and gates held constant.",
    ),
    _inference(
        "INV-4",
        "Swapping the two directions' parameters and flipping time swaps the halves of the "
        "results.",
        feature=Feature.BIDIRECTIONAL,
    ),
    # Special values
    _inference(
        "SPC-1",
        "A NaN in one sample reaches that sample only and, forward, from that step on.",
        _ACCURACY,
    ),
    _inference(
        "SPC-2",
        "Infinite and huge inputs saturate the gates as the equations say, without a NaN of "
        "their own.",
        _ACCURACY,
    ),
    _inference(
        "SPC-3",
        "Zeros are numbers like any other, in whole steps and samples too, and subnormal inputs "
        "change nothing beyond rounding.",
        _DOCS + "generated/torch.set_flush_denormal.html",
    ),
    # Errors
    _drop_in(
        "ERR-1",
        "The constructor refuses sizes that are not positive integers, dropout outside [0, 1], "
        "and projections and nonlinearities that the class does not have.",
        _LSTM,
        kinds=ALL,
    ),
    _drop_in(
        "ERR-2",
        "Input of one or four dimensions, or of the wrong feature size, is refused.",
        _LSTM,
    ),
    _drop_in(
        "ERR-3",
        "A state of the wrong size, dimension or structure is refused, h_0 and c_0 each.",
        _LSTM,
        advice="A state of the wrong batch size must be refused, not broadcast.",
    ),
    _drop_in(
        "ERR-4",
        "An initial state whose dtype is not the weights' is refused.",
        _LSTM,
        ALL,
    ),
    # Cells
    _inference(
        "CEL-1",
        "A cell takes (N, H_in) or (H_in) and gives (N, H) or (H), LSTMCell as (h, c); an omitted "
        "state is zeros, an empty batch legal.",
        _CELL,
        CELLS,
    ),
    _inference(
        "CEL-2",
        "A cell is one step of the layer's equations, with parameters weight_ih, weight_hh, "
        "bias_ih and bias_hh.",
        _CELL,
        CELLS,
    ),
    _inference(
        "CEL-3",
        "A cell unrolled over a sequence equals the one-layer module.",
        _CELL,
        CELLS,
    ),
    _drop_in(
        "CEL-4",
        "Inputs and states of illegal shapes are refused.",
        _CELL,
        kinds=CELLS,
    ),
    # Determinism and concurrency
    _inference("DET-1", "The same call gives the same bits.", _RANDOMNESS, ALL),
    _inference(
        "DET-2",
        "Two threads that call the same module each get what they would get alone.",
        _DOCS + "notes/cpu_threading_torchscript_inference.html",
        ALL,
    ),
    # Process
    _inference(
        "ENV-1",
        "A call leaves the process as it found it: settings, environment, paths, warnings "
        "filters, torch's and NumPy's functions, generators but for dropout.",
        kinds=ALL,
        advice="Set for a while what a computation needs, with a context manager that sets it "
        "back; seed a generator of your own.",
    ),
    # Lifecycle
    _drop_in(
        "LIF-1",
        "copy.deepcopy, pickling, and torch.save and load keep the function; copies share nothing.",
        _DOCS + "notes/serialization.html",
        kinds=ALL,
    ),
    _drop_in(
        "LIF-2",
        "train() and eval(), in any order and after calls in the other mode, decide dropout at "
        "the call.",
        _MODULE,
        feature=Feature.DROPOUT,
    ),
    _drop_in(
        "LIF-3",
        "torch.func.functional_call, requires_grad_(False), hooks, no_grad and checkpoints work as "
        "on any module.",
        _DOCS + "generated/torch.func.functional_call.html",
        kinds=ALL,
    ),
    _drop_in(
        "LIF-4",
        "A replica without parameters of its own, as data-parallel wrappers make them, computes "
        "with those that it is given.",
        _DOCS + "generated/torch.nn.DataParallel.html",
        kinds=ALL,
        advice="A replica's parameters() is empty: next(self.parameters()) fails there.",
    ),
    # Autocast
    _drop_in(
        "AMP-1",
        "Under autocast it answers wherever torch.nn's own class does, as accurately as the type "
        "allows, in the dtypes of torch.nn there or in its own.",
        _DOCS + "amp.html",
        kinds=ALL,
    ),
    # Deployment
    *(
        _drop_in(id, f"{what} gives the eager result.", _DOCS + page, kinds=ALL, optional=True)
        for id, what, page in (
            ("DEP-1", "torch.compile", "generated/torch.compile.html"),
            ("DEP-2", "torch.export", "export.html"),
            ("DEP-3", "TorchScript", "generated/torch.jit.trace.html"),
            ("DEP-4", "A round trip through ONNX", "onnx.html"),
            ("DEP-5", "torch.func.vmap over samples", "generated/torch.func.vmap.html"),
        )
    ),
)

CLAUSES: dict[str, Clause] = {clause.id: clause for clause in _CLAUSES}

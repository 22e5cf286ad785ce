"""What a check is made of: all that a file in ``conformance/`` imports of ours.

What needs torch is asked for inside a check, from the module of its chapter's kit, so that a
run without torch layers does not load it.
"""

from rnn_conformance.checking.apart import Apart, Together
from rnn_conformance.checking.assertions import (
    assert_close,
    assert_equivalent,
    assert_identical,
    assert_shape,
    assert_tied_within_bound,
    assert_within_bound,
    assert_within_scatter,
    between_calls,
)
from rnn_conformance.checking.backpropagation import from_the_ends, frozen_of, remembering
from rnn_conformance.checking.chance import FALSE_ALARM, allowed_gap, gap, improbable
from rnn_conformance.checking.checks import clause
from rnn_conformance.checking.composition import (
    alone,
    assert_composed_of_parts,
    place,
    time_major,
)
from rnn_conformance.checking.copies import Copies, Copy
from rnn_conformance.checking.dropout import (
    Source,
    everything_dropped,
    legible,
    masks_of,
    nothing_kept,
    read,
    reading_zeros,
    scale,
)
from rnn_conformance.checking.edges import Edges
from rnn_conformance.checking.ladders import Axis, Ladder
from rnn_conformance.checking.lengths import EveryLength
from rnn_conformance.checking.probing import demand_answers, demand_torchs_defaults
from rnn_conformance.checking.programs import CALLS, Program, Programs, Step
from rnn_conformance.checking.properties import for_all, for_each
from rnn_conformance.checking.storage import (
    LAYOUTS,
    Snapshot,
    contents,
    difference,
    expanded,
    overwrite,
    snapshot,
)
from rnn_conformance.checking.strategies import SMALL, Cases, cases
from rnn_conformance.checking.subject import Subject
from rnn_conformance.checking.successions import Succession, Successions
from rnn_conformance.checking.surroundings import generators, set_generators, set_otherwise
from rnn_conformance.errors import Gap, Nature, NonConforming, Sort, Unsupported, deliberate
from rnn_conformance.implementations.interface import Bare
from rnn_conformance.implementations.process import Change, contained, watching
from rnn_conformance.implementations.structure import parts_of
from rnn_conformance.implementations.trees import leaves, mapped
from rnn_conformance.reference.expected import Expected, Sum
from rnn_conformance.reference.formats import FORMATS
from rnn_conformance.reference.tolerance import Agreement
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.backward import Backward, drawn
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.cases import Case, State, Values, rounded
from rnn_conformance.spec.combinations import Combination
from rnn_conformance.spec.config import ARGUMENTS, Config, Dtype, Feature, Kind, Level, Role
from rnn_conformance.spec.result import Result
from rnn_conformance.texts import shown

__all__ = [
    "ARGUMENTS",
    "CALLS",
    "FALSE_ALARM",
    "FORMATS",
    "LAYOUTS",
    "SMALL",
    "Agreement",
    "Apart",
    "Array",
    "Axis",
    "Backward",
    "Bare",
    "Call",
    "Case",
    "Cases",
    "Change",
    "Combination",
    "Config",
    "Copies",
    "Copy",
    "Dtype",
    "Edges",
    "EveryLength",
    "Expected",
    "Feature",
    "Gap",
    "Kind",
    "Ladder",
    "Level",
    "Nature",
    "NonConforming",
    "Program",
    "Programs",
    "Result",
    "Role",
    "Snapshot",
    "Sort",
    "Source",
    "State",
    "Step",
    "Subject",
    "Succession",
    "Successions",
    "Sum",
    "Together",
    "Unsupported",
    "Values",
    "allowed_gap",
    "alone",
    "assert_close",
    "assert_composed_of_parts",
    "assert_equivalent",
    "assert_identical",
    "assert_shape",
    "assert_tied_within_bound",
    "assert_within_bound",
    "assert_within_scatter",
    "between_calls",
    "cases",
    "clause",
    "contained",
    "contents",
    "deliberate",
    "demand_answers",
    "demand_torchs_defaults",
    "difference",
    "drawn",
    "everything_dropped",
    "expanded",
    "for_all",
    "for_each",
    "from_the_ends",
    "frozen_of",
    "gap",
    "generators",
    "improbable",
    "leaves",
    "legible",
    "mapped",
    "masks_of",
    "nothing_kept",
    "overwrite",
    "parts_of",
    "place",
    "read",
    "reading_zeros",
    "remembering",
    "rounded",
    "scale",
    "set_generators",
    "set_otherwise",
    "shown",
    "snapshot",
    "time_major",
    "watching",
]

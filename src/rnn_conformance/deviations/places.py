"""Parameters that are read from where another layer or direction has its own (DIR-2, LAY-2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from rnn_conformance.deviations.deviation import Chapter, Deviant
from rnn_conformance.reference.oracle import Weights
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.clauses import LAYERS
from rnn_conformance.spec.config import Feature, Kind

PLACES = Chapter[Deviant]()

Place = Callable[[int, int], tuple[int, int]]


def _from(parts: tuple[str, ...], place: Place) -> type[Deviant]:
    """An oracle that reads some of the parameters from another layer and direction."""

    class FromPlace(Deviant):
        def weights(self, call: Call, layer: int, direction: int) -> Weights:
            weights = super().weights(call, layer, direction)
            read = place(layer, direction)
            if read[1] >= call.config.num_directions or read == (layer, direction):
                return weights
            others = super().weights(call, *read)
            taken = {part: getattr(others, part) for part in parts}
            # The first layer reads an input of another size: there is nothing to be read there.
            fits = all(
                array is None or array.shape == getattr(weights, part).shape
                for part, array in taken.items()
            )
            return replace(weights, **taken) if fits else weights

    return FromPlace


WAYS: tuple[tuple[str, Feature, str, Place], ...] = (
    (
        "of the layer below in layers above the first",
        Feature.MULTI_LAYER,
        "LAY-2",
        lambda layer, direction: (max(layer - 1, 0), direction),
    ),
    (
        "of the first layer in every layer",
        Feature.MULTI_LAYER,
        "LAY-2",
        lambda layer, direction: (0, direction),
    ),
    (
        "of the forward direction in both",
        Feature.BIDIRECTIONAL,
        "DIR-2",
        lambda layer, direction: (layer, 0),
    ),
    (
        "of the two directions swapped",
        Feature.BIDIRECTIONAL,
        "DIR-2",
        lambda layer, direction: (layer, 1 - direction),
    ),
)

for parts, what, kinds, needs in (
    (("w_ih",), "weight_ih", LAYERS, ()),
    (("w_hh",), "weight_hh", LAYERS, ()),
    (("w_ih", "w_hh"), "weight_ih and weight_hh", LAYERS, ()),
    (("b_ih",), "bias_ih", LAYERS, ()),
    (("b_hh",), "bias_hh", LAYERS, ()),
    (("w_hr",), "weight_hr", [Kind.LSTM], (Feature.PROJECTION,)),
):
    for words, feature, clause, place in WAYS:
        if parts == ("w_hr",) and words == "of the forward direction in both":
            # In the chapter of projections, where it was met.
            continue
        if "w_ih" in parts and words == "of the first layer in every layer":
            # It reads an input of another size.
            continue
        PLACES.add(
            f"{what} {words}",
            f"{clause} EQ-1 EQ-2 EQ-3",
            fix=f"Read {what} of each layer and direction by itself: what ends in _l1 is the "
            "second layer's, and in _reverse the reverse direction's.",
            kinds=kinds,
            needs=[feature, *needs],
        )(_from(parts, place))

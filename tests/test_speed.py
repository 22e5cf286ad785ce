"""Speed beside truth: what is measured, what is written of it, and what the page shows."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from rnn_conformance import drop_in
from rnn_conformance.cli import main
from rnn_conformance.errors import Gap, Unsupported, UsageError
from rnn_conformance.implementations.interface import Bare, Declaration, Implementation, Layer
from rnn_conformance.implementations.numpy_function import FunctionImplementation
from rnn_conformance.implementations.registry import load
from rnn_conformance.report import render
from rnn_conformance.report.speed import OCTAVES, WIDTH, Speed, place
from rnn_conformance.results.formats import BENCH
from rnn_conformance.results.reading import read
from rnn_conformance.results.records import Entry, Outcome
from rnn_conformance.results.speed import Clock, Shape, Work, all_right
from rnn_conformance.results.verdict import Exit
from rnn_conformance.running.bench import GRID, Choice, _points
from rnn_conformance.running.jobs import Candidate, Source
from rnn_conformance.running.timing import interval, measure
from rnn_conformance.spec.calls import LayerSpec
from rnn_conformance.spec.config import Config, Dtype, Kind
from tests.support.made_results import LOOP, results
from tests.support.made_speed import figure, speeds, timed
from tests.support.pages import Parsed

SMALL = Shape("small", 3, 2, 4, 5)


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """Those of torch as they were: a measurement fixes them."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def measured(implementation: Implementation, kind: Kind, work: Work = Work.FORWARD) -> Any:
    """A measurement that is quick and not exact."""
    return measure(implementation, kind, SMALL, Dtype.FLOAT32, work, pairs=3, pair_seconds=0.0005)


def function(layer: Callable[[Config], Callable[..., Any]]) -> FunctionImplementation:
    """A GRU that ``layer`` builds from the configuration alone."""
    declaration = Declaration.of(["GRU"], ["initial_state"])
    return FunctionImplementation(
        "made", declaration, build_layer=lambda config, parameters: layer(config)
    )


def zeros(config: Config) -> Callable[..., Any]:
    """What is quick, and never right."""

    def layer(input: Any, state: Any = None, lengths: Any = None) -> Any:
        output = np.zeros((*input.shape[:2], config.hidden_size), input.dtype)
        return output, output[-1:]

    return layer


# Measuring


def test_what_is_fast_and_wrong_is_timed_and_told_to_be_wrong() -> None:
    found = measured(function(zeros), Kind.GRU)
    assert found.ratio.median < 1
    assert "30 of 30 elements are off" in found.wrong


def test_what_is_right_is_not_told_to_be_wrong() -> None:
    (gru,) = load("torch.nn:GRU")
    for work in Work:
        found = measured(gru, Kind.GRU, work)
        assert (found.wrong, found.reason, found.adapted) == (None, None, False)
        assert 0.1 < found.ratio.median < 10  # beside itself


def test_gradients_that_are_wrong_are_told_though_the_results_are_right() -> None:
    class Halved(torch.nn.GRU):
        def forward(self, input: Any, hx: Any = None) -> Any:
            output, h_n = super().forward(input, hx)
            return 0.5 * output + (0.5 * output).detach(), h_n

    implementation = drop_in(Halved)
    assert measured(implementation, Kind.GRU).wrong is None
    assert "gradient" in measured(implementation, Kind.GRU, Work.TRAINING).wrong


def test_building_and_the_first_call_are_told_apart_from_later_ones() -> None:
    def slow_at_first(config: Config) -> Callable[..., Any]:
        time.sleep(0.1)
        again: list[bool] = []
        fast = zeros(config)

        def layer(input: Any, state: Any = None, lengths: Any = None) -> Any:
            time.sleep(0.0 if again else 0.2)
            again.append(True)
            return fast(input, state, lengths)

        return layer

    found = measured(function(slow_at_first), Kind.GRU)
    assert found.building >= 0.1
    assert found.first >= 0.2
    assert found.seconds < 0.05


def test_what_raises_has_a_reason_and_no_figure() -> None:
    def broken(config: Config) -> Callable[..., Any]:
        raise RuntimeError("no kernel for this processor")

    found = measured(function(broken), Kind.GRU)
    assert found.ratio is None
    assert "no kernel for this processor" in found.reason


def test_what_has_no_backward_pass_has_a_reason_and_no_figure() -> None:
    found = measured(function(zeros), Kind.GRU, Work.TRAINING)
    assert (found.ratio, found.reason) == (None, "has no vector-Jacobian product (vjp)")


def test_an_interval_holds_the_median_and_narrows_with_more_pairs() -> None:
    rng = np.random.default_rng(0)
    few, many = (list(map(float, rng.lognormal(0.0, 0.3, count))) for count in (10, 200))
    widths = []
    for ratios in (few, many):
        low, high = interval(ratios)
        assert low < float(np.median(ratios)) < high
        widths.append(high - low)
    assert widths[1] < widths[0] / 2
    assert interval([2.0, 2.0]) == (2.0, 2.0)


def test_what_computes_is_timed_by_the_processor_and_what_waits_by_the_clock_on_the_wall() -> None:
    def waiting(config: Config) -> Callable[..., Any]:
        made = zeros(config)

        def layer(input: Any, state: Any = None, lengths: Any = None) -> Any:
            time.sleep(0.002)
            return made(input, state, lengths)

        return layer

    (gru,) = load("torch.nn:GRU")
    assert measured(gru, Kind.GRU).clock is Clock.PROCESSOR
    found = measured(function(waiting), Kind.GRU)
    assert found.clock is Clock.WALL
    assert found.seconds >= 0.002


class Adapted(FunctionImplementation):
    """What cannot be called without the suite's adapter, as a process cannot."""

    def bare(self, layer: LayerSpec) -> Bare:
        raise Unsupported("shows nothing of its memory", Gap.NO_MEMORY)

    def build(self, layer: LayerSpec) -> Layer:
        return super().bare(layer)


def test_what_cannot_be_called_without_the_adapter_is_timed_with_it_and_says_so() -> None:
    plain = function(zeros)
    adapted = Adapted("made", plain.declaration, build_layer=plain.build_layer)
    found = measured(adapted, Kind.GRU)
    assert found.adapted
    assert found.ratio is not None


def test_the_backward_pass_of_a_function_is_its_own_and_timed_without_the_adapter() -> None:
    def layer(config: Config) -> Callable[..., Any]:
        made = zeros(config)

        def vjp(cotangents: Any, input: Any, state: Any = None, lengths: Any = None) -> Any:
            assert set(cotangents) == {"output", "h_n"}
            return dict.fromkeys(("input", *config.parameters))

        made.vjp = vjp  # type: ignore[attr-defined]
        return made

    found = measured(function(layer), Kind.GRU, Work.TRAINING)
    assert (found.adapted, found.reason) == (False, None)
    assert "gradient" in found.wrong


# Choosing


def candidate(kind: Kind, level: str, dtypes: tuple[str, ...]) -> Candidate:
    return Candidate(Entry("one", kind.value, "one", level, (), dtypes), Source("one"), ())


def test_a_cell_has_each_size_once_and_a_layer_every_shape() -> None:
    shapes = [
        [
            point.shape.name
            for point in _points(candidate(kind, "inference", ("float32",)), Choice())
        ]
        for kind in (Kind.GRU, Kind.GRU_CELL)
    ]
    assert shapes[0] == [shape.name for shape in GRID]
    # In one step, a long sequence is a short one.
    assert shapes[1] == [name for name in shapes[0] if name != "long"]


def test_backward_passes_are_timed_where_they_are_claimed_and_dtypes_where_declared() -> None:
    points = list(_points(candidate(Kind.GRU, "training", ("float64", "float16")), Choice()))
    assert {point.dtype for point in points} == {Dtype.FLOAT64}
    assert {point.work for point in points} == set(Work)


@pytest.mark.parametrize("wrong", [{"shapes": ("tall",)}, {"kinds": ("TCN",)}, {"dtypes": ("e",)}])
def test_what_does_not_exist_cannot_be_chosen(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="choose"):
        Choice(**wrong)


# The document


def test_figures_that_were_written_are_read_back(tmp_path: Path) -> None:
    whole = speeds(timed(figure(), figure("one step", wrong="output is off"), name="loop"))
    path = tmp_path / "bench.json"
    path.write_text(json.dumps(whole), "utf-8")
    assert (read(path).format, read(path).content) == (BENCH, json.loads(json.dumps(whole)))


def test_all_is_right_where_all_was_timed_and_only_what_should_be_is_wrong() -> None:
    wrong = replace(figure(), wrong="output is off")
    untimed = replace(figure(), ratio=None, reason="it died")
    assert all_right(speeds(timed(figure())))
    assert all_right(speeds(timed(wrong, fails_on_purpose="zeros")))
    assert not all_right(speeds(timed(figure(), wrong)))
    assert not all_right(speeds(timed(untimed)))


# The page


def page(*implementations: Any) -> Parsed:
    return Parsed(render(results(LOOP, EQ_2=Outcome.FAILED), None, speeds(*implementations)))


def test_what_is_fast_and_wrong_is_shown_as_wrong() -> None:
    made = page(timed(figure(ratio=0.1, wrong="output is off"), name=LOOP.name))
    (cell,) = [cell for cell in made.all("td") if "wrong" in cell.classes]
    assert cell.text.startswith("0.1 wrong")
    assert not [cell for cell in made.all("td") if "faster" in cell.classes]


def test_each_figure_stands_beside_the_verdict_in_the_table_and_the_picture() -> None:
    made = page(timed(figure("one step", 0.25), figure("short", 3.0), name=LOOP.name))
    section = made.all("section", id="speed")[0]
    assert "fails" in section.text
    (picture,) = made.all("svg", "ratios")
    assert "one step 0.25; short 3.0" in picture.attributes["aria-label"]
    marks = [float(mark.attributes["cx"]) for mark in made.all("circle") if "cx" in mark.attributes]
    assert place(0.25) in marks
    assert place(3.0) in marks


def test_a_picture_holds_every_ratio_and_torchs_own_is_in_its_middle() -> None:
    assert place(1.0) == WIDTH / 2
    assert place(1e-9) == 0
    assert place(2.0**OCTAVES) == place(1e9) == WIDTH


def test_even_is_what_has_torchs_speed_in_its_interval() -> None:
    document = speeds(timed(figure(ratio=0.5), figure("one step", 1.05)))
    (row,) = Speed(document, results(LOOP)).rows
    assert [one.state for one in row.figures] == ["even", "faster"]


def test_what_is_not_in_the_results_has_no_verdict() -> None:
    assert (
        "not in these results"
        in page(timed(figure(), name="another")).all("section", id="speed")[0].text
    )


def test_notes_of_figures_stay_text() -> None:
    made = page(timed(figure(wrong="<script>alert(1)</script>"), name=LOOP.name))
    # The page's own: its data and its code.
    assert len(made.all("script")) == 2
    assert not [element for element in made.elements if "style" in element.attributes]


# The command


def test_the_command_writes_figures_that_the_report_shows(tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    called = CliRunner().invoke(
        main,
        [
            "bench",
            "torch.nn:GRU",
            "--shape",
            "short",
            "--dtype",
            "float32",
            "--output",
            str(tmp_path),
        ],
    )
    assert called.exit_code == Exit.GREEN, called.output
    works = [one["work"] for one in read(file).content["implementations"][0]["measurements"]]
    assert works == [work.value for work in Work]
    (tmp_path / "results.json").write_text(json.dumps(results(LOOP)), "utf-8")
    again = CliRunner().invoke(main, ["report", str(tmp_path / "results.json"), str(file)])
    assert again.exit_code == Exit.GREEN, again.output
    assert Parsed((tmp_path / "index.html").read_text("utf-8")).all("section", id="speed")
    twice = CliRunner().invoke(
        main, ["report", str(tmp_path / "results.json"), str(file), str(file)]
    )
    assert (twice.exit_code, "both of bench" in twice.output) == (Exit.USAGE, True)

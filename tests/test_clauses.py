"""The clauses as data: complete, in order, and about what their chapters are about."""

import ast
import json
from itertools import groupby
from pathlib import Path

import pytest

from rnn_conformance.spec import clauses
from rnn_conformance.spec.clauses import ALL, CELLS, CHAPTERS, CLAUSES, LAYERS
from rnn_conformance.spec.config import Feature, Kind, Level

COUNTS = {
    "DCL": 1,
    "SHP": 6, "BF": 3, "DIR": 5, "LAY": 3, "STA": 4, "EQ": 7, "ACC": 2, "PCK": 6, "DRP": 5,
    "GRD": 5, "PAR": 7, "MEM": 3, "TYP": 2, "INV": 4, "SPC": 3, "ERR": 4, "CEL": 4, "DET": 2,
    "ENV": 1, "LIF": 4, "AMP": 1, "DEP": 5,
}  # fmt: skip


def test_every_chapter_has_its_clauses_numbered_from_one_and_in_order() -> None:
    expected = [f"{chapter}-{n + 1}" for chapter, count in COUNTS.items() for n in range(count)]
    assert list(CLAUSES) == expected
    assert [chapter for chapter, _ in groupby(CLAUSES.values(), lambda c: c.chapter)] == list(
        CHAPTERS
    )
    assert all(clause.id == key for key, clause in CLAUSES.items())


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_chapter_belongs_to_one_level_but_for_what_only_a_class_can_show(chapter: str) -> None:
    training, drop_in = {"GRD", "DRP"}, {"PAR", "ERR", "LIF", "AMP", "DEP"}
    for clause in CLAUSES.values():
        if clause.chapter != chapter:
            continue
        if clause.id in ("TYP-2", "CEL-4") or chapter in drop_in:
            assert clause.level is Level.DROP_IN, clause.id
        elif chapter in training or clause.id == "ACC-2":
            assert clause.level is Level.TRAINING, clause.id
        else:
            assert clause.level is Level.INFERENCE, clause.id


def test_a_clause_is_about_the_kinds_that_have_what_it_speaks_of() -> None:
    of_one_kind = {
        "EQ-1": {Kind.RNN},
        "EQ-2": {Kind.LSTM},
        "EQ-3": {Kind.GRU},
        "SHP-3": {Kind.LSTM},
    }
    also_cells = {f"GRD-{n}" for n in (1, 3, 4, 5)} | {f"PAR-{n}" for n in (1, 2, 3, 4, 6, 7)}
    also_cells |= {"EQ-7", "ERR-1", "ERR-4", "LIF-1", "LIF-3", "LIF-4"}
    of_all = ("DCL", "ACC", "MEM", "TYP", "DET", "ENV", "AMP", "DEP")
    for clause in CLAUSES.values():
        if clause.id in of_one_kind:
            assert clause.kinds == of_one_kind[clause.id], clause.id
        elif clause.chapter == "CEL":
            assert clause.kinds == CELLS, clause.id
        elif clause.chapter in of_all or clause.id in also_cells:
            assert clause.kinds == ALL, clause.id
        else:
            assert clause.kinds == LAYERS, clause.id


def test_a_clause_presupposes_only_what_its_kinds_can_have() -> None:
    for clause in CLAUSES.values():
        for kind in clause.kinds:
            assert clause.feature is None or clause.feature in Feature.of(kind), (clause.id, kind)


def test_what_has_one_direction_is_not_excused_by_lacking_the_other() -> None:
    assert CLAUSES["DIR-4"].feature is Feature.BIDIRECTIONAL
    assert CLAUSES["DIR-5"].feature is None


def test_deployment_alone_is_optional() -> None:
    assert {clause.chapter for clause in CLAUSES.values() if clause.optional} == {"DEP"}
    assert all(clause.optional for clause in CLAUSES.values() if clause.chapter == "DEP")


def test_every_clause_is_one_sentence_with_a_source() -> None:
    for clause in CLAUSES.values():
        assert clause.title.endswith("."), clause.id
        assert len(clause.title) <= 160, clause.id
        assert not clause.advice or clause.advice.endswith("."), clause.id
        assert clause.source.startswith("https://"), clause.id


def test_no_two_clauses_say_the_same() -> None:
    titles = [clause.title for clause in CLAUSES.values()]
    assert len(set(titles)) == len(titles)


def test_a_record_is_plain_json() -> None:
    for clause in CLAUSES.values():
        record = clause.to_record()
        assert json.loads(json.dumps(record)) == record
        assert {type(value) for value in record.values()} <= {str, list, bool, type(None)}
    assert CLAUSES["DRP-2"].to_record()["kinds"] == ["RNN", "LSTM", "GRU"]


def test_the_clauses_know_nothing_of_the_suite_but_its_terms() -> None:
    tree = ast.parse(Path(clauses.__file__).read_text("utf-8"))
    modules = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    ours = {module for module in modules if module.startswith("rnn_conformance")}
    assert ours == {"rnn_conformance.spec.config"}

"""Who may import whom, where no contract of import-linter's can say so: outside the package."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "rnn_conformance"

# A file of conformance/ is located by path and imports one name of ours and, at most, these.
CONFORMANCE_LIBRARIES = {"hypothesis", "numpy", "pytest", "torch"}

CHAPTERS = sorted(ROOT.glob("conformance/**/*.py"))
IMPLEMENTATIONS = sorted(ROOT.glob("impls/**/*.py"))
TESTS = sorted(ROOT.glob("tests/**/*.py"))
BENCHMARKS = sorted(ROOT.glob("benchmarks/**/*.py"))


def name_of(path: Path) -> str:
    """What a test of the file is called."""
    return path.relative_to(ROOT).as_posix()


def imported_modules(path: Path) -> Iterator[str]:
    """The modules that a file imports or imports from, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}, line {node.lineno}: a relative import"
            yield str(node.module)


def of_ours(path: Path) -> set[str]:
    """The modules of the package that a file imports."""
    return {name for name in imported_modules(path) if name.partition(".")[0] == PACKAGE}


def of_others(path: Path) -> set[str]:
    """The packages that a file imports and that are neither ours nor Python's."""
    packages = {name.partition(".")[0] for name in imported_modules(path)}
    return packages - {PACKAGE} - sys.stdlib_module_names


@pytest.mark.parametrize("folder", ["conformance", "impls"])
def test_content_is_located_by_path_and_is_no_package(folder: str) -> None:
    packages = list((ROOT / folder).rglob("__init__.py"))
    assert not packages, f"{packages} would make a package of a name that belongs to others"


@pytest.mark.parametrize("path", CHAPTERS, ids=name_of)
def test_a_chapter_imports_what_checks_are_written_with_and_no_more_of_ours(path: Path) -> None:
    assert of_ours(path) == {f"{PACKAGE}.checking"}
    foreign = of_others(path) - CONFORMANCE_LIBRARIES
    assert not foreign, f"it imports {sorted(foreign)}"


@pytest.mark.parametrize("path", IMPLEMENTATIONS, ids=name_of)
def test_an_implementation_imports_what_a_stranger_s_does(path: Path) -> None:
    assert of_ours(path) == {PACKAGE}, "the package's own names, and by them it is registered"
    frameworks = of_others(path) - {"numpy"}
    if len(frameworks) > 1:
        # An engine, and what it stands on.
        frameworks -= {"torch", "torchaudio", "jax"}
    assert len(frameworks) <= 1, f"it imports {sorted(frameworks)}"
    neighbours = {neighbour.stem for neighbour in path.parent.iterdir()} & frameworks
    assert not neighbours, f"it imports its neighbours {sorted(neighbours)}"


OTHERS_DO = ("tests/support/misbehaving/surroundings.py", "tests/test_process_checks.py")
"""They change ``sys.path`` as an implementation would."""


@pytest.mark.parametrize("path", TESTS + BENCHMARKS, ids=name_of)
def test_no_test_imports_another_and_no_path_is_patched(path: Path) -> None:
    folders = {"tests", "benchmarks", "conformance", "impls"}
    neighbours = {name for name in imported_modules(path) if name.partition(".")[0] in folders}
    others = {name for name in neighbours if not name.startswith("tests.support.")}
    assert not others, f"it imports {sorted(others)}; what is shared lies in tests/support/"
    patches = [
        node.lineno
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and (node.value.id, node.attr) == ("sys", "path")
    ]
    assert not patches or name_of(path) in OTHERS_DO, f"it changes sys.path in lines {patches}"

"""Who may import whom: an oracle that knew the implementations could agree by accident,
and a report that knew pytest could not be rendered from a file.
"""

import ast
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "rnn_conformance"
SOURCE = ROOT / "src" / PACKAGE

# module: (what of ours it may import, what of others' besides the standard library);
# imports inside functions count too. A new module is added here, by decision.
MODULES = {
    "spec": ("", ""),
    "errors": ("", ""),
    "calls": ("spec errors", "numpy"),
    "cases": ("spec calls", "numpy"),
    "clauses": ("spec", ""),
    "oracle": ("spec calls", "numpy"),
    "extended": ("calls derivatives oracle", "mpmath numpy"),
    "bounds": ("spec calls extended oracle", "numpy"),
    "ensemble": ("spec calls bounds oracle", "numpy"),
    "gradient_ensemble": (
        "spec calls bounds derivatives ensemble gradient_bounds gradients oracle",
        "numpy",
    ),
    "agreement": ("spec calls bounds ensemble", "numpy scipy"),
    "deviations": ("spec calls derivatives gradients oracle", "numpy"),
    "gradients": ("spec errors calls", "numpy"),
    "derivatives": ("spec calls gradients oracle", "numpy"),
    "gradient_bounds": ("spec calls bounds derivatives extended gradients oracle", "numpy"),
    "interface": ("spec errors calls gradients", ""),
    "functions": ("spec errors calls gradients interface", "numpy"),
    "classes": ("spec errors calls gradients interface functions", "numpy torch"),
    "dropout": ("spec calls cases oracle", "numpy"),
    "statistics": ("", "numpy"),
    "training": ("calls classes gradients subject", "torch"),
    "deployment": ("spec errors calls bounds checks classes subject", "torch"),
    "memory": ("", "numpy"),
    "modules": ("calls classes subject", "torch"),
    "violations": ("spec calls classes subject", "torch"),
    "locations": ("errors", ""),
    "registry": ("spec errors interface functions classes locations", "torch"),
    "strategies": ("spec errors cases interface", "hypothesis"),
    "checks": (
        "spec errors calls agreement bounds ensemble gradient_bounds gradient_ensemble gradients "
        "interface",
        "numpy",
    ),
    "parts": ("spec errors calls bounds checks", "numpy"),
    "subject": ("spec errors calls agreement functions gradients interface", ""),
    "programs": ("spec cases interface strategies", "hypothesis"),
    "machine": (
        "spec errors calls checks classes memory parts programs subject",
        "numpy torch",
    ),
    "reproduction": ("spec errors calls gradients interface", "numpy"),
    "documents": ("errors", "jsonschema"),
    "results": ("spec clauses documents", ""),
    "suite": (
        "spec errors agreement cases clauses checks ensemble interface locations reproduction "
        "results strategies subject",
        "hypothesis",
    ),
    "selection": ("spec errors clauses interface registry results subject suite", ""),
    "probes": ("spec calls bounds cases gradients interface strategies", "numpy"),
    "evidence": (
        "spec errors calls bounds cases checks gradient_bounds gradients probes subject",
        "numpy",
    ),
    "suspects": ("spec deviations evidence", ""),
    "symptoms": ("spec calls cases evidence", "numpy"),
    "diagnosis": (
        "spec errors calls cases clauses deviations evidence gradients interface probes subject "
        "suspects symptoms",
        "",
    ),
    "plugin": (
        "spec errors clauses diagnosis locations results selection subject suite",
        "hypothesis pytest",
    ),
    "runner": ("spec errors locations plugin report results selection suite", "pytest"),
    "api": ("report results runner selection", ""),
    "mutants": (
        "spec errors calls cases classes clauses derivatives deviations functions gradients "
        "interface oracle violations",
        "numpy torch",
    ),
    "matrix": ("clauses documents", ""),
    "power": ("spec errors clauses matrix mutants results subject suite", "torch"),
    "report": ("spec errors clauses results", "jinja2 markupsafe"),
}


# What a user meets may import everything, and nothing imports it.
FRONTS = {"__init__", "__main__", "cli"}

# A file of these folders is located by path and imports the package and, at most, these.
CONFORMANCE_LIBRARIES = {"hypothesis", "numpy", "pytest", "torch"}


def modules() -> dict[str, list[Path]]:
    """Each module's files; a package in the package is one module, whatever it is made of."""
    found: dict[str, list[Path]] = {}
    for path in sorted(SOURCE.rglob("*.py")):
        found.setdefault(path.relative_to(SOURCE).with_suffix("").parts[0], []).append(path)
    return found


def imports(path: Path) -> Iterator[str]:
    """The full names that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}, line {node.lineno}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def ours(path: Path) -> set[str]:
    """The modules of the package that a file imports; ``__init__`` for the package's own names."""
    inside = {name.removeprefix(PACKAGE).strip(".").partition(".")[0] for name in own(path)}
    return {name if name in modules() else "__init__" for name in inside}


def own(path: Path) -> set[str]:
    """The full names of what a file imports of the package."""
    return {name for name in imports(path) if name.partition(".")[0] == PACKAGE}


def others(path: Path) -> set[str]:
    """The packages that a file imports and that are neither ours nor Python's."""
    roots = {name.partition(".")[0] for name in imports(path)}
    return roots - {PACKAGE} - sys.stdlib_module_names


def test_every_module_of_the_package_is_in_the_table() -> None:
    unlisted = set(modules()) - set(MODULES) - FRONTS
    assert not unlisted, f"decide what {sorted(unlisted)} may import and add them to MODULES"
    gone = set(MODULES) - set(modules())
    assert not gone, f"{sorted(gone)} are no modules any more; remove them from MODULES"


def test_the_allowed_directions_have_no_cycle() -> None:
    graph = {module: allowed.split() for module, (allowed, _) in MODULES.items()}
    order = list(TopologicalSorter(graph).static_order())
    assert set(order) == set(MODULES), "MODULES allows an import of what is not in it"


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_what_it_may(module: str) -> None:
    allowed, libraries = (set(names.split()) for names in MODULES[module])
    for path in modules().get(module, []):
        upwards = ours(path) - allowed - {module}
        assert not upwards, f"{path.name} imports {sorted(upwards)}, against the directions"
        foreign = others(path) - libraries
        assert not foreign, f"{path.name} imports {sorted(foreign)}; it may {sorted(libraries)}"


@pytest.mark.parametrize("folder", ["conformance", "impls"])
def test_content_is_located_by_path_and_is_no_package(folder: str) -> None:
    packages = list((ROOT / folder).rglob("__init__.py"))
    assert not packages, f"{packages} would make a package of a name that belongs to others"


@pytest.mark.parametrize("path", sorted(ROOT.glob("conformance/**/*.py")), ids=lambda p: p.name)
def test_a_chapter_imports_the_package_and_the_libraries_of_tests(path: Path) -> None:
    foreign = others(path) - CONFORMANCE_LIBRARIES
    assert not foreign, f"{path.name} imports {sorted(foreign)}"


@pytest.mark.parametrize("path", sorted(ROOT.glob("impls/**/*.py")), ids=lambda p: p.name)
def test_an_implementation_imports_the_package_numpy_and_one_framework(path: Path) -> None:
    frameworks = others(path) - {"numpy"}
    assert len(frameworks) <= 1, f"{path.name} imports {sorted(frameworks)}"
    neighbours = {each.stem for each in path.parent.iterdir()} & frameworks
    assert not neighbours, f"{path.name} imports its neighbours {sorted(neighbours)}"
    assert own(path), f"{path.name} registers nothing: it does not import {PACKAGE}"

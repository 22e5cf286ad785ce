"""What is shipped: exactly the package, with the suite and the implementations inside."""

import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Every file in the wheel matches one of these.
EXPECTED = [
    r"rnn_conformance/\w+\.py",
    r"rnn_conformance/py\.typed",
    r"rnn_conformance/(checking|cli|deviations|diagnosis|implementations|mutants)/\w+\.py",
    r"rnn_conformance/(reference|results|running|spec)/\w+\.py",
    r"rnn_conformance/results/schemas/journal-(diagnosis|end|header)\.json",
    r"rnn_conformance/results/schemas/(baseline|bench|difference|power|record|results|store)\.json",
    r"rnn_conformance/running/pytest\.ini",
    r"rnn_conformance/report/.+\.(py|j2|html|md|css|js|svg|txt)",
    r"rnn_conformance/_bundled/conformance/test_\w+\.py",
    r"rnn_conformance/_bundled/(conformance|impls)/README\.md",
    r"rnn_conformance/_bundled/impls/(\w+/)?\w+\.(py|md|c|mjs|rs)",
    r"rnn_conformance-[\w.]+\.dist-info/(METADATA|WHEEL|RECORD|entry_points\.txt)",
    r"rnn_conformance-[\w.]+\.dist-info/licenses/LICENSE",
]

# Each of these folders of the checkout is in the wheel whole, under the other name.
SHIPPED = {
    "src/rnn_conformance": "rnn_conformance",
    "conformance": "rnn_conformance/_bundled/conformance",
    "impls": "rnn_conformance/_bundled/impls",
}

COMMAND = shutil.which("rnn-conformance", path=Path(sys.executable).parent)


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source distribution and the wheel built from it."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, f"the build failed:\n{built.stdout}{built.stderr}"
    return folder


@pytest.fixture
def wheel(distributions: Path) -> Iterator[ZipFile]:
    """The wheel, open for reading."""
    (path,) = distributions.glob("*.whl")
    with ZipFile(path) as opened:
        yield opened


def files_below(folder: Path) -> set[str]:
    """The files of a folder by their paths in it, less what running leaves behind."""
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {
        path.as_posix()
        for path in paths
        if not any(part.startswith(".") or part == "__pycache__" for part in path.parts)
    }


def test_nothing_unexpected_is_in_the_wheel(wheel: ZipFile) -> None:
    strangers = [
        name
        for name in wheel.namelist()
        if not any(re.fullmatch(pattern, name) for pattern in EXPECTED)
    ]
    assert not strangers, f"the wheel holds {strangers}"


@pytest.mark.parametrize("folder", SHIPPED)
def test_the_wheel_holds_every_file_of(wheel: ZipFile, folder: str) -> None:
    names = {f"{SHIPPED[folder]}/{name}" for name in files_below(ROOT / folder)}
    assert names, f"{folder} is empty"
    missing = names - set(wheel.namelist())
    assert not missing, f"the wheel lacks {sorted(missing)}"


def test_one_name_is_importable_and_one_command_is_installed(wheel: ZipFile) -> None:
    roots = {name.partition("/")[0] for name in wheel.namelist()}
    (metadata,) = roots - {"rnn_conformance"}
    assert re.fullmatch(r"rnn_conformance-[\w.]+\.dist-info", metadata)
    entry_points = wheel.read(f"{metadata}/entry_points.txt").decode()
    # Above all no pytest11: installing the package changes no other pytest run.
    assert entry_points == "[console_scripts]\nrnn-conformance = rnn_conformance.cli:main\n"


def test_the_metadata_names_the_licence_and_what_it_runs_on(wheel: ZipFile) -> None:
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    metadata = message_from_bytes(wheel.read(name))
    assert metadata["License-Expression"] == "MIT"
    assert metadata["Requires-Python"] == ">=3.11"
    required = {
        re.split(r"[^\w-]", requirement, maxsplit=1)[0]
        for requirement in metadata.get_all("Requires-Dist", [])
    }
    assert required >= {"hypothesis", "numpy", "pytest", "pytest-benchmark", "torch"}


def test_the_source_distribution_can_be_built_and_tested(distributions: Path) -> None:
    (path,) = distributions.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    needed = {"LICENSE", "README.md", "constraints.txt", "pyproject.toml", "tox.ini"}
    for folder in ("src", "conformance", "impls", "tests", "benchmarks"):
        needed |= {f"{folder}/{name}" for name in files_below(ROOT / folder)}
    assert not needed - names, f"the source distribution lacks {sorted(needed - names)}"


def test_the_installed_command_lists_what_is_bundled(tmp_path: Path) -> None:
    listed = command(tmp_path, "list")
    assert listed.returncode == 0, listed.stdout + listed.stderr
    assert "torch.nn" in listed.stdout
    assert not list(tmp_path.iterdir()), "list leaves files behind"


def test_the_installed_command_runs_in_an_empty_folder(tmp_path: Path) -> None:
    arguments = ("run", "numpy_loops", "--kind", "GRU", "--select", "SHP", "--profile", "quick")
    ran = command(tmp_path, *arguments, "--output", "out")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"out"}, "a run leaves files behind"
    assert {"index.html", "results.json"} <= {path.name for path in (tmp_path / "out").iterdir()}


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The installed command, run in ``folder``."""
    assert COMMAND, f"rnn-conformance is not installed beside {sys.executable}"
    return subprocess.run(
        [COMMAND, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )

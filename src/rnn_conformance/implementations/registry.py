"""Finds and loads implementations: what is bundled and a stranger's, the same way.

A target is a registered name, ``package.module:Class``, ``package.module``,
``path/to/file.py:Class``, ``path/to/file.py``, or a program: ``command:./my_engine``.
Registered is what lies in the bundled ``impls/``, in ``./impls``, and behind entry points in the
group ``rnn_conformance``.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from rnn_conformance.errors import Refusal, UsageError, interrupts
from rnn_conformance.implementations import command
from rnn_conformance.implementations.interface import Implementation
from rnn_conformance.implementations.process import contained
from rnn_conformance.locations import COMMAND, bundled
from rnn_conformance.texts import LINE, name_of, said, worded

ENTRY_POINT_GROUP = "rnn_conformance"


@dataclass(frozen=True)
class Unavailable:
    """Something registered whose framework is not installed."""

    name: str
    reason: str


def registered(engines: bool = True) -> tuple[list[Implementation], list[Unavailable]]:
    """Everything registered, in the order of names; without the ``engines`` if told.

    Raises ``UsageError`` if a registered file is broken, other than by a framework that
    is missing.
    """
    return _loaded(registered_targets(engines))


def _loaded(
    targets: Iterable[tuple[str, str]],
) -> tuple[list[Implementation], list[Unavailable]]:
    implementations: list[Implementation] = []
    unavailable: list[Unavailable] = []
    for name, target in targets:
        try:
            implementations += load(target)
        except UsageError as error:
            if error.refusal is not Refusal.PACKAGE:
                raise
            unavailable.append(Unavailable(name, error.missing))
    return sorted(implementations, key=lambda implementation: implementation.name), unavailable


def load(target: str, kind: str = "") -> list[Implementation]:
    """The implementations that a target names, at least one.

    ``kind`` is for a single class that does not tell its own. Raises ``UsageError``, in one line
    that says what to do, if there is nothing to load.
    """
    if target.startswith(COMMAND):
        return [command.of_target(target)]
    place, separator, name = target.rpartition(":")
    if not separator:
        place, name = target, ""
    if place.endswith(".py"):
        module = _module_of_file(Path(place))
    elif separator or _exists(place):
        module = _module(place)
    else:
        return _by_name(target)
    loaded = _named(module, place, name, kind) if name else _all(module, place, kind)
    file = Path(place).resolve() if place.endswith(".py") else None
    if file and any(file.is_relative_to(folder) for folder in _folders()):
        # A class that is registered is known by its name, not by where it lies.
        loaded = [
            (replace(one, name=one.name.removeprefix(f"{place}:")), target)
            for one, target in loaded
        ]
    # What is bundled is registered everywhere under its name, and lies elsewhere everywhere.
    is_bundled = file and file.is_relative_to(bundled("impls").resolve())
    return [
        replace(implementation, target=implementation.name if is_bundled else target)
        for implementation, target in loaded
    ]


def _folders() -> tuple[Path, Path]:
    """Where files are registered by being there; one of the second takes a first one's place."""
    return bundled("impls").resolve(), Path("impls").resolve()


def registered_targets(engines: bool = True) -> Iterator[tuple[str, str]]:
    """The names of files and entry points, and the targets behind them; nothing is loaded.

    The bundled ``engines``, and what has taken their places, are left out if told: what they do is
    theirs, and no fault of ours.
    """
    files = {}
    for folder in _folders():
        for path in sorted(folder.rglob("*.py")):
            if not path.name.startswith("_"):
                files[path.relative_to(folder)] = path
    for place, path in files.items():
        is_engine = place.parts[0] == "engines" and (bundled("impls") / place).exists()
        if engines or not is_engine:
            yield path.stem, str(path)
    for entry_point in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda e: e.name):
        yield entry_point.name, entry_point.value


def _exists(module: str) -> bool:
    _search_working_directory()
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _by_name(name: str) -> list[Implementation]:
    """Registered under this name, or in a file of this name; other files are not read.

    A name that no file has for its own is looked for in those files first that spell it out:
    to load all of them is to import every framework that is installed.
    """
    targets = list(registered_targets())
    for stem, target in targets:
        if stem == name:
            return load(target)
    chosen: list[Implementation] = []
    for searched in ([one for one in targets if _spells(one[1], name)], targets):
        implementations, unavailable = _loaded(searched)
        if chosen := [one for one in implementations if one.name == name]:
            break
    if not chosen:
        known = sorted({implementation.name for implementation in implementations})
        near = difflib.get_close_matches(name, known, n=1)
        raise UsageError(
            f"there is no module {name!r} and nothing is registered under that name"
            + (f"; did you mean {near[0]}?" if near else "; see `rnn-conformance list`")
            + "".join(
                f" ({absent.name} is unavailable: {absent.reason})" for absent in unavailable
            ),
            Refusal.TARGET,
        )
    return chosen


def _spells(target: str, name: str) -> bool:
    path = Path(target)
    return path.suffix == ".py" and name.encode() in path.read_bytes()


def _search_working_directory() -> None:
    # A console script does not have the working directory on its path, `python -m` does.
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))


def _module(name: str) -> ModuleType:
    _search_working_directory()
    try:
        with contained(loading=True):
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            raise UsageError(
                f"there is no module {name!r}; check the name, or give path/to/file.py:Class",
                Refusal.TARGET,
            ) from None
        raise UsageError(
            f"{name} cannot be imported: {said(error, LINE)}; install what it needs",
            Refusal.PACKAGE,
            missing=said(error),
        ) from error
    except BaseException as error:
        if interrupts(error):
            raise
        raise UsageError(
            f"{name} cannot be imported: {worded(error, LINE)}; mend it, or run "
            "with --debug for the traceback",
            Refusal.BROKEN,
        ) from error


def _module_of_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise UsageError(
            f"there is no file {path}; check the path (from {Path.cwd()})", Refusal.TARGET
        )
    resolved = path.resolve()
    # Unique, so that it can neither shadow a package nor meet another file's module.
    digest = hashlib.sha256(str(resolved).encode()).hexdigest()[:8]
    name = f"rnn_conformance_target_{digest}.{path.stem}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, resolved)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Pickling and dataclasses look a class's module up by name, and import what it is in.
    sys.modules[name] = module
    parent = name.partition(".")[0]
    sys.modules.setdefault(parent, ModuleType(parent))
    # At the end: the file's neighbours can be imported, but shadow nothing.
    if str(resolved.parent) not in sys.path:
        sys.path.append(str(resolved.parent))
    try:
        with contained(loading=True):
            spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        if interrupts(error):
            raise
        what = (said if isinstance(error, UsageError) else worded)(error, LINE)
        if isinstance(error, UsageError) and error.refusal is Refusal.PACKAGE:
            missing = error.missing
        else:
            missing = said(error) if isinstance(error, ModuleNotFoundError) else ""
        raise UsageError(
            f"{path} cannot be imported: {what}; mend it, or run with --debug for the traceback",
            Refusal.PACKAGE if missing else Refusal.BROKEN,
            missing=missing,
        ) from error
    return module


def _named(
    module: ModuleType, place: str, name: str, kind: str
) -> list[tuple[Implementation, str]]:
    try:
        value = getattr(module, name)
    except AttributeError:
        near = ", ".join(i.name for i, _ in _found(module, place)) or "no RNN at all"
        raise UsageError(f"{place} has no {name!r}; it has {near}", Refusal.TARGET) from None
    if isinstance(value, Implementation):
        return [(value, f"{place}:{name}")]
    return [(_drop_in(value, f"{place}:{name}", kind), f"{place}:{name}")]


def _all(module: ModuleType, place: str, kind: str) -> list[tuple[Implementation, str]]:
    if implementations := list(_found(module, place)):
        return implementations
    classes: list[Any] = []
    if "torch" in sys.modules:
        from rnn_conformance.implementations.class_kinds import own_classes

        classes = list(own_classes(vars(module), module.__name__))
    if kind and len(classes) == 1:
        target = f"{place}:{name_of(classes[0])}"
        return [(_drop_in(classes[0], target, kind), target)]
    raise UsageError(
        f"{place} holds no implementation: no torch.nn.Module class that is an RNN, an LSTM "
        "or a GRU by its base class, its mode or its name, and nothing registered with "
        "@implementation; name a class and its kind, as in "
        f"{place}:{name_of(classes[0]) if classes else 'Class'} --kind LSTM",
        Refusal.TARGET,
    )


def _found(module: ModuleType, place: str) -> Iterator[tuple[Implementation, str]]:
    seen: list[Any] = []
    for name, value in vars(module).items():
        # By its type alone: a lazy object may raise anything when it is looked at.
        if issubclass(type(value), Implementation) and value not in seen:
            seen.append(value)
            yield value, f"{place}:{name}"
    registered_classes = [getattr(value, "cls", None) for value in seen]
    if "torch" in sys.modules:
        from rnn_conformance.implementations.class_kinds import drop_in_classes

        for cls in drop_in_classes(vars(module), module.__name__):
            if cls not in registered_classes:
                target = f"{place}:{name_of(cls)}"
                yield _drop_in(cls, target), target


def _drop_in(value: Any, name: str, kind: str = "") -> Implementation:
    from torch.nn import Module

    from rnn_conformance.implementations.torch_module import drop_in

    if not inspect.isclass(value):
        raise UsageError(
            f"{name} is {name_of(type(value))}, not a class: give a torch.nn.Module class, or "
            "register a function with @implementation",
            Refusal.TARGET,
        )
    if not issubclass(value, Module):
        raise UsageError(
            f"{name} is not a torch.nn.Module class; a function over NumPy arrays is registered "
            "with @implementation",
            Refusal.TARGET,
        )
    return drop_in(value, name=name, kind=kind)


def unique(implementations: Sequence[Implementation]) -> list[Implementation]:
    """Each implementation once; two of one name are told apart by their targets."""
    names = [implementation.name for implementation in implementations]
    chosen: dict[str, Implementation] = {}
    for implementation in implementations:
        name = implementation.name
        if names.count(name) > 1:
            name = implementation.target
        chosen[name] = replace(implementation, name=name)
    return list(chosen.values())

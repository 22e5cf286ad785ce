"""The checks in ``conformance/``: what one is, and where they are."""

from __future__ import annotations

import functools
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, TypeAlias

from rnn_conformance.checking.subject import Subject
from rnn_conformance.errors import Excluded, Gap, SuiteError
from rnn_conformance.locations import bundled
from rnn_conformance.spec.clauses import CLAUSES
from rnn_conformance.spec.config import Kind

Test: TypeAlias = Callable[[Subject], None]


@dataclass(frozen=True)
class Check:
    """One property. ``id`` is ``conformance/test_chapter.py::test_property``."""

    id: str
    clauses: tuple[str, ...]
    kinds: frozenset[Kind]
    test: Test

    @classmethod
    def of(cls, test: Any) -> Check:
        """From a marked function; raises ``SuiteError`` if it names no clause."""
        file = getattr(test, "origin", "")
        name = f"conformance/{file.replace(chr(92), '/').rpartition('/')[2]}::{test.__name__}"
        clauses = getattr(test, "clauses", ())
        if not clauses:
            raise SuiteError(f"{name} names no clause")
        return cls(name, clauses, test.kinds, test)


def clause(*ids: str, kinds: frozenset[Kind] | None = None) -> Callable[[Test], Test]:
    """Name the clauses that a check tests; it applies to the kinds that all of them do.

    ``kinds`` narrows them. Raises ``SuiteError`` for a clause that does not exist. The check
    raises ``Excluded`` for a subject that excludes one of its clauses.
    """
    if unknown := [id for id in ids if id not in CLAUSES]:
        raise SuiteError(f"no such clause: {', '.join(unknown)}")
    applicable = frozenset.intersection(*(CLAUSES[id].kinds for id in ids))

    def mark(test: Any) -> Test:
        @functools.wraps(test)
        def unless_excluded(subject: Subject) -> None:
            excluded = subject.implementation.declaration.excluded
            if reasons := {id: excluded[id] for id in ids if id in excluded}:
                told = "; ".join(f"{id}: {reason}" for id, reason in reasons.items())
                raise Excluded(f"excludes {told}", Gap.EXCLUDED)
            test(subject)

        marked: Any = unless_excluded
        marked.origin = getattr(test, "origin", test.__code__.co_filename)
        marked.clauses = ids
        marked.kinds = applicable if kinds is None else applicable & kinds
        return unless_excluded

    return mark


@functools.cache
def checks() -> tuple[Check, ...]:
    """Every check in ``conformance/``, by file and then in the order of the file."""
    return tuple(
        Check.of(value)
        for path in sorted(bundled("conformance").glob("test_*.py"))
        for name, value in vars(_module(path.stem, str(path))).items()
        if name.startswith("test_")
    )


def _module(stem: str, path: str) -> ModuleType:
    name = f"rnn_conformance_checks.{stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module

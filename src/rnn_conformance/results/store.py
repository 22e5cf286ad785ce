"""The failures that are remembered beside a project, to be tried first the next time.

The JSON schema of the file is ``schemas/store.json`` beside this one. It holds data alone: what was
drawn is opaque, and leads to a case or to none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from rnn_conformance.errors import UsageError
from rnn_conformance.results.formats import STORE
from rnn_conformance.results.json_files import file_error
from rnn_conformance.results.reading import read
from rnn_conformance.results.records import Outcome, Recipe
from rnn_conformance.results.verdict import FAILING
from rnn_conformance.results.writing import write

PLACE = Path(".rnn-conformance/failures.json")
"""Where it is, in the folder that the command is called in."""

Place: TypeAlias = tuple[str, str, str]
"""The implementation's name, its kind and the check."""


@dataclass(frozen=True)
class Store:
    """What is remembered: how each failure is had again, by where it was."""

    recipes: Mapping[Place, Recipe] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Store:
        """The file's, empty where there is none; raises ``UsageError`` for what is no store."""
        if not path.exists():
            return cls()
        file = read(path)
        if file.format is not STORE:
            raise file_error(f"{path} is a {file.format.name} file, no store of failures")
        return cls(
            {
                (one["implementation"], one["kind"], one["check"]): Recipe(**one["recipe"])
                for one in file.content["remembered"]
            }
        )

    def after(self, document: Mapping[str, Any]) -> Store:
        """With what failed in a run, and without what did not; the rest is as it was."""
        recipes = dict(self.recipes)
        for implementation in document["implementations"]:
            for check in implementation["checks"]:
                place = implementation["name"], implementation["kind"], check["check"]
                recipe = (check["failure"] or {}).get("recipe")
                if check["outcome"] in FAILING and recipe:
                    recipes[place] = Recipe(**recipe)
                elif check["outcome"] in (Outcome.PASSED, Outcome.UNSUPPORTED, Outcome.EXCLUDED):
                    recipes.pop(place, None)
        return Store(recipes)

    def to_record(self) -> dict[str, Any]:
        """Plain JSON values: the file."""
        return {
            "schema_version": STORE.version,
            "remembered": [
                {"implementation": name, "kind": kind, "check": check, "recipe": asdict(recipe)}
                for (name, kind, check), recipe in sorted(self.recipes.items())
            ],
        }

    def write(self, path: Path) -> None:
        """Write the file, where there is something to remember or to forget."""
        if self.recipes or path.exists():
            write(path, json.dumps(self.to_record(), indent=1))


def opened(path: Path) -> tuple[Store, str]:
    """The store, and what is to be said of a file that is none: nothing of it is remembered."""
    try:
        return Store.read(path), ""
    except UsageError as error:
        return Store(), f"nothing is remembered from earlier runs: {error}"

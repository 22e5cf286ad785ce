"""Documents as files of JSON, each with a version and a schema of its own beside this module."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema

from rnn_conformance.errors import UsageError


@dataclass(frozen=True)
class DocumentFormat:
    """A sort of document: its ``name`` in words, its ``version``, and the file of its schema."""

    name: str
    version: int
    file: str

    def schema(self) -> dict[str, Any]:
        """Its JSON schema."""
        text = resources.files("rnn_conformance").joinpath(self.file).read_text("utf-8")
        loaded: dict[str, Any] = json.loads(text)
        return loaded

    def read(self, path: Path) -> dict[str, Any]:
        """A document of this sort and version; raises ``UsageError`` if the file is none."""
        try:
            loaded = json.loads(path.read_text("utf-8"), parse_constant=_refuse)
        except OSError as error:
            raise UsageError(f"cannot read {path}: {error.strerror or error}") from error
        except ValueError as error:
            raise UsageError(
                f"{path} is not valid JSON ({error}): it may have been cut short; run again"
            ) from error
        version = loaded.get("schema_version") if isinstance(loaded, dict) else None
        if version != self.version:
            raise UsageError(
                f"{path} has schema version {version!r}, this rnn-conformance reads "
                f"{self.version}: render it with the version that wrote it, or run again"
            )
        problem = jsonschema.exceptions.best_match(
            jsonschema.Draft202012Validator(self.schema()).iter_errors(loaded)
        )
        if problem is not None:
            raise UsageError(
                f"{path} is not a {self.name} file: at {problem.json_path}, {problem.message}"
            )
        checked: dict[str, Any] = loaded
        return checked


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")

"""Reads manifests from files: YAML or JSON, one AnalysisModule."""

import pathlib
from typing import Any

import yaml

from analysis_module import errors, reading, spec


def read_bytes(path: pathlib.Path) -> bytes:
    """A file's content; raises InvalidSpec that names the file and the mend."""
    try:
        return path.read_bytes()
    except OSError as error:
        problem = errors.Problem(
            str(path), f"cannot be read: {error.strerror or error}", "name a file that is there"
        )
        raise errors.InvalidSpec([problem]) from error


def module_spec_of(content: bytes, name: str) -> spec.ModuleSpec:
    """The spec in a manifest, or in a bare `spec` mapping; raises InvalidSpec with all problems."""
    document = parsed(content, name)
    if isinstance(document, dict) and "kind" not in document and "module" in document:
        return reading.read_spec(document)
    return reading.read_manifest(document)[2]


def parsed(content: bytes, name: str) -> Any:
    """The one document of a YAML or JSON text; raises InvalidSpec that names the file `name`."""
    try:
        documents = [document for document in yaml.safe_load_all(content) if document is not None]
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        problem = errors.Problem(name, f"it is not YAML: {' '.join(str(error).split())}", "correct the text")
        raise errors.InvalidSpec([problem]) from error
    if len(documents) != 1:
        problem = errors.Problem(name, f"it holds {len(documents)} documents", "give one AnalysisModule")
        raise errors.InvalidSpec([problem])
    return documents[0]

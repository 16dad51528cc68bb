"""Manifests are read from YAML or JSON; what is wrong with a file is said with its name."""

import json
import pathlib

import pytest

from analysis_module import errors
from analysis_worker.commands import documents

MANIFEST = {
    "apiVersion": "dataanalysis.io/v1alpha1",
    "kind": "AnalysisModule",
    "metadata": {"name": "load"},
    "spec": {"module": "load_prediction", "kafka": {"bootstrapServers": ["kafka:9092"]}},
}


def refusal(content: bytes) -> str:
    with pytest.raises(errors.InvalidSpec) as raised:
        documents.module_spec_of(content, "module.yaml")
    return str(raised.value)


def test_a_manifest_in_json_is_yaml_too() -> None:
    assert documents.module_spec_of(json.dumps(MANIFEST).encode(), "m").module == "load_prediction"


def test_a_bare_spec_is_taken_as_well() -> None:
    content = b"module: load_prediction\nkafka: {bootstrapServers: ['kafka:9092']}\n"
    assert documents.module_spec_of(content, "m").kafka.bootstrap_servers == ("kafka:9092",)


def test_empty_documents_around_the_one_are_no_matter() -> None:
    content = b"---\n---\nmodule: load_prediction\n---\n"
    assert documents.module_spec_of(content, "m").module == "load_prediction"


def test_text_that_is_no_yaml_is_refused_with_the_files_name() -> None:
    assert "module.yaml" in refusal(b"a: [1,")
    assert "it is not YAML" in refusal(b"a: [1,")


def test_text_that_is_no_utf8_is_refused() -> None:
    assert "module.yaml" in refusal(b"module: \xff\xfe\x00")


def test_two_documents_are_refused_with_their_number() -> None:
    assert "it holds 2 documents" in refusal(b"module: a\n---\nmodule: b\n")


def test_an_empty_file_is_refused() -> None:
    assert "it holds 0 documents" in refusal(b"")


def test_problems_inside_name_the_field() -> None:
    broken = {**MANIFEST, "spec": {"module": "load_prediction", "padding": "Sideways"}}
    assert "spec.padding" in refusal(json.dumps(broken).encode())


def test_a_file_that_is_not_there_is_refused_with_its_path(tmp_path: pathlib.Path) -> None:
    with pytest.raises(errors.InvalidSpec, match=r"absent\.yaml"):
        documents.read_bytes(tmp_path / "absent.yaml")

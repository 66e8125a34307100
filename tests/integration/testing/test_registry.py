"""A schema registry of our own: it answers, it ends, and says what is missing where it cannot."""

from __future__ import annotations

import urllib.error
import urllib.request
from pathlib import Path

import pytest

from aioproducer.testing import KafkaUnavailableError, maven, registry
from aioproducer.testing.registry import SchemaRegistryProcess, named_registry, registry_jar
from tests.conftest import skip_or_fail

pytestmark = pytest.mark.own_cluster


def test_it_answers_until_it_is_stopped() -> None:
    try:
        process = SchemaRegistryProcess()
    except KafkaUnavailableError as error:
        skip_or_fail("registry", str(error))
    try:
        with urllib.request.urlopen(f"{process.url}/subjects", timeout=60) as answer:
            assert answer.read() == b"[]"
    finally:
        process.stop()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"{process.url}/subjects", timeout=60)


def test_without_java_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "java_program", lambda: None)
    with pytest.raises(KafkaUnavailableError, match="Java 17 or newer"):
        SchemaRegistryProcess()


def test_without_maven_and_cache_it_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(maven, "maven_program", lambda: None)
    with pytest.raises(KafkaUnavailableError, match=r"Maven \(mvn\) is not installed"):
        registry_jar()
    # Nothing half-filled is left behind.
    assert list((tmp_path / "aioproducer").iterdir()) == []


def test_one_that_is_named_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIOPRODUCER_SCHEMA_REGISTRY", "http://registry:8081")
    assert named_registry() == "http://registry:8081"
    monkeypatch.setenv("AIOPRODUCER_SCHEMA_REGISTRY", "")
    assert named_registry() is None

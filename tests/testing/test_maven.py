"""The jar cache: keyed by the pom, filled aside, safe against a second run."""

from __future__ import annotations

from pathlib import Path

import pytest

from aioproducer.testing import maven
from aioproducer.testing.cluster import KafkaUnavailableError
from aioproducer.testing.maven import Artifact
from aioproducer.testing.releases import CURRENT, RELEASES

KAFKA = (Artifact("org.apache.kafka:kafka_2.13:4.3.1", ("org.slf4j:slf4j-reload4j",)),)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(maven, "maven_program", lambda: "mvn")
    return tmp_path / "aioproducer" / "jars"


def downloads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Replace Maven by something that makes one file, and count its runs."""
    runs: list[Path] = []

    def download(_program: str, _artifacts: object, scratch: Path) -> Path:
        runs.append(scratch)
        filled = scratch / "jars"
        filled.mkdir()
        (filled / "kafka.jar").touch()
        return filled

    monkeypatch.setattr(maven, "_download", download)
    return runs


def test_jars_are_downloaded_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = downloads(monkeypatch)
    first, second = maven.jars(KAFKA), maven.jars(KAFKA)
    assert first == second
    assert [jar.name for jar in first.iterdir()] == ["kafka.jar"]
    assert len(runs) == 1
    assert list(cache.iterdir()) == [first]


def test_another_pom_has_another_directory() -> None:
    others = (Artifact("org.apache.kafka:kafka_2.13:4.3.1"),)
    assert maven.cached_jars(KAFKA) != maven.cached_jars(others)
    assert len({maven.cached_jars(release.artifacts) for release in RELEASES.values()}) == len(
        RELEASES
    )


def test_a_second_run_that_was_quicker_wins(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    downloads(monkeypatch)
    ours = maven._download

    def download(program: str, artifacts: tuple[Artifact, ...], scratch: Path) -> Path:
        theirs = maven.cached_jars(KAFKA)
        theirs.mkdir(parents=True)
        (theirs / "theirs.jar").touch()
        return ours(program, artifacts, scratch)

    monkeypatch.setattr(maven, "_download", download)
    assert [jar.name for jar in maven.jars(KAFKA).iterdir()] == ["theirs.jar"]
    assert len(list(cache.iterdir())) == 1


def test_a_failed_download_leaves_nothing_behind(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def download(_program: str, _artifacts: object, scratch: Path) -> Path:
        (scratch / "half.jar").touch()
        raise KafkaUnavailableError("no network")

    monkeypatch.setattr(maven, "_download", download)
    with pytest.raises(KafkaUnavailableError, match="no network"):
        maven.jars(KAFKA)
    assert list(cache.iterdir()) == []


def test_without_maven_cached_jars_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maven, "maven_program", lambda: None)
    with pytest.raises(KafkaUnavailableError, match="Maven"):
        maven.jars(KAFKA)
    maven.cached_jars(KAFKA).mkdir(parents=True)
    assert maven.jars(KAFKA) == maven.cached_jars(KAFKA)


def test_the_pom_leaves_out_what_is_excluded() -> None:
    xml = KAFKA[0].to_xml()
    assert "<artifactId>kafka_2.13</artifactId><version>4.3.1</version>" in xml
    assert "<exclusion><groupId>org.slf4j</groupId>" in xml


def test_old_releases_come_with_zookeeper_and_the_current_one_without() -> None:
    assert [v for v, release in RELEASES.items() if release.needs_zookeeper] == ["2.1.1", "2.8.2"]
    assert not RELEASES[CURRENT].needs_zookeeper

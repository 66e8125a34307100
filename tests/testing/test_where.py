"""The one answer to where Kafka comes from."""

from __future__ import annotations

from typing import ClassVar

import pytest

from aioproducer.testing import where
from aioproducer.testing.cluster import ClusterStartError, KafkaCluster, KafkaUnavailableError
from aioproducer.testing.embedded import EmbeddedCluster
from aioproducer.testing.kraft import KraftCluster
from aioproducer.testing.where import NamedCluster, candidates, start_kafka
from aioproducer.testing.zookeeper import ZookeeperCluster


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIOPRODUCER_BOOTSTRAP", raising=False)
    monkeypatch.delenv("REQUIRE_KAFKA", raising=False)


class Fake(KafkaCluster):
    kind: ClassVar[str] = "kraft"
    version = "4.3.1"
    missing = ""
    broken = ""

    def start(self) -> None:
        if self.missing:
            raise KafkaUnavailableError(self.missing)
        if self.broken:
            raise ClusterStartError(self.broken)
        self._bootstrap_servers = "127.0.0.1:1"

    def stop(self) -> None:
        self._bootstrap_servers = ""

    def describe(self) -> str:
        return "a fake"


class FakeEmbedded(Fake):
    kind: ClassVar[str] = "embedded"


def offer(monkeypatch: pytest.MonkeyPatch, *clusters: KafkaCluster) -> None:
    monkeypatch.setattr(where, "candidates", lambda *_args, **_kwargs: list(clusters))


def missing(reason: str) -> Fake:
    fake = Fake()
    fake.missing = reason
    return fake


def test_containers_come_before_java_and_java_before_the_embedded_cluster() -> None:
    assert [cluster.kind for cluster in candidates()] == ["docker", "kraft", "embedded"]


def test_a_named_cluster_is_the_only_candidate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIOPRODUCER_BOOTSTRAP", "broker:9092")
    (only,) = candidates()
    assert isinstance(only, NamedCluster)


@pytest.mark.parametrize(
    ("version", "kind"),
    [
        ("2.1.1", ZookeeperCluster),
        ("2.8.2", ZookeeperCluster),
        ("3.9.1", KraftCluster),
        ("4.3.1", KraftCluster),
        ("embedded", EmbeddedCluster),
    ],
)
def test_a_release_that_is_asked_for_is_the_only_candidate(
    version: str, kind: type[KafkaCluster], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIOPRODUCER_BOOTSTRAP", "broker:9092")
    (only,) = candidates(version)
    assert isinstance(only, kind)


def test_an_unknown_release_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"'0\.8'.*2\.1\.1"):
        candidates("0.8")


def test_what_is_missing_is_passed_over_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    best = Fake()
    offer(monkeypatch, missing("no engine"), best, FakeEmbedded())
    found = start_kafka()
    assert found.cluster is best
    assert found.passed_over == ("kraft: no engine",)
    assert found.is_current


def test_a_cluster_that_fails_to_start_is_not_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broken = Fake()
    broken.broken = "node 1 ended"
    offer(monkeypatch, broken, FakeEmbedded())
    with pytest.raises(ClusterStartError, match="node 1 ended"):
        start_kafka()


@pytest.mark.parametrize(("value", "is_required"), [("1", True), ("0", False), ("", False)])
def test_the_environment_can_require_a_real_cluster(
    value: str, is_required: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUIRE_KAFKA", value)
    offer(monkeypatch, missing("Java is not installed"), FakeEmbedded())
    if is_required:
        with pytest.raises(KafkaUnavailableError, match="Java is not installed"):
            start_kafka()
    else:
        assert not start_kafka().is_current


def test_the_embedded_cluster_may_be_asked_for_although_a_real_one_is_required(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    offer(monkeypatch, FakeEmbedded())
    assert start_kafka("embedded", require_real=True).cluster.kind == "embedded"


def test_an_old_release_is_real_but_not_current(monkeypatch: pytest.MonkeyPatch) -> None:
    old = Fake()
    old.version = "2.1.1"
    offer(monkeypatch, old)
    found = start_kafka("2.1.1")
    assert found.cluster.is_real
    assert not found.is_current

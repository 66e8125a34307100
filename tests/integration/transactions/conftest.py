"""What the tests of transactions share: real brokers, and none left hanging when they are done."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from aioproducer.testing import KafkaCluster
from aioproducer.testing.java_cluster import JavaCluster
from tests.conftest import FOUND, skip_for_cluster
from tests.integration.transactions.helpers import hanging_transactions

_RELEASES_WITH_THE_TOOL = ("3.", "4.")


@pytest.fixture(autouse=True)
def real_transactions(request: pytest.FixtureRequest, suitable_cluster: None) -> None:
    """librdkafka's mock brokers answer every request of a transaction, and hide nothing."""
    if request.node.get_closest_marker("own_cluster"):
        return
    cluster: KafkaCluster = request.getfixturevalue("kafka")
    if not cluster.is_real:
        skip_for_cluster(request, "mock brokers write no markers: what is aborted stays visible")


@pytest.fixture(scope="package", autouse=True)
def nothing_hangs(request: pytest.FixtureRequest) -> Iterator[None]:
    """Kafka's own tool finds no transaction that nobody will end, whatever the tests did."""
    yield
    found = request.config.stash.get(FOUND, None)
    if found is None:
        return
    cluster = found.cluster
    if isinstance(cluster, JavaCluster) and cluster.version.startswith(_RELEASES_WITH_THE_TOOL):
        assert hanging_transactions(cluster) == []

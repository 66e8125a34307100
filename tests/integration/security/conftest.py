"""One cluster with every listener, for all tests here."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import pytest

from aioproducer.testing.cluster import KafkaUnavailableError
from aioproducer.testing.java_cluster import require_java
from aioproducer.testing.secure import SecureCluster

CreateTopic = Callable[..., str]


@pytest.fixture(scope="session")
def secure() -> Iterator[SecureCluster]:
    """The cluster, started by the first test that needs it; `uni` has an uncommon password."""
    try:
        require_java()
    except KafkaUnavailableError as error:
        pytest.skip(str(error))
    with SecureCluster(
        2, scram_users={"uni": "p\u00e4ss\u00b2\u2168", "plain": "pass2IX"}
    ) as cluster:
        yield cluster


@pytest.fixture
def new_topic(secure: SecureCluster) -> CreateTopic:
    """Creates topics with names that no other test has: `name = new_topic(3)`."""

    def create(partitions: int = 1) -> str:
        name = f"secure-{uuid.uuid4().hex[:12]}"
        secure.create_topic(name, partitions)
        return name

    return create

"""Every test here uses the shared cluster, unless it is marked `own_cluster`."""

from __future__ import annotations

import pytest

from aioproducer.testing.releases import CURRENT
from aioproducer.testing.where import Found
from tests.conftest import skip_for_cluster


@pytest.fixture(autouse=True)
def suitable_cluster(request: pytest.FixtureRequest) -> None:
    """Old brokers and the embedded cluster run the tests marked `core` only."""
    if request.node.get_closest_marker("own_cluster"):
        if request.config.getoption("--kafka-version") not in (None, CURRENT):
            pytest.skip("starts its own cluster: once, in the run on the current release")
        return
    found: Found = request.getfixturevalue("found")
    if not found.is_current and not request.node.get_closest_marker("core"):
        skip_for_cluster(request, f"needs a current, real Kafka; here: {found.cluster.describe()}")

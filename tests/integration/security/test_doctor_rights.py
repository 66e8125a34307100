"""What the doctor says to a client that lacks rights, and what it then cannot look at."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Mapping

import pytest

from aioproducer.doctor import SetupReport, check_setup
from aioproducer.testing.secure import SecureCluster
from tests.integration.security.conftest import CreateTopic
from tests.integration.security.rules import denied, rule
from tests.integration.security.test_logins import login

pytestmark = pytest.mark.own_cluster


async def seen_by_alice(
    secure: SecureCluster,
    topic: str,
    holds: Callable[[SetupReport], object],
    transactional_id: str | None = None,
) -> SetupReport:
    """Check until the report has what is waited for."""
    settings = {
        "bootstrap.servers": secure.bootstrap("SASLP"),
        "compression.type": "gzip",
        "transactional.id": transactional_id,
        **login(secure, "SASL_PLAINTEXT", "SCRAM-SHA-256"),
    }
    return await seen(settings, topic, holds)


async def seen(
    settings: Mapping[str, object], topic: str, holds: Callable[[SetupReport], object]
) -> SetupReport:
    async with asyncio.timeout(180):
        while not holds(report := await check_setup(settings, [topic])):
            await asyncio.sleep(0.1)
    return report


# Where any rule is about a resource, what no rule allows is denied.
@pytest.mark.parametrize(("allowed", "missing"), [("DESCRIBE", "WRITE"), ("nothing", "DESCRIBE")])
async def test_a_topic_that_may_not_be_written_is_a_finding(
    secure: SecureCluster, new_topic: CreateTopic, allowed: str, missing: str
) -> None:
    topic = new_topic()
    report = await seen_by_alice(secure, topic, lambda report: report.is_complete)
    assert not report.named("topic-unauthorized")
    who, what = ("bob", "WRITE") if allowed == "nothing" else ("alice", allowed)
    with rule(secure, "ALLOW", who, what, "TOPIC", topic):
        report = await seen_by_alice(secure, topic, lambda r: r.named("topic-unauthorized"))
    [finding] = report.named("topic-unauthorized")
    assert finding.topic == topic
    assert f"no {missing} " in finding.cause


async def test_settings_that_may_not_be_read_are_a_gap(
    secure: SecureCluster, new_topic: CreateTopic
) -> None:
    topic = new_topic()
    with (
        rule(secure, "ALLOW", "alice", "WRITE", "TOPIC", topic),
        rule(secure, "ALLOW", "alice", "IDEMPOTENT_WRITE", "BROKER", "kafka-cluster"),
    ):
        report = await seen_by_alice(secure, topic, lambda r: len(r.unchecked) == 2)
    topics, brokers = report.unchecked
    assert topics.what == f"the settings of topic {topic}"
    assert "TOPIC_AUTHORIZATION_FAILED" in topics.why
    assert "CLUSTER_AUTHORIZATION_FAILED" in brokers.why
    assert "min-insync-1" not in report.checked
    assert "topic-unauthorized" in report.checked
    assert not report.named("topic-unauthorized")


async def test_a_transactional_id_that_is_denied_is_a_finding(
    secure: SecureCluster, new_topic: CreateTopic
) -> None:
    topic, name = new_topic(), f"payments-{uuid.uuid4().hex[:8]}"
    with denied(secure, "alice", "ALL", "TRANSACTIONAL_ID", name):
        report = await seen_by_alice(
            secure, topic, lambda r: r.named("transactional-id-unauthorized"), name
        )
    assert report.findings[0].name == "transactional-id-unauthorized"
    assert report.is_complete


async def test_a_login_that_is_refused_is_a_gap(
    secure: SecureCluster, new_topic: CreateTopic
) -> None:
    settings = {
        "bootstrap.servers": secure.bootstrap("SASLP"),
        **login(secure, "SASL_PLAINTEXT", "PLAIN"),
        "sasl_password": "wrong",
    }
    report = await check_setup(settings, [new_topic()])
    [gap] = report.unchecked
    assert gap.what == "the cluster"
    assert "refused the login" in gap.why


@pytest.mark.parametrize("listener", ["TLS", "SASLS"])
async def test_every_broker_is_asked_over_tls(
    secure: SecureCluster, new_topic: CreateTopic, listener: str
) -> None:
    topic = new_topic()
    settings: dict[str, object] = {
        "bootstrap.servers": secure.bootstrap(listener),
        "transactional.id": f"tls-{uuid.uuid4().hex[:8]}",
    }
    if listener == "SASLS":
        settings.update(login(secure, "SASL_SSL", "SCRAM-SHA-512"))
    else:
        settings.update(security_protocol="SSL", ssl_truststore_location=str(secure.ca_file))
    # The coordinator of a new transactional id may have to be made first.
    report = await seen(settings, topic, lambda report: report.is_complete)
    assert "transactional-id-in-use" in report.checked

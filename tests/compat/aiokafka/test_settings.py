"""From aiokafka's options to this producer's configuration."""

from __future__ import annotations

import inspect
import ssl
from typing import Any

import aiokafka
import pytest

from aioproducer import OAuthToken
from aioproducer.compat.aiokafka import AIOKafkaProducer
from aioproducer.compat.aiokafka.settings import settings_of, with_ports


def options(**given: Any) -> dict[str, Any]:
    parameters = inspect.signature(AIOKafkaProducer.__init__).parameters
    defaults = {name: each.default for name, each in parameters.items() if name != "self"}
    return {**defaults, **given}


def settings(**given: Any) -> dict[str, Any]:
    return settings_of(options(**given))


def test_the_options_and_their_defaults_are_aiokafka_s() -> None:
    own = inspect.signature(AIOKafkaProducer.__init__).parameters
    theirs = inspect.signature(aiokafka.AIOKafkaProducer.__init__).parameters

    assert list(own) == list(theirs)
    for name, each in theirs.items():
        if name not in ("acks", "partitioner"):
            assert own[name].default == each.default, name
        assert own[name].kind == each.kind


def test_unset_options_mean_what_they_mean_there() -> None:
    found = settings()

    assert found["bootstrap_servers"] == ["localhost:9092"]
    assert (found["acks"], found["enable_idempotence"]) == (1, False)
    assert (found["linger_ms"], found["batch_size"]) == (0, 16384)
    assert (found["request_timeout_ms"], found["delivery_timeout_ms"]) == (40_000, 80_000)
    assert found["client_id"].startswith("aiokafka-producer-")
    assert "transactional_id" not in found
    assert "sasl_mechanism" not in found


def test_there_is_room_for_the_largest_record() -> None:
    assert settings()["buffer_memory"] == 32 * 1024 * 1024
    assert settings(max_request_size=10**8)["buffer_memory"] >= 1.5 * 10**8


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("a", ["a:9092"]),
        ("a:1,b", ["a:1", "b:9092"]),
        (["a:1", "b:2"], ["a:1", "b:2"]),
        ("[::1]", ["[::1]:9092"]),
        ("[::1]:5", ["[::1]:5"]),
        ("::1", ["[::1]:9092"]),
    ],
)
def test_a_server_without_a_port_has_kafka_s(given: Any, expected: list[str]) -> None:
    assert with_ports(given) == expected


def test_idempotence_and_transactions_ask_for_all_replicas() -> None:
    assert settings(enable_idempotence=True)["acks"] == "all"
    found = settings(transactional_id="t", transaction_timeout_ms=5)
    assert (found["acks"], found["enable_idempotence"]) == ("all", True)
    assert (found["transactional_id"], found["transaction_timeout_ms"]) == ("t", 5)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"acks": 2}, "Invalid ACKS"),
        ({"acks": 1, "transactional_id": "t"}, "not supported if enable_idempotence"),
        ({"compression_type": "none"}, "Invalid compression"),
        ({"security_protocol": "SSL"}, "ssl_context"),
        (
            {
                "security_protocol": "SASL_PLAINTEXT",
                "sasl_mechanism": "GSSAPI",
                "sasl_kerberos_domain_name": "d",
            },
            "sasl_kerberos_domain_name",
        ),
        (
            {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "OAUTHBEARER"},
            "sasl_oauth_token_provider",
        ),
    ],
)
def test_wrong_options_are_value_errors(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        settings(**given)


def test_no_idle_limit_is_none() -> None:
    assert settings(connections_max_idle_ms=None)["connections_max_idle_ms"] == -1


def test_security_is_passed_on() -> None:
    context = ssl.create_default_context()
    found = settings(
        security_protocol="SASL_SSL",
        ssl_context=context,
        sasl_mechanism="SCRAM-SHA-256",
        sasl_plain_username="u",
        sasl_plain_password="p",
    )
    assert (found["ssl_context"], found["sasl_mechanism"]) == (context, "SCRAM-SHA-256")
    assert (found["sasl_username"], found["sasl_password"]) == ("u", "p")
    kerberos = settings(security_protocol="SASL_PLAINTEXT", sasl_mechanism="GSSAPI")
    assert kerberos["sasl_kerberos_service_name"] == "kafka"


async def test_a_token_provider_is_asked_for_token_and_extensions() -> None:
    class Provider:
        async def token(self) -> str:
            return "secret"

        def extensions(self) -> dict[str, str]:
            return {"logicalCluster": "c"}

    found = settings(
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="OAUTHBEARER",
        sasl_oauth_token_provider=Provider(),
    )
    token = await found["token_provider"]()
    assert token == OAuthToken("secret", extensions={"logicalCluster": "c"})

"""The adapter over confluent-kafka's client: patience, words, secrets."""

from __future__ import annotations

import asyncio
import sys
import traceback
from typing import Any

import httpx2
import pytest
from confluent_kafka.schema_registry.error import OAuthTokenError
from confluent_kafka.schema_registry.error import SchemaRegistryError as TheirError

from aioproducer.errors import ConfigurationError, SchemaRegistryError
from aioproducer.serializers import SchemaRegistry, schema_registry
from tests.runtime.world import now
from tests.virtual_clock import VirtualClockLoop


class Failing:
    """Fails as often as told, then answers."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.calls = 0

    async def __call__(self) -> str:
        self.calls += 1
        if self.failures:
            raise self.failures.pop(0)
        return "answer"


@pytest.mark.parametrize(
    ("error", "status", "words", "what_next"),
    [
        (TheirError(409, 409, "no default."), 409, "not compatible.*: no default", "compatible"),
        (TheirError(404, 40401, "Subject 's' not found"), 404, "does not know it", "auto_register"),
        (TheirError(401, 401, "Unauthorized"), 401, "lets nobody in", "credentials"),
        (TheirError(403, 40301, "denied"), 403, "lets nobody in", "credentials"),
        (TheirError(422, 42201, "Invalid schema"), 422, "no valid schema", "Correct the schema"),
        (TheirError(418, -1, ""), 418, "refuses: no reason was given", "Correct"),
        (OAuthTokenError("no"), -1, "no token", "Correct"),
    ],
)
async def test_what_is_refused_is_said_in_words_and_asked_once(
    error: Exception, status: int, words: str, what_next: str
) -> None:
    call = Failing(error)
    with pytest.raises(SchemaRegistryError, match=words) as caught:
        await SchemaRegistry("mock://tests").ask(call)
    assert (call.calls, caught.value.status, caught.value.retriable) == (1, status, False)
    assert what_next in caught.value.what_next
    assert caught.value.__cause__ is error


@pytest.mark.parametrize(
    "error",
    [
        TheirError(500, 50001, "backend"),
        TheirError(503, 50301, "leader"),
        TheirError(429, 42901, "slow down"),
        httpx2.ConnectError("All connection attempts failed"),
        httpx2.ReadTimeout("too slow"),
        ConnectionResetError("reset"),
    ],
)
async def test_what_may_pass_is_asked_again_and_told_meanwhile(error: Exception) -> None:
    troubles: list[SchemaRegistryError] = []
    call = Failing(error, error)
    assert await SchemaRegistry("mock://tests").ask(call, troubles.append) == "answer"
    assert call.calls == 3
    assert [trouble.retriable for trouble in troubles] == [True, True]


async def test_patience_ends() -> None:
    call = Failing(*[TheirError(503, 50301, "leader")] * 1000)
    started = now()
    with pytest.raises(SchemaRegistryError, match="cannot answer just now: leader") as caught:
        await SchemaRegistry("mock://tests", patience=30).ask(call)
    assert 20 < now() - started <= 30
    assert caught.value.retriable
    assert call.calls < 20


async def test_what_is_no_trouble_of_the_registry_goes_through() -> None:
    with pytest.raises(KeyError):
        await SchemaRegistry("mock://tests").ask(Failing(KeyError("field")))


async def test_a_registry_that_is_not_there_is_named_without_its_password() -> None:
    registry = SchemaRegistry("http://ada:secret@registry.invalid:8081", patience=0)
    error = httpx2.ConnectError("refused")
    with pytest.raises(SchemaRegistryError, match=r"http://registry\.invalid:8081") as caught:
        await registry.ask(Failing(error))
    await registry.close()
    assert "secret" not in str(caught.value)
    assert "secret" not in repr(registry)


def test_a_wrong_configuration_is_told_at_once() -> None:
    with pytest.raises(ConfigurationError, match="refuses"):
        SchemaRegistry("http://registry", {"basic.auth.user.info": "nobody"})


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("registry:8081", "url: it does not begin with http://"),
        ("ada:hunter2@registry:8081", "does not begin"),
        ("http://ada:hunter2#x@registry:8081", "host or its port is malformed"),
        ("http://ada:x#hunter2@registry:8081", "host or its port is malformed"),
        ("http://ada:1#hunter2@registry:8081", "@ behind its host"),
        ("http://ada:1/hunter2@registry:8081", "@ behind its host"),
        ("http://ada:x,hunter2@registry:8081", "address 1 of 2: its host or its port"),
        ("http://ada:hunter2,x@registry:8081", "address 1 of 2: its host or its port"),
        ("http://ada:1,hunter2@registry:8081", "address 2 of 2: it does not begin"),
        ("http://ada:hunter2@[x", "malformed"),
        ("http://[x", "malformed"),
        ("http://registry:port", "malformed"),
        ("http://", "no host"),
        ("", "does not begin"),
        (["http://registry:8081"], "must be str, not list"),
        (None, "must be str, not NoneType"),
    ],
)
def test_a_malformed_address_is_told_without_quoting_it(url: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as caught:
        SchemaRegistry(url)
    told = "".join(traceback.format_exception(caught.value, limit=0)) + caught.value.what_next
    assert "hunter2" not in told


def test_of_an_address_only_what_is_no_secret_is_shown() -> None:
    registry = SchemaRegistry("http://ada:hunter%2C2@[::1]:8081/path?token=x, https://other")
    assert repr(registry) == "<SchemaRegistry http://[::1]:8081/path, https://other>"


def test_another_loop_gets_connections_of_its_own() -> None:
    registry = SchemaRegistry("http://registry.invalid:8081")
    in_memory = SchemaRegistry("mock://tests")
    clients: list[Any] = []

    async def main() -> None:
        async with registry:
            clients.append((registry.client, in_memory.client))

    for _ in range(2):
        with asyncio.Runner(loop_factory=VirtualClockLoop) as runner:
            runner.run(main())
    assert clients[0][0] is not clients[1][0]
    assert clients[0][1] is clients[1][1]


def test_without_the_client_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema_registry, "_modules", None)
    monkeypatch.setitem(sys.modules, "confluent_kafka.schema_registry", None)
    with pytest.raises(ConfigurationError) as caught:
        SchemaRegistry("http://registry:8081")
    assert caught.value.what_next == "pip install 'aioproducer[registry]'"

"""The adapter to the `gssapi` package, with a package that is made of nothing."""

from __future__ import annotations

import sys
import types
from typing import Any

import pytest

from aioproducer.config import ProducerConfig
from aioproducer.errors import AuthenticationError, ClusterConnectionError, ConfigurationError
from aioproducer.runtime.kerberos import KerberosContext
from aioproducer.runtime.login import login_for


class FakeGssError(Exception):
    def __init__(self, min_code: int, words: str) -> None:
        super().__init__(words)
        self.min_code = min_code


class Recorder:
    """Stands for every class of the package and remembers how it was called."""

    made: list[tuple[str, dict[str, Any]]] = []
    error: FakeGssError | None = None


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> type[Recorder]:
    Recorder.made, Recorder.error = [], None
    module = types.ModuleType("gssapi")

    class Context:
        complete = False

        def __init__(self, **settings: Any) -> None:
            Recorder.made.append(("context", settings))

        def step(self, token: bytes | None) -> bytes:
            if Recorder.error is not None:
                raise Recorder.error
            return b"ticket"

        def unwrap(self, message: bytes) -> Any:
            raise FakeGssError(1, "bad signature")

        def wrap(self, message: bytes, encrypt: bool) -> Any:
            assert not encrypt
            return types.SimpleNamespace(message=b"<" + message + b">")

    def credentials(**settings: Any) -> str:
        Recorder.made.append(("credentials", settings))
        return "credentials"

    vars(module).update(
        SecurityContext=Context,
        Credentials=credentials,
        Name=lambda name, kind=None: (name, kind),
        NameType=types.SimpleNamespace(hostbased_service="service"),
        MechType=types.SimpleNamespace(kerberos="kerberos"),
        exceptions=types.SimpleNamespace(GSSError=FakeGssError),
    )
    monkeypatch.setitem(sys.modules, "gssapi", module)
    return Recorder


def test_the_broker_s_principal_is_made_of_service_and_host(package: type[Recorder]) -> None:
    context = KerberosContext("kafka", "broker.test")
    assert not context.complete
    assert context.step(None) == b"ticket"
    assert context.wrap(b"m") == b"<m>"
    ((_, settings),) = package.made
    assert settings["name"] == ("kafka@broker.test", "service")
    assert settings["creds"] is None


def test_a_keytab_is_used_beside_the_user_s_own_tickets(package: type[Recorder]) -> None:
    KerberosContext("kafka", "b", principal="me@R", keytab="/me.keytab").step(None)
    (_, settings), _ = package.made
    assert settings["store"] == {"client_keytab": "/me.keytab", "ccache": "MEMORY:"}
    assert settings["name"] == ("me@R", None)


def test_no_ticket_is_a_refusal_with_advice(package: type[Recorder]) -> None:
    package.error = FakeGssError(2529639053, "No Kerberos credentials")
    with pytest.raises(AuthenticationError, match="No Kerberos credentials") as refusal:
        KerberosContext("kafka", "broker.test").step(None)
    assert "kinit" in refusal.value.what_next
    assert "kafka/broker.test" in refusal.value.what_next


@pytest.mark.parametrize("code", [-1765328228, 2**32 - 1765328228])
def test_a_ticket_server_that_is_away_may_come_back(package: type[Recorder], code: int) -> None:
    package.error = FakeGssError(code, "Cannot contact any KDC")
    with pytest.raises(ClusterConnectionError, match="Cannot contact") as failure:
        KerberosContext("kafka", "b").step(None)
    assert not isinstance(failure.value, AuthenticationError)


def test_a_forged_message_is_a_refusal(package: type[Recorder]) -> None:
    context = KerberosContext("kafka", "b")
    context.step(None)
    with pytest.raises(AuthenticationError, match="bad signature"):
        context.unwrap(b"x")


async def test_the_login_reads_the_jaas_line(package: type[Recorder]) -> None:
    jaas = (
        'Krb5LoginModule required useKeyTab=true keyTab="/me.keytab" principal="me@R"'
        ' serviceName="kafka";'
    )
    config = ProducerConfig.create("h:1", security_protocol="SASL_SSL", sasl_jaas_config=jaas)
    client = await login_for(config).client("broker.test")
    assert client.step(b"") == b"ticket"
    assert not login_for(config).may_respell()
    assert package.made[0][1]["store"]["client_keytab"] == "/me.keytab"


def test_a_missing_package_is_told_with_the_line_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gssapi", None)
    config = ProducerConfig.create(
        "h:1", security_protocol="SASL_SSL", sasl_kerberos_service_name="kafka"
    )
    with pytest.raises(ConfigurationError, match=r"pip install \"aioproducer\[gssapi\]\""):
        login_for(config)

"""The rules between the keys of security."""

from __future__ import annotations

import ssl
from typing import Any

import pytest

from aioproducer.config import ProducerConfig
from aioproducer.config_table import BY_NAME, KEYS
from aioproducer.credentials import Credentials
from aioproducer.errors import ConfigurationError

SERVER = "localhost:9092"
PLAIN_JAAS = 'x.PlainLoginModule required username="alice" password="s3cret";'
CONTEXT = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
SASL: dict[str, Any] = {"security_protocol": "SASL_SSL"}
PLAIN = {**SASL, "sasl_mechanism": "PLAIN"}
OAUTH = {**SASL, "sasl_mechanism": "OAUTHBEARER"}
TLS = {"security_protocol": "SSL"}
PAIR = {"sasl_username": "alice", "sasl_password": "s3cret"}
URL = "sasl_oauthbearer_token_endpoint_url"
ID = "sasl_oauthbearer_client_credentials_client_id"
SECRET = "sasl_oauthbearer_client_credentials_client_secret"


async def provider() -> Any:
    """Stands for either kind of provider: nothing is asked of it here."""


@pytest.mark.parametrize(
    "options",
    [
        TLS,
        {**TLS, "ssl_context": CONTEXT},
        {**TLS, "ssl_truststore_location": "/ca.pem", "ssl_truststore_type": "PEM"},
        {**TLS, "ssl_truststore_location": "/ca.p12", "ssl_truststore_password": "s3cret"},
        {**TLS, "ssl_keystore_key": "K", "ssl_keystore_certificate_chain": "C"},
        {**TLS, "ssl_keystore_location": "/me.pem", "ssl_key_password": "s3cret"},
        {**TLS, "ssl_endpoint_identification_algorithm": "HTTPS"},
        {**TLS, "ssl_protocol": "TLSv1.2"},
        {**PLAIN, **PAIR},
        {**PLAIN, "credentials_provider": provider},
        {**PLAIN, "sasl_jaas_config": PLAIN_JAAS},
        {**SASL, "sasl_mechanism": "scram-sha-512", **PAIR},
        {**OAUTH, "token_provider": provider},
        {**OAUTH, URL: "https://issuer/token", ID: "me", SECRET: "s3cret"},
        {**OAUTH, URL: "file:///run/token"},
        {
            **OAUTH,
            URL: "https://issuer/token",
            "sasl_jaas_config": 'OAuthBearerLoginModule required clientId="a" clientSecret="b";',
        },
        {**SASL, "sasl_kerberos_service_name": "kafka"},
        {
            "security_protocol": "SASL_PLAINTEXT",
            "sasl_jaas_config": 'Krb5LoginModule required useTicketCache=true serviceName="kafka";',
        },
        # What many a Java configuration sets by the way.
        {"sasl_mechanism": "PLAIN", "ssl_protocol": "TLSv1.3"},
    ],
)
def test_what_fits_together_is_accepted(options: dict[str, Any]) -> None:
    ProducerConfig.create(SERVER, **options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (PAIR, "is PLAINTEXT, so sasl_username and sasl_password would have no effect"),
        ({**TLS, **PAIR}, "is SSL, so sasl_username and sasl_password would have no effect"),
        ({"ssl_truststore_location": "/ca.pem"}, "set it to SSL"),
        (
            {"security_protocol": "SASL_PLAINTEXT", "ssl_context": CONTEXT, **PAIR,
             "sasl_mechanism": "PLAIN"},
            "set it to SASL_SSL",
        ),
        ({**TLS, "ssl_context": CONTEXT, "ssl_truststore_location": "/ca.pem"}, "one or the other"),
        ({**TLS, "ssl_context": "yes"}, "must be an ssl.SSLContext, not str"),
        ({**TLS, "ssl_enabled_protocols": "TLSv1.1,TLSv1.2"}, "older versions are not safe"),
        ({**TLS, "ssl_enabled_protocols": "TLSv1.2", "ssl_protocol": "TLSv1.3"}, "leaves out"),
        ({**TLS, "ssl_endpoint_identification_algorithm": "ldaps"}, "empty to switch it off"),
        ({**TLS, "ssl_truststore_location": "/a", "ssl_truststore_certificates": "b"},
         "one or the other"),
        ({**TLS, "ssl_keystore_location": "/a", "ssl_keystore_key": "b"}, "one or the other"),
        ({**TLS, "ssl_keystore_key": "b"}, "needs ssl.keystore.certificate.chain beside it"),
        ({**TLS, "ssl_truststore_password": "s3cret"}, "there is no ssl.truststore.location"),
        ({**TLS, "ssl_truststore_location": "/a", "ssl_truststore_type": "PEM",
          "ssl_truststore_password": "s3cret"}, "a PEM file has none"),
        ({**TLS, "ssl_key_password": "s3cret"}, "there is no key"),
        ({**TLS, "ssl_truststore_location": "/etc/ca.jks", "ssl_truststore_type": "JKS"},
         "keytool -importkeystore -srckeystore /etc/ca.jks -destkeystore /etc/ca.p12"
         " -deststoretype PKCS12"),
        (PLAIN, "PLAIN: needs sasl.username and sasl.password, or credentials.provider"),
        ({**PLAIN, "sasl_username": "alice"}, "needs sasl.password beside it"),
        ({**PLAIN, **PAIR, "credentials_provider": provider}, "more than one place"),
        ({**PLAIN, **PAIR, "sasl_jaas_config": PLAIN_JAAS}, "more than one place"),
        ({**PLAIN, "credentials_provider": "me"}, "must be an async callable, not str"),
        ({**PLAIN, **PAIR, "token_provider": provider}, "token_provider would have no effect"),
        ({**SASL, "sasl_mechanism": "SCRAM-SHA-256", "sasl_jaas_config": PLAIN_JAAS},
         "PlainLoginModule is for PLAIN, but sasl_mechanism is SCRAM-SHA-256"),
        ({**PLAIN, "sasl_jaas_config": 'PlainLoginModule required password="s3cret";'},
         "no username or no password"),
        ({**PLAIN, "sasl_jaas_config": "s3cret"}, "sasl_jaas_config: must be"),
        ({**SASL, **PAIR}, "is GSSAPI unless it is set"),
        (SASL, "GSSAPI: needs sasl.kerberos.service.name"),
        ({**SASL, "sasl_kerberos_service_name": "a",
          "sasl_jaas_config": 'Krb5LoginModule required serviceName="b";'}, "differs from"),
        (OAUTH, "OAUTHBEARER: needs token.provider"),
        ({**OAUTH, URL: "https://issuer/token"}, "needs sasl.oauthbearer.client.credentials"),
        ({**OAUTH, URL: "ftp://issuer/token"}, "must begin with https:, http: or file:"),
        ({**OAUTH, URL: "https://me:s3cret@issuer/t", ID: "me", SECRET: "s3cret"},
         "must not hold a name or password"),
        ({**OAUTH, "token_provider": provider, URL: "https://i/token"}, "would have no effect"),
        ({**OAUTH, "token_provider": provider, "sasl_login_refresh_window_factor": 0.2},
         "must be from 0.5 to 1.0, not 0.2"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_with_what_to_change(
    options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        ProducerConfig.create(SERVER, **options)
    assert words in str(refusal.value)
    assert "s3cret" not in str(refusal.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({**TLS, "ssl_endpoint_identification_algorithm": ""}, "pose as a broker"),
        ({**PLAIN, **PAIR, "security_protocol": "SASL_PLAINTEXT"}, "can read the password"),
        ({**OAUTH, URL: "http://issuer/t", ID: "me", SECRET: "s3cret"}, "in clear"),
    ],
)
def test_what_is_dangerous_is_said(options: dict[str, Any], words: str) -> None:
    (notice,) = ProducerConfig.create(SERVER, **options).notices
    assert words in notice


def test_nothing_secret_is_shown() -> None:
    config = ProducerConfig.create(
        SERVER, **{**PLAIN, "credentials_provider": lambda: Credentials("a", "s3cret")}
    )
    with_pair = ProducerConfig.create(SERVER, **PLAIN, **PAIR)
    for text in (repr(config), config.explain(), repr(with_pair), with_pair.explain()):
        assert "s3cret" not in text
        assert "lambda" not in text
    assert "sasl_password=(hidden)" in repr(with_pair)
    assert with_pair.sasl_password == "s3cret"


def test_every_key_that_sounds_secret_is_marked() -> None:
    words = ("password", "secret", "jaas", "keystore.key", "provider")
    loud = {key.kafka for key in KEYS if any(word in key.kafka for word in words) and key.works}
    assert loud == {key.kafka for key in KEYS if key.secret}
    assert not BY_NAME["sasl.username"].secret

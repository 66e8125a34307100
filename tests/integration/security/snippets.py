"""The snippets of docs/security.md, as functions that the tests run.

Each function's body is in the page, letter for letter: `test_docs.py` compares.
"""

from __future__ import annotations

import logging
import ssl
from typing import Any

from aioproducer import AsyncProducer, AuthenticationError, Credentials, OAuthToken


async def tls(servers: str, ca_file: str, topic: str) -> None:
    async with AsyncProducer(
        servers,
        security_protocol="SSL",
        ssl_truststore_location=ca_file,
    ) as producer:
        await producer.send(topic, b"encrypted")


async def context(servers: str, ca_file: str, topic: str) -> None:
    context = ssl.create_default_context(cafile=ca_file)
    async with AsyncProducer(servers, security_protocol="SSL", ssl_context=context) as producer:
        await producer.send(topic, b"encrypted my way")


async def mutual_tls(servers: str, ca_file: str, key_file: str, topic: str) -> None:
    async with AsyncProducer(
        servers,
        security_protocol="SSL",
        ssl_truststore_location=ca_file,
        ssl_keystore_location=key_file,
        ssl_key_password="key-secret",
    ) as producer:
        await producer.send(topic, b"from a known client")


async def pkcs12(servers: str, ca_file: str, store_file: str, topic: str) -> None:
    async with AsyncProducer(
        servers,
        security_protocol="SSL",
        ssl_truststore_location=ca_file,
        ssl_keystore_location=store_file,
        ssl_keystore_password="store-secret",
    ) as producer:
        await producer.send(topic, b"from a known client")


async def plain(servers: str, ca_file: str, password: str, topic: str) -> None:
    async with AsyncProducer(
        servers,
        security_protocol="SASL_SSL",
        ssl_truststore_location=ca_file,
        sasl_mechanism="PLAIN",
        sasl_username="alice",
        sasl_password=password,
    ) as producer:
        await producer.send(topic, b"from alice")


async def scram(servers: str, ca_file: str, password: str, topic: str) -> None:
    async with AsyncProducer(
        servers,
        security_protocol="SASL_SSL",
        ssl_truststore_location=ca_file,
        sasl_mechanism="SCRAM-SHA-512",
        sasl_username="alice",
        sasl_password=password,
    ) as producer:
        await producer.send(topic, b"from alice")


async def rotating(servers: str, ca_file: str, vault: Any, topic: str) -> None:
    async def credentials() -> Credentials:
        secret = await vault.read("kafka/alice")
        return Credentials(secret["username"], secret["password"])

    async with AsyncProducer(
        servers,
        security_protocol="SASL_SSL",
        ssl_truststore_location=ca_file,
        sasl_mechanism="SCRAM-SHA-256",
        credentials_provider=credentials,
    ) as producer:
        await producer.send(topic, b"from alice, whatever her password is today")


async def from_java(servers: str, ca_file: str, topic: str) -> None:
    properties = {
        "security.protocol": "SASL_SSL",
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": ca_file,
        "sasl.mechanism": "SCRAM-SHA-256",
        "sasl.jaas.config": "org.apache.kafka.common.security.scram.ScramLoginModule required "
        'username="alice" password="alice-secret";',
    }
    async with AsyncProducer(servers, config=properties) as producer:
        await producer.send(topic, b"with the settings of a Java client")


async def token(servers: str, ca_file: str, fetch_token: Any, topic: str) -> None:
    async def provider() -> OAuthToken:
        value, expires_at = await fetch_token()
        return OAuthToken(value, expires_at_ms=int(expires_at * 1000))

    async with AsyncProducer(
        servers,
        security_protocol="SASL_SSL",
        ssl_truststore_location=ca_file,
        sasl_mechanism="OAUTHBEARER",
        token_provider=provider,
    ) as producer:
        await producer.send(topic, b"with a token")


async def client_credentials(servers: str, ca_file: str, url: str, topic: str) -> None:
    async with AsyncProducer(
        servers,
        security_protocol="SASL_SSL",
        ssl_truststore_location=ca_file,
        sasl_mechanism="OAUTHBEARER",
        sasl_oauthbearer_token_endpoint_url=url,
        sasl_oauthbearer_client_credentials_client_id="my-service",
        sasl_oauthbearer_client_credentials_client_secret="client-secret",
        sasl_oauthbearer_scope="kafka",
    ) as producer:
        await producer.send(topic, b"with a token of the identity provider")


async def kerberos(servers: str, ca_file: str, topic: str) -> None:
    async with AsyncProducer(
        servers,
        security_protocol="SASL_SSL",
        ssl_truststore_location=ca_file,
        sasl_mechanism="GSSAPI",
        sasl_kerberos_service_name="kafka",
    ) as producer:
        await producer.send(topic, b"with a ticket")


async def kerberos_keytab(servers: str, ca_file: str, keytab: str, topic: str) -> None:
    async with AsyncProducer(
        servers,
        security_protocol="SASL_SSL",
        ssl_truststore_location=ca_file,
        sasl_jaas_config="com.sun.security.auth.module.Krb5LoginModule required "
        f'useKeyTab=true keyTab="{keytab}" principal="client" serviceName="kafka";',
    ) as producer:
        await producer.send(topic, b"with a keytab")


async def refused(servers: str, ca_file: str, topic: str) -> None:
    async with AsyncProducer(
        servers,
        security_protocol="SASL_SSL",
        ssl_truststore_location=ca_file,
        sasl_mechanism="SCRAM-SHA-512",
        sasl_username="alice",
        sasl_password="not hers",
    ) as producer:
        try:
            await producer.send(topic, b"refused")
        except AuthenticationError as error:
            logging.error("%s. %s", error, error.what_next)

"""Contexts from every kind of key and store, and handshakes that fail, without a network."""

from __future__ import annotations

import contextlib
import ssl
from pathlib import Path
from typing import Any

import pytest

from aioproducer.config import ProducerConfig
from aioproducer.errors import AuthenticationError, ConfigurationError
from aioproducer.runtime.tls import build_context, openssl_name, tls_refusal
from aioproducer.testing.certificates import Authority, Identity

AUTHORITY = Authority("trusted")
OTHER = Authority("other")
SERVER = AUTHORITY.issue("broker", ["broker.test", "127.0.0.1"])
CLIENT = AUTHORITY.issue("client")


def context_of(**options: Any) -> ssl.SSLContext:
    return build_context(ProducerConfig.create("h:1", security_protocol="SSL", **options))


def server_context(identity: Identity, folder: Path, **attributes: Any) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    path = folder / "server.pem"
    path.write_text(identity.store_pem)
    context.load_cert_chain(path)
    context.load_verify_locations(cadata=AUTHORITY.pem)
    for name, value in attributes.items():
        setattr(context, name, value)
    return context


def shake(client: ssl.SSLContext, server: ssl.SSLContext, host: str = "broker.test") -> Any:
    """Shake hands in memory and return the client's end; raises what the client sees."""
    ours, theirs = (ssl.MemoryBIO(), ssl.MemoryBIO()), (ssl.MemoryBIO(), ssl.MemoryBIO())
    us = client.wrap_bio(*ours, server_hostname=host)
    them = server.wrap_bio(*theirs, server_side=True)
    for _ in range(10):
        with contextlib.suppress(ssl.SSLWantReadError):
            us.do_handshake()
        theirs[0].write(ours[1].read())
        try:
            them.do_handshake()
            them.read()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:
            ours[0].write(theirs[1].read())
            us.do_handshake()
            us.read()
        ours[0].write(theirs[1].read())
    return us


def test_a_broker_with_a_trusted_certificate_is_spoken_to(tmp_path: Path) -> None:
    client = context_of(ssl_truststore_certificates=AUTHORITY.pem)
    assert shake(client, server_context(SERVER, tmp_path)).version() == "TLSv1.3"
    assert shake(client, server_context(SERVER, tmp_path), "127.0.0.1").version() == "TLSv1.3"


def test_verification_is_on_by_default() -> None:
    for context in (context_of(), context_of(ssl_truststore_certificates=AUTHORITY.pem)):
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_no_check_of_the_name_is_still_a_check_of_the_signature(tmp_path: Path) -> None:
    off = {"ssl_endpoint_identification_algorithm": ""}
    context = context_of(ssl_truststore_certificates=AUTHORITY.pem, **off)
    assert shake(context, server_context(SERVER, tmp_path), "elsewhere.test").version()
    with pytest.raises(ssl.SSLCertVerificationError):
        shake(
            context_of(ssl_truststore_certificates=OTHER.pem, **off),
            server_context(SERVER, tmp_path),
        )


def test_a_context_of_the_user_is_used_as_it_is() -> None:
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    assert context_of(ssl_context=own) is own


@pytest.mark.parametrize("named", [{}, {"ssl_truststore_type": "PEM"}])
def test_a_truststore_may_be_a_pem_file(tmp_path: Path, named: dict[str, str]) -> None:
    path = tmp_path / "ca.pem"
    path.write_text("# ours\n" + OTHER.pem + AUTHORITY.pem)
    client = context_of(ssl_truststore_location=str(path), **named)
    assert shake(client, server_context(SERVER, tmp_path)).version()


def test_a_single_certificate_may_be_trusted_as_in_java(tmp_path: Path) -> None:
    """Java trusts whatever is in the store, not only what has signed itself."""
    own = SERVER.chain_pem.split("-----END CERTIFICATE-----")[0] + "-----END CERTIFICATE-----\n"
    client = context_of(ssl_truststore_certificates=own)
    assert shake(client, server_context(SERVER, tmp_path)).version()


def identities(folder: Path) -> dict[str, dict[str, str]]:
    pem, locked, store = folder / "me.pem", folder / "locked.pem", folder / "me.p12"
    pem.write_text(CLIENT.store_pem)
    locked.write_text(CLIENT.chain_pem + CLIENT.encrypted_key_pem("s3cret"))
    store.write_bytes(CLIENT.pkcs12("s3cret"))
    chain = {"ssl_keystore_certificate_chain": CLIENT.chain_pem}
    return {
        "file": {"ssl_keystore_location": str(pem)},
        "locked file": {"ssl_keystore_location": str(locked), "ssl_key_password": "s3cret"},
        "text": {**chain, "ssl_keystore_key": CLIENT.key_pem},
        "locked text": {
            **chain,
            "ssl_keystore_key": CLIENT.encrypted_key_pem("s3cret"),
            "ssl_key_password": "s3cret",
        },
        "PKCS#12": {"ssl_keystore_location": str(store), "ssl_keystore_password": "s3cret"},
    }


@pytest.mark.parametrize("kind", ["file", "locked file", "text", "locked text", "PKCS#12"])
def test_our_certificate_may_come_in_many_forms(tmp_path: Path, kind: str) -> None:
    client = context_of(ssl_truststore_certificates=AUTHORITY.pem, **identities(tmp_path)[kind])
    server = server_context(SERVER, tmp_path, verify_mode=ssl.CERT_REQUIRED)
    assert shake(client, server).version() == "TLSv1.3"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ssl_truststore_location": "{}/none"}, "ssl.truststore.location: cannot read"),
        ({"ssl_truststore_location": "{}/empty"}, "is not PKCS#12 or PEM"),
        ({"ssl_truststore_certificates": "nonsense"}, "holds no certificate"),
        ({"ssl_truststore_certificates": "{}/ca.pem"}, "a file goes to ssl.truststore.location"),
        ({"ssl_truststore_location": "{}/java"}, "keytool -importkeystore -srckeystore"),
        ({"ssl_keystore_location": "{}/me.p12", "ssl_keystore_password": "wr0ng"},
         "the password is wrong or missing"),
        ({"ssl_keystore_location": "{}/me.p12"}, "the password is wrong or missing"),
        ({"ssl_keystore_location": "{}/locked.pem"}, "set ssl.key.password"),
        ({"ssl_keystore_location": "{}/locked.pem", "ssl_key_password": "wr0ng"},
         "cannot be used"),
        ({"ssl_keystore_location": "{}/ca.pem"}, "holds no private key"),
        ({"ssl_keystore_location": "{}/key.pem"}, "holds no certificate"),
        ({"ssl_keystore_key": "{}/key.pem", "ssl_keystore_certificate_chain": "{}/ca.pem"},
         "a file goes to ssl.keystore.location"),
        ({"ssl_keystore_key": "{}/key.pem", "ssl_keystore_certificate_chain": AUTHORITY.pem},
         "ssl.keystore.key: holds no private key"),
        ({"ssl_keystore_location": "{}/broken.pem"}, "cannot be used"),
    ],
)  # fmt: skip
def test_files_of_no_use_are_named_with_the_reason(
    tmp_path: Path, options: dict[str, str], words: str
) -> None:
    identities(tmp_path)
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "java").write_bytes(b"\xfe\xed\xfe\xed\0\0\0\2")
    (tmp_path / "ca.pem").write_text(AUTHORITY.pem)
    (tmp_path / "key.pem").write_text("-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n")
    (tmp_path / "broken.pem").write_text((tmp_path / "key.pem").read_text() + AUTHORITY.pem)
    with pytest.raises(ConfigurationError) as refusal:
        context_of(**{key: value.replace("{}", str(tmp_path)) for key, value in options.items()})
    assert words in str(refusal.value)
    assert "wr0ng" not in str(refusal.value)


# Versions and ciphers


def test_tls_1_2_alone_can_be_asked_for(tmp_path: Path) -> None:
    for options in (
        {"ssl_protocol": "TLSv1.2"},
        {"ssl_enabled_protocols": "TLSv1.2", "ssl_protocol": None},
    ):
        client = context_of(ssl_truststore_certificates=AUTHORITY.pem, **options)
        assert shake(client, server_context(SERVER, tmp_path)).version() == "TLSv1.2"


@pytest.mark.parametrize(
    ("iana", "openssl"),
    [
        ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "ECDHE-RSA-AES256-GCM-SHA384"),
        ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"),
        ("TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384", "ECDHE-ECDSA-AES256-SHA384"),
        ("TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "DHE-RSA-CHACHA20-POLY1305"),
        ("TLS_RSA_WITH_AES_128_CBC_SHA", "AES128-SHA"),
        ("ECDHE-RSA-AES128-SHA", "ECDHE-RSA-AES128-SHA"),
    ],
)
def test_cipher_suites_have_two_names(iana: str, openssl: str) -> None:
    assert openssl_name(iana) == openssl


def test_a_suite_of_tls_1_2_is_the_only_one_spoken(tmp_path: Path) -> None:
    suite = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"
    client = context_of(ssl_truststore_certificates=AUTHORITY.pem, ssl_cipher_suites=suite)
    end = shake(client, server_context(SERVER, tmp_path))
    assert end.cipher()[:2] == ("ECDHE-ECDSA-AES128-GCM-SHA256", "TLSv1.2")


def test_suites_of_tls_1_3_are_all_or_none(tmp_path: Path) -> None:
    every = "TLS_AES_256_GCM_SHA384,TLS_CHACHA20_POLY1305_SHA256,TLS_AES_128_GCM_SHA256"
    client = context_of(ssl_truststore_certificates=AUTHORITY.pem, ssl_cipher_suites=every)
    assert client.minimum_version is ssl.TLSVersion.TLSv1_3
    assert shake(client, server_context(SERVER, tmp_path)).version() == "TLSv1.3"
    with pytest.raises(ConfigurationError, match="all must be named or none"):
        context_of(ssl_cipher_suites="TLS_AES_128_GCM_SHA256")


def test_suites_that_nobody_knows_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="OpenSSL knows none of"):
        context_of(ssl_cipher_suites="TLS_ROT13_WITH_NOTHING")
    with pytest.raises(ConfigurationError, match="none of them is of an enabled"):
        context_of(
            ssl_cipher_suites="TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
            ssl_enabled_protocols="TLSv1.3",
        )


# What a failure means


def refusal_of(client: ssl.SSLContext, server: ssl.SSLContext, host: str) -> AuthenticationError:
    with pytest.raises(ssl.SSLError) as failure:
        shake(client, server, host)
    wrapped = ConnectionError("lost")
    wrapped.__cause__ = failure.value
    error = tls_refusal(wrapped, "broker.test:9093 (SSL)", host, has_certificate=False)
    assert error is not None
    assert error.__cause__ is failure.value
    assert str(error).startswith("broker.test:9093 (SSL): ")
    return error


@pytest.mark.parametrize(
    ("identity", "trusted", "host", "words", "advice"),
    [
        (AUTHORITY.issue("b", ["broker.test"], valid_from_days=-9, valid_to_days=-1), AUTHORITY,
         "broker.test", "has expired", "clock"),
        (AUTHORITY.issue("b", ["broker.test"], valid_from_days=2), AUTHORITY, "broker.test",
         "not valid yet", "clock"),
        (SERVER, AUTHORITY, "elsewhere.test", "not for elsewhere.test", "advertised.listeners"),
        (SERVER, AUTHORITY, "10.0.0.1", "not for 10.0.0.1", "advertised.listeners"),
        (SERVER, OTHER, "broker.test", "not signed by anybody trusted here",
         "ssl.truststore.location"),
    ],
)  # fmt: skip
def test_each_bad_certificate_has_its_own_words(
    tmp_path: Path, identity: Identity, trusted: Authority, host: str, words: str, advice: str
) -> None:
    client = context_of(ssl_truststore_certificates=trusted.pem)
    error = refusal_of(client, server_context(identity, tmp_path), host)
    assert words in str(error)
    assert advice in error.what_next


def test_a_broker_that_wants_a_certificate_says_so(tmp_path: Path) -> None:
    client = context_of(ssl_truststore_certificates=AUTHORITY.pem)
    server = server_context(SERVER, tmp_path, verify_mode=ssl.CERT_REQUIRED)
    error = refusal_of(client, server, "broker.test")
    assert "demands a certificate" in str(error)
    assert "ssl.keystore.location" in error.what_next


def test_no_version_in_common_is_told(tmp_path: Path) -> None:
    client = context_of(ssl_truststore_certificates=AUTHORITY.pem, ssl_protocol="TLSv1.2")
    server = server_context(SERVER, tmp_path, minimum_version=ssl.TLSVersion.TLSv1_3)
    error = refusal_of(client, server, "broker.test")
    assert "no version of TLS in common" in str(error)


def test_an_answer_that_is_not_tls_is_told() -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    end = context_of().wrap_bio(incoming, outgoing, server_hostname="broker.test")
    incoming.write(b"\0\0\0\x0a\0\0\0\0\0\x23" + b"\0" * 100)
    with pytest.raises(ssl.SSLError) as failure:
        end.do_handshake()
    error = tls_refusal(failure.value, "b:1 (SSL)", "b", has_certificate=False)
    assert error is not None
    assert "the listener does not encrypt" in str(error)
    assert "PLAINTEXT" in error.what_next


def test_a_certificate_of_ours_that_is_refused_is_told_from_none() -> None:
    failure = ssl.SSLError(1, "[SSL: SSLV3_ALERT_CERTIFICATE_UNKNOWN] alert")
    failure.reason = "SSLV3_ALERT_CERTIFICATE_UNKNOWN"
    error = tls_refusal(failure, "b:1 (SSL)", "b", has_certificate=True)
    assert error is not None
    assert "refused this client's certificate" in str(error)


@pytest.mark.parametrize(
    "failure", [ssl.SSLEOFError(8, "EOF"), ConnectionResetError(), TimeoutError()]
)
def test_a_peer_that_goes_away_is_no_refusal(failure: Exception) -> None:
    assert tls_refusal(failure, "b:1 (SSL)", "b", has_certificate=False) is None

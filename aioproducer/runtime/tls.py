"""TLS: the context that the configuration describes, and what a failed handshake means."""

from __future__ import annotations

import contextlib
import os
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from aioproducer.config import ProducerConfig
from aioproducer.config_security import jks_advice
from aioproducer.errors import AuthenticationError, ConfigurationError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.serialization.pkcs12 import PKCS12KeyAndCertificates

_VERSIONS = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}
_PRIVATE_KEY, _CERTIFICATE = b"PRIVATE KEY-----", b"CERTIFICATE-----"
_JAVA_MAGIC = (b"\xfe\xed\xfe\xed", b"\xce\xce\xce\xce")

# OpenSSL's X509_V_ERR_ numbers.
_NOT_YET_VALID, _EXPIRED, _REVOKED = 9, 10, 23
_WRONG_NAME, _WRONG_IP = 62, 64
_NOT_TLS = frozenset(
    {"WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"}
)
_UNTRUSTED = frozenset({2, 18, 19, 20, 21, 27})


def files_of(config: ProducerConfig) -> tuple[str, ...]:
    """Return the files that the context is made from."""
    return tuple(filter(None, (config.ssl_truststore_location, config.ssl_keystore_location)))


def build_context(config: ProducerConfig) -> ssl.SSLContext:
    """Return a context for what ``config`` says; it reads files and may take milliseconds.

    Raises :exc:`ConfigurationError` naming the key whose value is of no use.
    """
    if config.ssl_context is not None:
        return config.ssl_context
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = config.ssl_endpoint_identification_algorithm == "https"
    _limit_versions(context, config)
    _limit_ciphers(context, config.ssl_cipher_suites)
    _trust(context, config)
    _identify(context, config)
    return context


def _limit_versions(context: ssl.SSLContext, config: ProducerConfig) -> None:
    newest = _VERSIONS[config.ssl_protocol]
    allowed = [v for name in config.ssl_enabled_protocols if (v := _VERSIONS[name]) <= newest]
    context.minimum_version, context.maximum_version = min(allowed), max(allowed)


def _limit_ciphers(context: ssl.SSLContext, suites: tuple[str, ...]) -> None:
    """Allow ``suites`` alone. TLS 1.3's can only be had all together (before Python 3.15)."""
    if not suites:
        return
    modern = [suite for suite in suites if suite.startswith("TLS_") and "_WITH_" not in suite]
    classic = [openssl_name(suite) for suite in suites if suite not in modern]
    offered = {c["name"] for c in context.get_ciphers() if c["protocol"] == "TLSv1.3"}
    if not modern:
        context.maximum_version = min(context.maximum_version, ssl.TLSVersion.TLSv1_2)
    elif context.maximum_version >= ssl.TLSVersion.TLSv1_3 and not offered <= set(modern):
        raise ConfigurationError(
            "ssl.cipher.suites: of TLS 1.3's suites all must be named or none, as Python cannot"
            f" choose among them: {', '.join(sorted(offered))}; or give an ssl.context"
        )
    if not classic:
        context.minimum_version = ssl.TLSVersion.TLSv1_3
    else:
        try:
            context.set_ciphers(":".join(classic))
        except ssl.SSLError:
            raise ConfigurationError(
                f"ssl.cipher.suites: OpenSSL knows none of {', '.join(classic)}"
            ) from None
    if context.minimum_version > context.maximum_version:
        raise ConfigurationError("ssl.cipher.suites: none of them is of an enabled TLS version")


def openssl_name(suite: str) -> str:
    """Return OpenSSL's name for a cipher suite of TLS 1.2 by its IANA name, or what was given."""
    exchange, joined, cipher = suite.removeprefix("TLS_").partition("_WITH_")
    if not joined:
        return suite
    cipher = cipher.replace("AES_128_CBC", "AES128").replace("AES_256_CBC", "AES256")
    cipher = cipher.replace("AES_128", "AES128").replace("AES_256", "AES256")
    cipher = cipher.replace("CHACHA20_POLY1305_SHA256", "CHACHA20_POLY1305")
    # RSA alone is what OpenSSL does not mention.
    name = cipher if exchange == "RSA" else f"{exchange}_{cipher}"
    return name.replace("_", "-")


# Whom to trust


def _trust(context: ssl.SSLContext, config: ProducerConfig) -> None:
    location, certificates = config.ssl_truststore_location, config.ssl_truststore_certificates
    if location is None and certificates is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        return
    # As in Java, any certificate in the store is trusted, not only one that signed itself.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    key = "ssl.truststore.certificates"
    if location is not None:
        key = "ssl.truststore.location"
        data = _read(key, location)
        if _kind(key, location, data, config.ssl_truststore_type) == "PKCS12":
            certificates = _pkcs12_certificates(key, data, config.ssl_truststore_password)
        else:
            certificates = data.decode("ascii", "replace")
    assert certificates is not None
    try:
        context.load_verify_locations(cadata=certificates)
    except (ssl.SSLError, ValueError):
        advice = "" if location is not None else _text_not_file("ssl.truststore.location")
        raise ConfigurationError(f"{key}: holds no certificate that can be read{advice}") from None


def _text_not_file(key: str) -> str:
    return f"; it is the PEM text itself, while a file goes to {key}"


def _pkcs12_certificates(key: str, data: bytes, password: str | None) -> str:
    store = _pkcs12(key, data, password)
    from cryptography.hazmat.primitives.serialization import Encoding

    found = [one.certificate for one in store.additional_certs]
    if store.cert is not None:
        found.append(store.cert.certificate)
    return "".join(one.public_bytes(Encoding.PEM).decode() for one in found)


# Who we are


def _identify(context: ssl.SSLContext, config: ProducerConfig) -> None:
    location, key_text = config.ssl_keystore_location, config.ssl_keystore_key
    if location is not None:
        key = "ssl.keystore.location"
        data = _read(key, location)
        if _kind(key, location, data, config.ssl_keystore_type) == "PKCS12":
            pem, password = _pkcs12_identity(key, data, config.ssl_keystore_password)
            _load_pem(context, key, pem, password)
        else:
            _load_pem(context, key, data, config.ssl_key_password)
    elif key_text is not None:
        chain = config.ssl_keystore_certificate_chain or ""
        # Without this OpenSSL would say "pem lib" of the name of a file.
        if _CERTIFICATE not in chain.encode():
            advice = _text_not_file("ssl.keystore.location")
            raise ConfigurationError(f"ssl.keystore.certificate.chain: is no certificate{advice}")
        text = f"{chain}\n{key_text}"
        _load_pem(context, "ssl.keystore.key", text.encode(), config.ssl_key_password)


def _load_pem(context: ssl.SSLContext, key: str, pem: bytes, password: str | None) -> None:
    for what, mark in (("private key", _PRIVATE_KEY), ("certificate", _CERTIFICATE)):
        if mark not in pem:
            raise ConfigurationError(
                f"{key}: holds no {what} in PEM's form; the private key and its certificates"
                " are needed, in a file one after the other"
            )
    with _as_file(pem) as path:
        try:
            context.load_cert_chain(path, password=_password_for(key, password))
        except ssl.SSLError as error:
            reason = "the password is wrong" if "DECRYPT" in str(error) else _reason(error)
            raise ConfigurationError(
                f"{key}: its key and certificates cannot be used: {reason}"
            ) from None


def _password_for(key: str, password: str | None) -> Callable[[], str]:
    def answer() -> str:
        # Without this OpenSSL would ask at the terminal, for ever.
        if password is None:
            raise ConfigurationError(f"{key}: the key is encrypted; set ssl.key.password")
        return password

    return answer


@contextlib.contextmanager
def _as_file(data: bytes) -> Iterator[str]:
    """Lend ``data`` as a file, which is all that OpenSSL reads keys from: in memory if possible."""
    if hasattr(os, "memfd_create"):
        with open(os.memfd_create("aioproducer"), "wb") as file:
            file.write(data)
            file.flush()
            yield f"/proc/self/fd/{file.fileno()}"
        return
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "key.pem")
        path.touch(0o600)
        path.write_bytes(data)
        yield str(path)


def _pkcs12_identity(key: str, data: bytes, password: str | None) -> tuple[bytes, str]:
    """Return key and chain as PEM under a password of the moment."""
    store = _pkcs12(key, data, password)
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        PrivateFormat,
    )

    if store.key is None or store.cert is None:
        raise ConfigurationError(f"{key}: holds no key with its certificate")
    import secrets

    once = secrets.token_hex(16)
    pem = store.key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(once.encode())
    )
    for one in (store.cert, *store.additional_certs):
        pem += one.certificate.public_bytes(Encoding.PEM)
    return pem, once


# Files


def _read(key: str, location: str) -> bytes:
    try:
        return Path(location).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{key}: cannot read {location}: {error.strerror}") from None


def _kind(key: str, location: str, data: bytes, said: str) -> str:
    """Return PEM or PKCS12: what was said, or what the file looks like if JKS, the default, was."""
    if data.startswith(_JAVA_MAGIC):
        raise ConfigurationError(f"{key}: {jks_advice(location)}")
    if said != "JKS":
        return said
    return "PEM" if b"-----BEGIN " in data else "PKCS12"


def _pkcs12(key: str, data: bytes, password: str | None) -> PKCS12KeyAndCertificates:
    try:
        from cryptography.hazmat.primitives.serialization import pkcs12
    except ImportError:
        raise ConfigurationError(
            f'{key}: PKCS#12 needs another package: pip install "aioproducer[pkcs12]"'
        ) from None
    try:
        return pkcs12.load_pkcs12(data, None if password is None else password.encode())
    except ValueError:
        raise ConfigurationError(
            f"{key}: is not PKCS#12 or PEM, or the password is wrong or missing"
        ) from None


# What went wrong in a handshake


def tls_refusal(
    failure: BaseException, listener: str, host: str, *, has_certificate: bool
) -> AuthenticationError | None:
    """Return what a TLS error means, ``None`` if ``failure`` is not due to one.

    A peer that hangs up is no refusal: it may just be starting.
    """
    error: BaseException | None = failure
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    if error is None or isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return None
    if isinstance(error, ssl.SSLCertVerificationError):
        words, advice = _untrusted(error, host)
    else:
        words, advice = _refused(error, has_certificate)
    refusal = AuthenticationError(f"{listener}: {words}", what_next=advice)
    refusal.__cause__ = error
    return refusal


def _untrusted(error: ssl.SSLCertVerificationError, host: str) -> tuple[str, str]:
    code, message = error.verify_code, error.verify_message.rstrip(".")
    if code == _EXPIRED:
        return (
            "the broker's certificate has expired",
            "Have it renewed; if it is still good, check the clock of this machine.",
        )
    if code == _NOT_YET_VALID:
        return "the broker's certificate is not valid yet", "Check the clock of this machine."
    if code in (_WRONG_NAME, _WRONG_IP):
        return (
            f"the broker's certificate is not for {host}: {message}",
            "Dial the broker by a name of its certificate (bootstrap.servers and the broker's"
            " advertised.listeners), or have one made for this name.",
        )
    if code in _UNTRUSTED:
        return (
            f"the broker's certificate is not signed by anybody trusted here: {message}",
            "Set ssl.truststore.location to the file with the certificate that signed it.",
        )
    if code == _REVOKED:
        return "the broker's certificate was revoked", "Have it renewed."
    return f"the broker's certificate is refused: {message}", "Have it corrected."


def _refused(error: ssl.SSLError, has_certificate: bool) -> tuple[str, str]:
    reason = error.reason or ""
    if reason in _NOT_TLS:
        return (
            "the answer is not TLS: the listener does not encrypt",
            "Dial the TLS port, or set security.protocol to PLAINTEXT or SASL_PLAINTEXT.",
        )
    if "ALERT" not in reason:
        return f"TLS failed: {_reason(error)}", "Look at the TLS settings of both sides."
    if "CERTIFICATE" in reason or "UNKNOWN_CA" in reason:
        if has_certificate:
            return (
                f"the broker refused this client's certificate: {_reason(error)}",
                "Give one that the broker's truststore signed and that has not expired.",
            )
        return (
            f"the broker demands a certificate from this client: {_reason(error)}",
            "Set ssl.keystore.location to a file with a key and its certificates.",
        )
    if "PROTOCOL_VERSION" in reason:
        return (
            "the two sides have no version of TLS in common",
            "Compare ssl.enabled.protocols of both sides.",
        )
    return (
        f"the broker refused the TLS handshake: {_reason(error)}",
        "Compare ssl.cipher.suites and ssl.enabled.protocols of both sides; the broker's log may"
        " say more.",
    )


def _reason(error: ssl.SSLError) -> str:
    return (error.reason or str(error)).lower().replace("_", " ")

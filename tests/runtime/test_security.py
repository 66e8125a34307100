"""What is shared by all connections: one context until the files change, one login."""

from __future__ import annotations

import os
import ssl
import sys
from pathlib import Path
from typing import Any

import pytest

from aioproducer import AsyncProducer
from aioproducer.config import ProducerConfig
from aioproducer.errors import ConfigurationError
from aioproducer.runtime.security import Security
from aioproducer.testing.certificates import Authority

AUTHORITY = Authority()


def security_of(**options: Any) -> Security:
    return Security(ProducerConfig.create("h:1", **options))


def replace(path: Path, text: str) -> None:
    """Put a new file in the place of the old one, as those who rotate certificates do."""
    aside = path.with_suffix(".new")
    aside.write_text(text)
    os.replace(aside, path)


async def test_plaintext_needs_nothing() -> None:
    security = security_of()
    assert not security.uses_tls
    assert not security.uses_sasl
    assert await security.tls_context() is None
    assert not security.may_respell()
    assert security.refusal(ConnectionError(), "h:1", "h") is None


async def test_a_context_serves_until_its_files_change(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "ca.pem"
    path.write_text(AUTHORITY.pem)
    security = security_of(security_protocol="SSL", ssl_truststore_location=str(path))
    first = await security.tls_context()
    assert await security.tls_context() is first
    replace(path, Authority().pem)
    second = await security.tls_context()
    assert second is not first
    assert await security.tls_context() is second
    replace(path, "half a certif")
    assert await security.tls_context() is second
    assert "the last ones are used" in caplog.text
    path.unlink()
    assert await security.tls_context() is second
    replace(path, AUTHORITY.pem)
    assert await security.tls_context() is not second


def _context_without_verification() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ssl_endpoint_identification_algorithm": ""}, "does not check which host"),
        ({"ssl_context": _context_without_verification()}, "verifies no certificate"),
    ],
)
def test_less_than_full_verification_is_never_silent(
    options: dict[str, Any], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    security_of(security_protocol="SSL")
    assert not caplog.records
    security_of(security_protocol="SSL", **options)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert words in caplog.text


def test_files_of_no_use_are_found_when_the_producer_is_made() -> None:
    with pytest.raises(ConfigurationError, match="cannot read /no/such/file"):
        AsyncProducer("h:1", security_protocol="SSL", ssl_truststore_location="/no/such/file")


def test_pkcs12_without_its_package_is_told_with_the_line_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ca.p12"
    path.write_bytes(b"\x30\x82")
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.serialization.pkcs12", None)
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.serialization", None)
    with pytest.raises(ConfigurationError, match=r"aioproducer\[pkcs12\]"):
        security_of(security_protocol="SSL", ssl_truststore_location=str(path))

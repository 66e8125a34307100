"""Certificates of the moment, for clusters that live as long as a test."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aioproducer.testing.cluster import KafkaUnavailableError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.x509 import Certificate, GeneralName

_DAY = datetime.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Identity:
    """A key with its certificate and the one that signed it."""

    key: EllipticCurvePrivateKey
    certificate: Certificate
    issuer: Certificate

    @property
    def key_pem(self) -> str:
        """The key as unencrypted PKCS#8."""
        return self.encrypted_key_pem(None)

    def encrypted_key_pem(self, password: str | None) -> str:
        from cryptography.hazmat.primitives import serialization

        encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if password is not None:
            encryption = serialization.BestAvailableEncryption(password.encode())
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
        ).decode()

    @property
    def chain_pem(self) -> str:
        """The certificate and its issuer's."""
        return _pem(self.certificate) + _pem(self.issuer)

    @property
    def store_pem(self) -> str:
        """Key and chain in one, as Kafka's PEM key stores have it."""
        return self.key_pem + self.chain_pem

    def pkcs12(self, password: str) -> bytes:
        """The same as a PKCS#12 store."""
        from cryptography.hazmat.primitives.serialization import (
            BestAvailableEncryption,
            pkcs12,
        )

        return pkcs12.serialize_key_and_certificates(
            b"client",
            self.key,
            self.certificate,
            [self.issuer],
            BestAvailableEncryption(password.encode()),
        )


class Authority:
    """A certificate authority that signs for itself."""

    def __init__(self, name: str = "tests") -> None:
        try:
            from cryptography.hazmat.primitives.asymmetric import ec
        except ImportError as error:
            raise KafkaUnavailableError(
                'cryptography is needed for TLS: pip install "aioproducer[testing]"'
            ) from error
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = name
        self.certificate = self._sign(self._key, name, [], None, 0, 30)

    @property
    def pem(self) -> str:
        """The authority's certificate: what to trust."""
        return _pem(self.certificate)

    def issue(
        self,
        name: str,
        hosts: Sequence[str] = (),
        *,
        valid_from_days: float = -1,
        valid_to_days: float = 30,
    ) -> Identity:
        """Make a key and a certificate for it, valid between these days from now."""
        from cryptography.hazmat.primitives.asymmetric import ec

        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._sign(key, name, hosts, self.certificate, valid_from_days, valid_to_days)
        return Identity(key, certificate, self.certificate)

    def write(self, folder: Path) -> Path:
        """Write the authority's certificate into ``folder``."""
        path = folder / f"{self._name}-ca.pem"
        path.write_text(self.pem)
        return path

    def _sign(
        self,
        key: EllipticCurvePrivateKey,
        name: str,
        hosts: Sequence[str],
        issuer: Certificate | None,
        from_days: float,
        to_days: float,
    ) -> Certificate:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes

        now = datetime.datetime.now(datetime.UTC)
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer.subject if issuer is not None else subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + from_days * _DAY - _DAY / 24)
            .not_valid_after(now + to_days * _DAY)
            .add_extension(x509.BasicConstraints(issuer is None, None), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )
        if hosts:
            names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
            builder = builder.add_extension(names, critical=False)
        return builder.sign(self._key, hashes.SHA256())


def _general_name(host: str) -> GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(certificate: Certificate) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.PEM).decode()

"""A KRaft cluster with a listener for every way to be let in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from aioproducer.testing.certificates import Authority, Identity
from aioproducer.testing.java_cluster import Node, free_ports
from aioproducer.testing.kerberos import REALM, KerberosRealm, missing_programs
from aioproducer.testing.kraft import KraftCluster
from aioproducer.testing.releases import CURRENT
from aioproducer.testing.supervision import Supervisor
from aioproducer.testing.tokens import AUDIENCE, ISSUER, TokenIssuer

USERS: Mapping[str, str] = {"alice": "alice-secret", "bob": "bob-secret", "admin": "admin-secret"}
_SECURITY = "org.apache.kafka.common.security"
_PASSWORDS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER")


@dataclass(frozen=True, slots=True)
class Listener:
    """A listener: its protocol, what it asks for, and what its certificate is."""

    protocol: str
    mechanisms: tuple[str, ...] = ()
    certificate: str = "server"
    client_certificate: bool = False
    session_ms: int = 0
    host: str = "127.0.0.1"


LISTENERS: Mapping[str, Listener] = {
    "TLS": Listener("SSL"),
    "MTLS": Listener("SSL", client_certificate=True),
    "EXPIRED": Listener("SSL", certificate="expired"),
    "WRONGHOST": Listener("SSL", certificate="elsewhere"),
    "SASLP": Listener("SASL_PLAINTEXT", _PASSWORDS),
    "SASLS": Listener("SASL_SSL", _PASSWORDS),
    "SCRAMONLY": Listener("SASL_PLAINTEXT", ("SCRAM-SHA-512",)),
    "SHORTP": Listener("SASL_PLAINTEXT", _PASSWORDS, session_ms=10_000),
    "SHORTS": Listener("SASL_SSL", _PASSWORDS, session_ms=10_000),
}
KERBEROS_LISTENERS: Mapping[str, Listener] = {
    # A Kerberos principal holds a name, which is dialled.
    "KRBP": Listener("SASL_PLAINTEXT", ("GSSAPI",), host="localhost"),
    "KRBS": Listener("SASL_SSL", ("GSSAPI",), host="localhost"),
}


class SecureCluster(KraftCluster):
    """Real brokers with TLS, mutual TLS, each SASL mechanism, and an authorizer.

    `USERS` are known to PLAIN and SCRAM. PLAINTEXT stays open: who comes that way is a super user.
    Kerberos is there where its programs are.
    """

    kind: ClassVar[str] = "kraft"

    def __init__(
        self,
        nodes: int = 3,
        version: str = CURRENT,
        *,
        scram_users: Mapping[str, str] | None = None,
        measured: bool = False,
    ) -> None:
        users = {**USERS, **(scram_users or {})}
        arguments: list[str] = []
        for name, password in users.items():
            for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512"):
                arguments += ["--add-scram", f"{mechanism}=[name={name},password={password}]"]
        super().__init__(
            nodes,
            version,
            configs={
                "authorizer.class.name": (
                    "org.apache.kafka.metadata.authorizer.StandardAuthorizer"
                ),
                "super.users": "User:ANONYMOUS;User:admin",
                "allow.everyone.if.no.acl.found": "true",
                # No node is killed here: one that was too busy for a moment is to be left alone.
                "broker.session.timeout.ms": "18000",
            },
            format_arguments=arguments,
            measured=measured,
        )
        self.authority = Authority("trusted")
        self.other_authority = Authority("other")
        self.tokens = TokenIssuer()
        self.realm: KerberosRealm | None = None
        self.listeners: dict[str, Listener] = {}
        self._ports: dict[tuple[str, int], int] = {}
        self._folder = Path()

    @property
    def ca_file(self) -> Path:
        """The certificate that signed the brokers'."""
        return self._folder / "trusted-ca.pem"

    @property
    def other_ca_file(self) -> Path:
        """A certificate that signed nothing here."""
        return self._folder / "other-ca.pem"

    def bootstrap(self, listener: str) -> str:
        """The addresses of one listener, on all nodes."""
        host = self.listeners[listener].host
        return ",".join(f"{host}:{self._ports[listener, node]}" for node in self.node_ids)

    def write(self, name: str, content: str | bytes) -> Path:
        """Write a file that lives as long as the cluster."""
        path = self._folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def _prepare(self, supervisor: Supervisor) -> None:
        self._folder = supervisor.directory
        self.listeners = dict(LISTENERS)
        if not missing_programs():
            self.realm = KerberosRealm(supervisor, self._folder / "kerberos")
            self.realm.start()
            self.listeners.update(KERBEROS_LISTENERS)
        keys = [(name, node) for name in self.listeners for node in self._nodes]
        self._ports = dict(zip(keys, free_ports(len(keys)), strict=True))
        self._write_keys()
        super()._prepare(supervisor)

    def _write_keys(self) -> None:
        authority = self.authority
        authority.write(self._folder)
        self.other_authority.write(self._folder)
        here = ["127.0.0.1", "localhost"]
        identities: dict[str, Identity] = {
            "server": authority.issue("broker", here),
            "expired": authority.issue("broker", here, valid_from_days=-20, valid_to_days=-1),
            "elsewhere": authority.issue("broker", ["broker.invalid"]),
        }
        for name, identity in identities.items():
            self.write(f"{name}.pem", identity.store_pem)
        self.write("jwks.json", self.tokens.key_set())

    def _properties(self, node: Node) -> dict[str, str]:
        properties = super()._properties(node)
        for key in ("listeners", "advertised.listeners", "listener.security.protocol.map"):
            parts = [properties[key]]
            for name, listener in self.listeners.items():
                port = self._ports[name, node.node_id]
                parts.append(
                    {
                        "listeners": f"{name}://127.0.0.1:{port}",
                        "advertised.listeners": f"{name}://{listener.host}:{port}",
                        "listener.security.protocol.map": f"{name}:{listener.protocol}",
                    }[key]
                )
            properties[key] = ",".join(parts)
        for name, listener in self.listeners.items():
            prefix = f"listener.name.{name.lower()}."
            for key, value in self._listener_properties(listener).items():
                properties[prefix + key] = value
        return properties

    def _listener_properties(self, listener: Listener) -> dict[str, str]:
        properties: dict[str, str] = {}
        if listener.protocol.endswith("SSL"):
            properties |= {
                "ssl.keystore.type": "PEM",
                "ssl.keystore.location": str(self._folder / f"{listener.certificate}.pem"),
                "ssl.truststore.type": "PEM",
                "ssl.truststore.location": str(self.ca_file),
            }
        if listener.client_certificate:
            properties["ssl.client.auth"] = "required"
        if listener.session_ms:
            properties["connections.max.reauth.ms"] = str(listener.session_ms)
        if listener.mechanisms:
            properties["sasl.enabled.mechanisms"] = ",".join(listener.mechanisms)
        for mechanism in listener.mechanisms:
            for key, value in self._mechanism_properties(mechanism).items():
                properties[f"{mechanism.lower()}.{key}"] = value
        return properties

    def _mechanism_properties(self, mechanism: str) -> dict[str, str]:
        jaas = "sasl.jaas.config"
        if mechanism == "PLAIN":
            users = " ".join(f'user_{name}="{password}"' for name, password in USERS.items())
            return {jaas: f"{_SECURITY}.plain.PlainLoginModule required {users};"}
        if mechanism == "OAUTHBEARER":
            return {
                jaas: f"{_SECURITY}.oauthbearer.OAuthBearerLoginModule required;",
                "sasl.server.callback.handler.class": (
                    f"{_SECURITY}.oauthbearer.OAuthBearerValidatorCallbackHandler"
                ),
                "sasl.oauthbearer.jwks.endpoint.url": self._key_set_url,
                "sasl.oauthbearer.expected.audience": AUDIENCE,
                "sasl.oauthbearer.expected.issuer": ISSUER,
            }
        if mechanism == "GSSAPI":
            assert self.realm is not None
            keytab = self.realm.keytab("kafka/localhost")
            module = "com.sun.security.auth.module.Krb5LoginModule"
            return {
                jaas: f'{module} required useKeyTab=true storeKey=true keyTab="{keytab}"'
                f' principal="kafka/localhost@{REALM}" serviceName="kafka";'
            }
        return {jaas: f"{_SECURITY}.scram.ScramLoginModule required;"}

    @property
    def _key_set_url(self) -> str:
        return (self._folder / "jwks.json").as_uri()

    def _jvm_flags(self, node: Node) -> list[str]:
        flags = [
            *super()._jvm_flags(node),
            *([] if self._measured else ["-Xmx160m"]),
            f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={self._key_set_url}",
        ]
        if self.realm is not None:
            flags.append(f"-Djava.security.krb5.conf={self.realm.config}")
        return flags

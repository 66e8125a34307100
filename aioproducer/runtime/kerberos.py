"""GSSAPI security contexts from the `gssapi` package, which speaks to the system's Kerberos."""

from __future__ import annotations

from typing import Any

from aioproducer.core.sasl.gssapi import SecurityContext
from aioproducer.errors import AuthenticationError, ClusterConnectionError, ConfigurationError

# Codes of MIT Kerberos that pass: no key distribution centre answers, or it is busy.
_PASSING = frozenset({-1765328228, -1765328229, -1765328324})


def check_installed() -> None:
    """Raise :exc:`ConfigurationError` with the ``pip`` line if the package is missing."""
    try:
        import gssapi  # noqa: F401
    except ImportError as error:
        raise ConfigurationError(
            'GSSAPI needs another package: pip install "aioproducer[gssapi]" (on Linux it is built'
            " from source and needs the Kerberos headers, as in Debian's libkrb5-dev)"
        ) from error


class KerberosContext:
    """A context to one broker. Each step may ask the ticket server: not for the event loop.

    Args:
        service: the first part of the broker's principal.
        host: its second part: the name that the broker is dialled by.
        principal: who we are; the default of the credentials cache if empty.
        keytab: a file with our keys, instead of tickets that `kinit` has got.
    """

    def __init__(self, service: str, host: str, *, principal: str = "", keytab: str = "") -> None:
        self._peer = f"{service}@{host}"
        self._principal = principal
        self._keytab = keytab
        self._context: Any = None

    @property
    def complete(self) -> bool:
        return self._context is not None and bool(self._context.complete)

    def step(self, token: bytes | None) -> bytes | None:
        import gssapi

        try:
            if self._context is None:
                self._context = self._begin()
            answer: bytes | None = self._context.step(token)
        except gssapi.exceptions.GSSError as error:
            raise self._explained(error) from error
        return answer

    def wrap(self, message: bytes) -> bytes:
        return bytes(self._context.wrap(message, False).message)

    def unwrap(self, message: bytes) -> bytes:
        import gssapi

        try:
            return bytes(self._context.unwrap(message).message)
        except gssapi.exceptions.GSSError as error:
            raise self._explained(error) from error

    def _begin(self) -> Any:
        import gssapi

        kerberos = gssapi.MechType.kerberos
        credentials = None
        if self._principal or self._keytab:
            name = gssapi.Name(self._principal) if self._principal else None
            # Tickets got with a keytab are kept in memory, beside whatever the user's own are.
            store = {"client_keytab": self._keytab, "ccache": "MEMORY:"} if self._keytab else None
            credentials = gssapi.Credentials(
                name=name, usage="initiate", mechs=[kerberos], store=store
            )
        return gssapi.SecurityContext(
            name=gssapi.Name(self._peer, gssapi.NameType.hostbased_service),
            creds=credentials,
            mech=kerberos,
            usage="initiate",
        )

    def _explained(self, error: Any) -> AuthenticationError | ClusterConnectionError:
        words = " ".join(str(error).split())
        if error.min_code in _PASSING or error.min_code - 2**32 in _PASSING:
            return ClusterConnectionError(f"Kerberos cannot be asked: {words}")
        return AuthenticationError(
            f"Kerberos has no ticket for {self._peer}: {words}",
            what_next="Run kinit, or name a keytab; the broker's principal must be"
            f" {self._peer.replace('@', '/')}.",
        )


def make_context(service: str, host: str, principal: str, keytab: str) -> SecurityContext:
    """Return a new context; nothing is asked of anybody yet."""
    return KerberosContext(service, host, principal=principal, keytab=keytab)

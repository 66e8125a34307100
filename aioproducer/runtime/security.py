"""What a producer needs to be let in: TLS contexts and logins, made anew where files change."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import ssl
from typing import TYPE_CHECKING

from aioproducer.config import ProducerConfig
from aioproducer.core.sasl import SaslClient
from aioproducer.errors import AuthenticationError, ConfigurationError
from aioproducer.runtime.tls import build_context, files_of, tls_refusal

if TYPE_CHECKING:
    from aioproducer.runtime.login import Login

logger = logging.getLogger("aioproducer")


class Security:
    """Shared by all connections of a producer.

    Raises :exc:`ConfigurationError` at once for files that are of no use and packages that are
    missing.
    """

    def __init__(self, config: ProducerConfig) -> None:
        self.protocol = config.security_protocol
        self._config = config
        self._context: ssl.SSLContext | None = None
        self._files: tuple[object, ...] = ()
        self._login: Login | None = None
        # Which spelling of a SCRAM password was taken last: as it is, or by SASLprep.
        self.prepared = False
        if self.protocol in ("SSL", "SASL_SSL"):
            self._files = self._fingerprint()
            self._context = build_context(config)
            _warn_of_gaps(self._context)
        if self.protocol.startswith("SASL_"):
            from aioproducer.runtime.login import login_for

            self._login = login_for(config)

    @property
    def uses_tls(self) -> bool:
        """Whether connections are encrypted."""
        return self._context is not None

    @property
    def uses_sasl(self) -> bool:
        """Whether connections begin with a login."""
        return self._login is not None

    async def tls_context(self) -> ssl.SSLContext | None:
        """Return the context for a new connection, from the files as they are now.

        New files that are of no use, half-written ones for instance, leave the last context in
        place. Cancelling abandons the reading.
        """
        if self._context is None:
            return None
        files = self._fingerprint()
        if files != self._files:
            loop = asyncio.get_running_loop()
            try:
                self._context = await loop.run_in_executor(None, build_context, self._config)
                self._files = files
                logger.info("the TLS files have changed and were read again")
            except ConfigurationError as error:
                logger.warning("the TLS files have changed, but %s; the last ones are used", error)
        return self._context

    async def sasl_client(self, host: str, prepared: bool = False) -> SaslClient:
        """Return the machine for one login at ``host``; asks the user's provider if there is one.

        Raises :exc:`AuthenticationError` without good credentials, and
        :exc:`ClusterConnectionError` when they could not be had. Cancelling abandons the wait.
        """
        assert self._login is not None
        return await self._login.client(host, prepared)

    def may_respell(self) -> bool:
        """After a refused login: return whether the other spelling is worth one attempt."""
        return self._login is not None and self._login.may_respell()

    def refusal(
        self, failure: BaseException, listener: str, host: str
    ) -> AuthenticationError | None:
        """Return what a failed connection says about TLS, ``None`` if nothing."""
        if self._context is None:
            return None
        config = self._config
        own_files = config.ssl_keystore_location or config.ssl_keystore_key or config.ssl_context
        return tls_refusal(failure, listener, host, has_certificate=bool(own_files))

    def _fingerprint(self) -> tuple[object, ...]:
        found: list[object] = []
        for path in files_of(self._config):
            with contextlib.suppress(OSError):
                status = os.stat(path)
                found.append((path, status.st_ino, status.st_size, status.st_mtime_ns))
        return tuple(found)


def _warn_of_gaps(context: ssl.SSLContext) -> None:
    """Say so when a broker's identity is not checked in full, whoever wanted it that way."""
    if context.verify_mode is ssl.CERT_NONE:
        logger.warning("TLS verifies no certificate: anybody on the way can pose as a broker")
    elif not context.check_hostname:
        logger.warning(
            "TLS does not check which host a certificate is for: whoever has one of the same"
            " authority can pose as a broker"
        )

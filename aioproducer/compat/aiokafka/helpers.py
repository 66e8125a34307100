"""What programs take from ``aiokafka.helpers``."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from os import PathLike


def create_ssl_context(
    *,
    cafile: str | PathLike[str] | None = None,
    capath: str | PathLike[str] | None = None,
    cadata: str | bytes | None = None,
    certfile: str | PathLike[str] | None = None,
    keyfile: str | PathLike[str] | None = None,
    password: Callable[[], str | bytes | bytearray] | str | bytes | bytearray | None = None,
) -> ssl.SSLContext:
    """Return a context that checks the brokers, and shows them the client's certificate if any."""
    context = ssl.create_default_context(cafile=cafile, capath=capath, cadata=cadata)
    if certfile is not None:
        context.load_cert_chain(certfile, keyfile, password)
    return context

"""PLAIN: name and password in clear (RFC 4616). Without TLS everybody on the way reads them."""

from __future__ import annotations

from aioproducer.errors import AuthenticationError


class PlainClient:
    """Sends both at once and hears nothing more."""

    mechanism = "PLAIN"
    is_slow = False
    remark = ""

    def __init__(self, username: str, password: str) -> None:
        if not username or not password:
            raise AuthenticationError("PLAIN needs a name and a password that are not empty")
        if "\0" in username or "\0" in password:
            raise AuthenticationError("PLAIN cannot carry a name or password with a NUL in it")
        self._message: bytes | None = f"\0{username}\0{password}".encode()

    def step(self, challenge: bytes) -> bytes | None:
        message, self._message = self._message, None
        return message

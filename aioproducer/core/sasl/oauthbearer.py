"""OAUTHBEARER (RFC 7628, KIP-255): a bearer token, with extensions (KIP-342)."""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Mapping

from aioproducer.errors import AuthenticationError

_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*")
_EXTENSION_NAME = re.compile(r"[A-Za-z]+")
_EXTENSION_VALUE = re.compile(r"[\x21-\x7e \t\r\n]+")
_RESERVED = "auth"
_KVSEP = "\x01"
_LONGEST_REMARK = 500


class _State(enum.Enum):
    START = enum.auto()
    TOKEN_SENT = enum.auto()
    REFUSED = enum.auto()
    DONE = enum.auto()


class OAuthBearerClient:
    """One OAUTHBEARER exchange.

    Args:
        token: as it goes into an ``Authorization: Bearer`` header.
        extensions: further keys and values for the broker; names are letters, not ``auth``.
        authorization_id: whom to act as, if not the token's own subject.
    """

    mechanism = "OAUTHBEARER"
    is_slow = False

    def __init__(
        self, token: str, extensions: Mapping[str, str] | None = None, authorization_id: str = ""
    ) -> None:
        if not _TOKEN.fullmatch(token):
            raise AuthenticationError(
                "the OAuth token is not one: it is empty or holds characters that no bearer token"
                " has (RFC 6750)"
            )
        pairs = {_RESERVED: f"Bearer {token}"}
        for name, value in (extensions or {}).items():
            _check_extension(name, value)
            pairs[name] = value
        name = authorization_id.replace("=", "=3D").replace(",", "=2C")
        header = f"n,{'a=' + name if name else ''},"
        fields = "".join(f"{key}={value}{_KVSEP}" for key, value in pairs.items())
        self._message = f"{header}{_KVSEP}{fields}{_KVSEP}".encode()
        self.remark = ""
        self._state = _State.START

    def step(self, challenge: bytes) -> bytes | None:
        match self._state:
            case _State.START:
                self._state = _State.TOKEN_SENT
                return self._message
            case _State.TOKEN_SENT if challenge:
                # The server waits for this byte before it fails the exchange in the open.
                self.remark = _remark(challenge)
                self._state = _State.REFUSED
                return _KVSEP.encode()
            case _State.TOKEN_SENT:
                self._state = _State.DONE
                return None
        raise AuthenticationError(
            "the broker refused the token" + (f": {self.remark}" if self.remark else "")
        )


def _check_extension(name: str, value: str) -> None:
    if name == _RESERVED or not _EXTENSION_NAME.fullmatch(name):
        raise AuthenticationError(
            f"{name!r} cannot be an extension: names are letters, and 'auth' is taken"
        )
    if not _EXTENSION_VALUE.fullmatch(value):
        raise AuthenticationError(f"the value of the extension {name!r} is not printable ASCII")


def _remark(challenge: bytes) -> str:
    """Return the server's error as RFC 7628 (3.2.2) has it, or as it is."""
    text = challenge[:_LONGEST_REMARK].decode("utf-8", "replace")
    try:
        error = json.loads(challenge[:_LONGEST_REMARK])
    except ValueError:
        return text
    if not isinstance(error, dict) or "status" not in error:
        return text
    parts = [f"{key} {error[key]}" for key in ("status", "scope") if error.get(key)]
    if error.get("openid-configuration"):
        parts.append(f"tokens are described at {error['openid-configuration']}")
    return ", ".join(parts)

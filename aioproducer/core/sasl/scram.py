"""SCRAM-SHA-256 and -512 (RFC 5802, RFC 7677): the password never travels, and both sides prove
that they know it."""

from __future__ import annotations

import base64
import binascii
import enum
import hashlib
import hmac
import re

from aioproducer.core.sasl.saslprep import saslprep
from aioproducer.errors import AuthenticationError

HASHES = {"SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512"}

LEAST_ITERATIONS = 4096
"""Fewer would make it cheap to try passwords against what was overheard (RFC 7677)."""
MOST_ITERATIONS = 1_000_000
"""More would let a hostile server keep this process busy; Kafka itself stops at 16 384."""

_GS2_HEADER = "n,,"
_NONCE = re.compile(r"[\x21-\x2b\x2d-\x7e]+")


class _State(enum.Enum):
    START = enum.auto()
    FIRST_SENT = enum.auto()
    PROOF_SENT = enum.auto()
    DONE = enum.auto()


class ScramClient:
    """One SCRAM exchange.

    Args:
        mechanism: ``SCRAM-SHA-256`` or ``SCRAM-SHA-512``.
        nonce: random printable ASCII without commas, used once.
        prepared: apply SASLprep to name and password. Kafka's own brokers do not.
        token_auth: name and password are those of a delegation token (KIP-48).
    """

    is_slow = True
    remark = ""

    def __init__(
        self,
        mechanism: str,
        username: str,
        password: str,
        nonce: str,
        *,
        prepared: bool = False,
        token_auth: bool = False,
    ) -> None:
        if not username or not password:
            raise AuthenticationError(f"{mechanism} needs a name and a password that are not empty")
        if not _NONCE.fullmatch(nonce):
            raise AuthenticationError("the nonce must be printable ASCII without commas")
        if prepared:
            username, password = _prepare("name", username), _prepare("password", password)
        self.mechanism = mechanism
        self._hash = HASHES[mechanism]
        self._password = password.encode()
        self._nonce = nonce
        name = username.replace("=", "=3D").replace(",", "=2C")
        self._first_bare = f"n={name},r={nonce}" + (",tokenauth=true" if token_auth else "")
        self._server_signature = b""
        self._state = _State.START

    def step(self, challenge: bytes) -> bytes | None:
        match self._state:
            case _State.START:
                self._state = _State.FIRST_SENT
                return (_GS2_HEADER + self._first_bare).encode()
            case _State.FIRST_SENT:
                message = self._prove(challenge)
                self._state = _State.PROOF_SENT
                return message
            case _State.PROOF_SENT:
                self._verify(challenge)
                self._state = _State.DONE
                return None
        raise AuthenticationError("the broker goes on after the end of the exchange")

    def _prove(self, server_first: bytes) -> bytes:
        text = _text(server_first)
        fields = _fields(text)
        if "m" in fields:
            raise AuthenticationError("the broker demands an extension of SCRAM that is not known")
        nonce = fields.get("r", "")
        if not nonce.startswith(self._nonce) or len(nonce) == len(self._nonce):
            raise AuthenticationError(
                "the broker's nonce does not continue ours: somebody may be replaying an old answer"
            )
        salt, iterations = _bytes(fields, "s"), _iterations(fields.get("i", ""))
        salted = hashlib.pbkdf2_hmac(self._hash, self._password, salt, iterations)
        final_bare = f"c={_encoded(_GS2_HEADER.encode())},r={nonce}"
        signed = f"{self._first_bare},{text},{final_bare}".encode()
        client_key = self._hmac(salted, b"Client Key")
        stored_key = hashlib.new(self._hash, client_key).digest()
        signature = self._hmac(stored_key, signed)
        proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        self._server_signature = self._hmac(self._hmac(salted, b"Server Key"), signed)
        return f"{final_bare},p={_encoded(proof)}".encode()

    def _verify(self, server_final: bytes) -> None:
        fields = _fields(_text(server_final))
        if "e" in fields:
            raise AuthenticationError(f"the broker refused the proof: {fields['e'][:200]}")
        if not hmac.compare_digest(_bytes(fields, "v"), self._server_signature):
            raise AuthenticationError(
                "the broker could not prove that it knows the password: it may not be the one that"
                " it says it is"
            )

    def _hmac(self, key: bytes, message: bytes) -> bytes:
        return hmac.digest(key, message, self._hash)


def _prepare(what: str, text: str) -> str:
    try:
        return saslprep(text)
    except ValueError as error:
        raise AuthenticationError(f"the {what} cannot be used with SCRAM: {error}") from None


def _text(message: bytes) -> str:
    try:
        return message.decode()
    except UnicodeDecodeError:
        raise AuthenticationError("the broker's SCRAM message is not UTF-8") from None


def _fields(text: str) -> dict[str, str]:
    fields = {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if not equals or len(name) != 1 or name in fields:
            raise AuthenticationError("the broker's SCRAM message is malformed")
        fields[name] = value
    return fields


def _bytes(fields: dict[str, str], name: str) -> bytes:
    try:
        value = base64.b64decode(fields[name], validate=True)
    except (KeyError, ValueError, binascii.Error):
        raise AuthenticationError(f"the broker's SCRAM message has no valid {name!r}") from None
    if not value:
        raise AuthenticationError(f"the broker's SCRAM message has an empty {name!r}")
    return value


def _iterations(text: str) -> int:
    # Bounded in length too: int() of a million digits takes its time.
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise AuthenticationError("the broker's number of iterations is not a number")
    count = int(text)
    if count < LEAST_ITERATIONS:
        raise AuthenticationError(
            f"the broker asks for {count} iterations only; at least {LEAST_ITERATIONS} are safe"
        )
    if count > MOST_ITERATIONS:
        raise AuthenticationError(
            f"the broker asks for {count} iterations; {MOST_ITERATIONS} are the most allowed here"
        )
    return count


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")

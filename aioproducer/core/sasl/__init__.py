"""SASL: one pure state machine for each mechanism, tokens in and tokens out.

A machine makes one attempt. Whoever drives it sends what ``step`` returns and hands it the answer,
until it returns ``None``; ``AuthenticationError`` says why it cannot go on.
"""

from __future__ import annotations

from typing import Protocol

__all__ = ["SaslClient"]


class SaslClient(Protocol):
    """One side of one SASL exchange."""

    mechanism: str
    is_slow: bool
    """Whether a step may hold up the loop: many rounds of a hash, a question to a ticket server."""

    def step(self, challenge: bytes) -> bytes | None:
        """Return the next token, ``None`` once satisfied; the first challenge is empty.

        Raises :exc:`AuthenticationError` when the server's token is not what it has to be.
        """

    @property
    def remark(self) -> str:
        """What the server told in its challenges about a refusal that follows; empty if nothing."""

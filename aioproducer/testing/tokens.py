"""Signed OAuth tokens of the moment, and the key set that a broker checks them with."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

AUDIENCE, ISSUER = "kafka", "https://issuer.invalid"


class TokenIssuer:
    """Signs JSON Web Tokens with a key of its own (RS256)."""

    def __init__(self) -> None:
        from cryptography.hazmat.primitives.asymmetric import rsa

        self._key = rsa.generate_private_key(65537, 2048)

    def token(self, subject: str, life: float = 3600, **claims: Any) -> str:
        """Return a token that ends in ``life`` seconds; ``claims`` add to it or replace."""
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import padding

        now = time.time()
        body = {
            "sub": subject,
            "iss": ISSUER,
            "aud": AUDIENCE,
            "iat": int(now),
            "exp": int(now + life),
            "scope": "produce",
            **claims,
        }
        signed = ".".join(map(_part, ({"alg": "RS256", "typ": "JWT", "kid": "1"}, body)))
        signature = self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{_encoded(signature)}"

    def key_set(self) -> str:
        """Return the public key as a JSON Web Key Set."""
        numbers = self._key.public_key().public_numbers()
        key = {"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "1"}
        for name, number in (("n", numbers.n), ("e", numbers.e)):
            key[name] = _encoded(number.to_bytes((number.bit_length() + 7) // 8, "big"))
        return json.dumps({"keys": [key]})


def _part(content: dict[str, Any]) -> str:
    return _encoded(json.dumps(content).encode())


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")

"""`sasl.jaas.config`: the login lines of Java clients, as far as they mean something here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_TOKEN = re.compile(
    r"""\s*(?:(?P<quoted>"(?:[^"\\]|\\.)*")|(?P<mark>[=;])|(?P<word>[^\s=;"]+))\s*""", re.DOTALL
)
_FLAGS = frozenset({"required", "requisite", "sufficient", "optional"})

MODULES: Mapping[str, tuple[str, ...]] = {
    "PlainLoginModule": ("PLAIN",),
    "ScramLoginModule": ("SCRAM-SHA-256", "SCRAM-SHA-512"),
    "OAuthBearerLoginModule": ("OAUTHBEARER",),
    "Krb5LoginModule": ("GSSAPI",),
}
"""Which login module belongs to which mechanisms, by the last part of the class's name."""


@dataclass(frozen=True, slots=True)
class JaasEntry:
    """One login module with its options."""

    module: str
    options: Mapping[str, str] = field(repr=False)

    @property
    def mechanisms(self) -> tuple[str, ...]:
        """The mechanisms that this module is for."""
        return MODULES[self.module]


def parse_jaas(text: str) -> JaasEntry:
    """Return the one entry of ``text``: ``package.Module required name="value" ...;``.

    Raises :exc:`ValueError`, which never holds an option's value.
    """
    tokens = _tokens(text)
    if len(tokens) < 3 or tokens[-1] != (";", False):
        raise ValueError(
            'must be `package.LoginModule required name="value" ...;`, with the ; at the end'
        )
    (name, _), (flag, _) = tokens[:2]
    module = name.rpartition(".")[2]
    if module not in MODULES:
        raise ValueError(
            f"names a login module that is not known here; known are {', '.join(MODULES)}"
        )
    if flag.lower() not in _FLAGS:
        raise ValueError("must have a flag such as `required` behind the login module")
    return JaasEntry(module, _options(tokens[2:-1]))


def _tokens(text: str) -> list[tuple[str, bool]]:
    """Return words and marks, each with whether it was quoted."""
    text = text.strip()
    tokens = []
    position = 0
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None:
            raise ValueError("has a quotation mark that is never closed")
        quoted = found["quoted"]
        if quoted is not None:
            tokens.append((re.sub(r"\\(.)", r"\1", quoted[1:-1], flags=re.DOTALL), True))
        else:
            tokens.append((found["mark"] or found["word"], False))
        position = found.end()
    return tokens


def _options(tokens: list[tuple[str, bool]]) -> dict[str, str]:
    options: dict[str, str] = {}
    if (";", False) in tokens:
        raise ValueError("must hold one login module only")
    if len(tokens) % 3:
        raise ValueError('must have its options as name="value"')
    for index in range(0, len(tokens), 3):
        (name, name_quoted), equals, (value, quoted) = tokens[index : index + 3]
        if name_quoted or equals != ("=", False) or (value == "=" and not quoted):
            raise ValueError('must have its options as name="value"')
        if name in options:
            raise ValueError("gives an option twice")
        options[name] = value
    return options

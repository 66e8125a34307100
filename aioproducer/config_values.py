"""From what a user writes to what a key holds; ValueError says in words what does not fit."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from aioproducer.config_table import INT_MAX, KAFKA_CLASSES, Key, Kind

_INTEGER = re.compile(r"[+-]?[0-9]+", re.ASCII)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-_]*)://")
_HOST = re.compile(r"[^\s:/\[\]@?#,]+")
_IPV6 = re.compile(r"[0-9A-Fa-f:.]+(%[^\s\[\]]+)?")
_MAX_PORT = 65535
_KAFKA_SERIALIZERS = "org.apache.kafka.common.serialization."


def parse(key: Key, value: object) -> object:
    """Return ``value`` as the key holds it.

    Raises:
        ValueError: it does not fit; the message is the end of a sentence that begins with the key.
    """
    return _PARSERS[key.kind](key, value)


def split_address(server: str) -> tuple[str, int]:
    """Return host and port of ``host:port`` or ``[IPv6]:port``.

    Raises:
        ValueError: it is something else.
    """
    text = server.strip()
    scheme = _SCHEME.match(text)
    if scheme:
        raise ValueError(
            f"{text!r} begins with {scheme[0]!r}; leave that off and give host:port alone"
        )
    host, port = _split_ipv6(text) if text.startswith("[") else _split_name(text)
    if not _INTEGER.fullmatch(port) or not 1 <= int(port) <= _MAX_PORT:
        raise ValueError(
            f"{text!r} has the port {port!r}; a port is a number from 1 to {_MAX_PORT}"
        )
    return host, int(port)


def _split_ipv6(text: str) -> tuple[str, str]:
    host, bracket, rest = text[1:].partition("]")
    if not bracket or not _IPV6.fullmatch(host) or ":" not in host:
        raise ValueError(f"{text!r} is not an IPv6 address in brackets with a port: [::1]:9092")
    if not rest.startswith(":") or not rest[1:]:
        raise ValueError(f"{text!r} has no port; Kafka's usual one would be {text + ':9092'!r}")
    return host, rest[1:]


def _split_name(text: str) -> tuple[str, str]:
    if text.count(":") > 1:
        raise ValueError(f"{text!r} looks like IPv6; put its address in brackets: [::1]:9092")
    host, _, port = text.partition(":")
    if not _HOST.fullmatch(host):
        raise ValueError(f"{text!r} is not host:port")
    if not port:
        raise ValueError(f"{text!r} has no port; Kafka's usual one would be '{host}:9092'")
    return host, port


def _integer(key: Key, value: object) -> int:
    number = _range_checked(key, _to_int(value))
    if key.python == "compression_gzip_level" and number == 0:
        raise ValueError("must be -1 or from 1 to 9, not 0")
    return number


def _to_int(value: object) -> int:
    if isinstance(value, str) and _INTEGER.fullmatch(value.strip()):
        return int(value)
    if isinstance(value, float) and math.isfinite(value) and value.is_integer():
        return int(value)
    if not isinstance(value, bool):
        try:
            return operator.index(value)  # type: ignore[arg-type]  # numbers of other libraries
        except TypeError:
            pass
    raise ValueError(f"must be a whole number, not {value!r}")


def _range_checked(key: Key, number: int) -> int:
    too_small = key.minimum is not None and number < key.minimum
    too_large = key.maximum is not None and number > key.maximum
    if not (too_small or too_large):
        return number
    if key.minimum is not None and key.maximum is not None and key.maximum < INT_MAX:
        allowed = f"from {key.minimum} to {key.maximum}"
    else:
        allowed = f"at least {key.minimum}" if too_small else f"at most {key.maximum}"
    raise ValueError(f"must be {allowed}, not {number}")


def _float(key: Key, value: object) -> float:
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        try:
            number = float(value)
        except (ValueError, OverflowError):
            pass
        else:
            return _span_checked(key, number)
    raise ValueError(f"must be a number, not {value!r}")


def _span_checked(key: Key, number: float) -> float:
    low, high = key.minimum, key.maximum
    # Written so that NaN fits nowhere.
    if (low is None or number >= low) and (high is None or number <= high):
        return number
    raise ValueError(f"must be from {low} to {high}, not {number}")


def _bool(_key: Key, value: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    raise ValueError(f"must be True or False, not {value!r}")


def _string(key: Key, value: object) -> str:
    if not isinstance(value, str):
        # The value may be a secret of some kind: its type is enough to see what went wrong.
        raise ValueError(f"must be a string, not {type(value).__name__}")
    if key.python == "client_id" and len(value.encode("utf-8", "surrogatepass")) > 32767:
        raise ValueError("must not be longer than 32767 bytes")
    return value


def _choice(key: Key, value: object) -> str:
    if isinstance(value, str):
        for choice in key.choices:
            if choice.lower() == value.strip().lower():
                return choice
    raise ValueError(f"must be one of {_listed(key.choices)}, not {value!r}")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in names)


def _acks(key: Key, value: object) -> int:
    if isinstance(value, str) and value.strip().lower() == "all":
        return -1
    try:
        number = _to_int(value)
    except ValueError:
        number = None
    if number not in (-1, 0, 1):
        raise ValueError(f"must be 'all', 1 or 0, not {value!r}")
    return number


def _list(_key: Key, value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        items = value.split(",") if value.strip() else []
    elif isinstance(value, Iterable) and not isinstance(value, bytes | Mapping):
        items = list(value)
    else:
        raise ValueError(f"must be a string or a list of strings, not {type(value).__name__}")
    for item in items:
        if not isinstance(item, str):
            raise ValueError(f"must hold strings only, not {item!r}")
    return tuple(dict.fromkeys(item.strip() for item in items))


def _servers(key: Key, value: object) -> tuple[str, ...]:
    """Return the servers as given, white space and duplicates dropped."""
    servers = [server for server in _list(key, value) if server]
    if not servers:
        raise ValueError("names no server; give at least one as host:port")
    wrong = []
    seen: dict[tuple[str, int], str] = {}
    for server in servers:
        try:
            host, port = split_address(server)
        except ValueError as error:
            wrong.append(str(error))
        else:
            seen.setdefault(
                (host.lower(), port), f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            )
    if wrong:
        raise ValueError("is wrong: " + "; ".join(wrong))
    return tuple(seen.values())


def _serializer(key: Key, value: object) -> object:
    if isinstance(value, str):
        return _named(key, value, "is a callable, an object with `serialize`, or")
    if isinstance(value, type) and _makes_serializers(value):
        raise ValueError(f"is the class {value.__name__}; give an instance of it")
    if callable(value) or callable(getattr(value, "serialize", None)):
        return value
    raise ValueError(
        f"must be a callable, an object with `serialize`, or one of {_listed(key.choices)}, "
        f"not {type(value).__name__}"
    )


def _makes_serializers(kind: type) -> bool:
    """Return whether instances of ``kind`` serialize, while it itself (`bytes`) may do so too."""
    return hasattr(kind, "serialize") or any("__call__" in vars(each) for each in kind.__mro__)


def _partitioner(key: Key, value: object) -> object:
    if isinstance(value, str):
        return _named(key, value, "is an object with `partition`, or")
    if isinstance(value, type):
        raise ValueError(f"is the class {value.__name__}; give an instance of it")
    if callable(getattr(value, "partition", None)):
        return value
    raise ValueError(
        f"must be an object with `partition`, or one of {_listed(key.choices)}, "
        f"not {type(value).__name__}"
    )


def _named(key: Key, value: str, what: str) -> str:
    name = KAFKA_CLASSES.get(value.strip(), value.strip())
    for choice in key.choices:
        if choice == name.lower():
            return choice
    if name.startswith(_KAFKA_SERIALIZERS):
        raise ValueError(
            f"names {name!r}, a class of Java; pass a callable that gives the same bytes"
        )
    raise ValueError(f"{what} one of {_listed(key.choices)}; {value!r} is neither")


def _object(_key: Key, value: object) -> object:
    # Nobody asks for nothing in more than these ways: an empty string, list, tuple or mapping.
    return () if isinstance(value, str | list | tuple | Mapping) and not value else value


_PARSERS: Mapping[Kind, Callable[[Key, object], object]] = MappingProxyType(
    {
        Kind.INT: _integer,
        Kind.LONG: _integer,
        Kind.FLOAT: _float,
        Kind.BOOL: _bool,
        Kind.STRING: _string,
        Kind.CHOICE: _choice,
        Kind.LIST: _list,
        Kind.ACKS: _acks,
        Kind.SERVERS: _servers,
        Kind.SERIALIZER: _serializer,
        Kind.PARTITIONER: _partitioner,
        Kind.OBJECT: _object,
    }
)

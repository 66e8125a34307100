"""JSON: of plain values, dataclasses, pydantic and msgspec models, dates, UUIDs and decimals.

orjson writes it where that is installed, the standard library otherwise. Whatever orjson refuses
(integers of more than 64 bits, keys that are no text) the standard library is asked for as well, so
that both take the same values. They write the same bytes, but for how they spell very small
numbers.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import json
import sys
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic

from aioproducer.serializers.unfit import UnfitBytesError, UnfitValueError

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    T = TypeVar("T", default=Any)
else:
    from typing import TypeVar

    T = TypeVar("T")


class JsonSerializer(Generic[T]):
    """Writes compact UTF-8 JSON.

    ``deterministic`` makes equal objects equal bytes wherever they are written, as keys need: names
    are sorted, and only the standard library writes, whether orjson is there or not. ``default`` is
    asked for a plain value of whatever is unknown.

    Dataclasses lose what begins with an underscore, decimals become text, NaN is refused. Models
    are written as pydantic and msgspec write them.
    """

    def __init__(
        self, *, deterministic: bool = False, default: Callable[[Any], Any] | None = None
    ) -> None:
        self._default = default
        self._encoder = json.JSONEncoder(
            ensure_ascii=False,
            allow_nan=False,
            separators=(",", ":"),
            sort_keys=deterministic,
            default=self._plain,
        )
        self._dumps = None if deterministic else _orjson_dumps()

    def __call__(self, value: T) -> bytes:
        """Return the JSON of ``value``.

        Raises :exc:`UnfitValueError` for what JSON cannot say.
        """
        if self._dumps is not None:
            try:
                data = self._dumps(value, self._plain)
            except TypeError:
                return self._carefully(value)
            # NaN, which JSON cannot say, is null to orjson: whoever sees one has to look again.
            return data if b"null" not in data else self._refusing_nan(value, data)
        return self._carefully(value)

    def _refusing_nan(self, value: object, data: bytes) -> bytes:
        self._carefully(value)
        return data

    def _carefully(self, value: object) -> bytes:
        try:
            return self._encoder.encode(value).encode()
        except UnfitValueError:
            raise
        except UnicodeEncodeError as error:
            raise UnfitValueError("text with half a character (a lone surrogate)") from error
        except RecursionError as error:
            raise UnfitValueError("it contains itself, or is nested too deeply") from error
        except (TypeError, ValueError) as error:
            raise UnfitValueError(_words(error)) from error

    def _plain(self, value: Any) -> Any:
        """Return what stands for ``value`` in JSON."""
        found = as_plain(value)
        if found is not value:
            return found
        if self._default is not None:
            return self._default(value)
        raise UnfitValueError(f"JSON has no {type(value).__name__}")


class JsonDeserializer(Generic[T]):
    """Reads JSON; ``from_plain`` makes the value of what it says, itself by default."""

    def __init__(self, from_plain: Callable[[Any], T] | None = None) -> None:
        self._from_plain = from_plain

    def __call__(self, data: bytes | None) -> T | None:
        """Return the value; raises :exc:`UnfitBytesError` for bytes that are no JSON."""
        if data is None:
            return None
        try:
            found = json.loads(data)
        except ValueError as error:
            place = f" at {error.pos}" if isinstance(error, json.JSONDecodeError) else ""
            raise UnfitBytesError(f"no JSON{place}") from None
        return found if self._from_plain is None else self._from_plain(found)


def as_plain(value: Any) -> Any:
    """Return what JSON says for ``value``: a dict, a list, text or a number; itself if unknown."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: getattr(value, field.name)
            for field in dataclasses.fields(value)
            if not field.name.startswith("_")
        }
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, (uuid.UUID, decimal.Decimal)):
        return str(value)
    if isinstance(value, enum.Enum):
        return value.value
    return as_model(value)


def as_model(value: Any) -> Any:
    """Return what pydantic or msgspec say for a model of theirs; anything else as it is."""
    kind = type(value)
    if hasattr(kind, "__pydantic_serializer__"):
        return value.model_dump(mode="json")
    if hasattr(kind, "__struct_fields__"):
        return sys.modules["msgspec"].to_builtins(value)
    return value


def _words(error: Exception) -> str:
    """Return what is wrong, without the value that newer Pythons quote."""
    text = str(error)
    if "Circular reference" in text:
        return "it contains itself"
    if "JSON compliant" in text:
        return "JSON has neither NaN nor Infinity"
    return "a key of a dict is no text" if "keys must be" in text else type(error).__name__


def _orjson_dumps() -> Callable[[Any, Callable[[Any], Any]], bytes] | None:
    try:
        import orjson
    except ImportError:
        return None
    # By itself it writes whatever hangs on a dataclass, a cached property as well, and drops the
    # seconds of an offset from UTC.
    options = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
    return lambda value, default: orjson.dumps(value, default, options)

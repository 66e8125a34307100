"""What real brokers answered, as `record.py` wrote it down."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from pathlib import Path
from typing import Any, NamedTuple

from aioproducer.wire import messages
from aioproducer.wire.versions import SPOKEN, ApiKey, response_header_version

FILE = Path(__file__).parent.parent / "data" / "recorded_answers.tsv"
CORRELATION_ID = 7


class Answer(NamedTuple):
    """A frame as a broker sent it, without its size."""

    release: str
    api: ApiKey
    version: int
    frame: bytes

    @property
    def body(self) -> bytes:
        """Without correlation id and header: brokers put no tagged fields there."""
        return self.frame[4 + response_header_version(self.api, self.version) :]


@functools.cache
def answers() -> tuple[Answer, ...]:
    rows = [line.split("\t") for line in FILE.read_text().splitlines()]
    return tuple(
        Answer(release, ApiKey[name], int(version), bytes.fromhex(data))
        for release, name, version, data in rows
        if name != "batch"
    )


@functools.cache
def recorded_batches() -> dict[str, bytes]:
    """What lay in a broker's log, by codec."""
    rows = [line.split("\t") for line in FILE.read_text().splitlines()]
    return {codec: bytes.fromhex(data) for _, name, codec, data in rows if name == "batch"}


@functools.cache
def request_classes() -> dict[ApiKey, Any]:
    """The request of every API, found among the messages, so that none can be forgotten."""
    found: dict[ApiKey, Any] = {}
    for module in pkgutil.iter_modules(messages.__path__):
        for each in vars(importlib.import_module(f"{messages.__name__}.{module.name}")).values():
            if isinstance(each, type) and "API_KEY" in vars(each):
                found[each.API_KEY] = each  # type: ignore[attr-defined]
    return found


def spoken() -> list[tuple[ApiKey, int]]:
    """Every API in every version that this client speaks."""
    return [
        (api, version) for api, (low, high) in SPOKEN.items() for version in range(low, high + 1)
    ]

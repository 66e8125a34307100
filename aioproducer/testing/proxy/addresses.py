"""Where answers tell addresses of brokers: found, and replaced by the proxy's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from aioproducer.testing.proxy.messages import (
    DESCRIBE_CLUSTER,
    FETCH,
    FIND_COORDINATOR,
    MESSAGES,
    METADATA,
    PRODUCE,
)
from aioproducer.testing.proxy.schema import Values

_ROWS = {
    PRODUCE: "NodeEndpoints",
    FETCH: "NodeEndpoints",
    METADATA: "Brokers",
    FIND_COORDINATOR: "Coordinators",
    DESCRIBE_CLUSTER: "Brokers",
}
_FIRST_FETCH_WITH_ADDRESSES = 16
_FIRST_PRODUCE_WITH_ADDRESSES = 10


class Address(NamedTuple):
    """Where a broker is to be found."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """Return what "host:port" says; an IPv6 address stands in brackets."""
        host, _, port = text.strip().rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if not host or not port.isdigit():
            raise ValueError(f"{text!r} is not host:port")
        return cls(host, int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def tells_addresses(api: int, version: int) -> bool:
    """Return whether the answers to these requests tell where brokers are."""
    if api == PRODUCE:
        return version >= _FIRST_PRODUCE_WITH_ADDRESSES
    if api == FETCH:
        return version >= _FIRST_FETCH_WITH_ADDRESSES
    return api in _ROWS


def _rows(api: int, answer: Values) -> Iterator[Values]:
    if api == FIND_COORDINATOR and "Host" in answer:
        yield answer
    yield from answer.get(_ROWS[api]) or ()


def addresses_in(api: int, answer: Values) -> Iterator[tuple[int, Address]]:
    """Yield the id and the address of each broker that an answer tells of."""
    for row in _rows(api, answer):
        if row["Host"] and row["Port"] > 0:
            yield (
                row["BrokerId" if "BrokerId" in row else "NodeId"],
                Address(row["Host"], row["Port"]),
            )


def replace_addresses(api: int, answer: Values, replacement: Callable[[Address], Address]) -> None:
    """Put other addresses into an answer."""
    for row in _rows(api, answer):
        if row["Host"] and row["Port"] > 0:
            row["Host"], row["Port"] = replacement(Address(row["Host"], row["Port"]))


def topic_names_in(api: int, answer: Values) -> Iterator[tuple[bytes, str]]:
    """Yield the ids of topics with their names, as far as an answer tells them."""
    if api == METADATA:
        for topic in answer["Topics"]:
            if topic.get("Name") and any(topic.get("TopicId", b"")):
                yield topic["TopicId"], topic["Name"]


def clamp_versions(answer: Values) -> None:
    """Offer of the APIs that the proxy reads only the versions that it can read."""
    kept = []
    for row in answer["ApiKeys"]:
        pair = MESSAGES.get(row["ApiKey"])
        if pair is not None:
            row["MaxVersion"] = min(row["MaxVersion"], pair.newest)
        if row["MinVersion"] <= row["MaxVersion"]:
            kept.append(row)
    answer["ApiKeys"] = kept

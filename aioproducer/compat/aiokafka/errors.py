"""The errors of aiokafka by their names: its own classes where it is installed, else equal ones."""

from __future__ import annotations

from typing import Any

from aioproducer.compat.aiokafka.error_names import (
    ASKS_ANEW,
    CODES,
    OTHER_NAMES,
    RETRIABLE,
    WITHOUT_CODE,
)
from aioproducer.compat.aiokafka.installed import installed


def make_classes() -> dict[str, Any]:
    """Return classes by the names of aiokafka's."""

    class KafkaError(RuntimeError):
        retriable = False
        invalid_metadata = False

        def __str__(self) -> str:
            name = type(self).__name__
            return f"{name}: {super().__str__()}" if self.args else name

    class BrokerResponseError(KafkaError):
        errno = -1
        message = ""
        description = ""

        def __str__(self) -> str:
            return f"[Error {self.errno}] {super().__str__()}"

    classes: dict[str, Any] = {
        "KafkaError": KafkaError,
        "BrokerResponseError": BrokerResponseError,
        "IllegalOperation": type("IllegalOperation", (Exception,), {}),
        "ConsumerStoppedError": type("ConsumerStoppedError", (Exception,), {}),
    }
    for name in (*WITHOUT_CODE, *CODES):
        base = BrokerResponseError if name in CODES else KafkaError
        body: dict[str, Any] = {"retriable": name in RETRIABLE}
        body["invalid_metadata"] = name in ASKS_ANEW
        if name in CODES:
            body["errno"] = CODES[name]
        classes[name] = type(name, (base,), body)
    classes["CorrelationIdError"] = type("CorrelationIdError", (classes["KafkaProtocolError"],), {})
    for other, name in OTHER_NAMES.items():
        classes[other] = classes[name]
    for each in classes.values():
        each.__module__ = __name__
    return classes


def _classes() -> dict[str, Any]:
    own = make_classes()
    theirs = installed("errors")
    if theirs is None:
        return own
    return {name: getattr(theirs, name, cls) for name, cls in own.items()}


classes: dict[str, Any] = _classes()
__all__ = sorted(classes)


def for_code(code: int) -> Any:
    """Return the class of a broker's error code."""
    for cls in classes.values():
        if getattr(cls, "errno", None) == code:
            return cls
    return classes["UnknownError"]


def __getattr__(name: str) -> Any:
    try:
        return classes[name]
    except KeyError:
        raise AttributeError(f"aiokafka has no error {name!r}") from None

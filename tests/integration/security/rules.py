"""Rules of the authorizer, in effect on every node from the first line of their block."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from aioproducer.testing import admin
from aioproducer.testing.cluster import wait_until
from aioproducer.testing.secure import SecureCluster

if TYPE_CHECKING:
    from confluent_kafka.admin import AclBindingFilter

_SECONDS = 120.0
_DESCRIBE_ACLS, _VERSION = 29, 1


@contextmanager
def rule(
    secure: SecureCluster, permission: str, user: str, operation: str, kind: str, name: str
) -> Iterator[None]:
    """Deny ``user`` an operation, or allow it, until the block is left."""
    from confluent_kafka.admin import (
        AclBinding,
        AclBindingFilter,
        AclOperation,
        AclPermissionType,
        ResourcePatternType,
        ResourceType,
    )

    client = admin.connect(secure.bootstrap_servers)
    parts = (
        ResourceType[kind],
        name,
        ResourcePatternType.LITERAL,
        f"User:{user}",
        "*",
        AclOperation[operation],
        AclPermissionType[permission],
    )
    wanted = AclBindingFilter(*parts)
    for done in client.create_acls([AclBinding(*parts)]).values():
        done.result(_SECONDS)
    wait_until(lambda: all(_known(secure, wanted)), _SECONDS, "every node knows the rule")
    try:
        yield
    finally:
        for gone in client.delete_acls([wanted]).values():
            gone.result(_SECONDS)
        wait_until(lambda: not any(_known(secure, wanted)), _SECONDS, "no node knows the rule")


def denied(
    secure: SecureCluster, user: str, operation: str, kind: str, name: str
) -> AbstractContextManager[None]:
    return rule(secure, "DENY", user, operation, kind, name)


def _known(secure: SecureCluster, wanted: AclBindingFilter) -> Iterator[bool]:
    """Ask each node whether it has a rule, by hand: clients ask whichever node they like."""
    question = _question(wanted)
    for node_id in secure.node_ids:
        address = ("127.0.0.1", secure.node(node_id).port)
        with socket.create_connection(address, timeout=_SECONDS) as connection:
            connection.sendall(struct.pack(">i", len(question)) + question)
            with connection.makefile("rb") as answers:
                (size,) = struct.unpack(">i", answers.read(4))
                yield _count(answers.read(size)) > 0


def _question(wanted: AclBindingFilter) -> bytes:
    def text(value: str) -> bytes:
        return struct.pack(">h", len(value)) + value.encode()

    return (
        struct.pack(">hhi", _DESCRIBE_ACLS, _VERSION, 1)
        + text("rules")
        + struct.pack(">b", wanted.restype.value)
        + text(wanted.name)
        + struct.pack(">b", wanted.resource_pattern_type.value)
        + text(wanted.principal)
        + text(wanted.host)
        + struct.pack(">bb", wanted.operation.value, wanted.permission_type.value)
    )


def _count(answer: bytes) -> int:
    """Return how many resources an answer has; it begins with who asked, and throttling."""
    error, message = struct.unpack_from(">hh", answer, 8)
    assert error == 0
    (count,) = struct.unpack_from(">i", answer, 12 + max(0, message))
    return int(count)

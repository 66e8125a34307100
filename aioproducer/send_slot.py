"""Lets the interpreter step through an ``await`` of a Delivery without raising StopIteration.

Compiled code has ``send_slot.pxd`` instead, which fills the slot ``am_send`` of a type; a class of
Python needs and has none.
"""

from __future__ import annotations


def fill(kind: type) -> None:
    """Have ``kind`` answer as ``PyIter_Send`` asks."""

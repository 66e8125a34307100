"""All portals of this process: what a fork and the end of the program do with them."""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
import weakref
from typing import TYPE_CHECKING, Any

from aioproducer import ProducerError
from aioproducer.patterns.portal_session import PortalSession

if TYPE_CHECKING:
    from aioproducer.patterns.thread_portal import ThreadPortal

logger = logging.getLogger("aioproducer")

_portals: weakref.WeakSet[ThreadPortal[Any, Any]] = weakref.WeakSet()
# Those with a thread: a program that has let go of one has records in it all the same.
_in_use: set[ThreadPortal[Any, Any]] = set()
_left_behind: list[PortalSession[Any, Any]] = []


def know(portal: ThreadPortal[Any, Any]) -> None:
    """Have a portal looked after for as long as somebody holds it."""
    _portals.add(portal)


def hold(portal: ThreadPortal[Any, Any]) -> None:
    """Hold a portal that has a thread from now on, and close it when the program ends."""
    _in_use.add(portal)
    _close_when_a_child_process_ends(portal)


def let_go(portal: ThreadPortal[Any, Any]) -> None:
    """Hold a portal no longer: its thread ends."""
    _in_use.discard(portal)


def leave_behind(session: PortalSession[Any, Any]) -> None:
    """Keep a parent's session for ever: its end would reach for sockets the parent has as well."""
    _left_behind.append(session)


# Forks


class _Parked(threading.local):
    """The loops that stand still while this thread forks."""

    def __init__(self) -> None:
        self.go_on: list[threading.Event] = []


_parked = _Parked()


def _park_all() -> None:
    for portal in list(_portals):
        session = portal._session
        if session is not None and session.owned and not session.ended.is_set():
            go_on = session.park()
            if go_on is not None:
                _parked.go_on.append(go_on)


def _go_on() -> None:
    while _parked.go_on:
        _parked.go_on.pop().set()


def _leave_all_to_the_parent() -> None:
    _parked.go_on.clear()
    for portal in list(_portals):
        portal._leave_to_the_parent()
    _in_use.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_park_all, after_in_parent=_go_on, after_in_child=_leave_all_to_the_parent
    )


# The end of the program


def _exit_all() -> None:
    for portal in list(_portals):
        try:
            portal._exit()
        except ProducerError as error:
            # The others still have records to deliver.
            logger.error("[%s] %s", portal.name, error)


def _close_when_a_child_process_ends(portal: ThreadPortal[Any, Any]) -> None:
    """Processes of multiprocessing end without atexit; they have finalizers of their own."""
    multiprocessing = sys.modules.get("multiprocessing")
    if multiprocessing is not None and multiprocessing.parent_process() is not None:
        from multiprocessing.util import Finalize

        Finalize(portal, portal._exit, exitpriority=0)


# Runs when all threads but daemons have ended: they have handed over what they had.
atexit.register(_exit_all)

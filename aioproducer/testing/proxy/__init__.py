"""A proxy that understands Kafka's frames and breaks what it is told to break."""

from __future__ import annotations

from aioproducer.testing.proxy.faults import Fault
from aioproducer.testing.proxy.frames import Cut, Drop, Frame, Hook
from aioproducer.testing.proxy.server import FaultProxy, Outage

__all__ = ["Cut", "Drop", "Fault", "FaultProxy", "Frame", "Hook", "Outage"]

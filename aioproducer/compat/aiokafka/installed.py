"""Whether aiokafka is here, and the one of its modules that is asked for."""

from __future__ import annotations

import importlib
from typing import Any


def installed(module: str) -> Any:
    """Return ``aiokafka.<module>``, ``None`` without aiokafka."""
    try:
        return importlib.import_module(f"aiokafka.{module}")
    except ImportError:
        return None

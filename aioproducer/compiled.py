"""How the hot files run: compiled by Cython, or as the Python that they are written in.

One source for both. Where a compiler was there at installation, each module with a ``.pxd`` beside
it has been compiled, all of them or none, and Python prefers what is compiled. With
``AIOPRODUCER_PURE=1`` in the environment this module, imported before any of those, sees to it that
the sources are used all the same.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Sequence
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

VARIABLE = "AIOPRODUCER_PURE"
HOT = (
    "awaitable", "core.batch", "core.broker_protocol", "core.memory_budget", "core.meters",
    "core.murmur2", "core.partition_queue", "core.produce_exchange", "core.producer_identity",
    "core.sampling", "core.topic_queues", "delivery", "runtime.delivery_clock", "runtime.intake",
    "runtime.ledger", "runtime.sender", "send_path", "story", "wire.framing",
    "wire.messages.produce", "wire.primitives", "wire.record_batch", "wire.record_encoder",
)  # fmt: skip
"""The modules that are compiled where that can be done: all of them, or none."""

_PACKAGE = __name__.rpartition(".")[0]


# importlib.abc, which has a base class for finders, takes a sixth of this package's import.
class SourcesOnly:
    """Finds this package's modules by their sources, whatever was compiled beside them."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if path is None or not fullname.startswith(f"{_PACKAGE}."):
            return None
        name = fullname.rpartition(".")[2]
        for folder in path:
            source = Path(folder, f"{name}.py")
            if source.is_file():
                return spec_from_file_location(fullname, source)
        return None


def prefer_sources() -> None:
    """Have this package's modules that are not imported yet imported from their sources."""
    sys.meta_path.insert(0, SourcesOnly())


@cache
def tell_once(logger: logging.Logger, version: str) -> None:
    """Log which way the hot files run, once for each process."""
    how = "compiled" if is_compiled(f"{_PACKAGE}.delivery") else "pure Python, uncompiled"
    logger.info("aioproducer %s, %s", version, how)


def is_compiled(name: str) -> bool:
    """Return whether the imported module of that name runs compiled."""
    return (sys.modules[name].__file__ or "").endswith(tuple(EXTENSION_SUFFIXES))


def missing(suffixes: Sequence[str] = EXTENSION_SUFFIXES) -> list[str]:
    """Return which modules lack an extension although others have one."""
    here = Path(__file__).parent
    there = {
        name
        for name in HOT
        for suffix in suffixes
        if here.joinpath(*name.split(".")).with_suffix(suffix).is_file()
    }
    return [name for name in HOT if name not in there] if there else []


if os.environ.get(VARIABLE, "") not in ("", "0"):
    prefer_sources()
elif left_out := missing():
    # One that was compiled against another cannot do without it.
    warnings.warn(
        f"aioproducer is only partly compiled ({', '.join(left_out)} missing) and runs as pure"
        " Python; install it anew",
        RuntimeWarning,
        stacklevel=2,
    )
    prefer_sources()

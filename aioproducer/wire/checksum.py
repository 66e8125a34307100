"""CRC-32C, from the crc32c package without all that this imports.

Its ``__init__`` asks for its own version and makes a command line: longer than the rest of this
package takes together. The extension inside is all that is needed; should it be elsewhere one day,
the package is imported as usual.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from importlib.machinery import PathFinder
from typing import cast

Crc = Callable[..., int]
_NAME = "crc32c._crc32c"


def _from_the_extension() -> Crc | None:
    if "crc32c" in sys.modules:
        return None
    package = importlib.util.find_spec("crc32c")
    if package is None or not package.submodule_search_locations:
        return None
    spec = PathFinder.find_spec(_NAME, package.submodule_search_locations)
    if spec is None or spec.loader is None:
        return None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return cast("Crc | None", getattr(module, "crc32c", None))


def _from_the_package() -> Crc:
    from crc32c import crc32c

    return cast("Crc", crc32c)


crc32c: Crc = _from_the_extension() or _from_the_package()
"""Return the checksum of a buffer; a second argument is that of what comes before it."""

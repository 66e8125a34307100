"""From settings to the objects they name."""

from __future__ import annotations

import random
from typing import cast

from aioproducer.config import ProducerConfig
from aioproducer.core.partitioner import Partitioner, named_partitioner
from aioproducer.errors import ConfigurationError
from aioproducer.wire.compression import Compressor, get


def resolve_partitioner(config: ProducerConfig, rng: random.Random) -> Partitioner | None:
    """Return the configured partitioner, ``None`` for the built-in one.

    Raises :exc:`ConfigurationError` for an unknown name or an object without ``partition()``.
    """
    given = config.partitioner
    if given is None:
        return None
    if isinstance(given, str):
        return named_partitioner(given, rng)
    if not callable(getattr(given, "partition", None)):
        raise ConfigurationError(
            f"partitioner must be a name or have a partition() method, not {type(given).__name__}"
        )
    return cast(Partitioner, given)


def resolve_compressor(config: ProducerConfig) -> Compressor | None:
    """Return the configured codec at its level, ``None`` for none.

    Raises :exc:`ConfigurationError` with the ``pip install`` line if its package is missing.
    """
    name = config.compression_type
    if name == "none":
        return None
    levels = {
        "gzip": config.compression_gzip_level,
        "lz4": config.compression_lz4_level,
        "zstd": config.compression_zstd_level,
    }
    try:
        return get(name, levels.get(name))
    except ConfigurationError as error:
        if not config.origin("compression_type").startswith("profile"):
            raise
        raise ConfigurationError(
            f"profile={config.profile} sets {error}, or set compression_type yourself"
        ) from None

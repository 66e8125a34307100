"""What a results file was made with."""

from __future__ import annotations

import json
from dataclasses import replace

from benchmarks.arguments import SECTIONS, SOAK_RECORDS, Settings, parse
from benchmarks.store import Store


def settings_of(store: Store) -> Settings:
    """Return the settings of the last run in ``store``, with all sections in view, a soak too."""
    given = parse(json.loads(store.environment.get("arguments", "[]")))
    return replace(given, sections=SECTIONS, soak=given.soak or SOAK_RECORDS)

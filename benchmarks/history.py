"""What a results file was made with."""

from __future__ import annotations

import json
from dataclasses import replace

from benchmarks.arguments import SECTIONS, Settings, parse
from benchmarks.store import Store


def settings_of(store: Store) -> Settings:
    """Return the settings of the run that ``store`` holds, with all sections in view."""
    given = parse(json.loads(store.environment.get("arguments", "[]")))
    return replace(given, sections=SECTIONS)

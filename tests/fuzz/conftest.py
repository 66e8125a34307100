"""`make fuzz` asks for more examples than the unit tests: --hypothesis-profile=fuzz."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("fuzz", max_examples=5_000, deadline=None)

"""What a timer that has fired may still lack."""

from __future__ import annotations

SLACK = 0.001
"""Seconds by which a loop may fire early: the clock's resolution, uvloop's milliseconds, rounding.

Whoever finds a deadline no further off than this takes it as reached. Arming it again would fire
in the same turn, again and again.
"""

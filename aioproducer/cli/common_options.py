"""Options that several commands have."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import click


class FiniteRange(click.FloatRange):
    """A number in a range; nan, which is in each of them, is none, and neither is infinity."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        found: float = super().convert(value, param, ctx)
        if not math.isfinite(found):
            self.fail(f"{value!r} is no number.", param, ctx)
        return found


config_option = click.option(
    "--config",
    "config_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Settings as Kafka's own tools read them: producer.properties.",
)
bootstrap_option = click.option(
    "-b", "--bootstrap-server", metavar="HOST:PORT,...", help="The cluster."
)
property_option = click.option(
    "-X",
    "properties",
    multiple=True,
    metavar="KEY=VALUE",
    help="A setting by Kafka's name; beats the file. Repeatable.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
loop_option = click.option(
    "--loop",
    type=click.Choice(["auto", "asyncio", "uvloop"]),
    default="auto",
    show_default=True,
    help="The event loop; auto takes uvloop where it is installed.",
)

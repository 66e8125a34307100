"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path

import click

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

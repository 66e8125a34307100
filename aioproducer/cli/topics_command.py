"""`aioproducer topics`: list, describe, create and delete."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import click

from aioproducer.checks import check_topic
from aioproducer.cli.common_options import (
    FiniteRange,
    bootstrap_option,
    config_option,
    json_option,
    property_option,
)
from aioproducer.cli.exit_status import Exit
from aioproducer.cli.settings import SettingsError, read_settings
from aioproducer.topics import BROKERS_DEFAULT, NewTopic, TopicClient, TopicDescription

_T = TypeVar("_T")

_timeout_option = click.option(
    "--timeout", type=FiniteRange(min=0.1), default=30.0, show_default=True, metavar="SECONDS"
)


@click.group(short_help="List, describe, create and delete topics.")
def topics() -> None:
    """List, describe, create and delete topics, with the settings of a producer."""


@topics.command("list", short_help="The names of all topics.")
@config_option
@bootstrap_option
@property_option
@click.option("--internal", is_flag=True, help="Those of Kafka's own, too.")
@_timeout_option
@json_option
def list_topics(
    config_file: Path | None,
    bootstrap_server: str | None,
    properties: tuple[str, ...],
    internal: bool,
    timeout: float,
    as_json: bool,
) -> int:
    """Print the names of all topics, one a line; on a terminal with partitions and replicas."""
    settings = read_settings(config_file, bootstrap_server, properties)
    found = [
        each
        for each in _asked(settings, timeout, lambda client: client.list())
        if internal or not each.is_internal
    ]
    if as_json:
        _print_json([_as_dict(each) for each in found])
    elif sys.stdout.isatty():
        _print_lines(table_lines(found))
    else:
        _print_lines(each.name for each in found)
    return Exit.OK


@topics.command(short_help="Leaders, replicas and settings.")
@click.argument("names", nargs=-1, metavar="[TOPIC]...")
@config_option
@bootstrap_option
@property_option
@_timeout_option
@json_option
def describe(
    names: tuple[str, ...],
    config_file: Path | None,
    bootstrap_server: str | None,
    properties: tuple[str, ...],
    timeout: float,
    as_json: bool,
) -> int:
    """Print who leads each partition, who is in sync, and the settings that matter to producers.

    Without a TOPIC all but Kafka's own. The exit status is 1 if one cannot be described.
    """
    _check(names)
    settings = read_settings(config_file, bootstrap_server, properties)
    found = _asked(settings, timeout, lambda client: client.describe(names or None))
    if not names:
        found = [each for each in found if not each.is_internal]
    if as_json:
        _print_json([_as_dict(each) for each in found])
    else:
        _print_lines(line for each in found if each.error is None for line in topic_lines(each))
    wrong = [each for each in found if each.error is not None]
    for each in wrong:
        print(f"aioproducer: {each.name}: {each.error}", file=sys.stderr)
    return Exit.FAILED if wrong else Exit.OK


@topics.command(short_help="With partitions, replicas and settings.")
@click.argument("names", nargs=-1, required=True, metavar="TOPIC...")
@config_option
@bootstrap_option
@property_option
@click.option("--partitions", type=click.IntRange(min=1), metavar="N", help="Else the brokers'.")
@click.option(
    "--replication-factor", type=click.IntRange(1, 32767), metavar="N", help="Else the brokers'."
)
@click.option(
    "--topic-config", "configs", multiple=True, metavar="KEY=VALUE", help="A setting. Repeatable."
)
@_timeout_option
@json_option
def create(
    names: tuple[str, ...],
    config_file: Path | None,
    bootstrap_server: str | None,
    properties: tuple[str, ...],
    partitions: int | None,
    replication_factor: int | None,
    configs: tuple[str, ...],
    timeout: float,
    as_json: bool,
) -> int:
    """Create each TOPIC, and wait until every broker knows it."""
    _check(names)
    settings = read_settings(config_file, bootstrap_server, properties)
    new = [
        NewTopic(
            name,
            partitions or BROKERS_DEFAULT,
            replication_factor or BROKERS_DEFAULT,
            dict(_pairs(configs)),
        )
        for name in names
    ]
    _asked(settings, timeout, lambda client: client.create(new, timeout=timeout))
    _tell("created", names, as_json)
    return Exit.OK


@topics.command(short_help="With all that is in them.")
@click.argument("names", nargs=-1, required=True, metavar="TOPIC...")
@config_option
@bootstrap_option
@property_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@_timeout_option
@json_option
def delete(
    names: tuple[str, ...],
    config_file: Path | None,
    bootstrap_server: str | None,
    properties: tuple[str, ...],
    yes: bool,
    timeout: float,
    as_json: bool,
) -> int:
    """Delete each TOPIC with all that is in it, after asking; --yes where nobody can answer."""
    _check(names)
    settings = read_settings(config_file, bootstrap_server, properties)
    if not yes:
        if not sys.stdin.isatty():
            raise SettingsError("nobody is there to ask: give --yes to delete")
        question = f"Delete {', '.join(names)} with all that is in it?"
        if not click.confirm(question, err=True):
            return Exit.FAILED
    _asked(settings, timeout, lambda client: client.delete(names, timeout=timeout))
    _tell("deleted", names, as_json)
    return Exit.OK


def table_lines(found: Sequence[TopicDescription]) -> Iterator[str]:
    """Yield a line for each topic: its name, partitions and replicas."""
    widest = max((len(each.name) for each in found), default=5)
    yield f"{'topic':<{widest}}  partitions  replicas"
    for each in found:
        yield f"{each.name:<{widest}}  {len(each.partitions):>10}  {each.replicas:>8}"


def topic_lines(topic: TopicDescription) -> Iterator[str]:
    """Yield what is known of one topic."""
    yield f"{topic.name}: {len(topic.partitions)} partitions, {topic.replicas} replicas"
    for each in topic.partitions:
        leader = "nobody" if each.leader is None else f"broker {each.leader}"
        behind = sorted(set(each.replicas) - set(each.in_sync_replicas))
        in_sync = _numbers(each.in_sync_replicas)
        missing = f", behind: {_numbers(behind)}" if behind else ""
        yield f"  {each.partition}: led by {leader}, in sync: {in_sync}{missing}"
    for key, value in sorted(topic.settings.items()):
        yield f"  {key}={'' if value is None else value}"


def _numbers(numbers: Sequence[int]) -> str:
    return " ".join(map(str, numbers)) or "none"


def _as_dict(topic: TopicDescription) -> dict[str, object]:
    return {
        "topic": topic.name,
        "internal": topic.is_internal,
        "error": None if topic.error is None else str(topic.error),
        "partitions": [
            {
                "partition": each.partition,
                "leader": each.leader,
                "replicas": each.replicas,
                "in_sync_replicas": each.in_sync_replicas,
                "offline_replicas": each.offline_replicas,
            }
            for each in topic.partitions
        ],
        "settings": dict(topic.settings),
    }


def _asked(
    settings: Mapping[str, object], timeout: float, ask: Callable[[TopicClient], Awaitable[_T]]
) -> _T:
    async def run() -> _T:
        async with TopicClient.connect(settings, timeout=timeout) as client:
            return await ask(client)

    return asyncio.run(run())


def _check(names: Sequence[str]) -> None:
    for name in names:
        try:
            check_topic(name)
        except ValueError as error:
            raise SettingsError(str(error)) from error


def _pairs(options: Sequence[str]) -> Iterator[tuple[str, str]]:
    for option in options:
        key, found, value = option.partition("=")
        if not key or not found:
            raise SettingsError(f"--topic-config takes KEY=VALUE, not {option!r}")
        yield key, value


def _tell(what: str, names: Sequence[str], as_json: bool) -> None:
    if as_json:
        _print_json({what: names})
    elif sys.stdout.isatty():
        _print_lines([f"{what}: {', '.join(names)}"])


def _print_json(content: object) -> None:
    print(json.dumps(content, indent=2))


def _print_lines(lines: Iterator[str] | Sequence[str]) -> None:
    for line in lines:
        print(line)

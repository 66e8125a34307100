"""What docs/doctor.md shows is what the doctor prints."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from aioproducer.cli.doctor import finding_lines
from aioproducer.cli.settings import byte_count, parse_properties
from aioproducer.doctor import check_setup
from aioproducer.doctor.checks import CHECKS
from aioproducer.testing import KafkaCluster
from tests.conftest import TopicFactory, skip_for_cluster

PAGE = Path(__file__).parents[3] / "docs" / "doctor.md"
_SECTION = re.compile(
    r"^### ([\w-]+): .*?```properties\n(.*?)```\n\n```text\n(.*?)```$", re.MULTILINE | re.DOTALL
)


class Section(NamedTuple):
    name: str
    properties: str
    output: str

    def hint(self, what: str) -> str:
        match = re.search(rf"^# {what}: (.*)$", self.properties, re.MULTILINE)
        return "" if match is None else match[1]


def sections() -> list[Section]:
    return [Section(*match) for match in _SECTION.findall(PAGE.read_text())]


def made_for(topic: TopicFactory, hint: str) -> str:
    configs: dict[str, str] = dict(part.split("=") for part in hint.split())
    replicas = configs.pop("replicas", None)
    return topic(3, replication=None if replicas is None else int(replicas), configs=configs)


@pytest.mark.parametrize("section", sections(), ids=lambda section: section.name)
def test_each_misconfiguration_is_answered_as_the_page_says(
    section: Section,
    kafka: KafkaCluster,
    topic: TopicFactory,
    request: pytest.FixtureRequest,
) -> None:
    if not kafka.is_real:
        skip_for_cluster(request, "the embedded cluster knows no settings of topics")
    name = made_for(topic, section.hint("topic"))
    settings: Mapping[str, object] = {
        "bootstrap.servers": kafka.bootstrap_servers,
        **parse_properties(section.properties),
    }
    rate = section.hint("rate")
    checking = check_setup(
        settings, [name], bytes_per_second=byte_count(rate) if rate else None, timeout=120
    )
    report = asyncio.run(checking)
    lines = [line for each in report.named(section.name) for line in finding_lines(each)]
    assert "\n".join(lines).replace(name, "orders") + "\n" == section.output


def test_the_page_shows_ten_and_names_all() -> None:
    assert len(sections()) >= 10
    table = re.findall(r"^\| `([\w-]+)` \|", PAGE.read_text(), re.MULTILINE)
    assert sorted(table) == sorted(check.name for check in CHECKS)

"""Kafka's own tool over a whole topic: one start of Java for all of its partitions."""

from __future__ import annotations

import itertools
from pathlib import Path

from aioproducer.testing import KraftCluster, admin
from aioproducer.testing.judge import DumpedBatch, parse_dump

_DUMP_SECONDS = 600.0


def dump_topic(cluster: KraftCluster, topic: str) -> dict[int, list[DumpedBatch]]:
    """What lies in each partition's leader's log, by partition."""
    files: dict[str, int] = {}
    for partition, state in enumerate(admin.states_of(cluster.bootstrap_servers, topic)):
        folder = cluster.node(state.leader).data / f"{topic}-{partition}"
        files |= {str(segment): partition for segment in sorted(folder.glob("*.log"))}
    output = cluster.run_tool(
        cluster.release.dump_log_class, "--files", ",".join(files), timeout=_DUMP_SECONDS
    )
    dumps: dict[int, list[DumpedBatch]] = {partition: [] for partition in files.values()}
    for name, lines in _by_file(output):
        dumps[files[name]].extend(parse_dump(lines))
    return dumps


def _by_file(output: str) -> list[tuple[str, list[str]]]:
    """Cut the output where the tool says ``Dumping <file>``."""
    parts: list[tuple[str, list[str]]] = []
    for begins, lines in itertools.groupby(output.splitlines(), _is_heading):
        for line in lines:
            if begins:
                parts.append((str(Path(line.removeprefix(_HEADING).strip())), []))
            elif parts:
                parts[-1][1].append(line)
    return parts


_HEADING = "Dumping "


def _is_heading(line: str) -> bool:
    return line.startswith(_HEADING)

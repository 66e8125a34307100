"""What encryption costs: aioproducer over PLAINTEXT, SSL and SASL_SSL, side by side."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace

from aioproducer.testing.cluster import ClusterStartError, KafkaUnavailableError
from aioproducer.testing.judge import end_offsets
from aioproducer.testing.secure import USERS, SecureCluster
from benchmarks.arguments import Settings
from benchmarks.figures import median, spread
from benchmarks.job import Measurement
from benchmarks.plan import Table, turns
from benchmarks.report import markdown
from benchmarks.runner import RunError, run_job
from benchmarks.sections import throughput

_PEER = "aioproducer"


class _Counter:
    """Counts through the listener that is always open."""

    def __init__(self, cluster: SecureCluster) -> None:
        self.bootstrap_servers = cluster.bootstrap_servers
        self.create_topic = cluster.create_topic
        self.delete_topic = cluster.delete_topic

    def record_count(self, topic: str) -> int:
        return sum(end_offsets(self.bootstrap_servers, topic).values())

    def check(self) -> None:
        """Real brokers refuse what is wrong."""


def compare_protocols(settings: Settings, say: Callable[[str], None]) -> int:
    """Measure each protocol in turns and print a table; return the exit status."""
    try:
        with SecureCluster(settings.brokers, measured=True) as cluster:
            print(f"- cluster: {cluster.describe()}, {settings.partitions} partitions")
            good = True
            for table in throughput.tables(settings)[: len(settings.sizes)]:
                runs = _measure(settings, cluster, table, say)
                job = table.rows[_PEER]
                print(f"\n### {table.title}\n\n{_table(runs, job.record_size)}")
                good = good and all(runs.values())
            return 0 if good else 1
    except (KafkaUnavailableError, ClusterStartError) as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        return 130


def _protocols(cluster: SecureCluster) -> dict[str, tuple[str, dict[str, str]]]:
    tls = {"ssl.truststore.location": str(cluster.ca_file)}
    login = {
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "alice",
        "sasl.password": USERS["alice"],
    }
    return {
        "PLAINTEXT": (cluster.bootstrap_servers, {}),
        "SSL": (cluster.bootstrap("TLS"), tls),
        "SASL_SSL": (cluster.bootstrap("SASLS"), {**tls, **login}),
    }


def _measure(
    settings: Settings, cluster: SecureCluster, table: Table, say: Callable[[str], None]
) -> dict[str, list[Measurement]]:
    protocols = _protocols(cluster)
    runs: dict[str, list[Measurement]] = {name: [] for name in protocols}
    counter = _Counter(cluster)
    topic = f"benchmark-{uuid.uuid4().hex[:12]}"
    cluster.create_topic(topic, settings.partitions)
    for number, name in turns(list(protocols), settings.rounds):
        servers, options = protocols[name]
        job = replace(
            table.rows[_PEER].at(servers, topic), options={"security.protocol": name, **options}
        )
        try:
            run = run_job(job, counter)
        except RunError as error:
            say(f"  round {number}, {name}: FAILED: {error}")
            continue
        runs[name].append(run)
        say(f"  round {number}, {name}: {run.records_per_second:,.0f} messages/s")
    return runs


def _table(runs: dict[str, list[Measurement]], record_size: int) -> str:
    rows = []
    for name, measured in runs.items():
        if not measured:
            rows.append([name, "failed", "", "", ""])
            continue
        rates = [run.records_per_second for run in measured]
        rate = median(rates)
        rows.append(
            [
                name,
                f"{rate:,.0f}",
                f"{rate * record_size / 1e6:.1f}",
                f"{median([run.cpu_per_million for run in measured]):.2f}",
                f"{spread(rates):.0%}",
            ]
        )
    return markdown(["protocol", "messages/s", "MB/s", "CPU s/M", "spread"], rows)

"""The table of everything the doctor looks for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from aioproducer.doctor import cluster_checks as of_cluster
from aioproducer.doctor import config_checks as of_config
from aioproducer.doctor.facts import Need, Setup
from aioproducer.doctor.report import Finding


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that is looked for; ``needs`` is what it cannot be found without."""

    name: str
    judge: Callable[[Setup], Iterator[Finding]]
    needs: frozenset[Need]


def _check(judge: Callable[[Setup], Iterator[Finding]], *needs: Need) -> Check:
    name = judge.__name__.replace("_", "-")
    return Check(name, judge, frozenset(needs or (Need.CONFIGURATION,)))


CHECKS = (
    _check(of_config.acks_0),
    _check(of_config.acks_1),
    _check(of_config.retries_without_idempotence),
    _check(of_config.reordering),
    _check(of_config.tiny_batches),
    _check(of_config.compression_without_batching),
    _check(of_config.no_compression),
    _check(of_config.timeouts, Need.BROKER_SETTINGS),
    _check(of_config.buffer_for_rate, Need.RATE),
    _check(of_config.constant_keys, Need.KEYS),
    _check(of_cluster.topic_missing, Need.TOPICS),
    _check(of_cluster.topic_unauthorized, Need.TOPICS),
    _check(of_cluster.topic_unusable, Need.TOPICS),
    _check(of_cluster.low_replication, Need.TOPICS),
    _check(of_cluster.buffer_below_batches, Need.TOPICS),
    _check(of_cluster.min_insync_1, Need.TOPIC_SETTINGS),
    _check(of_cluster.no_replica_to_spare, Need.TOPIC_SETTINGS),
    _check(of_cluster.batch_above_limit, Need.TOPIC_SETTINGS),
    _check(of_cluster.recompression, Need.TOPIC_SETTINGS),
    _check(of_cluster.request_above_limit, Need.TOPIC_SETTINGS, Need.BROKER_SETTINGS),
    _check(of_cluster.transaction_timeout, Need.BROKER_SETTINGS),
    _check(of_cluster.transactional_id_in_use, Need.TRANSACTION),
    _check(of_cluster.transactional_id_unauthorized, Need.TRANSACTION),
)


def drawn_from(*needs: Need) -> tuple[str, ...]:
    """Return the names of the findings that need any of these."""
    return tuple(check.name for check in CHECKS if check.needs & set(needs))

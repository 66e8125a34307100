"""ProducerConfig: Kafka's names and milliseconds in, one checked and frozen object out.

    config = ProducerConfig.create("localhost:9092", linger_ms=20, compression_type="zstd")
    config = ProducerConfig.create("localhost:9092", config={"linger.ms": "20"})

Everything that is wrong is said in one ConfigurationError. What was changed to make the rest fit is
in `notices`, and `explain()` shows where each value comes from.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from aioproducer.config_profiles import apply_profile
from aioproducer.config_rules import Draft, apply_rules
from aioproducer.config_security import judge_security
from aioproducer.config_table import (
    BY_NAME,
    FOREIGN_NAMES,
    KEYS,
    WORKING_KEYS,
    Key,
    Kind,
    Later,
    Refused,
)
from aioproducer.config_values import parse
from aioproducer.credentials import CredentialsProvider, TokenProvider
from aioproducer.errors import ConfigurationError

HIDDEN = "(hidden)"
"""What stands for a secret wherever values are shown."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ProducerConfig:
    """The settings of a producer. Make one with `create()`; times are milliseconds."""

    bootstrap_servers: tuple[str, ...]
    client_id: str
    client_dns_lookup: str
    acks: int
    enable_idempotence: bool
    max_in_flight_requests_per_connection: int
    partition_ordering: bool
    linger_ms: int
    linger_adaptive: bool
    batch_size: int
    max_request_size: int
    compression_type: str
    compression_gzip_level: int
    compression_lz4_level: int
    compression_zstd_level: int
    key_serializer: object
    value_serializer: object
    partitioner: object
    partitioner_ignore_keys: bool
    partitioner_adaptive_partitioning_enable: bool
    partitioner_availability_timeout_ms: int
    buffer_memory: int
    max_block_ms: int
    delivery_timeout_ms: int
    request_timeout_ms: int
    retries: int
    retry_backoff_ms: int
    retry_backoff_max_ms: int
    metadata_max_age_ms: int
    metadata_max_idle_ms: int
    metadata_recovery_strategy: str
    metadata_recovery_rebootstrap_trigger_ms: int
    allow_auto_create_topics: bool
    connections_max_idle_ms: int
    reconnect_backoff_ms: int
    reconnect_backoff_max_ms: int
    socket_connection_setup_timeout_ms: int
    socket_connection_setup_timeout_max_ms: int
    send_buffer_bytes: int
    receive_buffer_bytes: int
    transactional_id: str | None
    transaction_timeout_ms: int
    security_protocol: str
    ssl_context: ssl.SSLContext | None
    sasl_username: str | None
    sasl_password: str | None
    credentials_provider: CredentialsProvider | None
    token_provider: TokenProvider | None
    ssl_protocol: str
    ssl_enabled_protocols: tuple[str, ...]
    ssl_cipher_suites: tuple[str, ...]
    ssl_endpoint_identification_algorithm: str
    ssl_truststore_location: str | None
    ssl_truststore_password: str | None
    ssl_truststore_type: str
    ssl_truststore_certificates: str | None
    ssl_keystore_location: str | None
    ssl_keystore_password: str | None
    ssl_keystore_type: str
    ssl_keystore_key: str | None
    ssl_keystore_certificate_chain: str | None
    ssl_key_password: str | None
    sasl_mechanism: str
    sasl_jaas_config: str | None
    sasl_kerberos_service_name: str | None
    sasl_login_refresh_window_factor: float
    sasl_login_refresh_window_jitter: float
    sasl_login_refresh_min_period_seconds: int
    sasl_login_refresh_buffer_seconds: int
    sasl_login_connect_timeout_ms: int | None
    sasl_login_read_timeout_ms: int | None
    sasl_login_retry_backoff_ms: int
    sasl_login_retry_backoff_max_ms: int
    sasl_oauthbearer_token_endpoint_url: str | None
    sasl_oauthbearer_scope: str | None
    sasl_oauthbearer_client_credentials_client_id: str | None
    sasl_oauthbearer_client_credentials_client_secret: str | None
    sasl_oauthbearer_header_urlencode: bool
    interceptors: object
    enable_metrics_push: bool
    metrics_num_samples: int
    metrics_sample_window_ms: int
    metrics_recording_level: str
    profile: str | None

    notices: tuple[str, ...] = field(default=(), compare=False)
    """What the user should know, one line each: an adjustment, or a duplicate left out."""
    _given: Mapping[str, object] = field(default_factory=dict, compare=False)
    _adjusted: Mapping[str, str] = field(default_factory=dict, compare=False)
    _profiled: frozenset[str] = field(default=frozenset(), compare=False)

    @classmethod
    def create(
        cls,
        bootstrap_servers: str | Sequence[str] | None = None,
        *,
        config: Mapping[str, object] | None = None,
        **options: object,
    ) -> Self:
        """Check and complete a configuration.

        Args:
            bootstrap_servers: host:port, several of them with commas or as a sequence.
            config: keys by Kafka's names or Python's. Values may be strings, as in a file.
            options: the same as keywords. None, here and in config, leaves a key unset.

        Raises:
            ConfigurationError: with everything that is wrong.
        """
        if config is not None and not isinstance(config, Mapping):
            raise ConfigurationError(
                f"config is a mapping of keys to values, not {type(config).__name__}"
            )
        draft = Draft()
        sources: list[Mapping[Any, object]] = [{"bootstrap_servers": bootstrap_servers}]
        if config is not None:
            sources.append(config)
        given = _given_in([*sources, options], draft)
        _fill(draft, given)
        apply_profile(draft)
        apply_rules(draft)
        judge_security(draft)
        if draft.violations:
            raise ConfigurationError(_one_message(draft.violations))
        values: dict[str, Any] = draft.values
        return cls(
            **values,
            notices=tuple(draft.notices),
            _given=dict(given.values()),
            _adjusted=draft.adjusted,
            _profiled=frozenset(draft.profiled),
        )

    def replace(self, **options: object) -> Self:
        """Return the configuration that create() makes of the same settings with these changed.

        None takes a setting back. What had been adjusted is worked out anew.
        """
        changed = {BY_NAME[name].python for name in options if name in BY_NAME}
        kept = {
            name: value
            for name, value in self._given.items()
            if BY_NAME[name].python not in changed
        }
        return type(self).create(config={**kept, **options})

    @property
    def given(self) -> dict[str, object]:
        """What the user set, by the names used, secrets included: makes an equal configuration."""
        return dict(self._given)

    def explain(self) -> str:
        """Return one line for each key: its name, its value, and who set it.

        That is ``user``, ``profile NAME``, ``default``, or ``adjusted`` with the reason: a rule
        between keys has worked it out.
        """
        rows = [
            (key.kafka, _shown(key, getattr(self, key.python)), self.origin(key.kafka))
            for key in WORKING_KEYS
        ]
        widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
        return "\n".join(
            f"{name:<{widths[0]}}  {value:<{widths[1]}}  {origin}" for name, value, origin in rows
        )

    def origin(self, name: str) -> str:
        """Return who set the key called ``name``, in the words of ``explain()``.

        Raises:
            KeyError: no key is called so.
        """
        key = BY_NAME[name]
        if key.python in self._adjusted:
            return f"adjusted: {self._adjusted[key.python]}"
        if key.python in self._profiled:
            return f"profile {self.profile}"
        return "user" if any(BY_NAME[name] is key for name in self._given) else "default"

    def __repr__(self) -> str:
        changed = [
            f"{key.python}={_shown(key, getattr(self, key.python))}"
            for key in WORKING_KEYS
            if self.origin(key.kafka) != "default"
        ]
        return f"{type(self).__name__}({', '.join(changed)})"


def _given_in(
    sources: Sequence[Mapping[Any, object]], draft: Draft
) -> dict[str, tuple[str, object]]:
    """Return, by Python's name, the name that the user wrote and the value."""
    given: dict[str, tuple[str, object]] = {}
    for source in sources:
        for name, value in source.items():
            key = BY_NAME.get(name) if isinstance(name, str) else None
            if key is None:
                draft.violations.append(_unknown(name))
            elif value is None or (isinstance(value, tuple) and not value):
                continue
            elif key.python in given:
                draft.violations.append(_given_twice(given[key.python][0], name))
            else:
                given[key.python] = (name, value)
    return given


def _fill(draft: Draft, given: Mapping[str, tuple[str, object]]) -> None:
    draft.values = {key.python: key.default for key in WORKING_KEYS}
    for python_name, (name, raw) in given.items():
        key = BY_NAME[python_name]
        draft.names[key.python] = name
        try:
            value = _admitted(key, raw)
        except ValueError as error:
            draft.wrong.add(key.python)
            draft.violations.append(f"{name}: {error}")
            continue
        if key.works:
            draft.values[key.python] = value
        if key.kind is Kind.SERVERS:
            _note_duplicates(draft, name, raw, value)


def _admitted(key: Key, raw: object) -> object:
    """Return the parsed value of a key that works, or that does nothing with this value."""
    status = key.status
    if isinstance(status, Refused):
        if str(raw) == str(key.default) or not raw:
            return key.default
        raise ValueError(f"has no meaning in this producer: {status.reason}")
    value = parse(key, raw)
    if isinstance(status, Later) and value != key.default:
        only = f"; only {key.default!r} is accepted" if key.default not in (None, "", ()) else ""
        raise ValueError(f"not supported yet: belongs to {status.part}{only}")
    return value


def _note_duplicates(draft: Draft, name: str, raw: object, value: object) -> None:
    items = raw.split(",") if isinstance(raw, str) else raw
    if isinstance(items, Sequence) and isinstance(value, tuple):
        left_out = sum(1 for item in items if item.strip()) - len(value)
        if left_out:
            draft.notices.append(f"{name} names a server more than once; {left_out} left out")


def _unknown(name: object) -> str:
    if not isinstance(name, str):
        return f"{name!r}: a key is a string, not {type(name).__name__}"
    if name in FOREIGN_NAMES:
        return f"{name}: unknown key; here it is called {FOREIGN_NAMES[name]!r}"
    if (meant := FOREIGN_NAMES.get(name.replace("_", "."))) is not None:  # librdkafka's, in Python
        return f"{name}: unknown key; here it is called {BY_NAME[meant].python!r}"
    plain = name.strip().lower().replace("-", "_")
    dotted = "." in plain
    known = [key.kafka if dotted else key.python for key in KEYS]
    import difflib

    near = difflib.get_close_matches(plain, known, n=1)
    return f"{name}: unknown key" + (f"; did you mean {near[0]!r}?" if near else "")


def _given_twice(first: str, second: str) -> str:
    if first == second:
        return f"{first}: given twice"
    return f"{first} and {second} are one key; give it once"


def _one_message(violations: Sequence[str]) -> str:
    if len(violations) == 1:
        return f"the configuration is wrong: {violations[0]}"
    lines = "".join(f"\n  - {violation}" for violation in violations)
    return f"the configuration is wrong in {len(violations)} places:{lines}"


def _shown(key: Key, value: object) -> str:
    if key.secret and value is not None:
        return HIDDEN
    if key.kind is Kind.ACKS:
        return "all" if value == -1 else str(value)
    if key.kind is Kind.SERVERS and isinstance(value, tuple):
        return ",".join(value)
    return repr(value)

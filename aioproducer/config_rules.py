"""The rules between keys: what contradicts, and what is adjusted so that it fits.

Only what the user set can contradict; a default gives way, and so does what a profile set.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from aioproducer.config_table import BY_NAME, INT_MAX

_MOST_IN_FLIGHT = 5
"""Brokers remember the last five batches of a producer for each partition, and no more."""


@dataclass(slots=True)
class Draft:
    """A configuration on its way to be checked."""

    values: dict[str, object] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    """The keys that the user set, and the name that was written for each."""
    wrong: set[str] = field(default_factory=set)
    """Keys whose value was refused already: no rule is to complain about them again."""
    violations: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    adjusted: dict[str, str] = field(default_factory=dict)
    profile: str = ""
    profiled: set[str] = field(default_factory=set)
    """The keys that the profile has set, and that may give way to the user's."""

    def number(self, key: str) -> int:
        value = self.values[key]
        assert isinstance(value, int)
        return value

    def name(self, key: str) -> str:
        """Return the key's name as the user wrote it, else Kafka's."""
        return self.names.get(key, BY_NAME[key].kafka)

    def is_set(self, key: str) -> bool:
        return key in self.names

    def sound(self, *keys: str) -> bool:
        return self.wrong.isdisjoint(keys)

    def origin(self, key: str) -> str:
        """Return what to say behind a value that the user would not know, else nothing."""
        return f" (profile {self.profile})" if key in self.profiled else ""

    def adjust(self, key: str, value: object, reason: str) -> None:
        self.values[key] = value
        self.adjusted[key] = reason

    def yield_to(self, key: str, value: object, shown: str, reason: str) -> None:
        """Have what the profile set give way to what the user did."""
        profiles = f"{self.values[key]}{self.origin(key)}"
        self.notices.append(f"{self.name(key)} is {shown} instead of {profiles}: {reason}")
        self.adjust(key, value, reason)
        self.profiled.discard(key)


def apply_rules(draft: Draft) -> None:
    """Check the keys against each other; adjust what may be adjusted."""
    if not draft.is_set("bootstrap_servers"):
        draft.violations.append("bootstrap.servers: is required, as host:port")
    _bound_small_things(draft)
    _let_profile_give_way(draft)
    _judge_transactions(draft)
    _judge_idempotence(draft)
    _judge_delivery_timeout(draft)
    _judge_backoffs(draft)


def _bound_small_things(draft: Draft) -> None:
    if draft.number("batch_size") == 0:
        draft.adjust("batch_size", 1, "0 means one record in each batch")
    if draft.number("linger_ms") > INT_MAX:
        draft.adjust("linger_ms", INT_MAX, "the longest time there is")


def _let_profile_give_way(draft: Draft) -> None:
    """Have the profile's values give way where the user's keys would contradict them."""
    transactional = draft.values["transactional_id"] is not None
    if "acks" in draft.profiled and draft.number("acks") != -1:
        if transactional:
            draft.yield_to("acks", -1, "all", f"{draft.name('transactional_id')} is set")
        elif draft.is_set("enable_idempotence") and draft.values["enable_idempotence"]:
            draft.yield_to("acks", -1, "all", f"{draft.name('enable_idempotence')} is on")
    in_flight = draft.number("max_in_flight_requests_per_connection")
    if "enable_idempotence" in draft.profiled and in_flight > _MOST_IN_FLIGHT and not transactional:
        name = draft.name("max_in_flight_requests_per_connection")
        _switch_idempotence_off(draft, f"{name} is {in_flight}")
    room = draft.number("delivery_timeout_ms") - draft.number("request_timeout_ms")
    limited = "linger_ms" in draft.profiled and draft.is_set("delivery_timeout_ms")
    if limited and 0 <= room < draft.number("linger_ms"):
        reason = f"{draft.name('delivery_timeout_ms')} leaves no more"
        draft.yield_to("linger_ms", room, str(room), reason)


def _judge_transactions(draft: Draft) -> None:
    """Transactions need idempotence, which must not give way to acks or retries then."""
    name = draft.name("transactional_id")
    if draft.values["transactional_id"] is None:
        if draft.is_set("transaction_timeout_ms"):
            draft.notices.append(
                f"{draft.name('transaction_timeout_ms')} has no effect without {name}"
            )
        return
    if draft.values["transactional_id"] == "":
        draft.violations.append(f"{name}: must not be empty")
    obstacles = [
        (key, needed)
        for key, needed, hinders in (
            ("enable_idempotence", "True", not draft.values["enable_idempotence"]),
            ("acks", "all", draft.number("acks") != -1),
            ("retries", "at least 1", draft.number("retries") == 0),
        )
        if hinders and draft.sound(key)
    ]
    draft.violations.extend(
        f"{draft.name(key)}: must be {needed} with {name}, not {draft.values[key]}"
        for key, needed in obstacles
    )
    if any(key != "enable_idempotence" for key, _ in obstacles):
        # Said once, by the key that the user knows.
        draft.wrong.add("enable_idempotence")


def _judge_idempotence(draft: Draft) -> None:
    """Idempotence needs acks=all, retries, and few enough in flight to be remembered (KIP-679)."""
    if not draft.sound("enable_idempotence") or not draft.values["enable_idempotence"]:
        return
    # A refused value left the default behind, which is no obstacle.
    obstacles = []
    if draft.number("acks") != -1:
        obstacles.append(("acks", "all", draft.number("acks")))
    if draft.number("retries") == 0:
        obstacles.append(("retries", "at least 1", 0))
    own_name = draft.name("enable_idempotence")
    if obstacles and draft.is_set("enable_idempotence"):
        draft.violations.extend(
            f"{own_name}: needs {draft.name(key)} to be {needed}, but it is {value}; "
            f"change that, or set {own_name} to False"
            for key, needed, value in obstacles
        )
    elif obstacles:
        _switch_idempotence_off(
            draft,
            " and ".join(
                f"{draft.name(key)} is {value}{draft.origin(key)}" for key, _, value in obstacles
            ),
        )
        return
    in_flight = "max_in_flight_requests_per_connection"
    if draft.sound(in_flight) and draft.number(in_flight) > _MOST_IN_FLIGHT:
        draft.violations.append(
            f"{draft.name(in_flight)}: must be at most {_MOST_IN_FLIGHT} with {own_name}, "
            f"not {draft.number(in_flight)}; lower it, or set {own_name} to False"
        )


def _switch_idempotence_off(draft: Draft, reason: str) -> None:
    draft.adjust("enable_idempotence", False, reason)
    draft.notices.append(
        f"{draft.name('enable_idempotence')} is off because {reason}: "
        f"a retry may put a record into the log twice"
    )


def _judge_delivery_timeout(draft: Draft) -> None:
    if not draft.sound("delivery_timeout_ms", "linger_ms", "request_timeout_ms"):
        return
    least = min(draft.number("linger_ms") + draft.number("request_timeout_ms"), INT_MAX)
    timeout = draft.number("delivery_timeout_ms")
    if timeout >= least:
        return
    summands = f"{draft.name('linger_ms')} + {draft.name('request_timeout_ms')}"
    name = draft.name("delivery_timeout_ms")
    if draft.is_set("delivery_timeout_ms"):
        draft.violations.append(f"{name}: must be at least {summands} = {least}, not {timeout}")
    else:
        draft.adjust("delivery_timeout_ms", least, summands)
        draft.notices.append(f"{name} is raised from {timeout} to {least}: {summands}")


def _judge_backoffs(draft: Draft) -> None:
    base, most = "reconnect_backoff_ms", "reconnect_backoff_max_ms"
    if draft.is_set(base) and not draft.is_set(most) and draft.sound(base):
        # Who sets the backoff alone asks for a constant one (KIP-144).
        value = draft.number(base)
        draft.adjust(most, value, f"{draft.name(base)} is set alone")
        draft.notices.append(
            f"{draft.name(most)} is {value} like {draft.name(base)}, so the wait does not grow; "
            f"set both to have it grow"
        )
    for base, most in (
        ("retry_backoff_ms", "retry_backoff_max_ms"),
        ("reconnect_backoff_ms", "reconnect_backoff_max_ms"),
        ("socket_connection_setup_timeout_ms", "socket_connection_setup_timeout_max_ms"),
    ):
        if draft.sound(base, most) and draft.number(base) > draft.number(most):
            value = draft.number(most)
            reason = f"not above {draft.name(most)}"
            draft.notices.append(
                f"{draft.name(base)} is lowered from {draft.number(base)} to {value}: {reason}"
            )
            draft.adjust(base, value, reason)

"""Write what follows from the tables of configuration keys and of metrics.

python -m tools.generate_reference            write aioproducer/options.py and the others
python -m tools.generate_reference --check    exit with 1 if one of them is stale
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from aioproducer.config_profiles import PROFILES
from aioproducer.config_table import (
    BY_NAME,
    INT_MAX,
    KAFKA_CLASSES,
    KEYS,
    WORKING_KEYS,
    Group,
    Key,
    Kind,
    Later,
    Refused,
)
from tools import metrics_reference, prometheus_reference

ROOT = Path(__file__).resolve().parent.parent

# AsyncProducer has parameters of these names, and a TypedDict of its keywords must not repeat them.
_PARAMETERS = frozenset(
    {
        "bootstrap_servers",
        "key_serializer",
        "value_serializer",
        "partitioner",
        "interceptors",
        "profile",
    }
)

_TYPES = {
    Kind.INT: "int",
    Kind.LONG: "int",
    Kind.FLOAT: "float",
    Kind.BOOL: "bool",
    Kind.LIST: "str | Sequence[str]",
    Kind.STRING: "str",
    Kind.ACKS: 'Literal["all", "-1", "0", "1", -1, 0, 1]',
}

_WORDS = {Kind.STRING: "text", Kind.LIST: "names with commas, or a list", Kind.OBJECT: "object"}

_OBJECTS = {
    "ssl_context": "SSLContext",
    "credentials_provider": "CredentialsProvider",
    "token_provider": "TokenProvider",
}

_OPTIONS_HEAD = '''"""The keywords of AsyncProducer, for type checkers and editors.

Written by `python -m tools.generate_reference` from aioproducer/config_table.py; not by hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from ssl import SSLContext
from typing import Literal, TypedDict

from aioproducer.credentials import CredentialsProvider, TokenProvider


class ProducerOptions(TypedDict, total=False):
    """The working configuration keys under Python's names."""
'''

_PAGE_HEAD = """\
# Configuration

<!-- Written by `python -m tools.generate_reference` from aioproducer/config_table.py. -->

Keys are Kafka's, and so are their meanings and defaults (those of Kafka 4.3's producer). Each key
may be written in two ways, as a keyword with Python's name or in a mapping with either name:

```python
AsyncProducer("localhost:9092", linger_ms=20, compression_type="zstd")
AsyncProducer(config={"bootstrap.servers": "localhost:9092", "linger.ms": "20"})
```

- Times are **milliseconds** and sizes are **bytes**, always whole numbers. (Arguments of methods
  that are called `timeout` are seconds, as everywhere in asyncio.)
- Values may be strings, as they come out of a file or the environment: `"20"`, `"true"`.
- `None` leaves a key at its default. A key that is given twice, under one name or both, is refused.
- A key that is not known is refused with the nearest one that is. No key is accepted and ignored.
- Everything that is wrong is named in one `ConfigurationError`, when the producer is made.
- `producer.config.explain()` lists each value and whether you, the profile, the default or a rule
  between keys has set it.

For most programs `bootstrap.servers` is enough. The next ones to look at are `linger.ms`,
`batch.size` and `compression.type` for throughput, and `delivery.timeout.ms` for how long a record
may be under way.
"""

_RULES = """\
## Rules between keys

Only what you set can contradict; a default or what a profile set gives way, and says so in
`ProducerConfig.notices`.

| When | Then |
|---|---|
| `acks` is not `all`, or `retries` is 0, and `enable.idempotence` is not set | idempotence is off |
| the same, and `enable.idempotence` is set to true | refused |
| idempotence is on and `max.in.flight.requests.per.connection` is above 5 | refused |
| `delivery.timeout.ms` is set below `linger.ms` + `request.timeout.ms` | refused |
| the same, but it is not set | it is raised to that sum |
| `reconnect.backoff.ms` is set and `reconnect.backoff.max.ms` is not | the wait does not grow |
| a backoff or a set-up timeout is above its maximum | it is lowered to it |
| a profile has `acks=1`, and `transactional.id` or `enable.idempotence` is set | `acks` is `all` |
| a profile has idempotence on, and more than 5 requests in flight are set | idempotence is off |
| a profile's `linger.ms` does not fit into `delivery.timeout.ms` as set | it is what is left |
| `bootstrap.servers` names a server twice | the repetition is left out |
| `batch.size` is 0 | each batch has one record |
"""


def render_options() -> str:
    """Return the text of aioproducer/options.py."""
    lines = [
        f"    {key.python}: {_type_of(key)}\n"
        for key in WORKING_KEYS
        if key.python not in _PARAMETERS
    ]
    return _OPTIONS_HEAD + "\n" + "".join(lines)


def _type_of(key: Key) -> str:
    if key.kind is Kind.CHOICE:
        names = [f'"{choice}"' for choice in key.choices]
        line = f"Literal[{', '.join(names)}]"
        if len(f"    {key.python}: {line}") <= 100:
            return line
        return "Literal[\n" + f"        {', '.join(names)}\n" + "    ]"
    return _OBJECTS[key.python] if key.kind is Kind.OBJECT else _TYPES[key.kind]


def render_page() -> str:
    """Return the text of docs/reference/configuration.md."""
    parts = [_PAGE_HEAD]
    for group in Group:
        keys = [key for key in WORKING_KEYS if key.group is group]
        if keys:
            parts.append(_chapter(group, keys))
    parts += [profile_chapter(), _RULES, _classes(), _not_yet(), _refused()]
    return "\n".join(parts)


def _chapter(group: Group, keys: Iterable[Key]) -> str:
    rows = [(_names(key), _default(key), _values(key), key.doc) for key in keys]
    return f"## {group.value}\n\n" + _table(("Key", "Default", "Values", "What it does"), rows)


def _names(key: Key) -> str:
    mark = " (ours)" if key.own else ""
    return f"`{key.kafka}`{mark}<br>`{key.python}`" if key.python != key.kafka else f"`{key.kafka}`"


def _default(key: Key) -> str:
    if key.kind is Kind.ACKS:
        return "`all`" if key.default == -1 else f"`{key.default}`"
    if key.kind is Kind.SERVERS:
        return "required"
    if key.default is None:
        return "unset"
    if key.default in ("", ()):
        return "empty"
    if isinstance(key.default, tuple):
        return f"`{','.join(key.default)}`"
    return f"`{str(key.default).lower() if isinstance(key.default, bool) else key.default}`"


def _values(key: Key) -> str:
    if key.kind is Kind.SERVERS:
        return "`host:port`, several with commas or as a list"
    if key.kind is Kind.BOOL:
        return "`true`, `false`"
    if key.choices:
        return ", ".join(f"`{choice}`" for choice in key.choices)
    if key.kind in _WORDS:
        return _WORDS[key.kind]
    if key.minimum is None:
        return "whole number"
    if key.maximum is None or key.maximum >= INT_MAX:
        return f"{key.minimum} or more"
    if key.python == "compression_gzip_level":
        return "-1, or 1 to 9"
    return f"{key.minimum} to {key.maximum}"


def profile_chapter() -> str:
    """Return the chapter of the page that says what each profile sets."""
    keys = dict.fromkeys(name for settings in PROFILES.values() for name in settings)
    rows = [
        (
            f"`{BY_NAME[name].kafka}`",
            *(_profiled(name, settings) for settings in PROFILES.values()),
            _default(BY_NAME[name]),
        )
        for name in keys
    ]
    head = (
        "## Profiles\n\nWhat a profile sets where you have not. Cells in brackets it leaves alone: "
        "that is the default, or\nwhat follows from the rest. How to choose: "
        "[profiles.md](../profiles.md).\n\n"
    )
    names = (f"`{name}`" for name in PROFILES)
    return head + _table(("Key", *names, "without a profile"), rows)


def _profiled(name: str, settings: Mapping[str, object]) -> str:
    key = BY_NAME[name]
    if name in settings:
        return _default(dataclasses.replace(key, default=settings[name]))
    if name == "enable_idempotence":
        return "(off: needs `acks=all`)"
    return f"({_default(key)})"


def _classes() -> str:
    rows = [(f"`{name}`", f"`{short}`") for name, short in KAFKA_CLASSES.items()]
    head = (
        "## Kafka's class names\n\nWhere a configuration was written for Java, these names are "
        "understood:\n\n"
    )
    return head + _table(("Kafka's class", "Same as"), rows)


def _not_yet() -> str:
    rows = [
        (f"`{key.kafka}`", key.status.part, _default(key), key.doc)
        for key in KEYS
        if isinstance(key.status, Later)
    ]
    head = (
        "## Not supported yet\n\nThese keys are known, but what they belong to is not there yet. "
        "Set to anything but the\nvalue below, they are refused.\n\n"
    )
    return head + _table(("Key", "Belongs to", "Accepted", "What it is for"), rows)


def _refused() -> str:
    rows = [
        (f"`{key.kafka}`", key.status.reason) for key in KEYS if isinstance(key.status, Refused)
    ]
    head = "## Without a meaning here\n\nThese keys of Java's producer are refused:\n\n"
    return head + _table(("Key", "Because"), rows)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join("| " + " | ".join(cells) + " |\n" for cells in lines)


def _targets() -> dict[str, Callable[[], str]]:
    return {
        "aioproducer/options.py": render_options,
        "docs/reference/configuration.md": render_page,
        "aioproducer/observe/snapshot.py": metrics_reference.render_snapshot,
        "docs/reference/metrics.md": metrics_reference.render_page,
        "docs/reference/prometheus.md": prometheus_reference.render_page,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the files, or compare them, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="only compare; 1 if a file is stale")
    check = parser.parse_args(arguments).check
    texts = {ROOT / name: render() for name, render in _targets().items()}
    stale = [
        (path, text)
        for path, text in texts.items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    for path, text in stale:
        name = path.relative_to(ROOT)
        if check:
            print(f"{name} is stale; run: python -m tools.generate_reference", file=sys.stderr)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"wrote {name}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())

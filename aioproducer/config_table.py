"""Every configuration key: the one table behind parsing, checks, types and the reference page.

A key is working, or belongs to a part of the producer that is not there yet, or is refused for a
reason. None is accepted and then ignored. Defaults are those of Kafka 4.3; where ours differs, the
key's words say so.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

INT_MAX = 2**31 - 1
LONG_MAX = 2**63 - 1


class Kind(enum.Enum):
    """What a key's value is made of."""

    INT = "int"
    LONG = "long"
    FLOAT = "float"
    BOOL = "bool"
    STRING = "string"
    CHOICE = "choice"
    LIST = "list"
    ACKS = "acks"
    SERVERS = "servers"
    SERIALIZER = "serializer"
    PARTITIONER = "partitioner"
    OBJECT = "object"


@dataclass(frozen=True, slots=True)
class Working:
    """The key does what it says."""


@dataclass(frozen=True, slots=True)
class Later:
    """The key is known, but what it belongs to is not there yet."""

    part: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The key makes no sense in this producer."""

    reason: str


Status = Working | Later | Refused
WORKING = Working()


class Group(enum.Enum):
    """The chapters of the reference page, in its order."""

    CONNECT = "Where to connect"
    DELIVERY = "How sure a delivery is"
    BATCHING = "Batching and compression"
    RECORDS = "Keys, values and partitions"
    MEMORY = "Memory and waiting"
    RETRIES = "Retries and time limits"
    METADATA = "Knowledge of the cluster"
    SOCKETS = "Connections"
    SECURITY = "Security"
    TRANSACTIONS = "Transactions"
    OBSERVATION = "Metrics and interceptors"
    OTHER = "Other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key: its names, what it accepts, and what it does."""

    kafka: str
    python: str
    kind: Kind
    default: object
    group: Group
    doc: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    status: Status = WORKING
    secret: bool = False
    """Its value is never shown: not in repr(), explain(), a log or an error."""
    own: bool = False
    """Not a key of Kafka's producer but one of ours."""

    @property
    def works(self) -> bool:
        return isinstance(self.status, Working)


def _key(
    kafka: str,
    kind: Kind,
    default: object,
    group: Group,
    doc: str,
    *,
    python: str = "",
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] = (),
    status: Status = WORKING,
    secret: bool = False,
    own: bool = False,
) -> Key:
    if maximum is None:
        maximum = {Kind.INT: INT_MAX, Kind.LONG: LONG_MAX}.get(kind)
    return Key(
        kafka=kafka,
        python=python or kafka.replace(".", "_"),
        kind=kind,
        default=default,
        group=group,
        doc=doc,
        minimum=minimum,
        maximum=maximum,
        choices=choices,
        status=status,
        secret=secret,
        own=own,
    )


PARTITIONERS = (
    "default",
    "round_robin",
    "random",
    "consistent",
    "consistent_random",
    "murmur2",
    "murmur2_random",
    "fnv1a",
    "fnv1a_random",
)
SERIALIZERS = (
    "bytes",
    "string",
    "json",
    "short",
    "integer",
    "long",
    "float",
    "double",
    "boolean",
    "uuid",
)
STORE_TYPES = ("JKS", "PKCS12", "PEM")

KAFKA_CLASSES: Mapping[str, str] = MappingProxyType(
    {
        "org.apache.kafka.common.serialization.ByteArraySerializer": "bytes",
        "org.apache.kafka.common.serialization.ByteBufferSerializer": "bytes",
        "org.apache.kafka.common.serialization.BytesSerializer": "bytes",
        "org.apache.kafka.common.serialization.StringSerializer": "string",
        "org.apache.kafka.common.serialization.ShortSerializer": "short",
        "org.apache.kafka.common.serialization.IntegerSerializer": "integer",
        "org.apache.kafka.common.serialization.LongSerializer": "long",
        "org.apache.kafka.common.serialization.FloatSerializer": "float",
        "org.apache.kafka.common.serialization.DoubleSerializer": "double",
        "org.apache.kafka.common.serialization.BooleanSerializer": "boolean",
        "org.apache.kafka.common.serialization.UUIDSerializer": "uuid",
        "org.apache.kafka.clients.producer.RoundRobinPartitioner": "round_robin",
    }
)
"""Names of Kafka's own classes that have an equal here."""

_CONNECT = (
    _key(
        "bootstrap.servers",
        Kind.SERVERS,
        (),
        Group.CONNECT,
        "The brokers to ask first, each as host:port, IPv6 as [address]:port. A few are enough: "
        "the rest of the cluster is learned from them. Required.",
    ),
    _key(
        "client.id",
        Kind.STRING,
        "",
        Group.CONNECT,
        "The name by which brokers and log lines know this producer. Empty: `producer-<n>`.",
    ),
    _key(
        "client.dns.lookup",
        Kind.CHOICE,
        "use_all_dns_ips",
        Group.CONNECT,
        "`use_all_dns_ips` tries every address of a name in turn; "
        "`resolve_canonical_bootstrap_servers_only` first turns each bootstrap name into the "
        "canonical names of its addresses.",
        choices=("use_all_dns_ips", "resolve_canonical_bootstrap_servers_only"),
    ),
)

_DELIVERY = (
    _key(
        "acks",
        Kind.ACKS,
        -1,
        Group.DELIVERY,
        "Who must have a record before it counts as delivered: `all` in-sync replicas, the leader "
        "alone (`1`), or nobody (`0`: offsets are then unknown, losses unnoticed).",
        choices=("all", "-1", "0", "1"),
    ),
    _key(
        "enable.idempotence",
        Kind.BOOL,
        True,
        Group.DELIVERY,
        "Retries put no record into the log twice and keep the order. Needs `acks=all`, at least "
        "one retry and no more than 5 requests in flight.",
    ),
    _key(
        "max.in.flight.requests.per.connection",
        Kind.INT,
        5,
        Group.DELIVERY,
        "How many requests may be on their way to one broker without an answer. With idempotence "
        "at most 5.",
        minimum=1,
    ),
    _key(
        "partition.ordering",
        Kind.BOOL,
        True,
        Group.DELIVERY,
        "Without idempotence, keep each partition to one request in flight, so that a retry cannot "
        "change the order. Switched off, throughput is higher and order is not kept.",
        own=True,
    ),
)

_BATCHING = (
    _key(
        "linger.ms",
        Kind.LONG,
        5,
        Group.BATCHING,
        "How long a batch waits for more records, in milliseconds. 0 sends as soon as the event "
        "loop gets round to it.",
        minimum=0,
    ),
    _key(
        "linger.adaptive",
        Kind.BOOL,
        False,
        Group.BATCHING,
        "Let a batch go at the end of the loop's turn while nothing is on its way to its broker, "
        "and gather records until the answer comes while something is. `linger.ms` is then the "
        "longest that a batch may wait.",
        own=True,
    ),
    _key(
        "batch.size",
        Kind.INT,
        16384,
        Group.BATCHING,
        "The size in bytes at which a batch is full and goes at once. 0: one record in each batch.",
        minimum=0,
    ),
    _key(
        "max.request.size",
        Kind.INT,
        1048576,
        Group.BATCHING,
        "The largest record (before compression) and the largest request, in bytes.",
        minimum=0,
    ),
    _key(
        "compression.type",
        Kind.CHOICE,
        "none",
        Group.BATCHING,
        "The codec for whole batches. `snappy`, `lz4` and `zstd` need the extra of the same name.",
        choices=("none", "gzip", "snappy", "lz4", "zstd"),
    ),
    _key(
        "compression.gzip.level",
        Kind.INT,
        -1,
        Group.BATCHING,
        "1 (fast) to 9 (small), or -1 for the library's own default.",
        minimum=-1,
        maximum=9,
    ),
    _key(
        "compression.lz4.level",
        Kind.INT,
        9,
        Group.BATCHING,
        "9 means the fast compressor, as in Kafka; any other level the slower, denser one.",
        minimum=1,
        maximum=17,
    ),
    _key(
        "compression.zstd.level",
        Kind.INT,
        3,
        Group.BATCHING,
        "Higher is smaller and slower; negative levels are faster than all others.",
        minimum=-131072,
        maximum=22,
    ),
)

_RECORDS = (
    _key(
        "key.serializer",
        Kind.SERIALIZER,
        None,
        Group.RECORDS,
        "Turns a key into bytes: a callable, an object with `serialize`, or a name. Unset: keys "
        "are bytes.",
        choices=SERIALIZERS,
    ),
    _key(
        "value.serializer",
        Kind.SERIALIZER,
        None,
        Group.RECORDS,
        "Turns a value into bytes: a callable, an object with `serialize`, or a name. Unset: "
        "values are bytes.",
        choices=SERIALIZERS,
    ),
    _key(
        "partitioner.class",
        Kind.PARTITIONER,
        None,
        Group.RECORDS,
        "Chooses the partition of records that name none: an object with `partition`, or a name. "
        "Unset: keys by hash, as the Java producer does; records without a key stick to one "
        "partition for a batch, then go on to another.",
        python="partitioner",
        choices=PARTITIONERS,
    ),
    _key(
        "partitioner.ignore.keys",
        Kind.BOOL,
        False,
        Group.RECORDS,
        "Spread records that have a key as if they had none.",
    ),
    _key(
        "partitioner.adaptive.partitioning.enable",
        Kind.BOOL,
        True,
        Group.RECORDS,
        "Give fewer records without a key to partitions whose broker is slow. Without effect with "
        "a partitioner of one's own.",
    ),
    _key(
        "partitioner.availability.timeout.ms",
        Kind.LONG,
        0,
        Group.RECORDS,
        "Pass over partitions whose broker has taken nothing for so many milliseconds, for records "
        "without a key. 0: never.",
        minimum=0,
    ),
)

_MEMORY = (
    _key(
        "buffer.memory",
        Kind.LONG,
        33554432,
        Group.MEMORY,
        "Bytes that may wait to be sent or acknowledged. Past it records wait in a room of the "
        "same size, and past that they fail at once.",
        minimum=0,
    ),
    _key(
        "max.block.ms",
        Kind.LONG,
        60000,
        Group.MEMORY,
        "How long a record waits for memory and for its topic to become known, in milliseconds. "
        "The name is Kafka's: here the record waits, and the program goes on.",
        minimum=0,
    ),
)

_RETRIES = (
    _key(
        "delivery.timeout.ms",
        Kind.INT,
        120000,
        Group.RETRIES,
        "The time from `send()` to success or failure, retries included, in milliseconds. At least "
        "`linger.ms` + `request.timeout.ms`.",
        minimum=0,
    ),
    _key(
        "request.timeout.ms",
        Kind.INT,
        30000,
        Group.RETRIES,
        "How long a request may be without an answer before its connection is given up, in "
        "milliseconds.",
        minimum=0,
    ),
    _key(
        "retries",
        Kind.INT,
        INT_MAX,
        Group.RETRIES,
        "How often a batch is tried again. Better left alone: `delivery.timeout.ms` is the bound.",
        minimum=0,
    ),
    _key(
        "retry.backoff.ms",
        Kind.LONG,
        100,
        Group.RETRIES,
        "The wait before the first retry, in milliseconds; doubled each time, give or take 20 %.",
        minimum=0,
    ),
    _key(
        "retry.backoff.max.ms",
        Kind.LONG,
        1000,
        Group.RETRIES,
        "The longest wait before a retry, in milliseconds.",
        minimum=0,
    ),
)

_METADATA = (
    _key(
        "metadata.max.age.ms",
        Kind.LONG,
        300000,
        Group.METADATA,
        "Ask for the topics in use again after so many milliseconds, even if nothing went wrong.",
        minimum=0,
    ),
    _key(
        "metadata.max.idle.ms",
        Kind.LONG,
        300000,
        Group.METADATA,
        "Forget a topic that nothing was sent to for so many milliseconds.",
        minimum=5000,
    ),
    _key(
        "metadata.recovery.strategy",
        Kind.CHOICE,
        "rebootstrap",
        Group.METADATA,
        "What to do when no known broker can be reached: start over from `bootstrap.servers`, or "
        "go on trying (`none`).",
        choices=("none", "rebootstrap"),
    ),
    _key(
        "metadata.recovery.rebootstrap.trigger.ms",
        Kind.LONG,
        300000,
        Group.METADATA,
        "Start over from `bootstrap.servers` as well when no broker has answered for so many "
        "milliseconds.",
        minimum=0,
    ),
    _key(
        "allow.auto.create.topics",
        Kind.BOOL,
        True,
        Group.METADATA,
        "Let the brokers create a topic that is not there, if they are set up to do so. Java's "
        "producer always does.",
        own=True,
    ),
)

_SOCKETS = (
    _key(
        "connections.max.idle.ms",
        Kind.LONG,
        540000,
        Group.SOCKETS,
        "Close a connection that was not used for so many milliseconds. Negative: never.",
    ),
    _key(
        "reconnect.backoff.ms",
        Kind.LONG,
        50,
        Group.SOCKETS,
        "The wait before connecting again to a broker that failed, in milliseconds; doubled each "
        "time, give or take 20 %.",
        minimum=0,
    ),
    _key(
        "reconnect.backoff.max.ms",
        Kind.LONG,
        1000,
        Group.SOCKETS,
        "The longest wait before connecting again, in milliseconds.",
        minimum=0,
    ),
    _key(
        "socket.connection.setup.timeout.ms",
        Kind.LONG,
        10000,
        Group.SOCKETS,
        "How long the first attempt to connect may take, in milliseconds; doubled each time, give "
        "or take 20 %.",
        minimum=0,
    ),
    _key(
        "socket.connection.setup.timeout.max.ms",
        Kind.LONG,
        30000,
        Group.SOCKETS,
        "How long any attempt to connect may take, in milliseconds.",
        minimum=0,
    ),
    _key(
        "send.buffer.bytes",
        Kind.INT,
        131072,
        Group.SOCKETS,
        "The socket's send buffer in bytes; -1 leaves it to the operating system.",
        minimum=-1,
    ),
    _key(
        "receive.buffer.bytes",
        Kind.INT,
        32768,
        Group.SOCKETS,
        "The socket's receive buffer in bytes; -1 leaves it to the operating system.",
        minimum=-1,
    ),
)


def _later(
    part: str,
    group: Group,
    kafka: str,
    kind: Kind,
    default: object,
    doc: str,
    *,
    python: str = "",
    choices: tuple[str, ...] = (),
    own: bool = False,
) -> Key:
    return _key(
        kafka,
        kind,
        default,
        group,
        doc,
        python=python,
        choices=choices,
        status=Later(part),
        own=own,
    )


def _transactional(kafka: str, kind: Kind, default: object, doc: str) -> Key:
    return _later("transactions", Group.TRANSACTIONS, kafka, kind, default, doc)


def _security(
    kafka: str,
    default: object,
    doc: str,
    *,
    kind: Kind = Kind.STRING,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] = (),
    secret: bool = False,
    own: bool = False,
) -> Key:
    return _key(
        kafka,
        kind,
        default,
        Group.SECURITY,
        doc,
        minimum=minimum,
        maximum=maximum,
        choices=choices,
        secret=secret,
        own=own,
    )


def _assertion(name: str, kind: Kind, default: object, doc: str) -> Key:
    kafka = f"sasl.oauthbearer.assertion.{name}"
    return _later("signed OAuth assertions", Group.SECURITY, kafka, kind, default, doc)


_TRANSACTIONS = (
    _key(
        "transactional.id",
        Kind.STRING,
        None,
        Group.TRANSACTIONS,
        "The name under which transactions are kept: one living producer each, the same name again"
        " after a restart. Makes every send() part of a transaction.",
    ),
    _key(
        "transaction.timeout.ms",
        Kind.INT,
        60000,
        Group.TRANSACTIONS,
        "After how many milliseconds the brokers abort an open transaction, and fence its"
        " producer. At most their transaction.max.timeout.ms.",
        minimum=1,
    ),
    _transactional(
        "transaction.two.phase.commit.enable", Kind.BOOL, False, "Take part in two-phase commit."
    ),
)

_OBSERVATION = (
    _key(
        "interceptor.classes",
        Kind.OBJECT,
        (),
        Group.OBSERVATION,
        "Objects that may look at records on their way out, and at what became of them.",
        python="interceptors",
    ),
    _key(
        "enable.metrics.push",
        Kind.BOOL,
        True,
        Group.OBSERVATION,
        "Push metrics to the brokers if they ask for some (KIP-714).",
    ),
    _key(
        "metrics.num.samples",
        Kind.INT,
        2,
        Group.OBSERVATION,
        "Of how many windows rates, averages and maxima are made.",
        minimum=1,
    ),
    _key(
        "metrics.sample.window.ms",
        Kind.LONG,
        30000,
        Group.OBSERVATION,
        "The length of such a window, in milliseconds.",
        minimum=0,
    ),
    _key(
        "metrics.recording.level",
        Kind.CHOICE,
        "INFO",
        Group.OBSERVATION,
        "How many metrics are kept. As in Kafka's producer, all of them are at `INFO`, so that the"
        " other levels add none.",
        choices=("INFO", "DEBUG", "TRACE"),
    ),
)

MECHANISMS = ("GSSAPI", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER")
TLS_VERSIONS = ("TLSv1.2", "TLSv1.3")

_SECURITY = (
    _security(
        "security.protocol",
        "PLAINTEXT",
        "How brokers are spoken to: with TLS (`SSL`), with a login (`SASL_PLAINTEXT`), or both "
        "(`SASL_SSL`). `PLAINTEXT` has neither.",
        kind=Kind.CHOICE,
        choices=("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"),
    ),
    _security(
        "ssl.context",
        None,
        "An `ssl.SSLContext` that is used as it is, instead of all other `ssl.` keys.",
        kind=Kind.OBJECT,
        own=True,
    ),
    _security("sasl.username", None, "The user's name, for PLAIN and SCRAM.", own=True),
    _security(
        "sasl.password",
        None,
        "The user's password, for PLAIN and SCRAM.",
        secret=True,
        own=True,
    ),
    _security(
        "credentials.provider",
        None,
        "An async callable that gives `Credentials` at each login, for PLAIN and SCRAM.",
        kind=Kind.OBJECT,
        secret=True,
        own=True,
    ),
    _security(
        "token.provider",
        None,
        "An async callable that gives an `OAuthToken`, for OAUTHBEARER.",
        kind=Kind.OBJECT,
        secret=True,
        own=True,
    ),
    _security(
        "ssl.protocol",
        "TLSv1.3",
        "The newest version of TLS to use.",
        kind=Kind.CHOICE,
        choices=TLS_VERSIONS,
    ),
    _security(
        "ssl.enabled.protocols",
        TLS_VERSIONS,
        "The versions of TLS allowed; nothing older than 1.2.",
        kind=Kind.LIST,
    ),
    _security(
        "ssl.cipher.suites",
        (),
        "The cipher suites allowed, by their IANA or OpenSSL names; all good ones if empty.",
        kind=Kind.LIST,
    ),
    _security(
        "ssl.endpoint.identification.algorithm",
        "https",
        "Check that the certificate is for the host that was dialled. Empty switches this off, "
        "with a warning.",
    ),
    _security(
        "ssl.truststore.location",
        None,
        "A file of certificates to trust, PEM or PKCS#12; the system's own if nothing is set. "
        "Read again when it changes.",
    ),
    _security("ssl.truststore.password", None, "The password of a PKCS#12 file.", secret=True),
    _security(
        "ssl.truststore.type",
        "JKS",
        "`PEM` or `PKCS12`; if unset, the file tells. Java's own format is refused.",
        kind=Kind.CHOICE,
        choices=STORE_TYPES,
    ),
    _security("ssl.truststore.certificates", None, "Certificates to trust, as PEM text."),
    _security(
        "ssl.keystore.location",
        None,
        "A file with this client's key and certificates, PEM or PKCS#12. Read again when it "
        "changes.",
    ),
    _security("ssl.keystore.password", None, "The password of a PKCS#12 file.", secret=True),
    _security(
        "ssl.keystore.type",
        "JKS",
        "`PEM` or `PKCS12`; if unset, the file tells. Java's own format is refused.",
        kind=Kind.CHOICE,
        choices=STORE_TYPES,
    ),
    _security("ssl.keystore.key", None, "This client's key, as PEM text.", secret=True),
    _security("ssl.keystore.certificate.chain", None, "This client's certificates, as PEM text."),
    _security("ssl.key.password", None, "The password of an encrypted PEM key.", secret=True),
    _security(
        "sasl.mechanism",
        "GSSAPI",
        "How this client proves who it is.",
        kind=Kind.CHOICE,
        choices=MECHANISMS,
    ),
    _security(
        "sasl.jaas.config",
        None,
        "Credentials as Java has them: the options of `PlainLoginModule`, `ScramLoginModule`, "
        "`OAuthBearerLoginModule` or `Krb5LoginModule` are understood.",
        secret=True,
    ),
    _security(
        "sasl.kerberos.service.name",
        None,
        "The first part of the brokers' Kerberos principal, as a rule `kafka`.",
    ),
    _security(
        "sasl.login.refresh.window.factor",
        0.8,
        "After what part of its life a token is replaced.",
        kind=Kind.FLOAT,
        minimum=0.5,
        maximum=1.0,
    ),
    _security(
        "sasl.login.refresh.window.jitter",
        0.05,
        "Up to how much later, as a part of its life, at random.",
        kind=Kind.FLOAT,
        minimum=0.0,
        maximum=0.25,
    ),
    _security(
        "sasl.login.refresh.min.period.seconds",
        60,
        "How many seconds at least a token is kept.",
        kind=Kind.INT,
        minimum=0,
        maximum=900,
    ),
    _security(
        "sasl.login.refresh.buffer.seconds",
        300,
        "How many seconds before its end a token is replaced at the latest.",
        kind=Kind.INT,
        minimum=0,
        maximum=3600,
    ),
    _security(
        "sasl.login.connect.timeout.ms",
        None,
        "How long connecting to the token endpoint may take, in milliseconds; 10 s if unset.",
        kind=Kind.INT,
    ),
    _security(
        "sasl.login.read.timeout.ms",
        None,
        "How long an answer of the token endpoint may take, in milliseconds; 10 s if unset.",
        kind=Kind.INT,
    ),
    _security(
        "sasl.login.retry.backoff.ms",
        100,
        "The wait before the token endpoint is asked again, in milliseconds; doubled each time.",
        kind=Kind.LONG,
    ),
    _security(
        "sasl.login.retry.backoff.max.ms",
        10000,
        "For how many milliseconds it is asked again; the next attempt to connect asks anew.",
        kind=Kind.LONG,
    ),
    _security(
        "sasl.oauthbearer.token.endpoint.url",
        None,
        "Where tokens are asked for with the client's id and secret, or a `file:` that holds one.",
    ),
    _security("sasl.oauthbearer.scope", None, "The scope asked for."),
    _security("sasl.oauthbearer.client.credentials.client.id", None, "The client's id."),
    _security(
        "sasl.oauthbearer.client.credentials.client.secret",
        None,
        "The client's secret.",
        secret=True,
    ),
    _security(
        "sasl.oauthbearer.header.urlencode",
        False,
        "Percent-encode id and secret in the header, as RFC 6749 has it.",
        kind=Kind.BOOL,
    ),
)

_ASSERTIONS = (
    _assertion("algorithm", Kind.STRING, "RS256", "How assertions are signed."),
    _assertion("claim.aud", Kind.STRING, None, "A claim of the assertion."),
    _assertion("claim.iss", Kind.STRING, None, "A claim of the assertion."),
    _assertion("claim.sub", Kind.STRING, None, "A claim of the assertion."),
    _assertion("claim.exp.seconds", Kind.INT, 300, "Its life."),
    _assertion("claim.nbf.seconds", Kind.INT, 60, "Its allowance."),
    _assertion("claim.jti.include", Kind.BOOL, False, "With an id."),
    _assertion("file", Kind.STRING, None, "A ready assertion."),
    _assertion("private.key.file", Kind.STRING, None, "The key that signs."),
    _assertion("private.key.passphrase", Kind.STRING, None, "Its password."),
    _assertion("template.file", Kind.STRING, None, "Further claims."),
)

_OTHER = (
    _key(
        "profile",
        Kind.CHOICE,
        None,
        Group.OTHER,
        "Settings for what you did not set; yours beat them. What each one sets stands below.",
        choices=("throughput", "latency", "balanced", "reliability"),
        own=True,
    ),
    _later(
        "rack awareness",
        Group.OTHER,
        "client.rack",
        Kind.STRING,
        "",
        "Where this producer stands (a key of Kafka 4.4).",
    ),
    _later(
        "rack awareness",
        Group.OTHER,
        "partitioner.rack.aware",
        Kind.BOOL,
        False,
        "Prefer partitions led in the same rack (a key of Kafka 4.4).",
    ),
    _later(
        "Kafka 4.4's protocol",
        Group.OTHER,
        "metadata.cluster.check.enable",
        Kind.BOOL,
        False,
        "Notice a connection that led to another cluster. On in Kafka 4.4, off here.",
    ),
)


def _refused(kafka: str, group: Group, default: object, reason: str) -> Key:
    return _key(kafka, Kind.STRING, default, group, "", status=Refused(reason))


_JVM_SECURITY = "it names a class or provider of the Java virtual machine"
_BROKER_SIDE = "only brokers check tokens with it"
_BROKER_READS = "the broker reads the claims; here a token is passed on as it is"
_KERBEROS = "Kerberos tickets are kept by the system's own tools, not by the producer"

_REFUSED = (
    _refused(
        "metric.reporters",
        Group.OBSERVATION,
        (),
        "reporters are Java classes; see `metrics()`, `watch_metrics()` and the exporters",
    ),
    _refused("security.providers", Group.SECURITY, None, _JVM_SECURITY),
    _refused("ssl.provider", Group.SECURITY, None, _JVM_SECURITY),
    _refused("ssl.keymanager.algorithm", Group.SECURITY, None, _JVM_SECURITY),
    _refused("ssl.trustmanager.algorithm", Group.SECURITY, None, _JVM_SECURITY),
    _refused("ssl.secure.random.implementation", Group.SECURITY, None, _JVM_SECURITY),
    _refused("ssl.engine.factory.class", Group.SECURITY, None, _JVM_SECURITY),
    _refused("sasl.client.callback.handler.class", Group.SECURITY, None, _JVM_SECURITY),
    _refused("sasl.login.callback.handler.class", Group.SECURITY, None, _JVM_SECURITY),
    _refused("sasl.login.class", Group.SECURITY, None, _JVM_SECURITY),
    _refused("sasl.oauthbearer.jwt.retriever.class", Group.SECURITY, None, _JVM_SECURITY),
    _refused("sasl.oauthbearer.jwt.validator.class", Group.SECURITY, None, _JVM_SECURITY),
    _refused("sasl.kerberos.kinit.cmd", Group.SECURITY, "/usr/bin/kinit", _KERBEROS),
    _refused("sasl.kerberos.ticket.renew.window.factor", Group.SECURITY, "0.80", _KERBEROS),
    _refused("sasl.kerberos.ticket.renew.jitter", Group.SECURITY, "0.05", _KERBEROS),
    _refused("sasl.kerberos.min.time.before.relogin", Group.SECURITY, "60000", _KERBEROS),
    _refused("sasl.oauthbearer.jwks.endpoint.url", Group.SECURITY, None, _BROKER_SIDE),
    _refused("sasl.oauthbearer.jwks.endpoint.refresh.ms", Group.SECURITY, "3600000", _BROKER_SIDE),
    _refused(
        "sasl.oauthbearer.jwks.endpoint.retry.backoff.ms", Group.SECURITY, "100", _BROKER_SIDE
    ),
    _refused(
        "sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms",
        Group.SECURITY,
        "10000",
        _BROKER_SIDE,
    ),
    _refused("sasl.oauthbearer.clock.skew.seconds", Group.SECURITY, "30", _BROKER_SIDE),
    _refused("sasl.oauthbearer.expected.audience", Group.SECURITY, None, _BROKER_SIDE),
    _refused("sasl.oauthbearer.expected.issuer", Group.SECURITY, None, _BROKER_SIDE),
    _refused("sasl.oauthbearer.scope.claim.name", Group.SECURITY, "scope", _BROKER_READS),
    _refused("sasl.oauthbearer.sub.claim.name", Group.SECURITY, "sub", _BROKER_READS),
    _refused(
        "config.providers",
        Group.OTHER,
        None,
        "values are Python objects here: read secrets in the program and pass them in",
    ),
    _refused(
        "auto.include.jmx.reporter",
        Group.OBSERVATION,
        None,
        "there is no JMX outside of the Java virtual machine",
    ),
    _refused(
        "bootstrap.resolve.timeout.ms",
        Group.OTHER,
        "0",
        "names are resolved in the background here; max.block.ms bounds the wait",
    ),
    _refused(
        "buffer.memory.allocation.strategy",
        Group.OTHER,
        "full",
        "memory is not set aside for whole batches here; each record takes what it needs",
    ),
)

KEYS: tuple[Key, ...] = (
    *_CONNECT,
    *_DELIVERY,
    *_BATCHING,
    *_RECORDS,
    *_MEMORY,
    *_RETRIES,
    *_METADATA,
    *_SOCKETS,
    *_TRANSACTIONS,
    *_SECURITY,
    *_ASSERTIONS,
    *_OBSERVATION,
    *_OTHER,
    *_REFUSED,
)

BY_NAME: Mapping[str, Key] = MappingProxyType(
    {name: key for key in KEYS for name in (key.kafka, key.python, key.kafka.replace(".", "_"))}
)
"""Each key under Kafka's name and Python's, and partitioner_class besides partitioner."""

WORKING_KEYS: tuple[Key, ...] = tuple(key for key in KEYS if key.works)

FOREIGN_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "metadata.broker.list": "bootstrap.servers",
        "queue.buffering.max.ms": "linger.ms",
        "queue.buffering.max.kbytes": "buffer.memory",
        "queue.buffering.max.messages": "buffer.memory",
        "message.max.bytes": "max.request.size",
        "topic.metadata.refresh.interval.ms": "metadata.max.age.ms",
        "topic.metadata.propagation.max.ms": "max.block.ms",
        "socket.timeout.ms": "request.timeout.ms",
        "socket.send.buffer.bytes": "send.buffer.bytes",
        "socket.receive.buffer.bytes": "receive.buffer.bytes",
        "message.timeout.ms": "delivery.timeout.ms",
        "message.send.max.retries": "retries",
        "request.required.acks": "acks",
        "compression.codec": "compression.type",
        "max.in.flight": "max.in.flight.requests.per.connection",
        "max_batch_size": "batch_size",
        "sasl.mechanisms": "sasl.mechanism",
        "ssl.ca.location": "ssl.truststore.location",
        "ssl.ca.pem": "ssl.truststore.certificates",
        "ssl.certificate.location": "ssl.keystore.location",
        "ssl.certificate.pem": "ssl.keystore.certificate.chain",
        "ssl.key.location": "ssl.keystore.location",
        "ssl.key.pem": "ssl.keystore.key",
        "sasl.oauthbearer.client.id": "sasl.oauthbearer.client.credentials.client.id",
        "sasl.oauthbearer.client.secret": "sasl.oauthbearer.client.credentials.client.secret",
        "sasl_plain_username": "sasl_username",
        "sasl_plain_password": "sasl_password",
        "sasl_oauth_token_provider": "token_provider",
        "max_in_flight_requests": "max_in_flight_requests_per_connection",
    }
)
"""What other clients call some keys, for the hint in the error.

librdkafka's all have their row in docs/migrating.md.
"""

from __future__ import annotations

import copy
import dataclasses
import difflib
import pickle
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from aioproducer.config import ProducerConfig
from aioproducer.config_table import INT_MAX, KEYS, LONG_MAX, WORKING_KEYS, Kind, Later, Refused
from aioproducer.errors import ConfigurationError
from aioproducer.serializers import LongSerializer

create = ProducerConfig.create
SERVER = "localhost:9092"


def words_of(*args, **kwargs) -> str:
    """Return what the refusal of these settings says."""
    with pytest.raises(ConfigurationError) as refusal:
        create(*args, **kwargs)
    return str(refusal.value)


def words_about(**options) -> str:
    return words_of(SERVER, **options)


class WithSerialize:
    def serialize(self, value):
        return b""


class WithPartition:
    def partition(self, record, partitions):
        return 0


# --- names and sources


def test_a_server_is_enough():
    config = create(SERVER)

    assert config.bootstrap_servers == (SERVER,)
    assert config.notices == ()


@pytest.mark.parametrize("key", [k for k in WORKING_KEYS if k.kind is not Kind.SERVERS])
def test_unset_keys_have_the_default_of_the_table(key):
    assert getattr(create(SERVER), key.python) == key.default


def test_the_fields_are_those_of_the_table_in_its_order():
    fields = [f.name for f in dataclasses.fields(ProducerConfig) if f.compare]

    assert fields == [key.python for key in WORKING_KEYS]


@pytest.mark.parametrize("name", ["linger.ms", "linger_ms"])
def test_either_name_is_understood_in_a_mapping_and_as_keyword(name):
    assert create(SERVER, config={name: 20}).linger_ms == 20
    assert create(SERVER, **{name: 20}).linger_ms == 20


def test_servers_may_come_from_the_mapping_too():
    assert create(config={"bootstrap.servers": SERVER}).bootstrap_servers == (SERVER,)
    assert create(config={"bootstrap_servers": [SERVER]}).bootstrap_servers == (SERVER,)


def test_missing_servers_are_named():
    assert "bootstrap.servers: is required" in words_of()


@pytest.mark.parametrize(
    ("config", "options", "names"),
    [
        ({"linger.ms": 1, "linger_ms": 1}, {}, ("linger.ms", "linger_ms")),
        ({"linger.ms": 1}, {"linger_ms": 1}, ("linger.ms", "linger_ms")),
        ({"acks": 1}, {"acks": 1}, ("acks: given twice",)),
        ({"bootstrap.servers": SERVER}, {}, ("bootstrap.servers", "bootstrap_servers")),
        (
            {"partitioner": "random", "partitioner.class": "random"},
            {},
            ("partitioner", "partitioner.class"),
        ),
    ],
)
def test_a_key_given_twice_is_refused_even_if_both_agree(config, options, names):
    words = words_of(SERVER, config=config, **options)

    assert all(name in words for name in names)


def test_none_leaves_a_key_unset_and_does_not_count_as_given():
    config = create(SERVER, config={"linger.ms": 7, "acks": None}, linger_ms=None, retries=None)

    assert config.linger_ms == 7
    assert config.acks == -1
    assert config.retries == INT_MAX


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("liner_ms", "linger_ms"),
        ("linger", "linger_ms"),
        ("linger.millis", "linger.ms"),
        ("compresion.type", "compression.type"),
        ("LINGER_MS", "linger_ms"),
        ("Linger.Ms", "linger.ms"),
        ("batch-size", "batch_size"),
        ("enable_idempotance", "enable_idempotence"),
        ("bootstrap_server", "bootstrap_servers"),
        ("message.timeout.ms", "delivery.timeout.ms"),
        ("queue.buffering.max.ms", "linger.ms"),
        ("queue.buffering.max.messages", "buffer.memory"),
        ("max_batch_size", "batch_size"),
        ("ssl_ca_location", "ssl_truststore_location"),
        ("ssl.certificate.location", "ssl.keystore.location"),
        ("queue_buffering_max_ms", "linger_ms"),
    ],
)
def test_a_misspelt_key_is_refused_with_the_near_one_in_the_same_style(written, meant):
    words = words_of(SERVER, config={written: 1})

    assert f"{written}: unknown key" in words
    assert repr(meant) in words


def test_a_key_like_none_is_refused_without_a_guess():
    assert words_about(xyzzy=1).endswith("xyzzy: unknown key")


@pytest.mark.parametrize("config", ["linger.ms=5", 5, [("linger.ms", 5)]])
def test_what_is_no_mapping_is_refused_as_such(config):
    assert words_of(SERVER, config=config).startswith("config is a mapping of keys to values, not")


def test_a_name_that_is_no_string_is_refused():
    assert "5: a key is a string, not int" in words_of(SERVER, config={5: 1})


def test_everything_wrong_is_named_in_one_error():
    words = words_of(
        "http://x",
        config={"liner.ms": 1, "batch.size": "big"},
        acks=2,
        enable_idempotence=True,
        retries=0,
        max_in_flight_requests_per_connection=6,
        request_timeout_ms=2000,
        delivery_timeout_ms=1000,
        client_rack="eu-1",
    )

    assert "in 8 places" in words
    assert words.count("\n  - ") == 8
    for name in ("http://", "liner.ms", "batch.size", "acks", "enable_idempotence", "retries"):
        assert name in words
    for name in ("max_in_flight", "delivery_timeout_ms", "client_rack"):
        assert name in words


def test_a_refused_value_is_not_complained_about_by_the_rules_as_well():
    words = words_about(delivery_timeout_ms="soon", request_timeout_ms=500000)

    assert "places" not in words
    assert "delivery_timeout_ms: must be a whole number, not 'soon'" in words


# --- values


@pytest.mark.parametrize("value", [20, "20", " 20 ", "+20", 20.0])
def test_whole_numbers_are_understood_in_any_form(value):
    linger = create(SERVER, linger_ms=value).linger_ms

    assert linger == 20
    assert type(linger) is int


@pytest.mark.parametrize(
    "value",
    [
        True,
        False,
        20.5,
        float("nan"),
        float("inf"),
        "",
        "20ms",
        "1_000",
        "٢٠",
        "0x10",
        "5.0",
        b"20",
        [20],
        Decimal(20),
        Fraction(20),
    ],
)
def test_what_is_no_whole_number_is_refused(value):
    assert "linger_ms: must be a whole number" in words_about(linger_ms=value)


@pytest.mark.parametrize(
    "key", [key for key in WORKING_KEYS if key.minimum is not None], ids=lambda key: key.python
)
def test_numbers_below_their_range_are_refused(key):
    assert f"{key.python}: must be" in words_about(**{key.python: key.minimum - 1})


@pytest.mark.parametrize(
    "key", [key for key in WORKING_KEYS if key.maximum is not None], ids=lambda key: key.python
)
def test_numbers_above_their_range_are_refused(key):
    assert f"{key.python}: must be" in words_about(**{key.python: key.maximum + 1})


def test_the_range_is_told():
    assert "must be from 1 to 17, not 18" in words_about(compression_lz4_level=18)
    assert "must be at least 5000, not 4999" in words_about(metadata_max_idle_ms=4999)
    assert f"must be at most {INT_MAX}, not {2**40}" in words_about(batch_size=2**40)
    assert f"must be at most {LONG_MAX}" in words_about(max_block_ms=2**63)


def test_gzip_has_no_level_0():
    assert "compression_gzip_level: must be -1 or from 1 to 9" in words_about(
        compression_gzip_level=0
    )
    assert create(SERVER, compression_gzip_level=-1).compression_gzip_level == -1


@pytest.mark.parametrize(
    ("value", "expected"), [(True, True), (False, False), ("true", True), (" FALSE ", False)]
)
def test_truth_values_may_be_words(value, expected):
    assert create(SERVER, partitioner_ignore_keys=value).partitioner_ignore_keys is expected


@pytest.mark.parametrize("value", [0, 1, "yes", "", "1", []])
def test_other_truth_values_are_refused(value):
    assert "must be True or False" in words_about(partitioner_ignore_keys=value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [("all", -1), ("ALL", -1), ("-1", -1), (-1, -1), ("1", 1), (1, 1), ("0", 0), (0, 0)],
)
def test_acks_has_four_spellings_and_three_values(value, expected):
    assert create(SERVER, acks=value).acks == expected


@pytest.mark.parametrize("value", [2, -2, True, False, "leader", "", 1.5])
def test_other_acks_are_refused(value):
    assert "acks: must be 'all', 1 or 0" in words_about(acks=value)


@pytest.mark.parametrize("value", ["zstd", "ZSTD", " zstd "])
def test_choices_are_taken_in_any_case(value):
    assert create(SERVER, compression_type=value).compression_type == "zstd"


@pytest.mark.parametrize("value", ["brotli", "", 4, True, ["gzip"]])
def test_other_choices_are_refused_with_those_there_are(value):
    words = words_about(compression_type=value)

    assert "must be one of 'none', 'gzip', 'snappy', 'lz4', 'zstd'" in words


@pytest.mark.parametrize("name", ["rebootstrap", "REBOOTSTRAP", "none"])
def test_recovery_strategies_are_working_keys(name):
    config = create(SERVER, config={"metadata.recovery.strategy": name})

    assert config.metadata_recovery_strategy == name.lower()


@pytest.mark.parametrize("value", [5, b"x", ["x"]])
def test_a_client_id_is_text(value):
    assert "client_id: must be a string" in words_about(client_id=value)


def test_a_client_id_fits_into_a_request():
    assert create(SERVER, client_id="é" * 16383).client_id == "é" * 16383
    assert "32767 bytes" in words_about(client_id="é" * 16384)


# --- servers


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a:1", ("a:1",)),
        (" a:1 , b:2 ,", ("a:1", "b:2")),
        (["a:1", " b:2"], ("a:1", "b:2")),
        (("a:1",), ("a:1",)),
        ("[::1]:9092", ("[::1]:9092",)),
        ("[fe80::1%eth0]:9092,127.0.0.1:1", ("[fe80::1%eth0]:9092", "127.0.0.1:1")),
        ("Kafka-1.example.com.:65535", ("Kafka-1.example.com.:65535",)),
        ("müller.example:9092", ("müller.example:9092",)),
    ],
)
def test_servers_are_read_from_text_and_lists(value, expected):
    assert create(value).bootstrap_servers == expected


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("localhost", "'localhost' has no port; Kafka's usual one would be 'localhost:9092'"),
        ("localhost:", "has no port"),
        ("[::1]", "'[::1]' has no port"),
        ("::1", "looks like IPv6; put its address in brackets"),
        ("::1:9092", "looks like IPv6"),
        ("[localhost]:9092", "is not an IPv6 address in brackets"),
        ("[::1:9092", "is not an IPv6 address in brackets"),
        ("http://localhost:9092", "begins with 'http://'; leave that off"),
        ("kafka://localhost:9092", "begins with 'kafka://'"),
        ("PLAINTEXT://localhost:9092", "begins with 'PLAINTEXT://'"),
        ("localhost:9092/topic", "a port is a number from 1 to 65535"),
        ("localhost:0", "a port is a number"),
        ("localhost:65536", "a port is a number"),
        ("localhost:kafka", "a port is a number"),
        ("localhost:-1", "a port is a number"),
        (":9092", "is not host:port"),
        ("two words:9092", "is not host:port"),
        ("user@host:9092", "is not host:port"),
        ("", "names no server"),
        (" , ", "names no server"),
        ([], "names no server"),
        ([None], "must hold strings only"),
        ([("a", 1)], "must hold strings only"),
        (b"a:1", "must be a string or a list of strings, not bytes"),
        (9092, "must be a string or a list of strings, not int"),
        ({"a": 1}, "must be a string or a list of strings, not dict"),
    ],
)
def test_servers_that_cannot_be_meant_are_refused_with_the_reason(value, words):
    assert words in words_of(value)


def test_every_wrong_server_is_named():
    words = words_of("good:1,bad,http://worse:1")

    assert "'bad'" in words
    assert "'http://worse:1'" in words
    assert "good" not in words


def test_a_server_named_twice_is_left_out_with_a_notice():
    config = create(["a:1", "A:1", "b:2", "a:1"])

    assert config.bootstrap_servers == ("a:1", "b:2")
    assert len(config.notices) == 1
    assert "2 left out" in config.notices[0]


# --- serializers and partitioners


@pytest.mark.parametrize("which", ["key_serializer", "value_serializer"])
@pytest.mark.parametrize(
    "value", [str.encode, bytes, lambda value: b"", WithSerialize(), LongSerializer()]
)
def test_callables_and_objects_that_serialize_are_kept(which, value):
    assert getattr(create(SERVER, **{which: value}), which) is value


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("bytes", "bytes"),
        ("string", "string"),
        ("JSON", "json"),
        ("org.apache.kafka.common.serialization.StringSerializer", "string"),
        ("org.apache.kafka.common.serialization.ByteArraySerializer", "bytes"),
    ],
)
def test_serializers_have_names(name, expected):
    assert create(SERVER, config={"value.serializer": name}).value_serializer == expected


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("avro-ish", "'boolean', 'uuid'; 'avro-ish' is neither"),
        ("org.apache.kafka.common.serialization.ListSerializer", "a class of Java"),
        (WithSerialize, "is the class WithSerialize; give an instance"),
        (LongSerializer, "is the class LongSerializer; give an instance"),
        (5, "must be a callable, an object with `serialize`"),
    ],
)
def test_what_cannot_serialize_is_refused(value, words):
    assert words in words_about(value_serializer=value)


@pytest.mark.parametrize("name", ["partitioner", "partitioner.class", "partitioner_class"])
def test_a_partitioner_goes_by_three_names(name):
    assert create(SERVER, config={name: "murmur2_random"}).partitioner == "murmur2_random"


def test_a_partitioner_is_an_object_or_a_name():
    own = WithPartition()

    assert create(SERVER, partitioner=own).partitioner is own
    java = "org.apache.kafka.clients.producer.RoundRobinPartitioner"
    assert create(SERVER, partitioner=java).partitioner == "round_robin"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("roundrobin", "'roundrobin' is neither"),
        (WithPartition, "is the class WithPartition; give an instance"),
        (lambda record, partitions: 0, "must be an object with `partition`"),
    ],
)
def test_what_cannot_partition_is_refused(value, words):
    assert words in words_about(partitioner=value)


# --- transactions


def test_a_transactional_id_is_taken_as_it_is():
    config = ProducerConfig.create(SERVER, transactional_id="orders-0", transaction_timeout_ms=5000)

    assert config.transactional_id == "orders-0"
    assert config.transaction_timeout_ms == 5000
    assert config.enable_idempotence


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"acks": 1}, "acks: must be all with transactional_id, not 1"),
        ({"retries": 0}, "retries: must be at least 1 with transactional_id, not 0"),
        (
            {"enable_idempotence": False},
            "enable_idempotence: must be True with transactional_id, not False",
        ),
    ],
)
def test_idempotence_does_not_give_way_in_transactions(setting, words):
    """Without an id it would be switched off with a notice."""
    said = words_about(transactional_id="t", **setting)

    assert words in said
    assert said.count("\n  - ") <= 1


def test_an_empty_transactional_id_is_refused():
    assert "transactional_id: must not be empty" in words_about(transactional_id="")


def test_a_transaction_timeout_without_an_id_is_noticed():
    config = ProducerConfig.create(SERVER, transaction_timeout_ms=5000)

    assert any("no effect without transactional.id" in notice for notice in config.notices)


# --- keys of later parts and keys without a meaning


@pytest.mark.parametrize(
    ("name", "value", "part"),
    [
        ("transaction.two.phase.commit.enable", "true", "transactions"),
        ("sasl.oauthbearer.assertion.file", "/a.jwt", "signed OAuth assertions"),
        ("client.rack", "eu-1", "rack awareness"),
        ("partitioner.rack.aware", True, "rack awareness"),
    ],
)
def test_keys_of_later_parts_are_refused_by_name(name, value, part):
    words = words_of(SERVER, config={name: value})

    assert f"{name}: not supported yet: belongs to {part}" in words


LATER = [key for key in KEYS if isinstance(key.status, Later)]
REFUSED = [key for key in KEYS if isinstance(key.status, Refused)]


@pytest.mark.parametrize("key", LATER + REFUSED, ids=lambda key: key.kafka)
def test_the_value_that_does_nothing_is_accepted(key):
    assert create(SERVER, config={key.kafka: key.default}) == create(SERVER)
    if isinstance(key.default, int | str | float):
        assert create(SERVER, config={key.kafka: str(key.default)}) == create(SERVER)


@pytest.mark.parametrize("value", ["", [], ()])
def test_no_interceptors_are_accepted(value):
    assert create(SERVER, config={"interceptor.classes": value}, interceptors=()) == create(SERVER)


@pytest.mark.parametrize("key", REFUSED, ids=lambda key: key.kafka)
def test_keys_without_a_meaning_here_are_refused_with_the_reason(key):
    words = words_of(SERVER, config={key.kafka: "com.example.Anything"})

    assert f"{key.kafka}: has no meaning in this producer: {key.status.reason}" in words


def test_a_password_is_not_repeated_in_the_error():
    secret = "correct horse"

    assert secret not in words_about(sasl_password=secret)
    assert secret not in words_about(sasl_password=[secret])
    assert secret not in words_of(SERVER, config={"ssl.key.password": secret})
    assert secret not in words_of(SERVER, config={"sasl.jaas.config": secret})


# --- rules between keys


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"acks": 1}, "acks is 1"),
        ({"acks": 0}, "acks is 0"),
        ({"retries": 0}, "retries is 0"),
        ({"acks": 1, "retries": 0}, "acks is 1 and retries is 0"),
    ],
)
def test_idempotence_that_nobody_asked_for_gives_way_with_one_notice(options, reason):
    config = create(SERVER, **options)

    assert config.enable_idempotence is False
    assert len(config.notices) == 1
    assert f"enable.idempotence is off because {reason}:" in config.notices[0]
    assert f"adjusted: {reason}" in config.explain()


@pytest.mark.parametrize(
    ("options", "words"),
    [({"acks": 1}, "needs acks to be all"), ({"retries": 0}, "needs retries to be at least 1")],
)
def test_idempotence_that_was_asked_for_contradicts(options, words):
    assert words in words_about(enable_idempotence=True, **options)
    assert words in words_about(enable_idempotence="true", **options)


def test_idempotence_switched_off_by_the_user_contradicts_nothing():
    config = create(
        SERVER,
        enable_idempotence=False,
        acks=0,
        retries=0,
        max_in_flight_requests_per_connection=100,
    )

    assert config.notices == ()
    assert config.max_in_flight_requests_per_connection == 100


@pytest.mark.parametrize("explicit", [{}, {"enable_idempotence": True}])
def test_more_than_five_in_flight_contradicts_idempotence_asked_for_or_not(explicit):
    words = words_about(max_in_flight_requests_per_connection=6, **explicit)

    assert "must be at most 5 with enable" in words
    assert create(SERVER, max_in_flight_requests_per_connection=5, **explicit)


def test_more_than_five_in_flight_are_fine_once_idempotence_has_given_way():
    config = create(SERVER, acks=1, max_in_flight_requests_per_connection=6)

    assert config.max_in_flight_requests_per_connection == 6


def test_a_delivery_timeout_that_was_set_too_short_is_refused():
    words = words_about(delivery_timeout_ms=30004)

    assert "delivery_timeout_ms: must be at least linger.ms + request.timeout.ms = 30005" in words
    assert create(SERVER, delivery_timeout_ms=30005).delivery_timeout_ms == 30005


def test_a_delivery_timeout_that_was_not_set_is_raised_to_fit():
    config = create(SERVER, request_timeout_ms=200000, linger_ms=50)

    assert config.delivery_timeout_ms == 200050
    assert "raised from 120000 to 200050" in config.notices[0]


def test_the_longest_linger_does_not_overflow_the_delivery_timeout():
    config = create(SERVER, linger_ms=LONG_MAX)

    assert config.linger_ms == INT_MAX
    assert config.delivery_timeout_ms == INT_MAX


def test_a_reconnect_backoff_set_alone_is_constant():
    config = create(SERVER, reconnect_backoff_ms=200)

    assert config.reconnect_backoff_max_ms == 200
    assert len(config.notices) == 1
    assert create(SERVER, reconnect_backoff_ms=200, reconnect_backoff_max_ms=900).notices == ()
    assert create(SERVER, reconnect_backoff_max_ms=900).reconnect_backoff_ms == 50


@pytest.mark.parametrize(
    ("base", "most"),
    [
        ("retry_backoff_ms", "retry_backoff_max_ms"),
        ("reconnect_backoff_ms", "reconnect_backoff_max_ms"),
        ("socket_connection_setup_timeout_ms", "socket_connection_setup_timeout_max_ms"),
    ],
)
def test_a_backoff_above_its_maximum_is_lowered_to_it(base, most):
    config = create(SERVER, **{base: 500, most: 300})

    assert getattr(config, base) == 300
    assert getattr(config, most) == 300
    assert len(config.notices) == 1


def test_a_batch_size_of_nothing_means_one_record_each():
    config = create(SERVER, batch_size=0)

    assert config.batch_size == 1
    assert config.notices == ()


# --- the object


def test_a_config_is_frozen():
    config = create(SERVER)

    with pytest.raises(dataclasses.FrozenInstanceError):
        config.linger_ms = 5


def test_configs_of_equal_settings_are_equal_however_they_were_written():
    one = create(SERVER, linger_ms=20)
    other = create(config={"bootstrap.servers": [SERVER], "linger.ms": "20"})

    assert one == other
    assert hash(one) == hash(other)
    assert one != create(SERVER)


def test_replace_keeps_the_rest_and_works_out_adjustments_anew():
    config = create(SERVER, config={"acks": "1", "linger.ms": 20})
    changed = config.replace(acks="all")

    assert changed.acks == -1
    assert changed.enable_idempotence is True
    assert changed.notices == ()
    assert changed.linger_ms == 20
    assert config.acks == 1


def test_replace_takes_either_name_and_none_takes_back():
    config = create(SERVER, config={"linger.ms": 20})

    assert config.replace(linger_ms=30).linger_ms == 30
    assert config.replace(**{"linger.ms": 30}).linger_ms == 30
    assert config.replace(linger_ms=None).linger_ms == 5
    assert config.replace(bootstrap_servers="b:1").bootstrap_servers == ("b:1",)
    assert config.replace() == config


def test_what_was_given_makes_an_equal_config():
    config = ProducerConfig.create("a:1", config={"linger.ms": "7"}, sasl_password=None, acks=1)
    assert config.given["linger.ms"] == "7"
    assert "sasl_password" not in config.given
    assert ProducerConfig.create(config=config.given) == config


def test_replace_refuses_what_create_refuses():
    with pytest.raises(ConfigurationError, match="did you mean 'linger_ms'"):
        create(SERVER).replace(liner_ms=3)


def test_explain_tells_each_key_its_value_and_who_set_it():
    config = create(SERVER, acks=1, config={"linger.ms": "20"})
    lines = {line.split()[0]: line.split(maxsplit=2)[1:] for line in config.explain().splitlines()}

    assert list(lines) == [key.kafka for key in WORKING_KEYS]
    assert lines["linger.ms"] == ["20", "user"]
    assert lines["acks"] == ["1", "user"]
    assert lines["batch.size"] == ["16384", "default"]
    assert lines["enable.idempotence"] == ["False", "adjusted: acks is 1"]
    assert lines["bootstrap.servers"] == [SERVER, "user"]


def test_the_representation_shows_what_is_not_default():
    assert repr(create(SERVER, linger_ms=20)) == (
        "ProducerConfig(bootstrap_servers=localhost:9092, linger_ms=20)"
    )


def test_a_config_can_be_copied_and_pickled():
    config = create(SERVER, acks=1)

    for twin in (copy.copy(config), copy.deepcopy(config), pickle.loads(pickle.dumps(config))):
        assert twin == config
        assert twin.explain() == config.explain()


# --- properties

anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.binary(max_size=5),
    st.lists(st.text(max_size=10), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)
names = st.sampled_from([name for key in KEYS for name in (key.kafka, key.python)])


@given(st.dictionaries(st.one_of(names, st.text(max_size=20)), anything, max_size=6))
def test_whatever_is_given_leads_to_a_config_or_to_a_configuration_error(options):
    try:
        config = create(config={"bootstrap.servers": SERVER, **options})
    except ConfigurationError as error:
        assert str(error)
    else:
        assert config.replace() == config
        assert len(config.explain().splitlines()) == len(WORKING_KEYS)


@given(st.sampled_from(KEYS), st.data())
def test_one_wrong_letter_is_forgiven_with_the_right_name(key, data):
    name = key.python
    positions = [position for position, letter in enumerate(name) if letter != "q"]
    position = data.draw(st.sampled_from(positions))
    misspelt = name[:position] + "q" + name[position + 1 :]
    assume(misspelt != name)
    nearest = difflib.get_close_matches(misspelt, [k.python for k in KEYS], n=1)

    words = words_of(SERVER, config={misspelt: 1})
    assert f"{misspelt}: unknown key" in words
    if nearest:
        assert repr(nearest[0]) in words


@given(
    acks=st.sampled_from([-1, 0, 1]),
    retries=st.integers(0, 3),
    in_flight=st.integers(1, 10),
    idempotence=st.sampled_from([None, True, False]),
)
def test_an_accepted_config_is_never_idempotent_on_grounds_that_do_not_carry(
    acks, retries, in_flight, idempotence
):
    try:
        config = create(
            SERVER,
            acks=acks,
            retries=retries,
            max_in_flight_requests_per_connection=in_flight,
            enable_idempotence=idempotence,
        )
    except ConfigurationError:
        assert idempotence is not False
    else:
        if config.enable_idempotence:
            assert acks == -1
            assert retries > 0
            assert in_flight <= 5
        if idempotence:
            assert config.enable_idempotence


@given(
    delivery=st.one_of(st.none(), st.integers(0, INT_MAX)),
    linger=st.integers(0, LONG_MAX),
    request=st.integers(0, INT_MAX),
)
def test_an_accepted_delivery_timeout_leaves_time_for_one_request(delivery, linger, request):
    try:
        config = create(
            SERVER, delivery_timeout_ms=delivery, linger_ms=linger, request_timeout_ms=request
        )
    except ConfigurationError:
        assert delivery is not None
    else:
        assert config.delivery_timeout_ms >= min(
            INT_MAX, config.linger_ms + config.request_timeout_ms
        )

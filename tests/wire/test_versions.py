from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aioproducer.errors import BrokerError
from aioproducer.wire.versions import (
    FLEXIBLE_FROM,
    NEVER_FLEXIBLE,
    SPOKEN,
    ApiKey,
    VersionRange,
    cannot_say,
    encode_request_header,
    negotiate,
    request_header_version,
    response_header_version,
)
from tests.wire.oracles import schema_of

every_api = pytest.mark.parametrize("api", ApiKey)

# Above these are forms that only brokers use among themselves.
LAST_FOR_CLIENTS = {ApiKey.ADD_PARTITIONS_TO_TXN: 3}


@every_api
def test_the_tables_agree_with_apaches_schemas(api: ApiKey) -> None:
    schema = schema_of(f"{api.kafka_name}Request")
    low, _, high_text = schema["validVersions"].partition("-")
    low, high = int(low), int(high_text or low)
    stable = high - 1 if schema.get("latestVersionUnstable") else high
    assert schema["apiKey"] == api
    assert low <= SPOKEN[api].minimum
    assert SPOKEN[api].maximum == LAST_FOR_CLIENTS.get(api, stable)
    first = FLEXIBLE_FROM[api]
    assert schema["flexibleVersions"] == ("none" if first == NEVER_FLEXIBLE else f"{first}+")


@every_api
def test_headers_become_flexible_with_the_message(api: ApiKey) -> None:
    first = FLEXIBLE_FROM[api]
    assert [request_header_version(api, version) for version in (first - 1, first)] == [1, 2]
    flexible = 0 if api is ApiKey.API_VERSIONS else 1
    assert [response_header_version(api, version) for version in (first - 1, first)] == [
        0,
        flexible,
    ]


@pytest.mark.parametrize(
    ("version", "client_id", "expected"),
    [
        (8, "me", "0000 0008 00000007 0002 6d65"),
        (9, "me", "0000 0009 00000007 0002 6d65 00"),
        (8, "", "0000 0008 00000007 0000"),
        (9, None, "0000 0009 00000007 ffff 00"),
    ],
)
def test_a_request_header_keeps_the_old_form_of_the_client_id(
    version: int, client_id: str | None, expected: str
) -> None:
    assert encode_request_header(ApiKey.PRODUCE, version, 7, client_id) == bytes.fromhex(expected)


@every_api
@settings(deadline=None)
@given(low=st.integers(-1, 20), high=st.integers(-1, 20), data=st.data())
def test_the_newest_version_of_both_sides_is_chosen(
    api: ApiKey, low: int, high: int, data: st.DataObject
) -> None:
    limits = st.none() | st.integers(0, 15)
    at_least, at_most = data.draw(limits), data.draw(limits)
    ours = range(SPOKEN[api].minimum, SPOKEN[api].maximum + 1)
    common = [
        version
        for version in ours
        if low <= version <= high
        and (at_least is None or version >= at_least)
        and (at_most is None or version <= at_most)
    ]
    broker = {int(api): VersionRange(low, high)}
    if common:
        assert negotiate(api, broker, at_most=at_most, at_least=at_least) == max(common)
    else:
        with pytest.raises(BrokerError) as refusal:
            negotiate(api, broker, at_most=at_most, at_least=at_least)
        assert refusal.value.code == 35


def why_not(offered: VersionRange | None, **limits: int) -> str:
    broker = {} if offered is None else {int(ApiKey.PRODUCE): offered}
    with pytest.raises(BrokerError) as refusal:
        negotiate(ApiKey.PRODUCE, broker, **limits)
    return str(refusal.value)


def test_an_old_broker_is_told_from_what_release_on_it_would_do() -> None:
    message = why_not(VersionRange(0, 2))
    assert "Produce" in message
    assert "versions 3 to 13 would do here" in message
    assert "the broker speaks 0 to 2" in message
    assert "Kafka 2.1 or newer is needed" in message


def test_a_server_that_does_not_offer_the_api_may_be_a_controller() -> None:
    message = why_not(None)
    assert "Produce" in message
    assert "does not offer this API" in message
    assert "Kafka 2.1 or newer is needed" in message
    assert "controller" in message


def test_a_broker_too_old_for_one_wish_is_not_called_too_old_for_all() -> None:
    message = why_not(VersionRange(0, 7), at_least=12)
    assert "versions 12 to 13 would do here, the broker speaks 0 to 7" in message
    assert "a newer broker is needed" in message
    assert "2.1" not in message


def test_a_broker_that_is_too_new_is_called_that() -> None:
    assert "newer than this client allows" in why_not(VersionRange(14, 20))
    assert "newer than this client allows" in why_not(VersionRange(12, 20), at_most=11)


def test_a_request_that_a_version_has_no_field_for_names_all_three() -> None:
    error = cannot_say(ApiKey.INIT_PRODUCER_ID, 1, "please")
    assert error.code == 35
    assert "InitProducerId version 1 cannot say please" in str(error)

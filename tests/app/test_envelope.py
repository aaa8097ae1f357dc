"""What SDKs send, read into one form: nothing they send may stop the server or be guessed at."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from app.events.body import to_message, values_of
from app.events.envelope import (
    LONGEST_MESSAGE_ID,
    MOST_LEVELS,
    Envelope,
    Rejection,
    message_of,
    read,
)
from app.events.message import with_address
from identity.garbage import WORDS

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
UNREADABLE_TIMES: tuple[Any, ...] = (
    "", "yesterday", None, True, [], {}, "0000-00-00", 1e308, 10**400, "0001-01-01", -1e20
)  # fmt: skip


def event(**fields: Any) -> Envelope:
    message = {"type": "track", "event": "Order", "userId": "u-1", **fields}
    found = read(to_message(message), received_at=NOW, largest=32_768)
    assert isinstance(found, Envelope), found
    return found


def rejection(**fields: Any) -> Rejection:
    message = {"type": "track", "event": "Order", "userId": "u-1", **fields}
    found = read(to_message(message), received_at=NOW, largest=32_768)
    assert isinstance(found, Rejection), found
    return found


def iso(time: datetime) -> str:
    return time.isoformat()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=5,
)
fields = st.sampled_from(
    ["type", "event", "name", "userId", "anonymousId", "messageId", "timestamp", "sentAt", "traits",
     "context", "properties", "sourceSeq", "previousId", "originalTimestamp"]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(fields, json_values), st.booleans())
def test_reading_any_message_ends_in_an_event_or_a_reason(
    message: dict[str, Any], valid: bool
) -> None:
    if valid:
        message |= {"type": "track", "event": "x", "userId": "u-1"}
    found = read(to_message(message), received_at=NOW, largest=32_768)
    assert isinstance(found, Envelope if valid else Envelope | Rejection)
    if isinstance(found, Envelope):
        assert found.occurred_at.tzinfo is not None
        assert found.identifiers
        assert 0 < len(found.message_id) <= LONGEST_MESSAGE_ID
        again = read(message_of(found), received_at=NOW + timedelta(days=3), largest=32_768)
        assert again == msgspec.structs.replace(found, sent_at=None)


def test_a_right_clock_is_believed_to_the_millisecond() -> None:
    """Under two seconds the difference is the network's, and the time stays as it was sent."""
    at = NOW - timedelta(minutes=3, milliseconds=7)
    for late in (timedelta(0), 1.9 * SECOND, -1.9 * SECOND):
        assert event(timestamp=iso(at), sentAt=iso(NOW - late)).occurred_at == at


@pytest.mark.parametrize("skew", [timedelta(hours=1), timedelta(hours=-1), timedelta(seconds=3)])
def test_a_wrong_clock_is_corrected_by_what_it_shows_at_sending(skew: timedelta) -> None:
    happened = NOW - timedelta(minutes=5)
    found = event(timestamp=iso(happened + skew), sentAt=iso(NOW + skew))
    assert found.occurred_at == happened


def test_a_clock_that_is_years_wrong_tells_nothing_about_the_difference() -> None:
    at = datetime(2019, 1, 1, tzinfo=UTC)
    assert event(timestamp=iso(at), sentAt="1970-01-01T00:00:00Z").occurred_at == at


def test_without_a_time_of_sending_the_time_stands_and_without_any_it_is_now() -> None:
    at = NOW - timedelta(days=2)
    assert event(timestamp=iso(at)).occurred_at == at
    assert event(originalTimestamp=iso(at)).occurred_at == at
    assert event().occurred_at == NOW
    assert event(sentAt=iso(NOW - timedelta(hours=1))).occurred_at == NOW


@pytest.mark.parametrize(
    ("sent", "time"),
    [
        ("2026-04-30T10:00:00Z", datetime(2026, 4, 30, 10, tzinfo=UTC)),
        ("2026-04-30T12:00:00.25+02:00", datetime(2026, 4, 30, 10, 0, 0, 250_000, tzinfo=UTC)),
        ("2026-04-30T10:00:00", datetime(2026, 4, 30, 10, tzinfo=UTC)),
        (" 2026-04-30 ", datetime(2026, 4, 30, tzinfo=UTC)),
        ("2026-04-30t10:00:00z", datetime(2026, 4, 30, 10, tzinfo=UTC)),
        ("20260430T100000Z", datetime(2026, 4, 30, 10, tzinfo=UTC)),
        ("20260430", datetime(2026, 4, 30, tzinfo=UTC)),
        ("1777543200", datetime(2026, 4, 30, 10, tzinfo=UTC)),
        ("1777543200000", datetime(2026, 4, 30, 10, tzinfo=UTC)),
        (" 1777543200.25", datetime(2026, 4, 30, 10, 0, 0, 250_000, tzinfo=UTC)),
        (-864_000_000_000, datetime(1942, 8, 16, tzinfo=UTC)),
        (1_777_543_200, datetime(2026, 4, 30, 10, tzinfo=UTC)),
        (1_777_543_200_000, datetime(2026, 4, 30, 10, tzinfo=UTC)),
        *[(sent, NOW) for sent in UNREADABLE_TIMES],
    ],
)  # fmt: skip
def test_a_time_is_read_in_every_spelling_and_else_it_is_now(sent: Any, time: datetime) -> None:
    assert event(timestamp=sent).occurred_at == time


def test_the_end_of_the_calendar_is_a_time_like_any_other() -> None:
    late = event(timestamp="9999-12-31T23:59:59Z", sentAt=iso(NOW - timedelta(days=1)))
    assert late.occurred_at.year == 9999


@pytest.mark.parametrize("nobody", [None, "", *sorted(WORDS)[:8], [], {}, False])
def test_an_event_of_nobody_is_refused(nobody: Any) -> None:
    assert rejection(userId=nobody).code == "no_user_anon_id"
    assert event(userId=nobody, anonymousId="a-1").identifiers == (("anonymous_id", "a-1"),)
    assert event(userId=nobody, anonymousId="a-1").user_id is None


def test_external_ids_alone_are_enough() -> None:
    external = [{"type": "crmId", "id": "c-1"}, {"type": "1x", "id": "y"}, {"id": 3}, "x", None]
    found = event(userId=None, context={"externalIds": external})
    assert found.identifiers == (("crm_id", "c-1"),)


def test_an_address_or_a_device_alone_does_not_act() -> None:
    assert rejection(userId=None, context={"device": {"id": "d-1"}}).code == "no_user_anon_id"
    traits = {"email": "ada@example.org"}
    assert rejection(type="identify", userId=None, traits=traits).code == "no_user_anon_id"


def test_the_strongest_identifier_acts_and_the_others_follow() -> None:
    found = event(
        type="identify",
        anonymousId="a-1",
        traits={"email": "Ada@Example.org", "phone": "+33 1 42 68 53 00"},
        context={"externalIds": [{"type": "loyalty id", "id": "l-1"}], "device": {"id": "d-1"}},
    )
    assert [name for name, _ in found.identifiers] == [
        "user_id", "loyalty_id", "anonymous_id", "email", "phone", "device_id"
    ]  # fmt: skip
    assert ("email", "ada@example.org") in found.identifiers


def test_an_alias_names_who_it_was_before() -> None:
    found = event(type="alias", previousId="a-0")
    assert found.identifiers == (("user_id", "u-1"), ("anonymous_id", "a-0"))


def test_who_says_to_have_been_themselves_says_nothing() -> None:
    """analytics-next, from a page that knows its user."""
    assert event(type="alias", previousId="u-1").identifiers == (("user_id", "u-1"),)


def test_the_id_of_an_account_is_no_persons() -> None:
    external = [
        {"type": "account_id", "id": "acme", "collection": "accounts"},
        {"type": "crm_id", "id": "c-1", "collection": "users"},
    ]
    found = event(context={"externalIds": external})
    assert found.identifiers == (("user_id", "u-1"), ("crm_id", "c-1"))


@pytest.mark.parametrize("own", ["", "garbage", "0001-01-01T00:00:00Z", None, {}])
def test_a_time_of_sending_that_says_nothing_is_that_of_the_batch(own: Any) -> None:
    hour = timedelta(hours=1)
    message = {"type": "page", "userId": "u", "timestamp": iso(NOW + hour), "sentAt": own}
    top = Raw(msgspec.json.encode(iso(NOW + hour)))
    found = read(to_message(message), received_at=NOW, largest=999, sent_at=top)
    assert isinstance(found, Envelope)
    assert found.occurred_at == NOW


def test_what_a_call_has_no_use_for_is_kept_beside_it() -> None:
    track = event(traits={"plan": "gold"}, name="n")
    assert values_of(track.rest) == {"traits": {"plan": "gold"}, "name": "n"}
    told = event(type="identify", event="e", properties={"a": 1}, traits={"b": 2})
    assert values_of(told.rest) == {"properties": {"a": 1}, "event": "e"}
    assert values_of(told.properties) == {"b": 2}
    assert not event(type="page", event=None, traits={}).rest


@pytest.mark.parametrize("place", ["externalIds", "device", "consent"])
def test_a_context_that_holds_what_cannot_be_read_does_not_lose_a_refusal(place: str) -> None:
    """Not even where the search for such values should miss one."""
    odd = b'{"categoryPreferences":{"ads":false},"x":1' + b"0" * 200 + b"e299}"
    context = b'{"consent":{"categoryPreferences":{"ads":false}},"%b":%b}' % (place.encode(), odd)
    text = b'{"type":"page","userId":"u","messageId":"message-1","context":%b}' % context
    found = read(Raw(text), received_at=NOW, largest=9999)
    if place == "consent":
        assert isinstance(found, Envelope)
        assert b"false" in bytes(found.consent)
    else:
        assert isinstance(found, Rejection)
        assert (found.code, found.message_id) == ("unstorable", "message-1")


def test_the_senders_address_is_written_where_it_is_asked_for() -> None:
    def ip(context: Any) -> Any:
        message = with_address(to_message({"type": "page", "context": context}), "192.0.2.7")
        said = values_of(message)["context"]
        return said.get("ip") if isinstance(said, dict) else None

    assert ip({"direct": True}) == ip({"direct": True, "ip": None}) == "192.0.2.7"
    assert ip({"direct": True, "ip": "192.0.2.1"}) == "192.0.2.1"
    assert [ip(c) for c in ({}, {"direct": False}, {"direct": "true"}, None, 3)] == [None] * 5


def test_a_page_may_be_named_in_its_properties() -> None:
    named = {"properties": {"name": "Home"}, "event": None}
    assert event(type="page", **named).name == "Home"
    assert event(type="page", name="Start", **named).name == "Start"
    assert rejection(**named).code == "event_missing"


def test_traits_in_the_context_set_something_in_identify_only() -> None:
    context = {"traits": {"plan": "gold", "email": "ada@example.org"}}
    told = event(type="identify", context=context)
    assert values_of(told.properties) == context["traits"]
    assert ("email", "ada@example.org") in told.identifiers
    assert values_of(event(type="identify", traits={"a": 1}, context=context).properties) == {
        "a": 1
    }
    assert values_of(event(context=context).properties) == {}
    assert event(context=context).identifiers == (("user_id", "u-1"),)


def test_an_event_has_an_id_of_its_own_whatever_was_sent() -> None:
    assert event(messageId="m-1").message_id == "m-1"
    assert event(messageId=7).message_id == "7"
    assert event(messageId="x" * 300).message_id == event(messageId="x" * 300).message_id
    assert len(event(messageId="x" * 300).message_id) <= LONGEST_MESSAGE_ID
    nothing: tuple[Any, ...] = (
        None, "", {}, [], True, 0, "undefined", "NULL", " none ", "0", str(UUID(int=0))
    )  # fmt: skip
    for absent in nothing:
        assert event(messageId=absent).message_id != event(messageId=absent).message_id


@pytest.mark.parametrize(
    ("fields", "code"),
    [({"type": "delete"}, "unknown_type"), ({"type": None}, "unknown_type"),
     ({"type": ["track"]}, "unknown_type"), ({"event": ""}, "event_missing"),
     ({"event": None}, "event_missing"), ({"event": {}}, "event_missing"),
     ({"properties": {"x": "y" * 33_000}}, "too_large")],
)  # fmt: skip
def test_an_event_that_cannot_be_kept_says_why(fields: dict[str, Any], code: str) -> None:
    found = rejection(messageId="m-1", **fields)
    assert (found.code, found.message_id) == (code, "m-1")
    assert found.message


def test_the_order_a_source_gives_is_kept_when_it_is_a_number() -> None:
    assert event(sourceSeq=7).source_seq == 7
    assert [event(sourceSeq=x).source_seq for x in (True, "7", 1.5, 2**63, None)] == [None] * 5


def test_only_an_object_is_a_message() -> None:
    anything: tuple[Any, ...] = (None, 1, "x", [], True)
    for wrong in anything:
        found = read(to_message(wrong), received_at=NOW, largest=1000)
        assert isinstance(found, Rejection)
        assert found.code == "not_an_object"


def test_an_event_that_names_a_whole_population_is_refused() -> None:
    external = [{"id": str(n), "type": "crm_id"} for n in range(30)]
    message = {"type": "track", "event": "x", "userId": "u", "context": {"externalIds": external}}
    answer = read(to_message(message), received_at=NOW, largest=32_768)
    assert isinstance(answer, Rejection)
    assert answer.code == "too_many_identifiers"


def nested(levels: int) -> Any:
    value: Any = 1
    for n in range(levels):
        value = [value] if n % 2 else {"a": value}
    return value


def test_an_event_of_more_levels_than_a_read_can_follow_is_rejected() -> None:
    # The message itself and its properties are two.
    assert event(properties={"deep": nested(MOST_LEVELS - 2)}).properties
    assert event(properties={"wide": [{} for _ in range(1_000)]}).properties
    found = rejection(properties={"deep": nested(MOST_LEVELS - 1)})
    assert (found.code, found.raw) == ("nested_too_deeply", None)

"""Reads what tracking SDKs send into one form: ids, time, name, properties; no database."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from typing import Any
from uuid import uuid4

import msgspec

from app.errors import BodyUnreadable
from identity import identifiers

TYPES = ("track", "identify", "page", "screen", "group", "alias")
CALLS = frozenset(TYPES)
#: A clock that differs by less than this is right, and what differs is the network: the time is
#: then kept exactly as it was sent.
SKEW_IGNORED = timedelta(seconds=2)
#: Beyond this the sent time says nothing about the clock (research/sdk-contract.md 6).
SKEW_BELIEVED = timedelta(days=365)
LONGEST_MESSAGE_ID = 256
LONGEST_NAME = 1024
#: A person is known by a few; an event that names hundreds would join a whole population.
MOST_IDENTIFIERS = 25
#: Levels of objects and lists in one event. Some 250 are more than what reads it later can follow.
MOST_LEVELS = 100
#: Longer values are not remembered, so that what is remembered stays within some megabytes.
REMEMBERED_LENGTH = 128
#: The members of a message that are kept in their own columns; the others go to `rest`.
OWN = frozenset(
    {
        "type", "event", "name", "messageId", "userId", "anonymousId", "timestamp", "sentAt",
        "originalTimestamp", "properties", "traits", "context", "writeKey", "receivedAt",
        "sourceSeq",
    }
)  # fmt: skip
_EARLIEST = datetime(1, 1, 2, tzinfo=UTC)


class Envelope(msgspec.Struct, frozen=True):
    """One event as it will be stored. `identifiers` are canonical; the first one acts.

    A Struct and not a dataclass: one is made per event, at a third of the time.
    """

    type: str
    name: str | None
    message_id: str
    user_id: str | None
    anonymous_id: str | None
    identifiers: tuple[tuple[str, str], ...]
    occurred_at: datetime
    sent_at: datetime | None
    source_seq: int | None
    properties: dict[str, Any]
    context: dict[str, Any]
    rest: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Rejection:
    """An event that cannot be accepted, and why.

    `raw` is the message as it was parsed (bytes: a body that was not), so that it can be kept and
    replayed. `details` say where in it something is wrong: `{"pointer", "detail"}` each, without
    the value that stands there.
    """

    code: str
    message: str
    message_id: str | None = None
    raw: Any = None
    details: tuple[Mapping[str, Any], ...] = ()


def parse(body: bytes) -> dict[str, Any]:
    """Parse a request body, whatever is in it that PostgreSQL could not store.

    NUL characters are removed, lone surrogates become U+FFFD, NaN and infinities become null:
    official SDKs send all of these (research/sdk-contract.md rules 8, 15). Of duplicate keys the
    last counts. Raises BodyUnreadable when it is not a JSON object.
    """
    try:
        parsed = msgspec.json.decode(body)
        clean = b"\\u0000" not in body
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        parsed, clean = _parse_leniently(body), False
    if not isinstance(parsed, dict):
        raise BodyUnreadable("the body must be a JSON object")
    if clean:
        return parsed
    try:
        cleaned: dict[str, Any] = _clean(parsed)
    except RecursionError as error:
        raise BodyUnreadable("the body is nested too deeply") from error
    return cleaned


def _parse_leniently(body: bytes) -> Any:
    try:
        return json.loads(body.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise BodyUnreadable("the body is not UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise BodyUnreadable(f"the body is not JSON: {str(error)[:200]}") from error


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return (
            value.replace("\x00", "").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        )
    if isinstance(value, dict):
        return {_clean(k): _clean(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_clean(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def messages(body: Mapping[str, Any], call: str | None) -> list[Any]:
    """Return the messages of a request: those of a batch, or the one that a single call is.

    What stands at the top of a batch (`context`, `integrations`, `sentAt`) holds for each of its
    messages that does not say otherwise, and is written into them. Raises BodyUnreadable when
    `batch` is not a list.
    """
    if call is not None:
        return [{**body, "type": call}]
    batch = body.get("batch")
    if not isinstance(batch, list):
        raise BodyUnreadable("batch must be a list of messages")
    shared = [(k, body[k]) for k in ("sentAt", "integrations") if k in body]
    context = body.get("context")
    for message in batch:
        if type(message) is dict:
            for key, value in shared:
                message.setdefault(key, value)
            if type(context) is dict:
                own = message.get("context")
                message["context"] = {**context, **(own if isinstance(own, dict) else {})}
    return batch


def read(message: Any, *, received_at: datetime, largest: int) -> Envelope | Rejection:
    """Read one message, or say why it is not accepted. Never raises.

    `largest` is the size limit of one event in bytes of JSON.
    """
    if type(message) is not dict:
        return Rejection("not_an_object", "a message must be a JSON object", raw=message)
    payload = msgspec.json.encode(message)
    message_id = _message_id(message.get("messageId"))

    def rejected(code: str, why: str) -> Rejection:
        return Rejection(code, why, message_id, message)

    if len(payload) > largest:
        return rejected("too_large", f"{len(payload)} bytes; the limit is {largest}")
    # So many levels take so many brackets: counting these costs nothing, and is mostly enough.
    if payload.count(b"{") + payload.count(b"[") > MOST_LEVELS and _too_deep(message):
        return Rejection("nested_too_deeply", f"more than {MOST_LEVELS} levels", message_id)
    kind = message.get("type")
    if type(kind) is not str or kind not in CALLS:
        return rejected("unknown_type", f"type must be one of {', '.join(TYPES)}")
    name = _name(kind, message)
    if kind == "track" and not name:
        return rejected("event_missing", "a track call needs the name of its event")
    context = message.get("context")
    if type(context) is not dict:
        context = {}
    properties = _properties(kind, message, context)
    user = _identifier("user_id", message.get("userId"))
    device = _identifier("anonymous_id", message.get("anonymousId"))
    found = _identifiers(kind, message, context, properties, user, device)
    if not found:
        return rejected(
            "no_user_anon_id", "neither userId, anonymousId nor an external id is given"
        )
    if len(found) > MOST_IDENTIFIERS:
        return rejected("too_many_identifiers", f"an event has at most {MOST_IDENTIFIERS}")
    sent_at = _sent_at(message.get("sentAt"))
    seq = message.get("sourceSeq")
    return Envelope(
        type=kind,
        name=name,
        message_id=message_id,
        user_id=user and user[1],
        anonymous_id=device and device[1],
        identifiers=found,
        occurred_at=_occurred_at(message, sent_at, received_at),
        sent_at=sent_at,
        source_seq=seq if type(seq) is int and abs(seq) < 2**62 else None,  # true is no number
        properties=properties,
        context=context,
        rest=_rest(message),
    )


def _too_deep(message: dict[str, Any]) -> bool:
    """Say whether a message has more levels than it may, without following them by recursion."""
    level: list[Any] = [message]
    for _ in range(MOST_LEVELS):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


def message_of(event: Envelope) -> dict[str, Any]:
    """Return a message that is read as this event again, whose time is corrected already."""
    traits = event.type in ("identify", "group")
    said = {
        "type": event.type,
        "event" if event.type == "track" else "name": event.name,
        "messageId": event.message_id,
        "userId": event.user_id,
        "anonymousId": event.anonymous_id,
        "timestamp": event.occurred_at.isoformat(),
        "sourceSeq": event.source_seq,
        "traits" if traits else "properties": event.properties,
        "context": event.context,
    }
    return {**(event.rest or {}), **{k: v for k, v in said.items() if v is not None}}


def _message_id(value: object) -> str:
    """Return the message's id; one that is absent is made, one too long for an index hashed."""
    if type(value) is str and 0 < len(value) <= LONGEST_MESSAGE_ID:
        return value
    if value is None or value == "" or isinstance(value, dict | list | bool):
        return f"server-{uuid4()}"
    text = str(value)
    if len(text) > LONGEST_MESSAGE_ID:
        return "sha256-" + sha256(text.encode("utf-8", "replace")).hexdigest()
    return text


def _name(kind: str, message: Mapping[str, Any]) -> str | None:
    value = message.get("event") if kind == "track" else message.get("name")
    if value is None and kind in ("page", "screen"):
        value = _object(message.get("properties")).get("name")  # Jitsu names pages there only
    if type(value) is str:
        return value[:LONGEST_NAME] or None
    if value is None or isinstance(value, dict | list):
        return None
    return str(value)[:LONGEST_NAME] or None


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _properties(kind: str, message: Mapping[str, Any], context: dict[str, Any]) -> dict[str, Any]:
    """Return properties, or traits for identify and group.

    Some SDKs put the traits of an identify call in `context.traits` only; on other calls that
    place holds the current user's traits and sets nothing (research/sdk-contract.md rule 18).
    """
    if kind not in ("identify", "group"):
        return _object(message.get("properties"))
    traits = message.get("traits")
    if kind == "identify" and not isinstance(traits, dict):
        traits = context.get("traits")
    return _object(traits)


def _rest(message: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the members that have no column of their own."""
    if OWN.issuperset(message):
        return None
    others = message.keys() - OWN
    return {k: v for k, v in message.items() if k in others and v is not None} or None


def _identifiers(
    kind: str,
    message: Mapping[str, Any],
    context: Mapping[str, Any],
    properties: Mapping[str, Any],
    user: tuple[str, str] | None,
    device: tuple[str, str] | None,
) -> tuple[tuple[str, str], ...]:
    """Return the canonical identifiers of a message, the strongest first; () when none acts."""
    acting = [i for i in (user, device) if i]
    external = context.get("externalIds")
    if type(external) is list:
        acting += _external(external)
        acting.sort(key=lambda i: identifiers.namespace(i[0]).priority)
    if kind == "alias":
        before = _identifier("anonymous_id", message.get("previousId"))
        if before:
            acting.append(before)
    if not acting:
        return ()
    if kind == "identify":
        for namespace in ("email", "phone"):
            address = _identifier(namespace, properties.get(namespace))
            if address:
                acting.append(address)
    hardware = context.get("device")
    if type(hardware) is dict:
        unit = _identifier("device_id", hardware.get("id"))
        if unit:
            acting.append(unit)
    return tuple(acting) if len(acting) == 1 else tuple(dict.fromkeys(acting))


def _external(entries: list[Any]) -> list[tuple[str, str]]:
    """Read `context.externalIds`: `[{"id", "type", "collection": "users"}]` [Segment]."""
    found = []
    for entry in entries:
        if type(entry) is dict and type(entry.get("type")) is str:
            namespace = identifiers.canonical_namespace(entry["type"])
            if identifiers.NAMESPACE_NAME.match(namespace):
                identifier = _identifier(namespace, entry.get("id"))
                if identifier:
                    found.append(identifier)
    return found


def _identifier(namespace: str, value: object) -> tuple[str, str] | None:
    """Return the canonical identifier that a value is, or None."""
    if value is None:
        return None
    if type(value) is str and len(value) <= REMEMBERED_LENGTH:
        return _remembered(namespace, value)
    normal = identifiers.normalise(namespace, value)
    return None if normal is None else (namespace, normal)


# A visitor's identifiers come again with each of its events: 0.1 instead of 5 microseconds.
@lru_cache(maxsize=50_000)
def _remembered(namespace: str, value: str) -> tuple[str, str] | None:
    normal = identifiers.normalise(namespace, value)
    return None if normal is None else (namespace, normal)


def _time(value: object) -> datetime | None:
    """Read an ISO 8601 time, or seconds or milliseconds since 1970; without zone it is UTC."""
    if value is None:
        return None
    try:
        if type(value) is str:
            time = datetime.fromisoformat(value.strip())
        elif isinstance(value, int | float) and not isinstance(value, bool):
            time = datetime.fromtimestamp(value / 1000 if value > 1e11 else value, UTC)
        else:
            return None
        if time.tzinfo is not UTC:
            time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return time if time > _EARLIEST else None


def _sent_at(value: object) -> datetime | None:
    return _remembered_time(value) if type(value) is str else _time(value)


# One time for all the events of a request.
@lru_cache(maxsize=16)
def _remembered_time(value: str) -> datetime | None:
    return _time(value)


def _occurred_at(
    message: Mapping[str, Any], sent_at: datetime | None, received_at: datetime
) -> datetime:
    """Return when it happened by our clock: `received - (sent - original)` [Segment].

    Only a clock that is visibly wrong is corrected. Without a readable time it happened when it
    was received.
    """
    original = _time(message.get("timestamp")) or _time(message.get("originalTimestamp"))
    if original is None:
        return received_at
    if sent_at is None:
        return original
    skew = received_at - sent_at
    if abs(skew) < SKEW_IGNORED or abs(skew) > SKEW_BELIEVED:
        return original
    try:
        return original + skew
    except OverflowError:
        return original

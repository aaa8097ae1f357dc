"""Reads what tracking SDKs send into one form: ids, time, name, properties; no database."""

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any
from uuid import uuid4

import msgspec
from msgspec import Raw

from app.events import extremes, times, who
from app.events.body import NONE, compact, members_of, values_of, with_members
from app.events.message import (
    NO_REST,
    OBJECT,
    REST,
    Context,
    Message,
    beside,
    decode_context,
    decode_identified,
    decode_named,
    members,
    rest_of,
    whole,
)
from app.events.who import Identifiers
from consent.signals.read import SNOWPLOW_EVENT
from consent.signals.segment import PREFERENCE_EVENT

TYPES = ("track", "identify", "page", "screen", "group", "alias")
CALLS = frozenset(TYPES)
LONGEST_MESSAGE_ID = 256
LONGEST_NAME = 1024
#: A person is known by a few; an event that names hundreds would join a whole population.
MOST_IDENTIFIERS = 25
#: What programs send for the id of a message when they have none.
NO_IDS = frozenset({"", "undefined", "null", "none", "nil", "nan", "0", "true", "false"})
NIL_ID = "00000000-0000-0000-0000-000000000000"
#: Levels of objects and lists in one event. Some 250 are more than what reads it later can follow.
MOST_LEVELS = 100
#: What of a consent object says what was chosen.
ANSWERS = frozenset({"categoryPreferences", "tcf", "gpp", "us_privacy", "google"})
#: What some write for the answer that they have not; to PHP an object without members is a list.
NO_ANSWER = (b"null", b"[]")


class Envelope(msgspec.Struct, frozen=True, omit_defaults=True):
    """One event as it will be stored. `identifiers` are canonical; the first one acts.

    `properties`, `context`, `rest`, the consent object of the context and the `signals` beside it
    are the JSON text that was sent: nothing is built of it unless somebody asks. A Struct and not
    a dataclass: one is made per event, at a third of the time.
    """

    type: str
    name: str | None
    message_id: str
    user_id: str | None
    anonymous_id: str | None
    identifiers: Identifiers
    occurred_at: datetime
    sent_at: datetime | None
    source_seq: int | None
    properties: Raw
    context: Raw
    rest: Raw = NONE
    consent: Raw = NONE
    signals: Raw = NONE


@dataclass(frozen=True, slots=True)
class Rejection:
    """An event that cannot be accepted, and why.

    `raw` is the message as it was sent (bytes: a body in which none was found), so that it can be
    kept and replayed. `details` say where in it something is wrong: `{"pointer", "detail"}` each,
    without the value that stands there. `gpc`: its request carries Global Privacy Control.
    """

    code: str
    message: str
    message_id: str | None = None
    raw: Raw | bytes | None = None
    details: tuple[dict[str, Any], ...] = ()
    gpc: bool = False


def read(
    message: Raw,
    *,
    received_at: datetime,
    largest: int,
    call: str | None = None,
    sent_at: Raw = NONE,
) -> Envelope | Rejection:
    """Read one message, or say why it is not accepted. Never raises.

    The message is text as `body.parse` leaves it. `largest` is the size limit of one event in bytes
    as sent. `call` is what the call is, whatever the message says; `sent_at` is when the message
    was sent, where it does not say so itself.
    """
    text = bytes(message)
    if text[:1] != b"{":
        return Rejection("not_an_object", "a message must be a JSON object", raw=message)
    if len(text) > largest and len(text := bytes(compact(message, largest))) > largest:
        why = f"{len(text)} bytes; the limit is {largest}"
        return Rejection("too_large", why, _own_id(text), whole(message, call, sent_at))
    if extremes.has_long_number(text):
        why = f"a number in it has more than {extremes.DIGITS} digits"
        return Rejection("unstorable", why, _own_id(text), whole(message, call, sent_at))
    # So many levels take so many brackets: counting these costs nothing, and is mostly enough.
    if text.count(b"{") + text.count(b"[") > MOST_LEVELS and _too_deep(text):
        return Rejection("nested_too_deeply", f"more than {MOST_LEVELS} levels", _own_id(text))
    message_id = None
    try:
        said, others = members(text)
        message_id = _message_id(said.message_id)
        found = _read(said, call or said.type, message_id, received_at, sent_at, others)
    except msgspec.DecodeError:
        found = "unstorable", "a value in it cannot be read"
    if isinstance(found, Envelope):
        return found
    return Rejection(*found, message_id, whole(message, call, sent_at))


def _read(
    said: Message,
    kind: object,
    message_id: str,
    received_at: datetime,
    sent_at: Raw,
    others: dict[str, Raw],
) -> Envelope | tuple[str, str]:
    """Return the event, or the code and the reason why there is none."""
    if type(kind) is not str or kind not in CALLS:
        return "unknown_type", f"type must be one of {', '.join(TYPES)}"
    try:
        context, seen = said.context, decode_context(said.context)
    except msgspec.ValidationError:
        if bytes(said.context)[:1] == b"{":  # what it says of consent must not be lost
            raise
        context, seen = OBJECT, Context()
    properties = _properties(kind, said, seen)
    name = _name(kind, said, properties)
    if kind == "track" and not name:
        return "event_missing", "a track call needs the name of its event"
    if name == PREFERENCE_EVENT and kind == "track" and not _answers(seen):
        return "consent_missing", "the answer of a banner says what was chosen"
    user, device, found = who.acting(said.user_id, said.anonymous_id)
    if kind in ("identify", "alias") or seen.externalIds is not None or seen.device is not None:
        found = who.named(kind, said, seen, properties, found)
    if not found:
        return "no_user_anon_id", "neither userId, anonymousId nor an external id is given"
    if len(found) > MOST_IDENTIFIERS:
        return "too_many_identifiers", f"an event has at most {MOST_IDENTIFIERS}"
    sent = times.read_sent(said.sent_at)
    if sent is None and 0 < len(sent_at) < who.REMEMBERED_LENGTH:
        sent = times.read_sent(values_of(sent_at))
    original = times.read(said.timestamp) or times.read(said.original_timestamp)
    seq = said.source_seq
    return Envelope(
        type=kind,
        name=name,
        message_id=message_id,
        user_id=user,
        anonymous_id=device,
        identifiers=found,
        occurred_at=times.happened(original, sent, received_at),
        sent_at=sent,
        source_seq=seq if type(seq) is int and abs(seq) < 2**62 else None,  # true is no number
        properties=properties,
        context=context,
        rest=_rest(kind, said, others),
        consent=seen.consent,
        signals=beside(seen, properties if name == SNOWPLOW_EVENT and kind == "track" else NONE),
    )


def _answers(context: Context) -> bool:
    """Say whether the answer of a consent banner says anything of consent, if unreadably."""
    own = members_of(context.consent) if bytes(context.consent) not in (b"", b"null") else {}
    said = own is None or any(bytes(own[key]) not in NO_ANSWER for key in own.keys() & ANSWERS)
    return said or bool(beside(context))


def _own_id(text: bytes) -> str:
    """Return the id of a message that is not read; of what is no text nothing is built."""
    own = decode_identified(text).messageId
    return _message_id(values_of(own) if bytes(own)[:1] == b'"' else None)


def beyond(message: Raw, why: str, *, call: str | None, sent_at: Raw) -> Rejection:
    """Return a message that is one too many: all that is read of it is its id."""
    text = bytes(message)
    own = _own_id(text) if text[:1] == b"{" else None
    return Rejection("too_many", why, own, whole(message, call, sent_at))


def _too_deep(text: bytes) -> bool:
    """Say whether a message has more levels than it may, without following them by recursion."""
    try:
        level: list[Any] = [values_of(text)]
    except RecursionError:
        return True
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


def message_of(event: Envelope) -> Raw:
    """Return a message that is read as this event again, whose time is corrected already."""
    traits = event.type in ("identify", "group")
    said: dict[str, Any] = {
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
    return with_members(event.rest or OBJECT, {k: v for k, v in said.items() if v is not None})


def _message_id(value: object) -> str:
    """Return the message's id; one that is absent is made, one too long for an index hashed.

    What a program writes where it has no id is none: all its events would be duplicates of one.
    """
    if type(value) is str and 12 <= len(value) <= LONGEST_MESSAGE_ID:
        return value if value != NIL_ID else f"server-{uuid4()}"
    if value is None or isinstance(value, dict | list | bool):
        return f"server-{uuid4()}"
    text = str(value)
    if text.strip().lower() in NO_IDS:
        return f"server-{uuid4()}"
    if len(text) > LONGEST_MESSAGE_ID:
        return "sha256-" + sha256(text.encode("utf-8", "replace")).hexdigest()
    return text


def _name(kind: str, said: Message, properties: Raw) -> str | None:
    value = said.event if kind == "track" else said.name
    if value is None and kind in ("page", "screen"):
        value = decode_named(properties).name  # Jitsu names pages there only
    if type(value) is str:
        return value[:LONGEST_NAME] or None
    if value is None or isinstance(value, dict | list):
        return None
    return str(value)[:LONGEST_NAME] or None


def _object(value: Raw) -> Raw | None:
    return value if bytes(value)[:1] == b"{" else None


def _properties(kind: str, said: Message, context: Context) -> Raw:
    """Return properties, or traits for identify and group.

    Some SDKs put the traits of an identify call in `context.traits` only; on other calls that
    place holds the current user's traits and sets nothing (research/sdk-contract.md rule 18).
    """
    if kind not in ("identify", "group"):
        return _object(said.properties) or OBJECT
    traits = _object(said.traits)
    if kind == "identify" and traits is None:
        traits = _object(context.traits)
    return traits or OBJECT


def _rest(kind: str, said: Message, others: dict[str, Raw]) -> Raw:
    """Return the members that have no column of their own, or none in a call of this kind."""
    values = rest_of(said)
    if kind in ("identify", "group"):
        unused = said.properties is not OBJECT or said.event is not None
    else:
        other = said.name if kind == "track" else said.event
        unused = said.traits is not NONE or other is not None
    if unused:
        others = {**others, **_unused(kind, said)}
    if values == NO_REST and not others:
        return NONE
    every = {**others, **dict(zip(REST, values, strict=True))}
    rest = {k: v for k, v in every.items() if bytes(v) not in (b"", b"null", b"{}")}
    return Raw(msgspec.json.encode(rest)) if rest else NONE


def _unused(kind: str, said: Message) -> dict[str, Raw]:
    """Return what stands in a message although its kind of call has no use for it."""
    traits = kind in ("identify", "group")
    place, value = ("properties", said.properties) if traits else ("traits", said.traits)
    other, name = ("name", said.name) if kind == "track" else ("event", said.event)
    return {place: value, other: Raw(msgspec.json.encode(name))}

"""What of a tracking message is looked at: the rest stays the text that it is."""

from operator import attrgetter
from typing import Any

import msgspec
from msgspec import Raw

from app.events.body import NONE, members_of, with_members
from consent.signals.read import BESIDE, SNOWPLOW

OBJECT = Raw(b"{}")


class Message(msgspec.Struct, rename="camel"):
    """What a message may have. What is Raw is kept or left out, and not looked into here."""

    type: Any = None
    event: Any = None
    name: Any = None
    message_id: Any = None
    user_id: Any = None
    anonymous_id: Any = None
    previous_id: Raw = NONE
    timestamp: Any = None
    original_timestamp: Any = None
    sent_at: Any = None
    source_seq: Any = None
    properties: Raw = OBJECT
    traits: Raw = NONE
    context: Raw = OBJECT
    write_key: Raw = NONE
    received_at: Raw = NONE
    integrations: Raw = NONE
    category: Raw = NONE
    group_id: Raw = NONE
    channel: Raw = NONE
    version: Raw = NONE
    metadata: Raw = msgspec.field(default=NONE, name="_metadata")


class _Exact(Message, forbid_unknown_fields=True):
    """A message without any member that nobody foresaw."""


class Context(msgspec.Struct):
    """What is looked at in a context."""

    consent: Raw = NONE
    consentManagement: Raw = NONE
    consents: Raw = NONE
    consentStrings: Raw = NONE
    gdpr_consent: Raw = NONE
    gpp: Raw = NONE
    gpp_sid: Raw = NONE
    us_privacy: Raw = NONE
    gpc: Raw = NONE
    externalIds: Any = None
    device: Any = None
    traits: Raw = NONE


class _Addresses(msgspec.Struct):
    """What is looked at in the traits of an identify call."""

    email: Any = None
    phone: Any = None


class _Named(msgspec.Struct):
    """What is looked at in the properties of a page."""

    name: Any = None


class _Identified(msgspec.Struct):
    """What is looked at in a message that is too large."""

    messageId: Raw = NONE


_decode_exact = msgspec.json.Decoder(_Exact).decode
_decode_message = msgspec.json.Decoder(Message).decode
decode_context = msgspec.json.Decoder(Context).decode
decode_addresses = msgspec.json.Decoder(_Addresses).decode
decode_named = msgspec.json.Decoder(_Named).decode
decode_identified = msgspec.json.Decoder(_Identified).decode

_KNOWN = frozenset(Message.__struct_encode_fields__)
#: The members that have no column of their own and are stored together.
REST = ("previousId", "integrations", "category", "groupId", "channel", "version", "_metadata")
#: Their values, in one call: one by one they take a tenth of the time in which an event is read.
rest_of = attrgetter(
    "previous_id", "integrations", "category", "group_id", "channel", "version", "metadata"
)
NO_REST = (NONE,) * len(REST)


#: What of a context speaks of consent beside `consent` itself, in one call.
_beside = attrgetter(*BESIDE)
_NOTHING_BESIDE = (NONE,) * len(BESIDE)


def beside(context: Context, snowplow: Raw = NONE) -> Raw:
    """Return what a context says of consent beside `consent`, as one object; NONE of nothing.

    `snowplow` is what a Snowplow tracker says of it.
    """
    values = _beside(context)
    if values == _NOTHING_BESIDE and not snowplow:
        return NONE
    found = {name: value for name, value in zip(BESIDE, values, strict=True) if value}
    return Raw(msgspec.json.encode({**found, SNOWPLOW: snowplow} if snowplow else found))


def members(text: bytes) -> tuple[Message, dict[str, Raw]]:
    """Return what a message says, and the members that nobody foresaw."""
    try:
        return _decode_exact(text), {}
    except msgspec.ValidationError:
        every = members_of(text) or {}
        return _decode_message(text), {k: v for k, v in every.items() if k not in _KNOWN}


def with_address(message: Raw, address: str) -> Raw:
    """Write the sender's address into `context.ip` where the message asks for it.

    It does by `context.direct: true` [Segment]. An address that it has already stays.
    """
    context = members_of((members_of(message) or {}).get("context", OBJECT))
    if not context or bytes(context.get("direct", NONE)) != b"true":
        return message
    if bytes(context.get("ip", NONE)) not in (b"", b"null", b'""'):
        return message
    return with_members(message, {"context": {**context, "ip": address}})


def with_gpc(message: Raw) -> Raw:
    """Write into the context that the browser sent Global Privacy Control with the request."""
    own = members_of(message)
    if own is None:
        return message
    context = members_of(own.get("context", OBJECT)) or {}
    return with_members(message, {"context": {**context, "gpc": True}})


def whole(message: Raw, call: str | None, sent_at: Raw) -> Raw:
    """Return a message with what its request says of it."""
    others: dict[str, Raw | str] = {"type": call} if call is not None else {}
    if sent_at and "sentAt" not in (members_of(message) or {}):
        others["sentAt"] = sent_at
    return with_members(message, others) if others else message

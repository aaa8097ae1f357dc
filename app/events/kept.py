"""What of a rejected event is kept, and how much of it: rules without a database."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Raw

from app.events.body import NONE, compact, members_of, values_of
from app.events.envelope import LONGEST_MESSAGE_ID, LONGEST_NAME, Rejection
from app.events.message import beside, decode_context
from consent.purposes import Purpose
from consent.reach import Reach
from consent.resolve import UNCONDITIONAL
from consent.signals import read
from consent.signals.stamp import Rules

#: An event is kept whole up to this many bytes of JSON; of a larger one the beginning is, which
#: shows what it was but cannot be replayed.
WHOLE_BYTES = 131_072
#: Of a request that cannot be read, so much is kept.
BODY_BYTES = 16_384
#: What one source may have kept in a minute. Its browser write key is public: without a bound,
#: whoever reads it on the website could fill the disk. What goes beyond is only counted.
MOST_PER_MINUTE = 1_000
BYTES_PER_MINUTE = 16_000_000
#: What one source may have kept at all; beyond it the oldest go (at the next clean-up).
MOST_PER_SOURCE = 100_000
BYTES_PER_SOURCE = 256_000_000
#: A consent object that is longer is not read: nothing says that its person agreed.
LONGEST_CONSENT = 65_536
#: The code of a request that could not be read as a whole.
UNREADABLE = "body_unreadable"
#: The context of what cannot be read and came with Global Privacy Control.
GPC = Raw(b'{"gpc":true}')
_WRITE_KEY = re.compile(r'(wk_|"writeKey"\s*:\s*")[^"&\s]+')


@dataclass(frozen=True, slots=True)
class Text:
    """The kept text of a rejected event. `replayable`: it is one whole JSON object."""

    text: str
    size: int
    truncated: bool
    replayable: bool


def may_keep(
    rejection: Rejection,
    purpose: Purpose | None,
    *,
    reached: Reach,
    categories: Mapping[str, Collection[str]],
    rules: Rules,
    now: datetime,
) -> bool:
    """Say whether consent allows to keep what was rejected.

    An event that could not be read cannot show that its person agreed. So it is kept only where
    the source collects on a basis other than consent (GDPR art. 6(1)(b) to (e)), and not when it
    was refused for want of consent or says itself that its person refuses.
    """
    if purpose is None or purpose.lawful_basis not in UNCONDITIONAL:
        return False
    if rejection.code in ("consent_denied", "consent_missing"):
        return False
    members = _members(rejection.raw)
    if members is None and not rejection.gpc:
        return True
    try:
        said = decode_context(GPC if members is None else members.get("context", NONE))
    except msgspec.DecodeError:  # no object
        return True
    others = beside(said)
    if len(said.consent) + len(others) > LONGEST_CONSENT:
        return False
    stamp = read.read(
        bytes(said.consent),
        bytes(others),
        known=reached.known,
        categories=categories,
        now=now,
        rules=rules,
        below=reached.below,
        universal=reached.universal,
    )
    return purpose.key not in stamp.refused | stamp.opt_out


def opted_out(raw: Raw | bytes | None) -> bool:
    """Say whether a message carries Global Privacy Control: its request did, or it says so."""
    try:
        return opts_out((_members(raw) or {}).get("context", NONE))
    except (msgspec.DecodeError, RecursionError):  # no JSON
        return False


def opts_out(context: Raw) -> bool:
    """Say whether a context carries Global Privacy Control."""
    try:
        return bytes(decode_context(context).gpc) == b"true"
    except (msgspec.DecodeError, RecursionError):  # no object
        return False


def text_of(raw: Raw | bytes | None) -> Text | None:
    """Return a message (or, as bytes, a body) as text that PostgreSQL can hold; None of nothing.

    A write key is no part of it: it is a secret of the source, and not of the event.
    """
    if raw is None:
        return None
    if isinstance(raw, bytes):
        text = raw[:BODY_BYTES].decode("utf-8", "replace").replace("\x00", "")
        return Text(_WRITE_KEY.sub(r"\1…", text), len(raw), len(raw) > BODY_BYTES, False)
    members = _members(raw)
    if members is not None and "writeKey" in members:
        del members["writeKey"]
        raw = Raw(msgspec.json.encode(members))
    raw = compact(raw, WHOLE_BYTES)
    whole = len(raw) <= WHOLE_BYTES
    text = bytes(raw)[:WHOLE_BYTES].decode("utf-8", "ignore")
    return Text(text, len(raw), not whole, whole and members is not None)


def _members(raw: Raw | bytes | None) -> dict[str, Raw] | None:
    return members_of(raw) if isinstance(raw, Raw) else None


def _value(members: Mapping[str, Raw], name: str) -> str | None:
    """Return a member that is a text; of anything else nothing is built."""
    value = members.get(name, NONE)
    return str(values_of(value)) if bytes(value)[:1] == b'"' else None


def plain(value: object, longest: int = LONGEST_NAME) -> str | None:
    """Return what may stand in a column of text, or None when it is no text."""
    if not isinstance(value, str):
        return None
    cut = value[:longest].replace("\x00", "")
    return cut.encode("utf-8", "replace").decode() or None


def message_id(rejection: Rejection) -> str | None:
    """Return the id of what was rejected: the one its sender was told, or else its own."""
    own = _value(_members(rejection.raw) or {}, "messageId")
    return plain(rejection.message_id or own, LONGEST_MESSAGE_ID)


def type_and_name(raw: Raw | bytes | None) -> tuple[str | None, str | None]:
    """Return the type and the event name of a rejected message, where it has them."""
    members = _members(raw) or {}
    kind = plain(_value(members, "type"), 100)
    return kind, plain(_value(members, "event" if kind == "track" else "name"))


def details(rejection: Rejection) -> list[dict[str, Any]] | None:
    """Return where in the event something is wrong, as it may stand in a column."""
    return [
        {key: plain(value) if isinstance(value, str) else value for key, value in detail.items()}
        for detail in rejection.details
    ] or None

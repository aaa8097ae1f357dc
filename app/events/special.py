"""Takes values of special categories (GDPR art. 9) out of events, and keeps those that may be kept.

What may be kept stands apart, in the event's `rest`: no trait, segment, journey, export or
analysis is made of that. It is read for purposes that cover its category, and for these alone.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Raw
from sqlalchemy.orm import Session

import consent
from app.events import collection
from app.events.alike import Alike
from app.events.body import NONE, values_of
from app.events.envelope import Envelope, Rejection, message_of
from app.events.item import Item
from app.events.memory import Memory
from app.plans.special import Labels, normalised, stripped, suspicious

#: The member of `rest` under which values stand: by category, and where in the event they stood.
APART = "specialCategories"
#: Why a value was not kept.
NOT_COVERED = "special_category"
#: What of a name says the special categories of its value.
Known = Callable[[str], frozenset[str] | None]
_HINT = frozenset({"undeclared"})
#: The purpose of a denial where there is none.
ANY = "*"


@dataclass(frozen=True, slots=True)
class Found:
    """An event without its special values, and these by category and place."""

    envelope: Envelope
    values: dict[str, dict[str, Any]]


def take(
    session: Session,
    items: Sequence[Item],
    groups: Sequence[Alike],
    out: Collection[int],
    memory: Memory,
    now: datetime,
) -> Sequence[Item]:
    """Return the events with values of special categories only where their people agreed to it.

    Kept is a value of whose every category some purpose in effect covers, on explicit consent that
    the event's own identifiers gave; all others are gone, and counted. Call it when what the events
    say of consent is on record. Those at the places `out` are not stored anyway. Where no plan
    declares anything this is one look at each event.
    """
    labels = memory.plans.special
    if not labels and not any(_apart_already(item.envelope) for item in items):
        return items

    def known(name: str) -> frozenset[str] | None:
        return labels.get(normalised(name))

    found = {}
    for n, item in enumerate(items):
        one = None if n in out else parted(item.envelope, known)
        if one is not None:
            found[n] = one
    if not found:
        return items
    allowed = _allowed(session, groups, found, memory, now)
    kept_items, lost = list(items), Counter[tuple[str, str]]()
    for n, one in found.items():
        kept = {c: v for c, v in one.values.items() if c in allowed[n]}
        lost.update((_covering(memory, c), NOT_COVERED) for c in one.values.keys() - kept)
        kept_items[n] = msgspec.structs.replace(items[n], envelope=_with(one.envelope, kept))
    if lost:
        consent.count_denials(
            session, use="collect", denials=[(*what, n) for what, n in lost.items()], at=now
        )
    return kept_items


def parted(envelope: Envelope, known: Known) -> Found | None:
    """Return an event and the special values in it; None where there are none."""
    values: dict[str, dict[str, Any]] = {}
    parts: dict[str, Raw] = {}
    for place in ("properties", "context", "rest"):
        raw: Raw = getattr(envelope, place)
        if not raw:
            continue
        whole = values_of(raw)
        apart = whole.pop(APART, None) if place == "rest" else None
        taken: dict[str, dict[str, Any]] = {}
        _pick(whole, f"/{place}", known, taken)
        _again(apart, taken)
        if taken or apart is not None:
            parts[place] = Raw(msgspec.json.encode(whole)) if whole or place != "rest" else NONE
            for category, some in taken.items():
                values.setdefault(category, {}).update(some)
    return Found(msgspec.structs.replace(envelope, **parts), values) if parts else None


def without(rejection: Rejection, envelope: Envelope, labels: Labels) -> Rejection:
    """Return a rejection of an event whose kept text has no special values."""
    one = parted(
        envelope,
        lambda name: labels.get(normalised(name)) or (_HINT if suspicious(name) else None),
    )
    if one is None:
        return rejection
    return replace(rejection, raw=message_of(one.envelope))


def mentioned(raw: Raw | bytes | None, labels: Labels) -> bool:
    """Say whether a text that could not be read as an event may hold a special value."""
    if not labels or not raw:
        return False
    # Written with escapes a name is another text, and in what cannot be read all may stand.
    text = stripped(bytes(raw).decode("utf-8", "replace"))
    return b"\\u" in bytes(raw) or any(name in text for name in labels)


def categories_of(purpose: consent.Purpose) -> frozenset[str]:
    """Return the special categories that a purpose covers: those it declares, if it is explicit."""
    if purpose.lawful_basis != "consent" or not purpose.explicit:
        return frozenset()
    return frozenset(purpose.declared.get("special_categories") or ())


def covers(purpose: consent.Purpose, category: str) -> bool:
    """Say whether a purpose covers a category, or all that a value is of (`a+b`)."""
    return categories_of(purpose).issuperset(category.split("+"))


def _covering(memory: Memory, category: str) -> str:
    found = (key for key, one in sorted(memory.purposes.items()) if covers(one, category))
    return next(found, ANY)


def _allowed(
    session: Session,
    groups: Sequence[Alike],
    found: Mapping[int, Found],
    memory: Memory,
    now: datetime,
) -> dict[int, set[str]]:
    """Return the categories that the people of each of these events agreed to."""
    allowed: dict[int, set[str]] = {n: set() for n in found}
    told = {c for one in found.values() for c in one.values}
    for purpose in memory.purposes.values():
        covered = {category for category in told if covers(purpose, category)}
        asked = [
            g
            for g in groups
            if covered
            and g.stamp.readable
            and purpose.key not in g.refused
            and any(n in found and not covered.isdisjoint(found[n].values) for n in g.numbers)
        ]
        if not asked:
            continue
        for group, decision, _ in collection.decisions(session, purpose, asked, memory, now):
            if decision.allow:
                for n in group.numbers:
                    if n in found:
                        allowed[n] |= covered
    return allowed


def _with(envelope: Envelope, kept: Mapping[str, Any]) -> Envelope:
    if not kept:
        return envelope
    rest = values_of(envelope.rest) if envelope.rest else {}
    whole = Raw(msgspec.json.encode({**rest, APART: kept}))
    return msgspec.structs.replace(envelope, rest=whole)


def _apart_already(envelope: Envelope) -> bool:
    """Say whether an event may bring along what was kept apart, here or elsewhere."""
    rest = bytes(envelope.rest)
    return bool(rest) and (APART.encode() in rest or b"\\u" in rest)


def _pick(value: Any, place: str, known: Known, taken: dict[str, dict[str, Any]]) -> None:
    """Take what is declared out of a value, by its place.

    A value of several categories is one of all of them together: its purpose covers each.
    """
    waiting: list[tuple[str, Any]] = [(place, value)]
    while waiting:
        at, one = waiting.pop()
        if isinstance(one, list):
            waiting.extend((f"{at}/{n}", inner) for n, inner in enumerate(one))
        if not isinstance(one, dict):
            continue
        for name in list(one):
            where = f"{at}/{name.replace('~', '~0').replace('/', '~1')}"
            categories = known(name)
            if categories is None:
                waiting.append((where, one[name]))
                continue
            gone = one.pop(name)
            if gone is not None:
                taken.setdefault("+".join(sorted(categories)), {})[where] = gone


def _again(apart: Any, taken: dict[str, dict[str, Any]]) -> None:
    """Take up what stood apart in an event that this server has given out, and gets again."""
    if isinstance(apart, dict):
        for category, some in apart.items():
            if isinstance(some, dict):
                taken.setdefault(category, {}).update(some)

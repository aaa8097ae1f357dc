"""Who a message speaks of: its identifiers, canonical, the strongest first."""

from functools import lru_cache
from typing import Any

from msgspec import Raw

from app.events.body import values_of
from app.events.message import Context, Message, decode_addresses
from identity import identifiers

#: Longer values are not remembered, so that what is remembered stays within some megabytes.
REMEMBERED_LENGTH = 128

Identifiers = tuple[tuple[str, str], ...]
#: The canonical user id and anonymous id of a message, and both as identifiers.
Pair = tuple[str | None, str | None, Identifiers]


def named(
    kind: str,
    said: Message,
    context: Context,
    properties: Raw,
    pair: Identifiers,
) -> Identifiers:
    """Return the canonical identifiers of a message, the strongest first; () when none acts."""
    found = [*pair]
    external = context.externalIds
    if type(external) is list:
        found += _external(external)
        found.sort(key=lambda i: identifiers.namespace(i[0]).priority)
    if kind == "alias" and said.previous_id:
        before = _identifier("anonymous_id", values_of(said.previous_id))
        # analytics-next sends a user's own id for the previous one from a page that knows the user.
        if before and before[1] not in {value for _, value in pair}:
            found.append(before)
    if not found:
        return ()
    if kind == "identify":
        addresses = decode_addresses(properties)
        for namespace, value in (("email", addresses.email), ("phone", addresses.phone)):
            address = _identifier(namespace, value)
            if address:
                found.append(address)
    hardware = context.device
    if type(hardware) is dict:
        unit = _identifier("device_id", hardware.get("id"))
        if unit:
            found.append(unit)
    return tuple(found) if len(found) == 1 else tuple(dict.fromkeys(found))


def acting(user: object, device: object) -> Pair:
    """Return the same as `_pair`, from memory where both are texts of usual length."""
    if (user is None or (type(user) is str and len(user) <= REMEMBERED_LENGTH)) and (
        device is None or (type(device) is str and len(device) <= REMEMBERED_LENGTH)
    ):
        return _remembered_pair(user, device)
    return _pair(user, device)


def _pair(user: object, device: object) -> Pair:
    """Return the canonical user id and anonymous id, and both as identifiers."""
    one, other = _identifier("user_id", user), _identifier("anonymous_id", device)
    return one and one[1], other and other[1], tuple(i for i in (one, other) if i)


_remembered_pair = lru_cache(maxsize=50_000)(_pair)


def _external(entries: list[Any]) -> list[tuple[str, str]]:
    """Read `context.externalIds`: `[{"id", "type", "collection": "users"}]` [Segment].

    What is in another collection, such as accounts, identifies no person.
    """
    found = []
    for entry in entries:
        if (
            type(entry) is dict
            and type(entry.get("type")) is str
            and entry.get("collection") in (None, "", "users")
        ):
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

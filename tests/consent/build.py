"""Writes TC strings with what a test wants to say; our own decoder is held to IAB's elsewhere."""

from collections.abc import Collection, Iterable
from datetime import UTC, datetime

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
DAY = datetime(2026, 11, 1, tzinfo=UTC)


def tc(
    *,
    created: datetime = DAY,
    updated: datetime | None = None,
    version: int = 2,
    cmp_id: int = 300,
    list_version: int = 51,
    policy: int = 5,
    service_specific: bool = True,
    purposes: Collection[int] = (),
    legitimate: Collection[int] = (),
    features: Collection[int] = (),
    vendors: Collection[int] = (),
    legitimate_vendors: Collection[int] = (),
    restrictions: Iterable[tuple[int, int, int]] = (),
    disclosed: Collection[int] | None = (),
    publisher: Collection[int] | None = (),
    more: Iterable[str] = (),
) -> str:
    """A TC string; a segment that is None is left out, `more` are added."""
    bits = number(version, 6)
    for moment in (created, updated or created):
        bits += number(int(moment.timestamp() * 10), 36)
    bits += number(cmp_id, 12) + number(1, 12) + number(1, 6)
    bits += letters("EN") + number(list_version, 12) + number(policy, 6)
    bits += number(service_specific, 1) + "0" + field(features, 12)
    bits += field(purposes, 24) + field(legitimate, 24) + "0" + letters("DE")
    bits += vector(vendors) + vector(legitimate_vendors)
    listed = list(restrictions)
    bits += number(len(listed), 12)
    for purpose, kind, vendor in listed:
        bits += number(purpose, 6) + number(kind, 2) + number(1, 12) + "0" + number(vendor, 16)
    segments = [bits]
    if disclosed is not None:
        segments.append(number(1, 3) + vector(disclosed))
    if publisher is not None:
        segments.append(number(3, 3) + field(publisher, 24) + field((), 24) + number(0, 6))
    return ".".join([*map(base64url, segments), *more])


def number(value: int, width: int) -> str:
    return format(int(value), f"0{width}b")


def field(ids: Collection[int], width: int) -> str:
    return "".join("1" if place in ids else "0" for place in range(1, width + 1))


def letters(text: str) -> str:
    return "".join(number(ord(letter) - 65, 6) for letter in text)


def vector(ids: Collection[int]) -> str:
    largest = max(ids, default=0)
    return number(largest, 16) + "0" + field(ids, largest)


def base64url(bits: str) -> str:
    bits += "0" * (-len(bits) % 24)
    return "".join(ALPHABET[int(bits[n : n + 6], 2)] for n in range(0, len(bits), 6))


def canada(
    *,
    created: datetime = DAY,
    updated: datetime | None = None,
    version: int = 1,
    cmp_id: int = 300,
    features: Collection[int] = (),
    express: Collection[int] = (),
    implied: Collection[int] = (),
    publisher: Collection[int] | None = (),
    tail: str = "0" * 34,
) -> str:
    """A GPP string with IAB Canada's section alone; `tail` is what it says of vendors."""
    bits = number(version, 6)
    for moment in (created, updated or created):
        bits += number(int(moment.timestamp() * 10), 36)
    bits += number(cmp_id, 12) + number(1, 12) + number(1, 6) + letters("EN") + number(1, 12)
    bits += number(2, 6) + "0" + field(features, 12) + field(express, 24) + field(implied, 24)
    segments = [bits + tail]
    if publisher is not None:
        segments.append(number(3, 3) + field(publisher, 24) + field(implied, 24) + number(0, 6))
    return "DBABD~" + ".".join(map(base64url, segments))

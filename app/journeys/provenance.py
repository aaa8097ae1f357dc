"""Who says so: where each field of a map comes from (Tessi: declared by the trades, or collected).

A place is a JSON Pointer in which items of lists go by their id, as in `difference`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from app.journeys.frozen import Frozen

#: Parts of a map whose items have ids; each field of an item is a field of the map.
LISTS = ("stages", "channels", "touchpoints", "personae", "kpis")


class Query(Frozen):
    """The request to `/v1/analyses/{analysis}` that shows what was observed."""

    analysis: str = Field(min_length=1, max_length=40)
    request: dict[str, Any]


class Provenance(Frozen):
    """Where a place of the map, and all below it that has none of its own, comes from.

    Declared `by` somebody `on` a day, surveyed among `n` people, or observed by a `query`. The
    place "" is the whole map.
    """

    of: str = Field(max_length=400, pattern=r"^(/[^/]+)*$")
    source: Literal["declared", "surveyed", "observed"]
    by: str | None = Field(default=None, min_length=1, max_length=200)
    on: date | None = None
    n: int | None = Field(default=None, ge=1, le=10**12)
    query: Query | None = None

    @model_validator(mode="after")
    def _founded(self) -> Self:
        needed = {"declared": ("by", "on"), "surveyed": ("n",), "observed": ("query",)}
        for part in needed[self.source]:
            if getattr(self, part) is None:
                raise ValueError(f"/provenance: what is {self.source} needs {part}")
        return self


@dataclass(frozen=True, slots=True)
class Said:
    """One field: its value, since which version it is so, and who says so; `by` None: unnamed."""

    path: str
    value: object
    version: int
    since: datetime
    source: Literal["declared", "surveyed", "observed"]
    by: str | None
    on: str | None
    n: int | None
    query: Mapping[str, Any] | None
    stated_at: str | None


def fields(definition: Mapping[str, Any]) -> dict[str, object]:
    """Return every field of a stored definition by its place, provenance itself left out."""
    found: dict[str, object] = {}
    for part, value in definition.items():
        if part in LISTS:
            for item in value:
                found |= {f"/{part}/{item['id']}/{k}": v for k, v in item.items() if k != "id"}
        elif part != "provenance":
            found[f"/{part}"] = value
    return found


def check(provenance: Sequence[Provenance], items: Mapping[str, Mapping[str, Any]],
          names: Mapping[str, Any]) -> None:  # fmt: skip
    """Refuse places that a map cannot have, or has twice; raises ValueError.

    `items` are the fields of the items of each list, by id; `names` the fields of the map.
    """
    seen: set[str] = set()
    for index, one in enumerate(provenance):
        part, *rest = one.of.split("/")[1:] or [""]
        known = part == "" or (part in names and part != "provenance" and not rest)
        if part in LISTS and rest:
            known = rest[0] in items[part] and (
                len(rest) == 1 or (len(rest) == 2 and rest[1] in items[part][rest[0]])
            )
        if not known or one.of in seen:
            why = "is named twice" if known else "is no place of this map"
            raise ValueError(f"/provenance/{index}/of: {one.of!r} {why}")
        seen.add(one.of)


def who_says(
    versions: Sequence[tuple[int, datetime, Mapping[str, Any]]],
) -> Iterator[Said]:
    """Yield every field of the first of these versions, which come the newest first.

    What nobody stated is declared, by whoever saved the version since which it is so. An
    assessment names who made it.
    """
    _, _, newest = versions[0]
    stated = {one["of"]: one for one in newest.get("provenance", ())}
    older = [(number, at, fields(definition)) for number, at, definition in versions]
    for path, value in older[0][2].items():
        version, since = older[0][0], older[0][1]
        for number, at, found in older[1:]:
            if path not in found or found[path] != value:
                break
            version, since = number, at
        place: str | None = path
        while place is not None and place not in stated:
            place = place.rpartition("/")[0] if place else None
        said = stated[place] if place is not None else {}
        own = value.get("by") if isinstance(value, Mapping) else None
        yield Said(
            path=path,
            value=value,
            version=version,
            since=since,
            source=said.get("source", "declared"),
            by=said.get("by") if place == path or own is None else own,
            on=said.get("on"),
            n=said.get("n"),
            query=said.get("query"),
            stated_at=place,
        )

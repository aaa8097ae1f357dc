"""What differs between two versions of a definition, place by place; pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Difference:
    """A place (RFC 6901, items of lists by their id) that one version has otherwise, or not."""

    path: str
    kind: Literal["added", "removed", "changed", "moved"]
    before: object = None
    after: object = None


def difference(before: object, after: object, path: str = "") -> list[Difference]:
    """Return the places at which two definitions differ, in the order of the first one.

    Items of a list that have an `id` are the same item wherever they stand; that they stand in
    another order is a place of its own, because the first touchpoint that fits an event wins.
    """
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        return list(_of_objects(before, after, path))
    named, names = _named(before), _named(after)
    if named is not None and names is not None:
        found = list(_of_objects(named, names, path))
        kept = [name for name in named if name in names]
        if kept != [name for name in names if name in named]:
            found.append(Difference(path, "moved", list(named), list(names)))
        return found
    return [] if before == after else [Difference(path, "changed", before, after)]


def _of_objects(
    before: Mapping[str, object], after: Mapping[str, object], path: str
) -> Iterator[Difference]:
    for key, value in before.items():
        place = f"{path}/{_escaped(key)}"
        if key not in after:
            yield Difference(place, "removed", before=value)
        else:
            yield from difference(value, after[key], place)
    for key, value in after.items():
        if key not in before:
            yield Difference(f"{path}/{_escaped(key)}", "added", after=value)


def _named(value: object) -> dict[str, object] | None:
    """Return the items of a list by their ids, if all have one of their own."""
    if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
        return None
    found = {str(item["id"]): item for item in value if "id" in item}
    return found if len(found) == len(value) else None


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")

"""Rows of exports that hold several events, or say below another name what is of the row; pure."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

#: Lists of events within a row that is a session, a visit or a request.
LISTS = ("events", "actionDetails", "batch")
#: What Mixpanel's exports say of an event among its properties.
_OF_THE_EVENT = frozenset({"time", "distinct_id"})


def unfolded(rows: Iterable[Any]) -> Iterator[Any]:
    """Yield a row for each event, with what is said of all of them; other rows as they are."""
    for row in rows:
        if not isinstance(row, dict):
            yield row
            continue
        name = next((name for name in LISTS if _events(row.get(name))), None)
        if name is not None:
            whole = {key: value for key, value in row.items() if key != name}
            for one in row[name]:
                yield {**whole, **_present(one)}
            continue
        said = row.get("properties")
        if isinstance(said, dict) and said.keys() >= _OF_THE_EVENT and "event" in row:
            row = {**_present(said), **{k: v for k, v in row.items() if k != "properties"}}
        yield row


def keyed(value: Any) -> Any:
    """Return parameters as Google Analytics exports them (a key beside a value of one of several
    types) by their keys; anything else as it is.
    """
    if not isinstance(value, list) or not all(_parameter(one) for one in value):
        return value
    return {one["key"]: _single(one["value"]) for one in value}


def _events(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) for one in value)


def _present(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if value is not None and value != ""}


def _parameter(one: Any) -> bool:
    return (
        isinstance(one, dict) and isinstance(one.get("key"), str)
        and isinstance(one.get("value"), dict)
    )  # fmt: skip


def _single(value: Mapping[str, Any]) -> Any:
    """The value that is there; whole numbers are text in BigQuery's JSON."""
    for kind, found in value.items():
        if found is not None:
            whole = kind == "int_value" and isinstance(found, str) and found.lstrip("-").isdecimal()
            return int(found) if whole else found
    return None

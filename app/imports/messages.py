"""Turns rows of files into messages of the tracking API, each with an id that never changes."""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from app.imports.xes import read_xes

#: Columns that name the record of a people file, the first one found.
ID_COLUMNS = (
    "user_id", "userId", "id", "unique_id", "customer_id", "crm_id", "contact_id", "record_id",
)  # fmt: skip
NOTHING: Mapping[str, str] = {}
#: Columns of an events file that are not properties.
EVENT_COLUMNS = {
    "type": "type",
    "event": "event",
    "name": "name",
    "user_id": "userId",
    "userid": "userId",
    "anonymous_id": "anonymousId",
    "anonymousid": "anonymousId",
    "timestamp": "timestamp",
    "occurred_at": "timestamp",
    "message_id": "messageId",
    "messageid": "messageId",
    "properties": "properties",
    "traits": "traits",
    "context": "context",
}


def id_column(names: Iterable[str]) -> str | None:
    """Return the column that names the record of a people file, or None."""
    found = set(names)
    return next((name for name in ID_COLUMNS if name in found), None)


def people(
    rows: Iterable[Any],
    *,
    column: str,
    namespace: str,
    now: datetime,
    consents: Iterable[str] = (),
    identifiers: Mapping[str, str] = NOTHING,
) -> Iterator[Any]:
    """Yield an identify call for each row of a people file; what is no row is yielded as it is.

    The record is known by `namespace`:`row[column]`, its other columns are traits, except
    those that `identifiers` names with their namespace: logins, loyalty cards, devices. `consents`
    are purposes to which, as whoever imports the file states, these people have agreed. The message
    id is made of the content, so that the same row is the same message however often it comes.
    """
    stamp = {"consent": {"categoryPreferences": dict.fromkeys(consents, True)}} if consents else {}
    for row in rows:
        if not isinstance(row, dict):
            yield row
            continue
        identifier = str(row.get(column, ""))
        traits = {k: v for k, v in row.items() if k != column}
        message: dict[str, Any] = {
            "type": "identify",
            "traits": {k: v for k, v in traits.items() if k not in identifiers},
            "timestamp": now.isoformat(),
            "messageId": _digest("person", namespace, identifier, traits),
            "context": dict(stamp),
        }
        _know(message, namespace, identifier)
        for name, space in identifiers.items():
            if name in traits:
                _know(message, space, str(traits[name]))
        yield message


def _know(message: dict[str, Any], namespace: str, value: str) -> None:
    """Put an identifier where the tracking API has it."""
    if namespace == "user_id":
        message["userId"] = value
    elif namespace == "anonymous_id":
        message["anonymousId"] = value
    elif namespace == "device_id":
        message["context"]["device"] = {"id": value}
    else:
        external = {"id": value, "type": namespace, "collection": "users", "encoding": "none"}
        message["context"].setdefault("externalIds", []).append(external)


def events(rows: Iterable[Any], *, file: str) -> Iterator[Any]:
    """Yield a message for each row of an events file; what is no row is yielded as it is.

    Columns that the tracking API has (in its spelling or in snake_case) are taken as such, the
    others are properties. A row without a message id gets one of the file's name, its number and
    its content.
    """
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            yield row
            continue
        message: dict[str, Any] = {}
        properties: dict[str, Any] = {}
        for column, value in row.items():
            name = EVENT_COLUMNS.get(column, EVENT_COLUMNS.get(column.casefold()))
            if column in ("userId", "anonymousId", "messageId", "previousId", "groupId", "sentAt"):
                name = column
            if name is None:
                properties[column] = value
            else:
                message[name] = (
                    _parsed(value) if name in ("properties", "traits", "context") else value
                )
        if isinstance(message.get("timestamp"), datetime):
            message["timestamp"] = message["timestamp"].isoformat()
        message.setdefault("type", "track")
        place = "traits" if message["type"] in ("identify", "group") else "properties"
        given = message.get(place)
        message[place] = {**properties, **(given if isinstance(given, dict) else {})}
        message.setdefault("messageId", _digest("event", file, number, row))
        yield message


def journeys(path: Path, *, namespace: str) -> Iterator[dict[str, Any]]:
    """Yield a track call for each event of an XES log; the case is who it happened to.

    The position in the trace becomes `sourceSeq`, which keeps the log's own order where times
    are equal. Raises XesError.
    """
    for event in read_xes(path):
        properties: dict[str, Any] = dict(event.attributes)
        if event.lifecycle is not None:
            properties["lifecycle"] = event.lifecycle
        if event.resource is not None:
            properties["resource"] = event.resource
        external = {
            "id": event.case_id,
            "type": namespace,
            "collection": "users",
            "encoding": "none",
        }
        yield {
            "type": "track",
            "event": event.name,
            "timestamp": event.timestamp.isoformat(),
            "sourceSeq": event.position,
            "messageId": _digest("xes", path.name, event.case_id, event.position),
            "properties": json.loads(json.dumps(properties, default=str)),
            "context": {"externalIds": [external]},
        }


def _parsed(value: Any) -> Any:
    if isinstance(value, str):
        try:
            return json.loads(value)
        except ValueError:
            return None
    return value


def _digest(*parts: Any) -> str:
    text = json.dumps(parts, sort_keys=True, default=str, ensure_ascii=False)
    return "import-" + sha256(text.encode("utf-8", "replace")).hexdigest()[:40]

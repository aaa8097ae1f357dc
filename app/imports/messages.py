"""Turns rows of files into messages of the tracking API, each with an id that never changes."""

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from app.errors import ImportFailed
from app.imports import numbers
from app.imports.columns import Columns, called, property_of, understand
from app.imports.dates import Reader, reader
from app.imports.files import plain
from app.imports.nested import keyed
from app.imports.xes import XesEvent, XesFault, read_log

#: Columns that name the record of a people file, the first one found.
ID_COLUMNS = (
    "user_id", "userId", "id", "unique_id", "customer_id", "crm_id", "contact_id", "record_id",
)  # fmt: skip
NOTHING: Mapping[str, str] = {}
#: Fields of a message that are objects, which CSV holds as JSON text.
OBJECTS = ("properties", "traits", "context")


def id_column(names: Iterable[str]) -> str | None:
    """Return the column that names the record of a people file, or None."""
    listed = list(names)
    exact = next((name for name in ID_COLUMNS if name in listed), None)
    return exact or next((one for name in ID_COLUMNS if (one := called(name, listed))), None)


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
            "messageId": digest("person", namespace, identifier, traits),
            "context": dict(stamp),
        }
        know(message, namespace, identifier)
        for name, space in identifiers.items():
            if name in traits:
                know(message, space, str(traits[name]))
        yield message


def know(message: dict[str, Any], namespace: str, value: str) -> None:
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


@dataclass(frozen=True, slots=True)
class Faulty:
    """A message of a file with something that it must say and that cannot be read.

    `pointer` says where in the row (RFC 6901). Whoever loads it gives other reasons first.
    """

    message: dict[str, Any]
    code: str
    reason: str
    pointer: str


@dataclass
class Events:
    """The messages of an events file, one per row; what is no row is yielded as it is.

    Columns mean what `columns.understand` says of them. When it happened is said by the row or not
    at all: a time that is missing or cannot be read makes it Faulty, since the time of the import
    would be a wrong one. A row without a message id gets one of the file's name, its number and
    its content, and its number for its place among those of the same time. `called` is what
    happened where no column says so. `numeric` are columns whose texts are
    numbers where they can be. `seen` are all columns met so far.
    """

    rows: Iterable[Any]
    file: str
    names: Iterable[str] = ()
    understood: Callable[[Collection[str]], Columns] = understand
    reader: Reader = field(default_factory=reader)
    called: str | None = None
    numeric: Collection[str] = ()
    seen: dict[str, None] = field(init=False)
    columns: Columns = field(init=False)

    def __post_init__(self) -> None:
        """Decide on the columns that are named at once; raises ImportFailed."""
        self.seen = dict.fromkeys(self.names)
        self.columns = self.understood(self.seen)
        for column in self.numeric:
            if self.seen and column not in self.seen:
                there = ", ".join(self.seen)
                raise ImportFailed(f"--number-column {column}: the columns are {there}")

    def __iter__(self) -> Iterator[Any]:
        """Yield the message of each row."""
        for number, row in enumerate(self.rows):
            if not isinstance(row, dict):
                yield row
                continue
            if not row.keys() <= self.seen.keys():  # lines of NDJSON differ
                self.seen |= dict.fromkeys(row)
                self.columns = self.understood(self.seen)
            yield self._message(number, row)

    def _message(self, number: int, row: Mapping[str, Any]) -> Any:
        columns, message, properties = self.columns, dict[str, Any](), dict[str, Any]()
        for column, value in row.items():
            if column == columns.event:
                message["event"] = value
            elif column == columns.person:
                message.setdefault("context", {})
                know(message, columns.namespace, _told(value))
            elif column not in columns.time and column != columns.sequence:
                as_ = columns.fields.get(column)
                if as_ is None:
                    said = numbers.read(value) if column in self.numeric else value
                    properties[property_of(column)] = said
                elif as_ == "context" and "context" in message:
                    message["context"] = {**(_object(value) or {}), **message["context"]}
                else:
                    message[as_] = _object(value) if as_ in OBJECTS else value
        message.setdefault("type", "track")
        if self.called is not None and message["type"] == "track":
            message.setdefault("event", self.called)
        place = "traits" if message["type"] in ("identify", "group") else "properties"
        given = message.get(place)
        message[place] = {**properties, **(given if isinstance(given, dict) else {})}
        if "messageId" not in message:
            message["messageId"] = digest("event", self.file, number, row)
            message["sourceSeq"] = number
        return self._timed(message, row) or message

    def _timed(self, message: dict[str, Any], row: Mapping[str, Any]) -> Faulty | None:
        """Put time and place into a message; return what is wrong with them."""
        columns = self.columns
        if not columns.time:
            why = "no column says when it happened; name another with --time-column"
            return Faulty(message, "time_missing", why, "")
        # A day is said by one column or by three; what follows it may be missing.
        column = next(
            (one for one in columns.time[: of_day(columns.time)] if row.get(one) is None), None
        )
        if column is not None:
            why = f"column {column!r}, which says when it happened, is empty"
            return Faulty(message, "time_missing", why, _pointer(column))
        column = columns.time[0]
        found = self.reader(joined([row.get(one) for one in columns.time]))
        if isinstance(found, str):
            return Faulty(
                message, "time_unreadable", f"the time in column {column!r} is {found}",
                _pointer(column),
            )  # fmt: skip
        message["timestamp"] = found.isoformat()
        place = columns.sequence and row.get(columns.sequence)
        if columns.sequence is not None and place is not None:
            try:
                message["sourceSeq"] = int(place)
            except (TypeError, ValueError, OverflowError):
                return Faulty(
                    message, "sequence_unreadable",
                    f"column {columns.sequence!r}, its place among others, is no whole number",
                    _pointer(columns.sequence),
                )  # fmt: skip
        return None


def of_day(time: Sequence[str]) -> int:
    """How many of the columns of a time say the day."""
    return 3 if len(time) > 2 else 1


def joined(parts: Sequence[Any]) -> Any:
    """Return the time that several columns say: a day and an hour; or year, month, day and hours.

    The one that a single column says is returned as it is.
    """
    said = [part for part in parts if part is not None]
    if len(said) == 1:
        return said[0]
    if len(parts) == 2:
        return " ".join(str(part) for part in said)
    year, month, day, *clock = (_told(part).strip() for part in said)
    date = f"{year}-{month}-{day}" if month.isdigit() else f"{day} {month} {year}"
    if len(clock) == 1 and clock[0].isdigit():
        clock.append("00")
    hours = ":".join(part.zfill(2) for part in clock)
    return f"{date} {hours}" if hours else date


def _told(value: Any) -> str:
    """Return an identifier as text: a case 7 that a file holds as 7.0 is 7.

    So a Parquet file does, and a CSV file of a column of numbers of which some were missing.
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    said = str(value)
    return said.removesuffix(".0") if said.removesuffix(".0").isdecimal() else said


def _pointer(column: str) -> str:
    return "/" + column.replace("~", "~0").replace("/", "~1") if column else ""


def journeys(path: Path, *, namespace: str) -> Iterator[Any]:
    """Yield a track call for each event of an XES log; the case is who it happened to.

    What the trace says of its case stands in each event, as `case:…`, so that every analysis can
    ask for it. The position in the trace becomes `sourceSeq`, which keeps the log's own order where
    times are equal. The message id is made of what the event and its case are, whatever the file
    is called: the same log again is the same messages, a corrected event is another one; events
    that are alike are counted. What cannot be read is Faulty. Raises XesError.
    """
    # How often a case has been met: two traces may have one.
    traces: Counter[str] = Counter()
    met = 0
    alike: Counter[str] = Counter()
    for event in _log(path):
        if event.position == 0:
            alike.clear()
            met += 1
            traces[event.case_id or ""] += 1
        if isinstance(event, XesFault):
            named = {"type": "track", "event": "?", **_of_case(namespace, event.case_id or "?")}
            where = f"{event.reason} (trace {met} of those with events, event {event.position + 1})"
            yield Faulty(named, event.code, where, event.pointer)
            continue
        properties = _properties(event)
        time = event.timestamp.isoformat()
        content = digest("xes", namespace, event.case_id, event.name, time, properties)
        alike[content] += 1
        yield {
            "type": "track",
            "event": event.name,
            "timestamp": time,
            "sourceSeq": event.position,
            "messageId": digest(content, traces[event.case_id], alike[content]),
            "properties": properties,
            **_of_case(namespace, event.case_id),
        }


def _log(path: Path) -> Iterator[XesEvent | XesFault]:
    if path.suffix.lower() != ".zip":
        yield from read_log(path)
        return
    with plain(path) as stream:
        yield from read_log(stream)


def _of_case(namespace: str, case: str) -> dict[str, Any]:
    message: dict[str, Any] = {"context": {}}
    know(message, namespace, case)
    return message


def _properties(event: XesEvent) -> dict[str, Any]:
    """Return what an event and its case say, as JSON has it."""
    found: dict[str, Any] = dict(event.attributes)
    for short, long, value in (
        ("lifecycle", "lifecycle:transition", event.lifecycle),
        ("resource", "org:resource", event.resource),
    ):
        if value is not None:
            found[long if short in found else short] = value
    for name, of_case in event.trace_attributes.items():
        if name != "concept:name" and of_case is not None:
            found[f"case:{name}"] = of_case
    said: dict[str, Any] = json.loads(json.dumps(found, default=_written))
    return said


def _written(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _object(value: Any) -> Any:
    """Return an object that a cell holds as JSON text, or as a list of keys and values."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return None
    return keyed(value)


def digest(*parts: Any) -> str:
    """Return a message id that is made of what a message is, and never changes."""
    text = json.dumps(parts, sort_keys=True, default=str, ensure_ascii=False)
    return "import-" + sha256(text.encode("utf-8", "replace")).hexdigest()[:40]

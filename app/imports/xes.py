"""Reads event logs in XES (IEEE 1849-2016), plain or gzipped, one trace in memory at a time.

Expat is driven directly: a document type declaration is refused the moment it appears, so no
entity is ever defined, let alone expanded, and no extra library guards what the standard one does.
"""

import gzip
import io
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import isfinite
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO
from xml.parsers import expat

from app.imports.dates import reader

CHUNK_BYTES = 1 << 16
MAX_TOKEN_BYTES = 16 << 20
MAX_TRACE_EVENTS = 1_000_000
MAX_DEPTH = 64

XesValue = str | int | float | bool | datetime | None | list[Any] | dict[str, Any]
"""An attribute in Python's terms, ready for JSON but for the datetimes.

string, id → str; int; float; boolean → bool; date → aware datetime; list → [{key: value}, …] in
order, keys may repeat; container → {key: value}; a single value that has attributes of its own →
{"value": …, "nested": [{key: value}, …]}.
"""


class XesError(ValueError):
    """The file is not a readable XES event log.

    The message names the trace, the event or the line at fault. Everything before it has been
    yielded already, so a caller that stores events does so in one transaction.
    """


@dataclass(frozen=True, slots=True)
class XesEvent:
    """One event of a trace, with what its trace and its log say.

    `position` counts from 0 inside the trace and is what keeps the order of simultaneous events
    (13,995 neighbours of BPIC 2012 share a timestamp): store it as the event's source_seq.
    `attributes` holds what the named fields do not; `trace_attributes` and `log_attributes` are
    shared by all events of the trace and of the log.
    """

    case_id: str
    position: int
    name: str
    timestamp: datetime
    lifecycle: str | None
    resource: str | None
    attributes: Mapping[str, XesValue]
    trace_attributes: Mapping[str, XesValue]
    log_attributes: Mapping[str, XesValue]
    log_name: str | None


@dataclass(frozen=True, slots=True)
class XesFault:
    """An event that cannot be read, and why: its neighbours can.

    `code` and `reason` hold no value of the log; `pointer` names the attribute (RFC 6901).
    """

    case_id: str | None
    position: int
    code: str
    reason: str
    pointer: str = ""


_MIDNIGHT = "T24:00:00"
#: What some converters write for xs:dateTime.
_CONVERTED = reader()


def _date(text: str) -> datetime:
    """Read xs:dateTime; without a zone it is taken as UTC, digits past microseconds are cut.

    What is written otherwise, as some converters do, is read as times of other files are.
    """
    if _MIDNIGHT in text:  # XML Schema has it at the end of a day too
        return _date(text.replace(_MIDNIGHT, "T00:00:00", 1)) + timedelta(days=1)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        found = _CONVERTED(text)
        if isinstance(found, str):
            raise
        return found
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _boolean(text: str) -> bool:
    return {"true": True, "1": True, "false": False, "0": False}[text]


def _float(text: str) -> float | None:
    """Read xs:double; NaN and infinity, which JSON has not, are no value."""
    number = float(text)
    return number if isfinite(number) else None


_READ: Mapping[str, Callable[[str], XesValue]] = {
    "string": str,
    "id": str,
    "date": _date,
    "int": int,
    "float": _float,
    "boolean": _boolean,
}
_NESTS = frozenset({"list", "container"})
# Declarations that events do not carry; their content is no attribute of the log.
_DECLARATIONS = frozenset({"extension", "global", "classifier"})


@dataclass(slots=True)
class _Node:
    """An element that is still open."""

    tag: str
    key: str = ""
    value: XesValue = None
    children: list[tuple[str, XesValue]] = field(default_factory=list)
    fault: tuple[str, str] | None = None


@dataclass(slots=True)
class _Reader:
    """The state between two calls of expat; finished traces wait in `ready`."""

    open: list[_Node] = field(default_factory=list)
    silent: int = 0
    events: list[_Node] = field(default_factory=list)
    log: dict[str, XesValue] = field(default_factory=dict)
    ready: list[XesEvent | XesFault] = field(default_factory=list)
    traces: int = 0
    saw_log: bool = False

    def doctype(self, *_: object) -> None:
        raise XesError("the file declares a document type; XES needs none and entities are unsafe")

    def start(self, name: str, attributes: dict[str, str]) -> None:
        tag = name.rpartition(" ")[2]
        if self.silent or tag in _DECLARATIONS:
            self.silent += 1
            return
        if len(self.open) >= MAX_DEPTH:
            raise XesError(f"{self._where()}: elements nested more than {MAX_DEPTH} deep")
        parent = self.open[-1].tag if self.open else ""
        if {"log": "", "trace": "log", "event": "trace"}.get(tag, parent) != parent:
            raise XesError(f"{self._where()}: <{tag}> does not belong inside <{parent}>")
        self.saw_log = self.saw_log or tag == "log"
        if not self.saw_log:
            raise XesError(f"the root element is <{tag}>, not <log>")
        self.open.append(self._node(tag, attributes))

    def _node(self, tag: str, attributes: dict[str, str]) -> _Node:
        if tag in ("log", "trace", "event") or (tag == "values" and "key" not in attributes):
            return _Node(tag)
        # BPIC 2012 has nested attributes without a key (5 in its header), which the standard does
        # not allow; they are read under "". On a log, trace or event a key is what names the value.
        if "key" not in attributes and self.open[-1].tag in ("log", "trace", "event"):
            raise XesError(f"{self._where()}: <{tag}> has no key")
        key = attributes.get("key", "")
        if tag in _NESTS:
            return _Node(tag, key)
        if tag not in _READ:
            raise XesError(f"{self._where()}: <{tag}> is not an XES attribute type")
        text = attributes.get("value")
        try:
            return _Node(tag, key, None if text is None else _READ[tag](text))
        except (ValueError, KeyError):
            return self._unread(tag, key, text)

    def _unread(self, tag: str, key: str, text: str | None) -> _Node:
        """Blame the event or trace that a value is of; one of the log itself is kept as text."""
        owner = next((node for node in reversed(self.open) if node.tag in ("event", "trace")), None)
        if owner is not None:
            owner.fault = owner.fault or (f"{key} is not a {tag}", key)
        return _Node(tag, key, text)

    def end(self, _: str) -> None:
        if self.silent:
            self.silent -= 1
            return
        node = self.open.pop()
        if node.tag == "event":
            if len(self.events) >= MAX_TRACE_EVENTS:
                raise XesError(f"{self._where()}: more than {MAX_TRACE_EVENTS} events")
            self.events.append(node)
        elif node.tag == "trace":
            self._finish_trace(node)
        elif node.tag == "values":
            # XES 2.0 wraps the items of a list in <values>; 1.0 does not. Both read the same.
            self.open[-1].children += node.children
        elif node.tag != "log":
            if self.open[-1].tag == "log":
                self.log[node.key] = _value(node)
            else:
                self.open[-1].children.append((node.key, _value(node)))

    def _finish_trace(self, node: _Node) -> None:
        trace = dict(node.children)
        case = _text(trace.get("concept:name"))
        shared, log = MappingProxyType(trace), MappingProxyType(self.log)
        log_name = _text(self.log.get("concept:name"))
        for position, event in enumerate(self.events):
            fault = _fault(case, position, event, node)
            if fault is not None or case is None:
                self.ready += [fault] if fault else []
                continue
            own = dict(event.children)
            name, stamp = _text(own.pop("concept:name", None)), _time(own.pop("time:timestamp"))
            lifecycle = _text(own.pop("lifecycle:transition", None))
            resource = _text(own.pop("org:resource", None))
            self.ready.append(
                XesEvent(
                    case, position, str(name), stamp, lifecycle, resource, own, shared, log,
                    log_name,
                )
            )  # fmt: skip
        self.events = []
        self.traces += 1

    def _where(self) -> str:
        return f"trace {self.traces + 1}, event {len(self.events)}" if self.open else "the file"


def _fault(case: str | None, position: int, event: _Node, trace: _Node) -> XesFault | None:
    """Return why an event of a trace cannot be read, if it cannot."""
    own = dict(event.children)
    unread = event.fault or trace.fault
    if unread is not None:
        code = "time_unreadable" if unread[1] == "time:timestamp" else "value_unreadable"
        said = (code, unread[0], unread[1])
    elif case is None:
        said = ("case_missing", "its trace has no concept:name, hence no case id", "concept:name")
    elif _text(own.get("concept:name")) is None:
        said = ("event_missing", "it has no concept:name", "concept:name")
    elif (time := _time(own.get("time:timestamp"))) is None:
        said = ("time_missing", "it has no time:timestamp", "time:timestamp")
    elif isinstance(time, str):
        said = ("time_unreadable", f"time:timestamp is {time}", "time:timestamp")
    else:
        return None
    code, reason, key = said
    return XesFault(case, position, code, reason, "/" + key.replace("~", "~0").replace("/", "~1"))


def _time(value: XesValue) -> Any:
    """Return a time, also of one that has attributes of its own; None of what is none.

    One that is written as a string, as some converters do, is read too; what it returns as text is
    why that cannot be.
    """
    if isinstance(value, dict):
        value = value.get("value")
    if isinstance(value, str) and value.strip():
        return _CONVERTED(value)
    return value if isinstance(value, datetime) else None


def _value(node: _Node) -> XesValue:
    if node.tag == "container":
        return dict(node.children)
    nested = [{key: value} for key, value in node.children]
    if node.tag == "list":
        return nested
    return {"value": node.value, "nested": nested} if nested else node.value


def _text(value: XesValue) -> str | None:
    """A name as text; one that has attributes of its own is still a name."""
    if isinstance(value, dict):
        value = value.get("value")
    return None if value is None or isinstance(value, dict | list) else str(value)


def read_xes(source: Path | BinaryIO) -> Iterator[XesEvent]:
    """Yield the events of a log in which every event can be read; raises XesError at the first."""
    for event in read_log(source):
        if isinstance(event, XesFault):
            raise XesError(f"case {event.case_id!r}, event {event.position}: {event.reason}")
        yield event


def read_log(source: Path | BinaryIO) -> Iterator[XesEvent | XesFault]:
    """Yield the events of a log, trace by trace, in the order of the file.

    An event without case, name or timestamp, or with a value that is not of its type, is yielded
    as a fault, and what follows is read on. Gzip is recognised by its first bytes, whatever the
    file's name. Memory holds one trace and the log's own attributes. Raises XesError for anything
    that is not a whole, well-formed XES log and for a document type declaration; OSError when the
    file cannot be opened. Source: IEEE 1849-2016, extensions concept, time, lifecycle and org.
    """
    if isinstance(source, Path):
        with source.open("rb") as stream:
            yield from _read(stream)
    else:
        yield from _read(source)


def _read(stream: BinaryIO) -> Iterator[XesEvent | XesFault]:
    reader = _Reader()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartDoctypeDeclHandler = reader.doctype
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    fed = 0
    try:
        for chunk in _chunks(stream):
            parser.Parse(chunk, False)
            fed += len(chunk)
            if fed - parser.CurrentByteIndex > MAX_TOKEN_BYTES:
                raise XesError(f"one tag or text is longer than {MAX_TOKEN_BYTES} bytes")
            # The list is emptied before it is handed out: expat never runs while we are paused.
            ready, reader.ready = reader.ready, []
            yield from ready
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise XesError(f"not well-formed XML: {error}") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise XesError(f"the gzip file is cut short or damaged: {error}") from error
    yield from reader.ready


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    head = stream.read(2)
    if head != b"\x1f\x8b":
        yield head
        while chunk := stream.read(CHUNK_BYTES):
            yield chunk
        return
    with gzip.GzipFile(fileobj=io.BufferedReader(_Rejoined(head, stream))) as plain:
        while chunk := plain.read(CHUNK_BYTES):
            yield chunk


class _Rejoined(io.RawIOBase):
    """A stream with its first bytes put back; uploads cannot always seek."""

    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        self._head, self._rest = head, rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._head or self._rest.read(len(buffer))
        self._head = b""
        buffer[: len(data)] = data
        return len(data)

"""A journey's events as an event log in XES (IEEE 1849-2016): a case for each person; pure."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from xml.sax.saxutils import quoteattr

from app.journeys.definition import Journey

MEDIA_TYPE = "application/xml"
#: Characters that names may have and no XML can (XML 1.0 §2.2).
_UNWRITABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_EXTENSIONS = {"Concept": "concept", "Time": "time", "Lifecycle": "lifecycle"}


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """An event of a case, in the order of journeys, and the touchpoint that it is of."""

    person: int
    name: str
    at: datetime
    source: str | None
    touchpoint: str


def write(
    journey: Journey,
    events: Iterable[LoggedEvent],
    *,
    purpose: str,
    as_of: datetime,
    names: Mapping[int, str] | None,
) -> Iterator[bytes]:
    """Yield the log in portions: `events` by person and, within each, in order.

    A case is called as `names` says of its person, and where there are none by its number. Whoever
    is not among them is left out. Each event is complete, has its name, its time to the
    microsecond, and the touchpoint, stage and channel of the map; what else it says is not in the
    log. Events at the same time stand in their order. What no XML can hold becomes U+FFFD.
    """
    yield _head(journey, purpose, as_of).encode()
    of = {point.id: (point.stage, point.channel) for point in journey.touchpoints}
    number, open_case = 0, False
    person: int | None = None
    for event in events:
        if names is not None and event.person not in names:
            continue
        if event.person != person:
            person, number = event.person, number + 1
            case = str(number) if names is None else names[person]
            ending = "</trace>\n" if open_case else ""
            yield f"{ending}<trace>{_string('concept:name', case)}\n".encode()
            open_case = True
        stage, channel = of[event.touchpoint]
        said = {
            "concept:name": event.name,
            "lifecycle:transition": "complete",
            "touchpoint": event.touchpoint,
            "stage": stage,
            "channel": channel,
            **({} if event.source is None else {"source": event.source}),
        }
        parts = "".join(_string(key, value) for key, value in said.items())
        yield f"<event>{parts}{_date('time:timestamp', event.at)}</event>\n".encode()
    yield b"</trace>\n</log>\n" if open_case else b"</log>\n"


def _head(journey: Journey, purpose: str, as_of: datetime) -> str:
    """Everything before the cases, in the order of the schema."""
    extensions = "".join(
        f'<extension name="{name}" prefix="{prefix}"'
        f' uri="http://www.xes-standard.org/{prefix}.xesext"/>\n'
        for name, prefix in _EXTENSIONS.items()
    )
    event = _string("concept:name", "") + _string("lifecycle:transition", "complete")
    event += _date("time:timestamp", datetime(1970, 1, 1, tzinfo=UTC))
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<log xes.version="1849-2016" xes.features="" xmlns="http://www.xes-standard.org/">\n'
        f"{extensions}"
        f'<global scope="trace">{_string("concept:name", "")}</global>\n'
        f'<global scope="event">{event}</global>\n'
        '<classifier name="Event" scope="event" keys="concept:name"/>\n'
        '<classifier name="Touchpoint" scope="event" keys="touchpoint"/>\n'
        f"{_string('concept:name', journey.key)}{_string('purpose', purpose)}"
        f"{_date('as_of', as_of)}\n"
    )


def _string(key: str, value: str) -> str:
    said = _UNWRITABLE.sub("\ufffd", value)
    # A tab or a line end of an attribute is read as a space unless it is a reference (XML §3.3.3).
    return f"<string key={quoteattr(key)} value={quoteattr(said)}/>"


def _date(key: str, value: datetime) -> str:
    said = value.astimezone(UTC).isoformat(timespec="microseconds")
    return f"<date key={quoteattr(key)} value={quoteattr(said)}/>"

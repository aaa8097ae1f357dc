"""The XES reader on good files, odd files and hostile files."""

import gzip
import io
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.imports import xes
from app.imports.xes import XesError, XesEvent, XesFault, read_log, read_xes

EVENT = (
    '<event><string key="concept:name" value="A"/>'
    '<date key="time:timestamp" value="2026-01-01T10:00:00.123+02:00"/>{more}</event>'
)
TRACE = '<trace><string key="concept:name" value="{case}"/>{events}</trace>'
LOG = '<?xml version="1.0"?><log xmlns="http://www.xes-standard.org/">{body}</log>'


def log(*traces: str, head: str = "") -> bytes:
    return LOG.format(body=head + "".join(traces)).encode()


def trace(*more: str, case: str = "c1") -> str:
    return TRACE.format(case=case, events="".join(EVENT.format(more=one) for one in more))


def read(data: bytes) -> list[XesEvent]:
    return list(read_xes(io.BytesIO(data)))


def test_an_event_carries_its_names_its_place_and_its_types() -> None:
    more = (
        '<string key="lifecycle:transition" value="COMPLETE"/>'
        '<string key="org:resource" value="112"/>'
        '<int key="n" value="7"/><float key="amount" value="1.5"/>'
        '<boolean key="ok" value="true"/><id key="ref" value="u-1"/>'
        '<date key="due" value="2026-02-01T00:00:00"/>'
    )
    head = '<string key="concept:name" value="My log"/><float key="share" value="0.5"/>'
    first, second = read(log(trace(more, ""), head=head))
    assert (first.case_id, first.name, first.position, second.position) == ("c1", "A", 0, 1)
    assert first.timestamp == datetime(2026, 1, 1, 8, 0, 0, 123_000, UTC)
    assert (first.lifecycle, first.resource, first.log_name) == ("COMPLETE", "112", "My log")
    assert dict(first.attributes) == {
        "n": 7,
        "amount": 1.5,
        "ok": True,
        "ref": "u-1",
        "due": datetime(2026, 2, 1, tzinfo=UTC),
    }
    assert [type(value) for value in first.attributes.values()] == [int, float, bool, str, datetime]
    assert (second.lifecycle, second.resource, dict(second.attributes)) == (None, None, {})
    assert first.trace_attributes["concept:name"] == "c1"
    assert first.log_attributes["share"] == 0.5


def test_trace_attributes_may_follow_the_events() -> None:
    late = TRACE.format(case="c1", events=EVENT.format(more="") + '<int key="amount" value="5"/>')
    (event,) = read(log(late))
    assert event.trace_attributes["amount"] == 5


def test_lists_and_nested_attributes_keep_their_order() -> None:
    items = '<string key="x" value="1"/><string key="x" value="2"/>'
    for inner in (items, f"<values>{items}</values>"):
        (event,) = read(log(trace(f'<list key="items">{inner}</list>')))
        assert event.attributes["items"] == [{"x": "1"}, {"x": "2"}]


def test_a_container_and_a_value_with_values_of_its_own_lose_nothing() -> None:
    more = (
        '<container key="box"><int key="n" value="1"/></container>'
        '<float key="total" value="3.5"><float key="part" value="1.5"/><float value="2"/></float>'
        '<string key="lifecycle:transition" value="START"><string key="by" value="x"/></string>'
    )
    (event,) = read(log(trace(more)))
    assert dict(event.attributes) == {
        "box": {"n": 1},
        "total": {"value": 3.5, "nested": [{"part": 1.5}, {"": 2.0}]},
    }
    assert event.lifecycle == "START"


def test_declarations_are_not_attributes() -> None:
    head = (
        '<extension name="Time" prefix="time" uri="u"/><classifier name="c" keys="k"/>'
        '<global scope="event"><string key="concept:name" value="UNKNOWN"/></global>'
    )
    (event,) = read(log(trace(""), head=head))
    assert dict(event.log_attributes) == {}
    assert event.log_name is None


def test_gzip_is_recognised_by_its_bytes_and_paths_are_opened(tmp_path: Path) -> None:
    data = log(trace("", ""))
    assert read(gzip.compress(data)) == read(data)
    file = tmp_path / "log.bin"
    file.write_bytes(gzip.compress(data))
    assert list(read_xes(file)) == read(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not well-formed"),
        (b"<log><trace></log>", "not well-formed"),
        (b"case,activity\n1,A\n", "not well-formed"),
        (b"<html/>", "the root element is <html>"),
        (gzip.compress(log(trace("")))[:-9], "gzip"),
        (gzip.compress(b"x")[:4] + b"\0" * 30, "gzip"),
        (log("<event/>"), "<event> does not belong inside <log>"),
        (log("<trace><event/></trace>"), "no concept:name, hence no case id"),
        (
            log(TRACE.format(case="c", events="<event/>")),
            "case 'c', event 0: it has no concept:name",
        ),
        (
            log(
                TRACE.format(
                    case="c", events='<event><string key="concept:name" value="A"/></event>'
                )
            ),
            "event 0: it has no time:timestamp",
        ),
        (log(trace('<int key="n" value="seven"/>')), "case 'c1', event 0: n is not a int"),
        (log(trace('<date key="d" value="yesterday"/>')), "d is not a date"),
        (log(trace('<boolean key="b" value="yes"/>')), "b is not a boolean"),
        (log(trace('<string value="x"/>')), "<string> has no key"),
        (log(trace('<blob key="x" value="x"/>')), "<blob> is not an XES attribute type"),
        (log(trace('<list key="l">' * 70 + "</list>" * 70)), "nested more than 64 deep"),
    ],
)
def test_what_is_not_a_log_is_refused_with_the_place_at_fault(data: bytes, message: str) -> None:
    with pytest.raises(XesError) as refusal:
        read(data)
    assert message in str(refusal.value)


def faults(data: bytes) -> list[tuple[str, str] | str]:
    found = read_log(io.BytesIO(data))
    return [(e.code, e.pointer) if isinstance(e, XesFault) else e.name for e in found]


def test_an_event_that_cannot_be_read_costs_only_itself() -> None:
    nameless = '<event><date key="time:timestamp" value="2026-01-01T10:00:00Z"/></event>'
    timeless = '<event><string key="concept:name" value="B"/></event>'
    never = timeless.replace("</event>", '<date key="time:timestamp" value="soon"/></event>')
    wrong = EVENT.format(more='<int key="n/m" value="seven"/>')
    good = EVENT.format(more="")
    body = nameless + good + timeless + never + wrong + good
    data = log(TRACE.format(case="c", events=body), f"<trace>{good}</trace>", trace(""))
    assert faults(data) == [
        ("event_missing", "/concept:name"), "A", ("time_missing", "/time:timestamp"),
        ("time_unreadable", "/time:timestamp"), ("value_unreadable", "/n~1m"), "A",
        ("case_missing", "/concept:name"), "A",
    ]  # fmt: skip
    amount = '<float key="amount" value="much"/>'
    assert faults(log(TRACE.format(case="c", events=amount + good), trace(""))) == [
        ("value_unreadable", "/amount"), "A",
    ]  # fmt: skip
    assert read(log(trace(""), head=amount))[0].log_attributes == {"amount": "much"}


@pytest.mark.parametrize(
    "doctype",
    [
        '<!DOCTYPE log [<!ENTITY a "boom"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>',
        '<!DOCTYPE log [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE log SYSTEM "http://example.com/log.dtd">',
        "<!DOCTYPE log>",
    ],
)
def test_a_document_type_is_refused_before_anything_is_expanded(doctype: str) -> None:
    data = f'<?xml version="1.0"?>{doctype}<log><string key="k" value="&b;"/></log>'
    for hostile in (data.encode(), gzip.compress(data.encode())):
        with pytest.raises(XesError, match="document type"):
            read(hostile)


def test_one_endless_tag_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xes, "MAX_TOKEN_BYTES", 200_000)
    with pytest.raises(XesError, match="longer than"):
        read(b'<log><string key="k" value="' + b"x" * 1_000_000)


def test_one_endless_trace_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xes, "MAX_TRACE_EVENTS", 3)
    assert len(read(log(trace("", "", ""), trace("", case="c2")))) == 4
    with pytest.raises(XesError, match="more than 3 events"):
        read(log(trace("", "", "", "")))


def test_memory_does_not_grow_with_the_number_of_traces() -> None:
    def peak(traces: int) -> int:
        stream = io.BytesIO(gzip.compress(log(trace("", "") * traces)))
        tracemalloc.start()
        assert sum(1 for _ in read_xes(stream)) == 2 * traces
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    assert peak(4_000) < 1.5 * peak(1_000)

"""Events of foreign files: what columns mean, and that no row happens at the time of its import."""

import csv
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from app.access import sources
from app.db import Sessions
from app.errors import ImportFailed
from app.imports import columns, dates, files, load
from app.imports.messages import Events, Faulty

Row = Mapping[str, Any]


def made(*rows: Row, **said: Any) -> list[Any]:
    """The messages of these rows."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    order = said.pop("order", None)
    understood = partial(columns.understand, **said)
    return list(
        Events([dict(r) for r in rows], "f.csv", names, understood, dates.reader(None, order))
    )


def external(message: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(one["type"], one["id"]) for one in message["context"]["externalIds"]]


def test_a_clickstream_of_a_shop_is_understood_by_its_columns() -> None:
    """As the e-commerce logs on Kaggle write it."""
    [message] = made(
        {"event_time": "2019-10-01 00:00:00 UTC", "event_type": "view", "product_id": "3900821",
         "price": "33.20", "user_id": "554748717", "user_session": "9333dfbd"}
    )  # fmt: skip
    assert message["timestamp"] == "2019-10-01T00:00:00+00:00"
    assert (message["type"], message["event"], message["userId"]) == ("track", "view", "554748717")
    assert message["properties"] == {
        "product_id": "3900821", "price": "33.20", "user_session": "9333dfbd",
    }  # fmt: skip


@pytest.mark.parametrize(
    "row",
    [
        {"case:concept:name": "7", "concept:name": "Pay", "time:timestamp": "2019-10-01T00:00:00Z"},
        {"Case ID": "7", "Activity": "Pay", "Complete Timestamp": "2019/10/01 00:00:00.000"},
        {"case concept:name": "7", "event concept:name": "Pay",
         "event time:timestamp": "01.10.2019 00:00:00.000"},
        {"case_id": 7.0, "activity": "Pay", "date": "2019-10-01", "time": "00:00"},
    ],
)  # fmt: skip
def test_logs_of_cases_are_understood_by_their_columns(row: Row) -> None:
    [message] = made({**row, "case:amount": "5", "org:resource": "112"})
    assert (message["event"], message["timestamp"]) == ("Pay", "2019-10-01T00:00:00+00:00")
    assert external(message) == [("case_id", "7")]
    assert message["properties"] == {"case:amount": "5", "resource": "112"}


def test_what_is_said_goes_before_what_columns_are_called() -> None:
    [message] = made(
        {"who": "9", "what": "Pay", "when": "01/10/2019", "timestamp": "x", "event": "y",
         "user_id": "clerk"},
        person="who", namespace="loan_id", event="what", time=("when",), order="day-first",
    )  # fmt: skip
    assert external(message) == [("loan_id", "9")]
    assert "userId" not in message, "a clerk in another column is nobody's loan"
    assert (message["event"], message["timestamp"]) == ("Pay", "2019-10-01T00:00:00+00:00")
    assert message["properties"] == {"timestamp": "x", "event": "y", "user_id": "clerk"}
    with pytest.raises(ImportFailed, match="--time-column when: the columns are what"):
        made({"what": "Pay"}, time=("when",))


def test_the_tracking_api_s_own_column_said_is_that_column() -> None:
    row = {"user_id": "u", "anonymous_id": "a", "event": "E", "timestamp": "2019-10-01"}
    [message] = made(row, person="user_id")
    assert (message["userId"], message["anonymousId"]) == ("u", "a")
    [message] = made(row, person="user_id", namespace="member")
    assert external(message) == [("member", "u")]


@pytest.mark.parametrize(
    ("row", "code", "pointer"),
    [
        ({"timestamp": "01/10/2019"}, "time_unreadable", "/timestamp"),
        ({"a/b": "soon", "timestamp": None}, "time_missing", "/timestamp"),
        ({}, "time_missing", ""),
        ({"timestamp": "2019-10-01", "source_seq": "first"}, "sequence_unreadable", "/source_seq"),
    ],
)
def test_no_row_happens_when_it_is_imported(row: Row, code: str, pointer: str) -> None:
    [message] = made({"event": "E", "user_id": "u", **row})
    assert isinstance(message, Faulty)
    assert (message.code, message.pointer) == (code, pointer)
    assert "01/10" not in message.reason, "what stands there is no part of the reason"
    report = load.look([message])
    assert (report.accepted, dict(report.rejected)) == (0, {code: 1})


def test_the_order_of_the_source_is_kept() -> None:
    row = {"event": "E", "user_id": "u", "timestamp": "2019-10-01"}
    said = made({**row, "source_seq": "7"}, {**row, "source_seq": 3.0})
    assert [m["sourceSeq"] for m in said] == [7, 3]
    assert [m["sourceSeq"] for m in made(row, row)] == [0, 1], "else the rows' own"
    assert "sourceSeq" not in made({**row, "message_id": "m"})[0]


def test_a_column_that_first_comes_late_in_ndjson_is_understood() -> None:
    rows = Events(
        [{"event": "E", "timestamp": "2019-10-01", "userId": "u"},
         {"event": "E", "timestamp": "2019-10-01", "anonymousId": "a", "x": 1}],
        "f.ndjson",
    )  # fmt: skip
    assert [m.get("anonymousId") for m in rows] == [None, "a"]
    assert rows.columns.about(rows.seen) == {
        "event": "event", "timestamp": "timestamp", "userId": "userId",
        "anonymousId": "anonymousId", "x": "property x",
    }  # fmt: skip


@pytest.mark.usefixtures("write_key")
def test_events_of_a_file_are_stored_at_their_own_time_whenever_they_were_sent(
    sessions: Sessions, tmp_path: Path
) -> None:
    file = tmp_path / "log.csv"
    with file.open("w", newline="") as out:
        csv.writer(out).writerows(
            [("case_id", "activity", "date", "sentAt"),
             ("NA", "Pay", "13/10/2019 12:00", "2026-05-01T00:00:00Z"),
             ("NA", "Pay", "01/10/2019 12:00", "2026-05-01T00:00:00Z"),
             ("0", "Pay", "14/10/2019", "")]
        )  # fmt: skip
    with sessions() as session:
        source = sources.settings_of(sources.find(session, "web"))
    report = load.load(sessions, source, Events(files.rows(file), file.name, files.columns(file)))
    assert (report.accepted, dict(report.rejected)) == (2, {"time_unreadable": 1})
    assert report.examples["time_unreadable"].startswith("row 2: the time in column 'date'")
    with sessions() as session:
        stored = session.execute(
            sa.text("SELECT occurred_at, source_seq FROM app.event ORDER BY occurred_at")
        ).all()
        [kept] = session.execute(
            sa.text("SELECT details, replayable FROM app.rejected_event")
        ).all()
    assert [tuple(row) for row in stored] == [
        (datetime(2019, 10, 13, 12, tzinfo=UTC), 0), (datetime(2019, 10, 14, tzinfo=UTC), 2),
    ]  # fmt: skip
    assert kept.details[0]["pointer"] == "/date"
    assert not kept.replayable, "replayed it would have happened at its import"

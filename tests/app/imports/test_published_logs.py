"""Logs of process mining and clickstreams in the shapes in which they are published.

The rows are written by hand after the heads of the files at 4TU.ResearchData and UCI: Road Traffic
Fines, Hospital Billing, BPI Challenges 2011 to 2020, MSNBC, clothing of an online shop.
"""

import gzip
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from api.cli.data import _messages, _Options
from app.errors import ImportFailed
from app.imports import load

HEAD = (
    '<?xml version="1.0" encoding="UTF-8" ?>\n'
    "<!-- This file has been generated with the OpenXES library. -->\n"
    '<log xes.version="1.0" xes.features="nested-attributes" openxes.version="1.0RC7"'
    ' xmlns="http://www.xes-standard.org/">\n'
    '<extension name="Lifecycle" prefix="lifecycle" uri="http://x/lifecycle.xesext"/>\n'
    '<global scope="trace"><string key="concept:name" value="__INVALID__"/></global>\n'
    '<global scope="event"><date key="time:timestamp" value="1970-01-01T01:00:00Z"/></global>\n'
    '<classifier name="Event Name" keys="concept:name"/>\n'
    '<string key="concept:name" value="log"/>\n'
)
FINE = (
    '<trace><string key="concept:name" value="A1"/><event>'
    '<float key="amount" value="35.0"/><string key="org:resource" value="561"/>'
    '<string key="dismissal" value="NIL"/><string key="concept:name" value="Create Fine"/>'
    '<string key="lifecycle:transition" value="complete"/><int key="points" value="0"/>'
    '<date key="time:timestamp" value="2006-07-24T00:00:00.000+02:00"/></event></trace>'
)
BILL = (
    '<trace><string key="concept:name" value="BHK"/><event>'
    '<boolean key="isCancelled" value="false"/><string key="closeCode" value=""/>'
    '<string key="concept:name" value="NEW"/><string key="org:resource" value="ResA"/>'
    '<date key="time:timestamp" value="2012-12-16T19:33:10.000+01:00"/></event></trace>'
)
ORDER_ITEM = (
    '<trace><string key="concept:name" value="4507000221_00030"/>'
    '<boolean key="Goods Receipt" value="true"/><event><string key="User" value="NONE"/>'
    '<string key="concept:name" value="Vendor creates invoice"/>'
    '<float key="Cumulative net worth (EUR)" value="NaN"/>'
    '<date key="time:timestamp" value="1948-01-26T22:59:00.000Z"/></event></trace>'
)
DECLARATION = (
    '<trace><string key="id" value="declaration 86791"/>'
    '<string key="concept:name" value="declaration 86791"/><float key="Amount" value="26.85"/>'
    '<event><string key="id" value="st_step 86794_0"/><string key="org:role" value="EMPLOYEE"/>'
    '<string key="concept:name" value="Declaration SUBMITTED by EMPLOYEE"/>'
    '<date key="time:timestamp" value="2017-01-09T08:49:50.000Z"/></event></trace>'
)
PATIENT = (
    '<trace><string key="concept:name" value="00000000"/><int key="Age" value="33"/>'
    '<date key="Start date" value="2006-01-04T23:45:36.000+01:00"/>'
    '<string key="Diagnosis code:1" value="822"/><event>'
    '<string key="org:group" value="Radiotherapy"/><int key="Number of executions" value="1"/>'
    '<string key="concept:name" value="1e consult poliklinisch"/>'
    '<date key="time:timestamp" value="2005-01-03T00:00:00.000+01:00"/></event></trace>'
)
CLOTHING = (
    "year;month;day;order;country;session ID;page 1 (main category);price\n"
    "2008;4;1;2;29;1;2;33\n2008;4;1;1;29;1;1;28\n2008;;1;1;29;2;1;28\n"
)
VISITS = (
    "% Different categories found in input file:\n\nfrontpage news tech\n\n\n% Sequences:\n\n"
    "1 1 \n3 2 2 9 \n\n1 x 2\n"
)


def imported(file: Path, **said: Any) -> tuple[load.Report, list[Any]]:
    """What `parcours import --dry-run` reports of a file, and the messages it is of."""
    wanted = dict.fromkeys(_Options.__dataclass_fields__) | {
        "time_columns": (), "numeric": (), "names": (),
    }  # fmt: skip
    found = list(_messages(file, _Options(**{**wanted, **said})))
    return load.look(found), found


@pytest.mark.parametrize(
    ("trace", "case", "event", "time", "properties"),
    [
        (FINE, "A1", "Create Fine", "2006-07-24T00:00:00+02:00",
         {"amount": 35.0, "dismissal": "NIL", "points": 0, "resource": "561",
          "lifecycle": "complete"}),
        (BILL, "BHK", "NEW", "2012-12-16T19:33:10+01:00",
         {"isCancelled": False, "closeCode": "", "resource": "ResA"}),
        (ORDER_ITEM, "4507000221_00030", "Vendor creates invoice", "1948-01-26T22:59:00+00:00",
         {"User": "NONE", "Cumulative net worth (EUR)": None, "case:Goods Receipt": True}),
        (DECLARATION, "declaration 86791", "Declaration SUBMITTED by EMPLOYEE",
         "2017-01-09T08:49:50+00:00",
         {"id": "st_step 86794_0", "org:role": "EMPLOYEE", "case:id": "declaration 86791",
          "case:Amount": 26.85}),
        (PATIENT, "00000000", "1e consult poliklinisch", "2005-01-03T00:00:00+01:00",
         {"org:group": "Radiotherapy", "Number of executions": 1, "case:Age": 33,
          "case:Start date": "2006-01-04T23:45:36+01:00", "case:Diagnosis code:1": "822"}),
    ],
    ids=["road fines", "hospital billing", "bpic 2019", "bpic 2020", "bpic 2011"],
)  # fmt: skip
def test_logs_of_process_mining_come_in_as_they_are_published(
    tmp_path: Path, trace: str, case: str, event: str, time: str, properties: dict[str, Any]
) -> None:
    file = tmp_path / "A log - as published.xes.gz"
    file.write_bytes(gzip.compress(f"{HEAD}{trace}</log>".encode()))
    report, [message] = imported(file)
    assert (report.accepted, dict(report.rejected)) == (1, {})
    [known] = message["context"]["externalIds"]
    assert (known["type"], known["id"]) == ("case_id", case)
    assert (message["event"], message["timestamp"]) == (event, time)
    assert message["properties"] == properties


def test_a_day_in_three_columns_and_clicks_in_the_order_of_another(tmp_path: Path) -> None:
    file = tmp_path / "e-shop clothing 2008.csv"
    file.write_text(CLOTHING, encoding="utf-8")
    said = {"id_column": "session ID", "namespace": "session_case_id", "numeric": ("price",),
            "event_column": "page 1 (main category)"}  # fmt: skip
    report, [late, early, torn] = imported(file, order_column="order", **said)
    assert (report.accepted, dict(report.rejected)) == (2, {"time_missing": 1})
    assert torn.pointer == "/month"
    assert {late["timestamp"], early["timestamp"]} == {"2008-04-01T00:00:00+00:00"}
    assert [late["sourceSeq"], early["sourceSeq"]] == [2, 1]
    assert early["properties"] == {"country": "29", "price": 28}
    with pytest.raises(ImportFailed, match="--order-column place: the columns are year"):
        imported(file, order_column="place", **said)


@pytest.mark.parametrize(
    ("row", "time"),
    [
        ("2015,July,1,x", "2015-07-01T00:00:00+00:00"),
        ("2015,7,01,9", "2015-07-01T09:00:00+00:00"),
        ("2015.0,7.0,1.0,9:30", "2015-07-01T09:30:00+00:00"),
        ("2015,7,1,", "2015-07-01T00:00:00+00:00"),
    ],
)
def test_three_columns_and_an_hour_are_read_as_they_are_named(
    tmp_path: Path, row: str, time: str
) -> None:
    file = tmp_path / "bookings.csv"
    file.write_text(f"arrival_year,arrival_month,arrival_day,hour,user_id\n{row},7\n", "utf-8")
    columns = ("arrival_year", "arrival_month", "arrival_day")
    hour = () if row.endswith("x") else ("hour",)
    report, [message] = imported(file, time_columns=columns + hour, event_name="Arrived")
    assert (report.accepted, message["timestamp"]) == (1, time)


@pytest.mark.parametrize(
    ("name", "content", "names"),
    [
        ("CDNOW_master.txt",
         " customer_id  date number_of_cds  dollar_value\n 00001 19970101  1   11.77 \n", ()),
        ("CDNOW_sample.txt.gz", " 00004 00001 19970101  1   11.77\n",
         ("master", "customer_id", "date", "number_of_cds", "dollar_value")),
        ("clicks.dat", "00001,19970101,1,11.77\n",
         ("customer_id", "date", "number_of_cds", "dollar_value")),
    ],
)  # fmt: skip
def test_tables_of_text_without_names_or_commas(
    tmp_path: Path, name: str, content: str, names: tuple[str, ...]
) -> None:
    file = tmp_path / name
    packed = content.encode()
    file.write_bytes(gzip.compress(packed) if name.endswith(".gz") else packed)
    said = {"names": names, "numeric": ("dollar_value",), "event_name": "Purchase"}
    report, [message] = imported(file, **said)
    assert (report.accepted, message["timestamp"]) == (1, "1997-01-01T00:00:00+00:00")
    [known] = message["context"]["externalIds"]
    assert (known["type"], known["id"]) == ("customer_id", "00001")
    assert message["properties"]["dollar_value"] == 11.77


def test_visits_of_msnbc_are_a_person_a_line_on_the_day_that_is_said(tmp_path: Path) -> None:
    file = tmp_path / "msnbc990928.seq"
    file.write_text(VISITS, encoding="ascii")
    day = datetime(1999, 9, 28)  # as the command line reads a day
    report, found = imported(file, day=day)
    assert (report.accepted, report.rejected.total()) == (8, 1)
    assert report.first == report.last == datetime(1999, 9, 28, tzinfo=UTC)
    told = [
        (one["context"]["externalIds"][0]["id"], one["sourceSeq"], one["event"])
        for one in found
        if isinstance(one, dict)
    ]
    assert told == [
        ("1", 0, "frontpage"), ("1", 1, "frontpage"),
        ("2", 0, "tech"), ("2", 1, "news"), ("2", 2, "news"), ("2", 3, "9"),
        ("3", 0, "frontpage"), ("3", 2, "news"),
    ]  # fmt: skip
    assert len({one["messageId"] for one in found if isinstance(one, dict)}) == 8
    with pytest.raises(ImportFailed, match="say the day with --on"):
        imported(file)
    with pytest.raises(ImportFailed, match="--columns are of CSV"):
        imported(file, day=day, names=("a", "b"))
    (tmp_path / "log.csv").write_text("event,timestamp\nx,2020-01-01\n", "utf-8")
    with pytest.raises(ImportFailed, match="--on is of sequences"):
        imported(tmp_path / "log.csv", day=day)
    file.write_bytes(b"\xff\xfe1 2")
    with pytest.raises(ImportFailed, match="not readable as sequences"):
        imported(file, day=day)

"""Public logs as they are published: shops, clickstreams, help desks, hospitals; a few rows each.

The rows are written by hand after the descriptions of RetailRocket, Online Retail (II), CDNOW, the
Italian help desk and Sepsis Cases.
"""

import gzip
from datetime import datetime
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import openpyxl
import pytest

from api.cli.data import _messages, _Options
from app.errors import ImportFailed
from app.imports import load, numbers
from app.imports.dates import Order

SHOP = "Invoice,StockCode,Description,Quantity,InvoiceDate,Price,Customer ID,Country\n"
RETAIL = (
    SHOP + "489434,85048,15CM CHRISTMAS GLASS BALL,12,2009-12-01 07:45:00,6.95,13085.0,UK\n"
    '489434,22041,"RECORD FRAME 7"" SINGLE SIZE",48,2009-12-01 07:45:00,2.1,13085.0,UK\n'
    "581587,22899,APRON,6,2011-12-09 12:50:00,2.1,,France\n"
)
ROCKET = (
    "timestamp,visitorid,event,itemid,transactionid\n"
    "1433221332117,257597,view,355908,\n1433224214164,992329,transaction,248676,117\n"
)
HELP = "CaseID,ActivityID,CompleteTimestamp\n2,1,2012-04-03 16:55:38\n2,8,2012-04-03 16:55:53\n"
SEPSIS = """<?xml version="1.0" encoding="UTF-8" ?>
<log xes.version="1.0" xes.features="nested-attributes" xmlns="http://www.xes-standard.org/">
<extension name="Concept" prefix="concept" uri="http://www.xes-standard.org/concept.xesext"/>
<global scope="event"><string key="concept:name" value="UNKNOWN"/></global>
<classifier name="Activity" keys="Activity"/>
<trace><string key="concept:name" value="A"/>
<event><string key="concept:name" value="ER Registration"/><int key="Age" value="85"/>
<date key="time:timestamp" value="2014-10-22T11:15:41.000+02:00"/></event>
<event><string key="concept:name" value="CRP"/><float key="CRP" value="21.0"/>
<string key="lifecycle:transition" value="complete"/>
<date key="time:timestamp" value="2014-10-22T11:27:00.000+02:00"/></event>
<event><string key="concept:name" value="LacticAcid"/></event></trace></log>"""


def imported(
    file: Path, event_name: str | None = None, order: Order | None = None, *numeric: str
) -> tuple[load.Report, list[Any]]:
    """What `parcours import --dry-run` reports of a file, and the messages it is of."""
    said = _Options(None, None, None, None, (), None, order, event_name, numeric)
    found = list(_messages(file, said))
    return load.look(found), found


def who(message: Any) -> str:
    [one] = message["context"]["externalIds"]
    return f"{one['type']}:{one['id']}"


@pytest.mark.parametrize("name", ["retail.csv", "retail.csv.gz", "retail.zip", "retail.xlsx"])
def test_a_shop_s_transactions_are_events_of_the_name_that_is_said(
    tmp_path: Path, name: str
) -> None:
    file = tmp_path / name
    if name.endswith(".xlsx"):
        book = openpyxl.Workbook()
        sheet = book.worksheets[0]
        at = datetime(2009, 12, 1, 7, 45)
        sheet.append(SHOP.strip().split(","))
        sheet.append(["489434", "85048", "BALL", 12, at, 6.95, 13085.0, "UK"])
        sheet.append(["489434", "22041", 'FRAME 7"', 48, at, 2.1, 13085, "UK"])
        sheet.append(["581587", "22899", "APRON", 6, datetime(2011, 12, 9), 2.1, None, "FR"])
        book.save(file)
    elif name.endswith(".zip"):
        with ZipFile(file, "w") as archive:
            archive.writestr("data/retail.csv", RETAIL)
            archive.writestr("__MACOSX/data/._retail.csv", "x")
    else:
        file.write_bytes(
            gzip.compress(RETAIL.encode()) if name.endswith(".gz") else RETAIL.encode()
        )
    report, messages = imported(file, "Order Line")
    assert (report.accepted, dict(report.rejected)) == (2, {"no_user_anon_id": 1})
    for place, message in enumerate(messages[:2]):
        assert (message["event"], who(message)) == ("Order Line", "customer_id:13085")
        assert message["timestamp"] == "2009-12-01T07:45:00+00:00"
        assert message["sourceSeq"] == place, "lines of one moment keep their order"
    assert float(messages[1]["properties"]["Price"]) == 2.1


def test_semicolons_another_encoding_and_lines_within_quotes(tmp_path: Path) -> None:
    file = tmp_path / "online.csv"
    file.write_bytes(
        "InvoiceNo;Description;InvoiceDate;UnitPrice;CustomerID\r\n"
        '536365;"CRÈME\r\nHOLDER";01-12-2010 08:26;2,55;17850\r\n'.encode("cp1252")
    )
    report, [message] = imported(file, "Order", order="day-first")
    assert report.accepted == 1
    assert message["properties"]["Description"] == "CRÈME\r\nHOLDER"
    assert message["timestamp"] == "2010-12-01T08:26:00+00:00"


def test_a_clickstream_in_milliseconds_and_a_help_desk_by_number(tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text(ROCKET, encoding="utf-8")
    report, [first, second] = imported(tmp_path / "events.csv")
    assert report.accepted == 2
    assert (first["anonymousId"], first["event"]) == ("257597", "view")
    assert first["timestamp"] == "2015-06-02T05:02:12.117000+00:00"
    assert second["properties"] == {"itemid": "248676", "transactionid": "117"}
    (tmp_path / "helpdesk.csv").write_text("\ufeff" + HELP, encoding="utf-8")
    report, [opened, closed] = imported(tmp_path / "helpdesk.csv")
    assert (report.accepted, who(opened), who(closed)) == (2, "case_id:2", "case_id:2")
    assert [opened["event"], closed["event"]] == ["1", "8"]


def test_purchases_by_day_alone(tmp_path: Path) -> None:
    file = tmp_path / "cdnow.csv"
    file.write_text("customer_id,date,quantity,price\n00001,19970101,1,11.77\n", encoding="utf-8")
    report, [message] = imported(file, "Purchase")
    assert report.accepted == 1
    assert (who(message), message["timestamp"]) == (
        "customer_id:00001", "1997-01-01T00:00:00+00:00",
    )  # fmt: skip


@pytest.mark.parametrize("name", ["a.xes", "a.xes.gz", "a.zip", "b.zip"])
def test_a_hospital_s_log_whatever_it_is_packed_in(tmp_path: Path, name: str) -> None:
    file, packed = tmp_path / name, gzip.compress(SEPSIS.encode())
    if name.endswith(".zip"):
        with ZipFile(file, "w") as archive:
            inside = ("Sepsis.xes.gz", packed) if name == "b.zip" else ("Sepsis.xes", SEPSIS)
            archive.writestr(*inside)
    else:
        file.write_bytes(packed if name.endswith(".gz") else SEPSIS.encode())
    report, messages = imported(file)
    assert (report.accepted, dict(report.rejected)) == (2, {"time_missing": 1})
    assert [messages[0]["properties"], messages[1]["properties"]] == [
        {"Age": 85}, {"CRP": 21.0, "lifecycle": "complete"},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("6.95", 6.95), ("-12", -12), ("007", 7), ("1,234.5", 1234.5), ("1.234,5", 1234.5),
        ("1\u202f234,50", 1234.5), ("2,55", 2.55), ("1e3", 1000.0), ("1,234", 1234),
        (" 12 ", 12), ("12345678901234567890", 12345678901234567890.0),
        ("1,23,4", "1,23,4"), ("£6", "£6"), ("1e999", "1e999"), ("١٢", "١٢"), (5, 5), (True, True),
    ],
)  # fmt: skip
def test_numbers_are_read_as_people_write_them(text: object, number: object) -> None:
    found = numbers.read(text)
    assert (found, type(found)) == (number, type(number))


def test_a_column_said_to_be_of_numbers_has_numbers(tmp_path: Path) -> None:
    file = tmp_path / "retail.csv"
    file.write_text(RETAIL, encoding="utf-8")
    _, [first, *_] = imported(file, "Order", None, "Price", "Quantity", "Description")
    kept = {name: first["properties"][name] for name in ("Price", "Quantity", "StockCode")}
    assert kept == {"Price": 6.95, "Quantity": 12, "StockCode": "85048"}
    assert first["properties"]["Description"] == "15CM CHRISTMAS GLASS BALL"
    with pytest.raises(ImportFailed, match="--number-column Prise: the columns are Invoice"):
        imported(file, "Order", None, "Prise")


def test_an_archive_that_holds_no_one_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.zip"
    with ZipFile(file, "w") as archive:
        archive.writestr("a.csv", ROCKET)
        archive.writestr("b.csv", ROCKET)
    for content, why in (
        (file.read_bytes(), "has 2 files"),
        (b"PK nothing", "not readable as ZIP"),
    ):
        file.write_bytes(content)
        with pytest.raises(ImportFailed, match=why):
            imported(file)
    with ZipFile(file, "w") as archive:
        archive.writestr("a.parquet", b"PAR1")
    with pytest.raises(ImportFailed, match="unpack it"):
        imported(file)
    (tmp_path / "a.xlsx").write_bytes(b"PK nothing")
    with pytest.raises(ImportFailed, match="not readable as XLSX"):
        imported(tmp_path / "a.xlsx")

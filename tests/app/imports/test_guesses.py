"""What the first rows of a file show, and what is said of a file of which too little is known."""

import json
from pathlib import Path
from typing import Any

import pytest

from app.errors import ImportFailed
from app.imports import files
from tests.app.imports.test_published_logs import HEAD, imported

CLICKS = "prev\tcurr\ttype\tn\nother-search\tLyon\texternal\t1200\nFrance\tLyon\tlink\t30\n"
CRITEO = "timestamp\tuid\tcampaign\tconversion\tclick\n0\t20073966\t1\t0\t0\n2\t2\t1\t0\t1\n"
ORDERS = "order_id,user_id,order_number,order_dow,order_hour_of_day\n" + "".join(
    f"{n},{n // 5 + 1},{n % 5},2,08\n" for n in range(20)
)
CHURN = "customerID,gender,tenure,Churn\n7590-VHVEG,Female,1,No\n5575-GNVDE,Male,34,No\n"
VISITS = "CustomerID;SessionID;TIMESTAMP;PAGE_NAME\n7;1;2015-07-15 10:00:00.000;home\n"


def log(tmp_path: Path, text: str, name: str = "log.csv", encoding: str = "utf-8") -> Path:
    file = tmp_path / name
    file.write_bytes(text.encode(encoding))
    return file


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("clickstream.tsv", CLICKS, "no column names a person.*prev, curr, type, n"),
        ("criteo.tsv", CRITEO, "'timestamp' says when.*--event-name.*--kind people"),
        ("orders.csv", ORDERS, "20 rows have 4 different user_id.*--kind events"),
        ("clicks.csv", VISITS, "'TIMESTAMP' says when.*--event-column"),
        ("log.csv", "case_id,activity\n1,Pay\n", "no column names a person.*--time-column"),
        ("log.csv", "activity,timestamp\nPay,2019-10-01\n", "to whom.*--id-column"),
        ("UserBehavior.csv", "1,2268318,pv,1511544070\n2,5,pv,1511544071\n", "--columns what"),
        ("log.json", "[1, 2", "broken or cut short"),
        ("log.json", '{\n"a": 1\n}\n', "no line of it is a JSON object"),
    ],
)
def test_a_file_of_which_too_little_is_known_says_what_to_say(
    tmp_path: Path, name: str, text: str, why: str
) -> None:
    with pytest.raises(ImportFailed, match=why):
        imported(log(tmp_path, text, name))


def test_what_is_said_then_makes_it_come_in(tmp_path: Path) -> None:
    criteo = log(tmp_path, CRITEO, "criteo.tsv")
    with pytest.raises(ImportFailed, match=r"too small.*--time-format"):
        imported(criteo, event_name="Impression")
    report, [first, _] = imported(criteo, event_name="Impression", time_format="seconds")
    assert (report.accepted, first["userId"], first["timestamp"]) == (
        2, "20073966", "1970-01-01T00:00:00+00:00",
    )  # fmt: skip
    report, _ = imported(log(tmp_path, ORDERS), kind="people")
    assert report.accepted == 20
    report, [click] = imported(log(tmp_path, VISITS), event_column="PAGE_NAME")
    assert click["event"] == "home"
    assert click["context"]["externalIds"][0]["type"] == "customer_id"
    with pytest.raises(ImportFailed, match="when it happened; name one with --time-column"):
        imported(log(tmp_path, CHURN), kind="events")


def test_a_table_of_customers_is_people_by_its_column_in_any_spelling(tmp_path: Path) -> None:
    report, [first, _] = imported(log(tmp_path, CHURN, "churn.csv", "utf-8-sig"))
    assert (report.accepted, first["type"]) == (2, "identify")
    assert first["context"]["externalIds"][0]["id"] == "7590-VHVEG"
    assert first["traits"] == {"gender": "Female", "tenure": "1", "Churn": "No"}


def test_one_day_that_shows_the_order_tells_it_of_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As BPI Challenge 2019's table writes it."""
    head = "case concept:name,event concept:name,event time:timestamp\n"
    rows = "a,Pay,02-01-2018 10:53:00.000\na,Clear,26-01-2018 23:59:00.000\n"
    report, [first, _] = imported(log(tmp_path, head + rows))
    assert (report.accepted, first["timestamp"]) == (2, "2018-01-02T10:53:00+00:00")
    assert "read day-first" in capsys.readouterr().err
    report, [first, _] = imported(log(tmp_path, head + rows.replace("26-01", "01-26")))
    assert first["timestamp"] == "2018-02-01T10:53:00+00:00"
    # None shows it; or they contradict each other, and only what is clear comes in.
    with pytest.raises(
        ImportFailed, match="either day or month first; say which with --date-order"
    ):
        imported(log(tmp_path, head + "a,Pay,02-01-2018 10:53\n"))
    torn = head + rows + "a,Pay,01-26-2018 10:00\n"
    report, _ = imported(log(tmp_path, torn))
    assert (report.accepted, dict(report.rejected)) == (2, {"time_unreadable": 1})


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
@pytest.mark.parametrize("form", ["csv", "ndjson"])
def test_an_event_is_read_in_every_encoding(tmp_path: Path, encoding: str, form: str) -> None:
    rows = [{"Case ID": "1", "Activity": "Réglé", "Complete Timestamp": "2012/10/09 14:50:17.000"}]
    text = json.dumps(rows[0], ensure_ascii=False)
    if form == "csv":
        text = '"Case ID";"Activity";"Complete Timestamp, UTC, as logged"\n1;Réglé;2012/10/09 14:50'
    file = log(tmp_path, text + "\n", f"log.{form}", encoding)
    said: dict[str, Any] = {}
    if form == "csv":
        said = {"time_columns": ("Complete Timestamp, UTC, as logged",)}
    report, [message] = imported(file, **said)
    assert (report.accepted, message["event"]) == (1, "Réglé")
    assert message["timestamp"].startswith("2012-10-09T14:50")
    assert files.encoding(file).startswith("UTF" if encoding != "cp1252" else "Windows")


@pytest.mark.parametrize(
    ("element", "time"),
    [
        ('<string key="time:timestamp" value="2012-04-03 16:55:38"/>', "2012-04-03T16:55:38+00:00"),
        ('<string key="time:timestamp" value="2012/04/03 16:55:38.500"/>',
         "2012-04-03T16:55:38.500000+00:00"),
        ('<date key="time:timestamp" value="2012-04-03T16:55:38Z"/>', "2012-04-03T16:55:38+00:00"),
        ('<date key="time:timestamp" value="2012-04-03T16:55:38.123"/>',
         "2012-04-03T16:55:38.123000+00:00"),
        ('<date key="time:timestamp" value="2012-04-03T24:00:00Z"/>', "2012-04-04T00:00:00+00:00"),
        ('<date key="time:timestamp" value="03.04.2012 16:55"/>', "2012-04-03T16:55:00+00:00"),
        ('<string key="time:timestamp" value="03/04/2012 16:55"/>', "either day or month first"),
        ('<string key="time:timestamp" value="soon"/>', "in no form that is known"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["log.xes", "log.xml"])
def test_times_of_xes_are_read_as_converters_write_them(
    tmp_path: Path, element: str, time: str, name: str
) -> None:
    trace = (
        f'{HEAD}<trace><string key="concept:name" value="1"/><event>'
        f'<string key="concept:name" value="Pay"/>{element}</event></trace></log>'
    )
    report, [message] = imported(log(tmp_path, trace, name))
    if time.startswith("20"):
        assert (report.accepted, message["timestamp"]) == (1, time)
    else:
        assert (message.code, time in message.reason) == ("time_unreadable", True)
    with pytest.raises(ImportFailed, match="--id-column is of tables"):
        imported(tmp_path / name, id_column="case")

"""Files come in by `parcours import`: a real bank's log, people, events, and their bad rows."""

import json
from pathlib import Path
from time import monotonic
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from tests.end_to_end.conftest import Measure
from tests.end_to_end.product import Product, wait_until
from tests.real_data import need

LOAN = ["A_SUBMITTED", "A_PREACCEPTED", "O_SENT", "O_ACCEPTED", "A_ACTIVATED"]
SERVICE = {"purpose": "service.operation"}
COUNTS = (
    "SELECT (SELECT count(*) FROM app.event), (SELECT count(*) FROM app.change),"
    " (SELECT count(*) FROM identity.identifier), (SELECT count(*) FROM identity.link),"
    " (SELECT count(*) FROM identity.merge), (SELECT count(*) FROM app.trait),"
    " (SELECT count(DISTINCT person_id) FROM identity.current_person),"
    " (SELECT count(*) FROM consent.record)"
)


def state(product: Product) -> tuple[int, ...]:
    """How much of everything there is, and who is who."""
    with product.tables() as session:
        return tuple(session.execute(sa.text(COUNTS)).one())


def worked_off(product: Product) -> bool:
    answer = httpx.get(f"{product.url}/readyz", trust_env=False).json()
    return bool(answer.get("backlog") == 0)


def funnel(client: httpx.Client) -> dict[str, Any]:
    answer = client.post(
        "/v1/analyses/funnel", json={"steps": [{"event": name} for name in LOAN]}, timeout=120
    )
    assert answer.status_code == 200, answer.text
    said: dict[str, Any] = answer.json()
    return {key: said[key] for key in said if key not in ("as_of", "query_id")}  # as of now


@pytest.mark.long
def test_the_log_of_a_bank_imported_twice_changes_nothing_the_second_time(
    own_product: Product, measure: Measure
) -> None:
    log = need("data/journeys/bpic2012/bpic2012.xes.gz")
    own_product.start()
    own_product.add_source("bank")
    client = own_product.add_client()
    arguments = ("import", log, "--source", "bank", "--consent", "analytics.audience")
    started = monotonic()
    first = own_product.cli(*arguments)
    measure("first import s", round(monotonic() - started, 1))
    assert first["received"] == first["accepted"] == 262_200
    assert (first["duplicates"], first["rejected"]) == (0, {})
    wait_until(lambda: worked_off(own_product), 300, what="the pipeline has worked it off")
    measure("import and pipeline s", round(monotonic() - started, 1))

    def counts() -> list[int]:
        return [step["n"] for step in funnel(client)["result"]["steps"]]

    expected = [13_087, 7_367, 5_015, 2_243, 1_834]
    wait_until(lambda: counts() == expected, 60, what=f"the funnel is {expected}")
    measure("funnel", counts())
    before = state(own_product)
    answer = funnel(client)
    assert (answer["n_profiles"], answer["n_events"]) == (13_087, 262_200)
    assert (before[0], before[6]) == (262_200, 13_087)

    started = monotonic()
    second = own_product.cli(*arguments)
    measure("second import s", round(monotonic() - started, 1))
    assert (second["accepted"], second["duplicates"], second["rejected"]) == (0, 262_200, {})
    wait_until(lambda: worked_off(own_product), 30)
    assert state(own_product) == before
    assert funnel(client) == answer


@pytest.fixture(scope="module")
def client(product: Product) -> httpx.Client:
    product.add_source("files")
    return product.add_client()


def events_of(client: httpx.Client, reference: str, expected: int) -> list[dict[str, Any]]:
    def read() -> list[dict[str, Any]]:
        answer = client.get(f"/v1/profiles/{reference}/events", params=SERVICE)
        found = answer.json().get("data", [])
        return found if len(found) == expected else []

    return wait_until(read, 15, what=f"{expected} events of {reference}")


EVENTS = [
    {"event": "Order Completed", "user_id": "zoë", "timestamp": "2026-01-02T03:04:05.678Z",
     "total": "12,50 €", "市": "東京"},
    {"event": "Order Completed", "user_id": "zoë", "timestamp": "2026-01-02T03:04:06Z",
     "total": "1", "市": "大阪"},
    {"event": "", "user_id": "zoë", "timestamp": "", "total": "no name", "市": ""},
    {"event": "Orphaned", "user_id": "", "timestamp": "", "total": "nobody", "市": ""},
]  # fmt: skip


@pytest.mark.parametrize("format_", ["csv", "ndjson"])
def test_events_come_in_as_they_are_and_bad_rows_are_reported(
    product: Product, client: httpx.Client, tmp_path: Path, format_: str
) -> None:
    file = tmp_path / f"évènements.{format_}"
    user = f"zoë-{format_}"
    rows = [{**row, "user_id": user if row["user_id"] else ""} for row in EVENTS]
    if format_ == "csv":
        lines = [";".join(row.values()) for row in rows]
        file.write_text("\n".join([";".join(rows[0]), *lines, ""]), encoding="utf-8-sig")
    else:
        file.write_text(
            "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8"
        )
    said = product.cli("import", file, "--source", "files")
    assert {k: said[k] for k in ("received", "accepted", "duplicates", "rejected")} == {
        "received": 4,
        "accepted": 2,
        "duplicates": 0,
        "rejected": {"event_missing": 1, "no_user_anon_id": 1},
    }
    assert said["examples"]["event_missing"].startswith("row 3: ")
    assert said["examples"]["no_user_anon_id"].startswith("row 4: ")
    second, first = events_of(client, f"user_id:{user}", 2)
    assert (first["name"], first["properties"]) == (
        "Order Completed",
        {"total": "12,50 €", "市": "東京"},
    )
    assert first["occurred_at"] == "2026-01-02T03:04:05.678000+00:00"
    assert second["properties"]["市"] == "大阪"
    again = product.cli("import", file, "--source", "files")
    assert (again["accepted"], again["duplicates"]) == (0, 2)
    assert len(events_of(client, f"user_id:{user}", 2)) == 2


def test_a_dry_run_says_what_columns_become_and_stores_nothing(
    product: Product, client: httpx.Client, tmp_path: Path
) -> None:
    file = tmp_path / "cases.csv"
    file.write_text("Case;What;date;note\n0;Paid;01/10/2019 12:00;a\n0;Sent;13/10/2019;b\n"
                    "0;Late;10/14/2019;c\n")  # fmt: skip
    said = ("import", file, "--source", "files", "--event-column", "What")
    assert product.cli(*said, "--dry-run") == {
        "received": 3,
        "readable": 2,
        "rejected": {"time_unreadable": 1},
        "examples": {
            "time_unreadable": "row 1: the time in column 'date' is either day or month first;"
            " say which with --date-order"
        },
        "first": "2019-10-13T00:00:00+00:00",
        "last": "2019-10-14T00:00:00+00:00",
        "columns": {
            "Case": "identifier case_id", "What": "event", "date": "timestamp",
            "note": "property note",
        },
        "not_understood": ["note"],
    }  # fmt: skip
    told = product.cli(*said, "--date-order", "day-first", "--namespace", "loan_case_id")
    assert (told["accepted"], told["not_understood"]) == (2, ["note"])
    assert told["rejected"] == {"time_unreadable": 1}
    found = events_of(client, "loan_case_id:0", 2)
    assert [one["occurred_at"][:16] for one in found] == ["2019-10-13T00:00", "2019-10-01T12:00"]


@pytest.mark.parametrize("format_", ["csv", "ndjson"])
def test_people_come_in_with_their_traits_and_bad_rows_are_reported(
    product: Product, client: httpx.Client, tmp_path: Path, format_: str
) -> None:
    file = tmp_path / f"people.{format_}"
    rows = [
        {"crm_id": f"{format_}-1", "first_name": "Łucja", "email": f"lucja@{format_}.example"},
        {"crm_id": f"{format_}-2", "first_name": "名", "email": ""},
        {"crm_id": "", "first_name": "Nobody", "email": ""},
    ]
    if format_ == "csv":
        lines = [",".join(row.values()) for row in rows]
        file.write_text("\n".join([",".join(rows[0]), *lines]), encoding="utf-8")
    else:
        file.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    said = product.cli("import", file, "--source", "files", "--consent", "marketing.email")
    assert (said["received"], said["accepted"]) == (3, 2)
    assert said["rejected"] == {"no_user_anon_id": 1}
    stated = {"purpose": "marketing.email"}

    def traits() -> Any:
        return client.get(f"/v1/profiles/crm_id:{format_}-1", params=stated).json().get("traits")

    assert wait_until(traits, 15) == {"first_name": "Łucja", "email": f"lucja@{format_}.example"}
    other = client.get(f"/v1/profiles/crm_id:{format_}-2", params=stated).json()
    assert (other["traits"], other["withheld"]) == ({"first_name": "名"}, [])
    decision = client.get(
        "/v1/consents/decision", params={"subject": f"crm_id:{format_}-1", **stated}
    ).json()
    assert (decision["allow"], decision["reason"]) == (True, "given")


def test_a_customer_is_the_same_in_a_file_of_people_and_in_one_of_events(
    product: Product, client: httpx.Client, tmp_path: Path
) -> None:
    people, events = tmp_path / "customers.csv", tmp_path / "orders.csv"
    people.write_text("customer_id,first_name\nc-joined,Ada\n", encoding="utf-8")
    events.write_text(
        "customer_id,event,timestamp\nc-joined,Order Completed,2026-01-02\n", encoding="utf-8"
    )
    for file in (people, events):
        said = product.cli("import", file, "--source", "files", "--consent", "marketing.email")
        assert (said["received"], said["accepted"]) == (1, 1)
    path, stated = "/v1/profiles/customer_id:c-joined", {"purpose": "marketing.email"}

    def seen() -> Any:
        traits = client.get(path, params=stated).json().get("traits")
        told = client.get(f"{path}/events", params=stated).json().get("data")
        return traits == {"first_name": "Ada"} and [e["name"] for e in told or () if e["name"]]

    assert wait_until(seen, 15) == ["Order Completed"]


def test_a_line_that_is_not_json_costs_only_itself(product: Product, tmp_path: Path) -> None:
    assert product.run("source", "add", "torn").returncode == 0
    file = tmp_path / "torn.ndjson"
    good = '{"event": "Seen", "user_id": "torn", "timestamp": "2026-01-02", "n": %d}\n'
    file.write_text(good % 1 + '{"event": "Se\n' + "[1]\n" + good % 2, encoding="utf-8")
    said = product.cli("import", file, "--source", "torn")
    assert (said["received"], said["accepted"]) == (4, 2)
    assert said["rejected"] == {"not_an_object": 2}
    assert said["examples"]["not_an_object"].startswith("row 2: ")


@pytest.mark.parametrize("name", ["empty.csv", "empty.ndjson", "header.csv"])
def test_a_file_without_rows_changes_nothing_and_succeeds(
    product: Product, client: httpx.Client, tmp_path: Path, name: str
) -> None:
    file = tmp_path / name
    file.write_text("user_id,event\n" if name == "header.csv" else "", encoding="utf-8")
    assert product.cli("import", file, "--source", "files") == {
        "received": 0,
        "accepted": 0,
        "duplicates": 0,
        "rejected": {},
        "examples": {},
    }


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("missing.csv", "files"),
        ("missing.ndjson", "files"),
        ("missing.xes", "files"),
        ("a.docx", "files"),
        ("a.xes", "files"),
        ("a.parquet", "files"),
        ("damaged.csv", "files"),
        ("good.csv", "no-such-source"),
    ],
)
def test_a_file_that_cannot_be_imported_is_one_clear_line_and_status_1(
    product: Product, client: httpx.Client, tmp_path: Path, name: str, source: str
) -> None:
    file = tmp_path / name
    if not name.startswith("missing"):
        file.write_bytes("user_id,event\nzoë,Seen\n".encode() + b"al\xffan,Seen\n")
    done = product.run("import", file, "--source", source)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    said = " ".join(done.stderr.split())
    assert said.startswith("error: ")
    assert (source if source == "no-such-source" else name) in said
    assert len(said) < 400

"""Files and tables hold exactly who may be had: read back with other programs than wrote them."""

import csv
import json
import select
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread
from time import monotonic, sleep
from typing import Any
from uuid import uuid4

import duckdb
import httpx
import pyarrow.fs
import pytest
import sqlalchemy as sa

from app.destinations import file, file_parts, folders, postgres
from app.destinations.kind import Kind, Record, Setup
from app.destinations.wire import NOT_TRIED, Wire
from app.privacy import requests as privacy_requests
from app.privacy import run
from app.settings import Settings
from identity import identifiers
from tests.app.destinations.world import EMAIL, World
from tests.conftest import _execute, _named

PROS = {"trait": "plan", "op": "eq", "value": "pro"}
MAPPING = {
    "email": {"identifier": "email"}, "name": {"trait": "name"},
    "visits": {"trait": "visits", "type": "integer"}, "tags": {"trait": "tags", "type": "list"},
    "is_pro": {"segment": "pros"},
}  # fmt: skip
#: What has broken programs that write files.
NAMES = {"ada": 'Ada "the\nCountess", Łódź 😀', "bob": "", "cleo": "'; DROP TABLE x; --"}
Rows = dict[str, dict[str, Any]]
Read = Callable[[], Rows]


def _csv(folder: Path) -> Rows:
    rows: Rows = {}
    for path in sorted(folder.glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as opened:
            for row in csv.DictReader(opened):
                visits = row.get("visits")
                rows[row["profile_id"]] = {
                    **row,
                    "visits": int(visits) if visits else None,
                    "name": row.get("name") or None,
                    "identifiers": json.loads(row["identifiers"]),
                    "segments": json.loads(row["segments"]),
                    "is_pro": row.get("is_pro") == "true",
                }
    return rows


def _parquet(folder: Path) -> Rows:
    if not list(folder.glob("*.parquet")):
        return {}
    with duckdb.connect() as connection:  # the one of the module is everybody's
        found = connection.sql(f"FROM read_parquet('{folder}/*.parquet', union_by_name = true)")
        assert found is not None
        names = found.columns
        rows = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
    return {
        row["profile_id"]: {
            **row,
            "identifiers": json.loads(row["identifiers"]),
            "segments": json.loads(row["segments"]),
        }
        for row in rows
    }


@pytest.fixture
def warehouse(server_url: str) -> Iterator[str]:
    """A database of its own, as somebody else's."""
    name = f"warehouse_{uuid4().hex[:12]}"
    _execute(server_url, f'CREATE DATABASE "{name}" TEMPLATE template0')
    yield _named(server_url, name)
    _execute(server_url, f'DROP DATABASE "{name}" WITH (FORCE)')


def _table(url: str) -> Rows:
    engine = sa.create_engine(sa.make_url(url).set(drivername="postgresql+psycopg"))
    with engine.connect() as connection:
        rows = connection.execute(sa.text("SELECT * FROM parcours.profiles")).mappings().all()
    engine.dispose()
    return {str(row["profile_id"]): {**row, "visits": row.get("visits")} for row in rows}


@pytest.fixture(params=["csv", "parquet", "postgres"])
def place(
    request: pytest.FixtureRequest, settings: Settings, warehouse: str
) -> tuple[dict[str, Any], Read]:
    """How a destination is told where it sends, and how it is read back."""
    if request.param == "postgres":
        url = sa.make_url(warehouse)
        where: dict[str, Any] = {
            "host": url.query["host"],
            "database": url.database,
            "user": url.username,
            "tls": False,
        }
        wanted = {"kind": "postgres", "settings": where, "secrets": {"password": "x"}}
        return wanted, lambda: _table(warehouse)
    folder = settings.home / "exports" / "crm"
    where = {"directory": "crm", "format": request.param, "parts": 2}
    read = _csv if request.param == "csv" else _parquet
    return {"kind": "file", "settings": where}, lambda: read(folder)


def test_a_store_holds_who_may_be_had_and_nobody_else(
    people: World, settings: Settings, place: tuple[dict[str, Any], Read]
) -> None:
    wanted, read = place
    people.segment("pros", PROS)
    people.people(*NAMES, plan="pro")
    for user, name in NAMES.items():
        people.identify(user, name=name, visits=3, tags=["a", "b"])
    made = people.destination(segments=["pros"], mapping=MAPPING, **wanted)
    people.settle()
    ids = {u: people.get(f"/v1/profiles/user_id:{u}", purpose="marketing.email")["profile_id"]
           for u in NAMES}  # fmt: skip
    rows = read()
    assert rows.keys() == set(ids.values())
    for user, name in NAMES.items():
        row = rows[ids[user]]
        said = (row["email"], row["name"] or "", int(row["visits"]), row["is_pro"])
        assert said == (f"{user}@mail.net", name, 3, True)
        assert row["identifiers"]["user_id"] == [user]
        assert row["segments"] == ["pros"]
        tags = row["tags"]
        assert (json.loads(tags) if isinstance(tags, str) else tags) == ["a", "b"]

    people.identify("ada", visits=4)
    people.identify("bob", plan="free")
    people.people("dora", plan="pro")
    people.settle()
    people.now()
    people.settle()
    dora = people.get("/v1/profiles/user_id:dora", purpose="marketing.email")["profile_id"]
    rows = read()
    assert rows.keys() == {ids["ada"], ids["cleo"], dora}  # Bob left
    assert int(rows[ids["ada"]]["visits"]) == 4
    assert rows[dora]["visits"] is None

    people.say("cleo", "withdrawn")
    people.settle()
    assert read().keys() == {ids["ada"], dora}

    with people.sessions.begin() as session:
        asked = privacy_requests.open_(
            session, settings, kind="erasure", identifiers=[identifiers.parse("user_id:ada")],
            by="test", now=datetime.now(UTC), attested="a test",
        )  # fmt: skip
        request_id = asked.id
    run.at_once(people.sessions, settings, request_id)
    people.settle()
    assert read().keys() == {dora}
    outcomes = people.outcomes(made["id"])
    looked = {one for one in outcomes if one[0] == "profile.updated" and one[1] == "dropped"}
    assert looked <= {("profile.updated", "dropped", "the receiver holds nothing of it")}
    assert {state for one in outcomes if one not in looked for state in [one[1]]} == {"delivered"}


@pytest.mark.long
def test_a_store_holds_record_by_record_what_it_should_after_a_merge_and_its_undo(
    people: World, place: tuple[dict[str, Any], Read]
) -> None:
    wanted, read = place
    people.segment("pros", PROS)
    people.people("ada", "eve", plan="pro", visits=1, tags=["a"])
    people.destination(segments=["pros"], mapping=MAPPING, **wanted)
    people.settle()

    def expected() -> Rows:
        """What the product says of each who is in, in the columns of the destination."""
        rows: Rows = {}
        for one in people.get("/v1/segments/pros/members", purpose=EMAIL)["data"]:
            whole = people.get(f"/v1/profiles/{one['profile_id']}", purpose=EMAIL)
            known: dict[str, list[str]] = {}
            for i in whole["identifiers"]:
                known.setdefault(i["namespace"], []).append(i["value"])
            traits = whole["traits"]
            rows[one["profile_id"]] = {
                "identifiers": {k: sorted(v) for k, v in known.items()},
                "email": sorted(known.get("email", [""])), "name": traits.get("name") or "",
                "visits": traits.get("visits"), "tags": traits.get("tags") or [],
            }  # fmt: skip
        return rows

    def held() -> Rows:
        rows: Rows = {}
        for profile_id, row in read().items():
            assert (row["segments"], row["is_pro"]) == (["pros"], True)
            tags = row.get("tags") or []
            known = {k: sorted(v) for k, v in row["identifiers"].items()}
            assert (row["email"] or "") in known.get("email", [""])
            rows[profile_id] = {
                "identifiers": known, "email": known.get("email", [""]),
                "name": row.get("name") or "",
                "visits": None if row["visits"] is None else int(row["visits"]),
                "tags": json.loads(tags) if isinstance(tags, str) else list(tags),
            }  # fmt: skip
        return rows

    def rest() -> None:
        for _ in range(2):
            people.settle()
            people.now()

    before = held()
    assert before == expected()
    assert len(before) == 2
    people.merge("eve", "dev-1", email="second@mail.net", visits=7, tags=["b", "c"])
    rest()
    merged = held()
    assert merged == expected()
    [eve] = [row for row in merged.values() if row["identifiers"].get("anonymous_id")]
    assert eve["visits"] == 7
    assert len(merged) == 2
    people.undo()
    rest()
    undone = held()
    assert undone == expected()
    assert len(undone) == 3
    assert {k: v for k, v in undone.items() if k in before} == before, "as if it had not been"
    [device] = [row for k, row in undone.items() if k not in before]
    assert device["identifiers"]["anonymous_id"] == ["dev-1"]


def test_a_store_that_cannot_be_reached_or_a_field_it_cannot_have_says_so(
    people: World, warehouse: str
) -> None:
    url = sa.make_url(warehouse)
    where = {
        "host": url.query["host"],
        "database": url.database,
        "user": url.username,
        "tls": False,
    }
    secret = {"password": "x"}
    people.segment("pros", PROS)
    people.people("ada", plan="pro", visits=3)
    long = "é" * 32  # PostgreSQL counts bytes
    mapping = {"visits": {"trait": "visits"}, "Segments": {"value": 1}, long: {"value": 1}}
    reserved = people.destination(kind="postgres", name="reserved", settings=where, secrets=secret,
                                  segments=["pros"], mapping=mapping)  # fmt: skip
    away = people.destination(kind="postgres", name="away", secrets=secret, segments=["pros"],
                              settings={**where, "host": "127.0.0.1", "port": 9})  # fmt: skip
    files = people.destination(kind="file", name="files", segments=["pros"],
                               settings={"directory": "there"})  # fmt: skip
    reserve = sa.text("UPDATE app.destination SET mapping = :mapping WHERE id = :id")
    old = {"mapping": json.dumps({"segments": {"value": 1}}), "id": files["id"]}
    with people.sessions.begin() as session:  # from before this was refused
        session.execute(reserve, old)
    people.settle()
    assert people.outcomes(reserved["id"]) == [
        ("segment.entered", "failed", f"field {long}: no name for a column")
    ]
    assert people.outcomes(away["id"]) == [("segment.entered", "waiting", "OperationalError")]
    [(_, state, why)] = people.outcomes(files["id"])
    assert (state, (why or "")[:17]) == ("failed", "a field is called")
    good = {"visits": {"trait": "visits"}}
    people.patch(f"/v1/destinations/{files['id']}", {"mapping": good})
    people.post(f"/v1/destinations/{files['id']}/sync")
    people.settle()
    assert people.get(f"/v1/destinations/{files['id']}")["held"] == 1
    with people.sessions.begin() as session:
        session.execute(reserve, old)
    people.say("ada", "withdrawn")
    people.settle()
    assert people.get(f"/v1/destinations/{files['id']}")["held"] == 0, "and who leaves is let go"
    people.say("ada")
    people.settle()
    for wrong in ({"directory": "../up"}, {"directory": "a", "bucket": "b"}, {}, {"bucket": "B/c"}):
        answer = people.server.post(
            "/v1/destinations",
            json={"purpose": "marketing.email", "name": "x", "kind": "file", "settings": wrong,
                  "segments": ["pros"]},
            headers=people.header,
        )  # fmt: skip
        assert answer.status_code == 422, wrong
    mapping = {"visits": {"trait": "visits"}}
    once = people.destination(kind="postgres", name="typed", settings={**where, "table": "typed"},
                              secrets=secret, segments=["pros"], mapping=mapping)  # fmt: skip
    people.settle()
    people.identify("ada", visits="many")
    people.settle()
    people.now()
    people.settle()
    assert ("profile.updated", "failed", "DataError 22P02") in people.outcomes(once["id"])


def test_a_name_with_a_line_break_from_before_does_not_freeze_its_file(tmp_path: Path) -> None:
    store, path = pyarrow.fs.LocalFileSystem(), f"{tmp_path}/part-000.csv"
    for n in ("1", "2"):
        row = {"profile_id": n, "identifiers": "{}", "segments": "[]", "updated_at": n}
        file_parts.rewrite(store, path, "csv", {n: {**row, 'a\n"b': f"x\n{n}"}})
    with Path(path).open(encoding="utf-8", newline="") as opened:
        assert [row['a\n"b'] for row in csv.DictReader(opened)] == ["x\n1", "x\n2"]
    file_parts.rewrite(store, path, "csv", {"1": None})
    with Path(path).open(encoding="utf-8", newline="") as opened:
        assert [row["profile_id"] for row in csv.DictReader(opened)] == ["2"]


@pytest.mark.parametrize("value", [2**63, 10**400, -(2**70)], ids=["int64", "double", "minus"])
def test_a_number_that_no_column_holds_does_not_freeze_its_file(tmp_path: Path, value: int) -> None:
    store, path = pyarrow.fs.LocalFileSystem(), f"{tmp_path}/part-000.parquet"
    for n, points in (("1", 1), ("2", value), ("3", 3.5)):
        row = {"profile_id": n, "identifiers": "{}", "segments": "[]", "updated_at": n}
        file_parts.rewrite(store, path, "parquet", {n: {**row, "points": points}})
    assert sorted(row["points"] for row in _parquet(tmp_path).values()) == sorted(
        ["1", str(value), "3.5"]
    )


def test_what_passes_by_itself_at_a_database_is_no_fault_of_the_record(warehouse: str) -> None:
    engine = sa.create_engine(sa.make_url(warehouse).set(drivername="postgresql+psycopg"))
    settings = postgres.PostgresSettings(host="h", database="d", user="u")
    record = Record("m", "segment.entered", datetime.now(UTC), str(uuid4()), "hold")
    try:
        with engine.begin() as first:
            table = postgres._table(first, settings)
            assert postgres._write(first, table, record).state == "taken"
        with engine.begin() as other, engine.begin() as mine:
            other.execute(sa.select(table).with_for_update())
            mine.execute(sa.text("SET LOCAL lock_timeout = '100ms'"))
            with pytest.raises(sa.exc.OperationalError):
                postgres._write(mine, table, record)
    finally:
        engine.dispose()


def test_a_database_that_takes_a_batch_and_never_answers_is_hung_up_on(
    warehouse: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "LONGEST_SECONDS", 0.3)
    url = sa.make_url(warehouse)
    with socket.create_server(("127.0.0.1", 0)) as front:
        Thread(target=_silent_once_asked, args=(front, str(url.query["host"])), daemon=True).start()
        made = postgres.PostgresSettings(
            host="127.0.0.1", port=front.getsockname()[1], database=url.database or "",
            user=url.username or "", tls=False,
        )  # fmt: skip
        secrets = postgres.PostgresSecrets(password="x")
        setup = Setup(1, "there", "", "p", ("s",), made, secrets)
        record = Record("m", "segment.entered", datetime.now(UTC), str(uuid4()), "hold")
        with httpx.Client() as client:
            began = monotonic()
            [outcome] = postgres.Postgres().send(setup, [record], Wire(client))
    assert (outcome.state, outcome.reason) == ("again", "OperationalError")
    assert monotonic() - began < 3


def _silent_once_asked(front: socket.socket, folder: str) -> None:
    """Stand before a database, and pass nothing on any more once it is asked for something."""
    client, _ = front.accept()
    with client, socket.socket(socket.AF_UNIX) as server:
        server.connect(f"{folder}/.s.PGSQL.5432")
        while True:
            for one in select.select([client, server], [], [], 5)[0]:
                said = one.recv(65_536)
                if b"CREATE SCHEMA" in said or not said:
                    sleep(5 if said else 0)
                    return
                (server if one is client else client).sendall(said)


@pytest.mark.parametrize("kind", [file.File(), postgres.Postgres()], ids=["file", "postgres"])
def test_what_a_batch_has_no_time_for_is_left_to_the_next(
    kind: Kind, settings: Settings, warehouse: str
) -> None:
    """Another worker would take the destination, and both would write."""
    url = sa.make_url(warehouse)
    options: dict[str, Any] = {"directory": "late"}
    secrets = {}
    if kind.name == "postgres":
        options = {"host": url.query["host"], "database": url.database, "user": url.username,
                   "tls": False}  # fmt: skip
        secrets = {"password": "x"}
    setup = Setup(1, "there", "", "p", ("s",), kind.settings(**options), kind.secrets(**secrets))
    folders.use(settings)
    records = [
        Record(str(n), "segment.entered", datetime.now(UTC), str(uuid4()), "hold") for n in range(3)
    ]
    with httpx.Client() as client:
        late = kind.send(setup, records, Wire(client, seconds=0))
        taken = kind.send(setup, records, Wire(client))
    assert {(o.state, o.reason) for o in late} == {("again", NOT_TRIED)}
    assert {o.state for o in taken} == {"taken"}

"""Events go when the most specific rule says so: from the database, from analyses, from files."""

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from api.cli import root
from app import pipeline
from app.db import Sessions
from app.errors import DefinitionInvalid
from app.events import partitions
from app.lake import copy
from app.lake.duckdb_engine import open_lake
from app.retention import expire, rules
from app.settings import Settings

LATER = datetime.now(UTC) + timedelta(days=100)
MONTH = timedelta(days=30)


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return tmp_path / "lake"


def send(server: TestClient, key: str, *events: dict[str, Any]) -> None:
    answer = server.post("/v1/batch", json={"batch": events, "writeKey": key}).json()
    assert answer["accepted"] == len(events)


def track(name: str, message_id: str) -> dict[str, Any]:
    return {"type": "track", "event": name, "userId": "ada", "messageId": message_id}


def pass_on(sessions: Sessions, lake: Path) -> None:
    """Take everything through the pipeline and into the lake, and the marks past it."""
    with sessions.begin() as session:
        pipeline.step(session)
    copy.copy_new(sessions, lake)


def stored(sessions: Sessions) -> list[str]:
    with sessions() as session:
        return list(session.scalars(sa.text("SELECT message_id FROM app.event ORDER BY id")))


def in_lake(sessions: Sessions, lake: Path) -> int:
    with sessions() as session, open_lake(session, lake, "service.operation") as found:
        return found.events


def in_files(sessions: Sessions, lake: Path) -> int:
    with sessions() as session:
        files = [str(path) for path in copy.parts(session, lake)]
    if not files:
        return 0
    rows = duckdb.execute("SELECT count(*) FROM read_parquet($files)", {"files": files}).fetchone()
    assert rows is not None
    return int(rows[0])


def test_the_most_specific_rule_decides_and_analyses_agree_with_the_database(
    server: TestClient, sessions: Sessions, write_key: str, lake: Path
) -> None:
    send(
        server,
        write_key,
        track("View", "v"),
        track("Order", "o"),
        track("Other", "x"),
        {"type": "page", "name": "Home", "userId": "ada", "messageId": "p"},
        {"type": "identify", "userId": "ada", "messageId": "i", "traits": {"city": "Ulm"}},
    )
    pass_on(sessions, lake)
    send(server, write_key, track("View", "unread"))
    with sessions.begin() as session:
        rules.put(session, days=90)
        rules.put(session, type_="page", days=None)
        rules.put(session, event="View", days=30)
        rules.put(session, source="web", event="Order", days=None)
    assert expire.run(sessions, lake, rejected=MONTH, now=LATER, dry_run=True) == expire.Expired(3)
    assert len(stored(sessions)) == 6
    assert expire.run(sessions, lake, rejected=MONTH, now=LATER) == expire.Expired(3, 0, 1)
    assert sorted(stored(sessions)) == ["o", "p", "unread"]  # what a reader has to read stays
    assert in_lake(sessions, lake) == in_files(sessions, lake) == 2
    pass_on(sessions, lake)
    assert expire.run(sessions, lake, rejected=MONTH, now=LATER) == expire.Expired(1, 0, 1)
    assert sorted(stored(sessions)) == ["o", "p"]
    assert in_lake(sessions, lake) == in_files(sessions, lake) == 2
    with sessions() as session:
        assert session.scalar(sa.text("SELECT value::text FROM app.trait")) == '"Ulm"'


def test_a_deleted_event_is_out_of_analyses_before_its_file_is_written_anew(
    server: TestClient,
    sessions: Sessions,
    write_key: str,
    lake: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("a", "b", "c"):
        send(server, write_key, track("View", name))
        pass_on(sessions, lake)
    with sessions.begin() as session:
        rules.put(session, days=30)
    monkeypatch.setattr(copy, "rewrite_removed", lambda *_: 0)  # it was killed before this
    expire.run(sessions, lake, rejected=MONTH, now=LATER)
    assert stored(sessions) == []
    assert (in_lake(sessions, lake), in_files(sessions, lake)) == (0, 3)
    monkeypatch.undo()
    assert copy.rewrite_removed(sessions, lake) == 3
    assert (in_lake(sessions, lake), in_files(sessions, lake)) == (0, 0)
    assert copy.rewrite_removed(sessions, lake) == 0


def test_small_batches_add_up_and_a_partition_that_is_empty_goes(
    server: TestClient,
    sessions: Sessions,
    write_key: str,
    lake: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(expire, "BATCH", 7)
    send(server, write_key, *(track("View", f"v-{n}") for n in range(40)))
    partitions.close_open(sessions)
    send(server, write_key, track("Order", "o"))
    pass_on(sessions, lake)
    with sessions.begin() as session:
        rules.put(session, event="View", days=30)
    assert expire.run(sessions, lake, rejected=MONTH, now=LATER) == expire.Expired(
        40, 0, 1
    )  # ids still count
    send(server, write_key, track("Order", "o-2"))
    partitions.maintain(sessions, timedelta(days=30), now=LATER)
    assert expire.run(sessions, lake, rejected=MONTH, now=LATER) == expire.Expired(0, 1, 0)
    with sessions() as session:
        assert partitions.list_all(session)[0].part == 2
    pass_on(sessions, lake)
    assert in_lake(sessions, lake) == 2


def test_without_a_rule_everything_stays(
    server: TestClient, sessions: Sessions, write_key: str, lake: Path
) -> None:
    send(server, write_key, track("View", "v"))
    pass_on(sessions, lake)
    assert (
        expire.run(sessions, lake, rejected=MONTH, now=LATER + timedelta(days=9_999))
        == expire.Expired()
    )
    assert stored(sessions) == ["v"]


def test_rules_are_set_listed_and_removed_over_http(
    server: TestClient, write_key: str, token: Callable[..., dict[str, str]]
) -> None:
    admin = token("sources:admin")
    put = [
        server.put("/v1/retention", json=body, headers=admin)
        for body in ({"days": 365}, {"source": "web", "days": 90}, {"days": 400},
                     {"source": "web", "type": "track", "event": "View", "days": None})
    ]  # fmt: skip
    assert [answer.status_code for answer in put] == [200] * 4
    rows = server.get("/v1/retention", headers=admin).json()["data"]
    assert [(r["source"], r["type"], r["event"], r["days"]) for r in rows] == [
        ("web", "track", "View", None), ("web", None, None, 90), (None, None, None, 400)
    ]  # fmt: skip
    assert server.delete(f"/v1/retention/{rows[0]['id']}", headers=admin).status_code == 204
    assert server.delete(f"/v1/retention/{rows[0]['id']}", headers=admin).status_code == 404
    assert (
        server.put("/v1/retention", json={"source": "no", "days": 1}, headers=admin).status_code
        == 404
    )
    assert server.put("/v1/retention", json={"days": 0}, headers=admin).status_code == 422
    assert (
        server.put("/v1/retention", json={"days": 1}, headers=token("profiles:read")).status_code
        == 403
    )


def test_rules_are_set_tried_and_removed_by_command(
    database_url: str, write_key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARCOURS_DATABASE_URL", database_url)
    monkeypatch.setenv("PARCOURS_DATA_DIR", str(tmp_path))

    def cli(*arguments: str) -> Any:
        done = CliRunner().invoke(root.app, ["retention", *arguments])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout) if "--json" in arguments else None

    which = ("--source", "web", "--event", "View", "--type", "track")
    made = cli("set", *which, "--days", "90", "--json")
    assert list(made.values())[1:] == ["web", "track", "View", 90]
    assert cli("set", "--forever", "--json")["days"] is None
    assert [rule["days"] for rule in cli("list", "--json")] == [90, None]
    nothing = asdict(expire.Expired())
    assert cli("run", "--dry-run", "--json") == cli("run", "--json") == nothing
    cli("remove", str(made["id"]))
    assert len(cli("list", "--json")) == 1
    assert CliRunner().invoke(root.app, ["retention", "set"]).exit_code == 2


def test_more_removals_than_a_statement_has_parameters_leave_the_files_and_nothing_behind(
    server: TestClient, sessions: Sessions, write_key: str, lake: Path
) -> None:
    send(server, write_key, *(track("Seen", f"m-{n}") for n in range(3)))
    pass_on(sessions, lake)
    with sessions.begin() as session:
        session.execute(
            sa.text(
                "INSERT INTO app.lake_removal (event_id) SELECT min(id) FROM app.event"
                " UNION SELECT 1000000 + n FROM generate_series(1, 70000) n"
            )
        )
    assert copy.rewrite_removed(sessions, lake) == 1
    assert in_files(sessions, lake) == 2
    with sessions() as session:
        assert copy.removed(session) == []
        listed = {path.name for path in copy.parts(session, lake)}
    assert len({path.name for path in lake.iterdir()} - listed) == 1  # for readers, for an hour


def test_two_who_set_the_same_rule_at_once_leave_one(sessions: Sessions) -> None:
    def put(days: int) -> int:
        with sessions.begin() as session:
            return rules.put(session, type_="page", days=days).id

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(put, range(1, 25)))) == 1


@pytest.mark.parametrize(
    "options", [("--days", "4000000"), ("--days", "0"), ("--days", "9", "--type", "foo")]
)
def test_a_rule_that_means_nothing_is_refused_by_command(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    monkeypatch.setenv("PARCOURS_DATABASE_URL", settings.database_url or "")
    done = CliRunner().invoke(root.app, ["retention", "set", *options])
    assert done.exit_code != 0
    assert isinstance(done.exception, SystemExit | DefinitionInvalid)


def test_a_partition_that_somebody_reads_holds_nobody_up_and_is_dropped_the_next_time(
    sessions: Sessions,
) -> None:
    partitions.close_open(sessions)
    with sessions.begin() as session:
        session.execute(
            sa.text("UPDATE app.event_partition SET deduplicates = false WHERE part = 1")
        )
        session.execute(sa.text("UPDATE app.progress SET transaction = pg_current_xact_id()"))
    with sessions() as reader:
        reader.execute(sa.text("SELECT count(*) FROM app.event"))
        began = time.monotonic()
        assert partitions.drop_empty(sessions) == 0
        assert time.monotonic() - began < partitions.LOCK_SECONDS
    assert partitions.drop_empty(sessions) == 1


@pytest.mark.parametrize("closed", [False, True], ids=["open", "closed"])
def test_an_event_that_was_stored_long_after_its_receipt_goes_when_its_rule_says(
    server: TestClient, sessions: Sessions, write_key: str, lake: Path, closed: bool
) -> None:
    """A replayed event, or one that waited for an answer, lies in a partition younger than it."""
    now = datetime.now(UTC)
    send(server, write_key, track("View", "late"), track("View", "new"))
    pass_on(sessions, lake)
    with sessions.begin() as session:
        session.execute(
            sa.text("UPDATE app.event SET received_at = :at WHERE message_id = 'late'"),
            {"at": now - timedelta(days=30)},
        )
        rules.put(session, days=20)
    if closed:
        partitions.close_open(sessions)
    assert expire.run(sessions, lake, rejected=MONTH, now=now) == expire.Expired(1, 0, 1)
    assert stored(sessions) == ["new"]
    assert in_lake(sessions, lake) == in_files(sessions, lake) == 1


def test_a_rule_beyond_all_times_that_an_earlier_version_took_stops_no_other(
    server: TestClient, sessions: Sessions, write_key: str, lake: Path
) -> None:
    send(server, write_key, track("View", "v"), track("Order", "o"))
    pass_on(sessions, lake)
    insert = "INSERT INTO app.retention_rule (event, days) VALUES ('View', 4000000)"
    with sessions.begin() as session:
        session.execute(sa.text(insert))
    assert expire.run(sessions, lake, rejected=MONTH, now=LATER) == expire.Expired()
    with sessions.begin() as session:
        rules.put(session, days=30)
    assert expire.run(sessions, lake, rejected=MONTH, now=LATER) == expire.Expired(1, 0, 1)
    assert stored(sessions) == ["v"]


def test_what_was_deleted_leaves_the_files_even_when_a_later_step_fails(
    server: TestClient, sessions: Sessions, write_key: str, lake: Path
) -> None:
    for name in ("first", "second"):
        send(server, write_key, track("View", name))
        pass_on(sessions, lake)
        partitions.close_open(sessions)
    with sessions.begin() as session:
        rules.put(session, days=30)
        session.execute(
            sa.text(
                "CREATE FUNCTION app.refuse() RETURNS trigger LANGUAGE plpgsql AS"
                " $$ BEGIN RAISE 'no' USING ERRCODE = '53100'; END $$"
            )
        )
        session.execute(
            sa.text(
                "CREATE TRIGGER refuse BEFORE DELETE ON app.event_p2"
                " FOR EACH ROW EXECUTE FUNCTION app.refuse()"
            )
        )
    with pytest.raises(sa.exc.OperationalError):
        expire.run(sessions, lake, rejected=MONTH, now=LATER)
    assert stored(sessions) == ["second"]
    assert in_lake(sessions, lake) == in_files(sessions, lake) == 1


def test_a_rule_that_means_nothing_is_refused_whoever_sets_it(sessions: Sessions) -> None:
    with sessions.begin() as session:
        for days, type_ in ((0, None), (36_501, None), (-1, "track"), (9, "foo"), (None, "Track")):
            with pytest.raises(DefinitionInvalid):
                rules.put(session, days=days, type_=type_)
        assert rules.put(session, days=36_500, type_="alias").days == 36_500

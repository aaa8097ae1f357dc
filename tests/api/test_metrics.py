"""What Prometheus reads, by its own parser."""

from pathlib import Path

from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from api.main import create_app
from app import db, work
from app.db import Sessions
from app.settings import Settings

Labels = tuple[str, ...]


def figures(server: TestClient) -> dict[tuple[str, Labels], float]:
    """Read every figure by its name and the values of its labels."""
    answer = server.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=1.0.0")
    assert answer.headers["cache-control"] == "no-store"
    return {
        (sample.name, tuple(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_events_are_counted_by_what_became_of_them_and_nobody_is_named(
    server: TestClient, sessions: Sessions, write_key: str
) -> None:
    batch = [{"type": "track", "event": "E", "userId": "ada", "messageId": f"m-{n}"} for n in "112"]
    bad = {"type": "track", "userId": "ada", "messageId": "m-3"}
    sent = server.post("/v1/batch", json={"batch": [*batch, bad], "writeKey": write_key})
    assert sent.status_code == 200
    found = figures(server)
    events = {labels: n for (name, labels), n in found.items() if "events_last" in name}
    rejected = [reason for outcome, reason in events if outcome == "rejected"]
    assert len(rejected) == 1
    assert events == {
        ("accepted", ""): 2, ("duplicate", ""): 1, ("rejected", rejected[0]): 1,
    }  # fmt: skip
    assert found["parcours_backlog_events", ()] == 2
    assert found["parcours_backlog_oldest_seconds", ()] >= 0
    assert not [one for one in ("ada", "web", write_key) if one in server.get("/metrics").text]


def test_reasons_are_counted_and_a_worker_is_missed(server: TestClient, sessions: Sessions) -> None:
    before = figures(server)
    assert before["parcours_ready", ()] == 1
    assert before["parcours_reasons", ("worry",)] == 1  # no worker has run yet
    assert ("parcours_worker_heartbeat_seconds", ()) not in before
    with sessions.begin() as session:
        work.beat(session, "pipeline")
    after = figures(server)
    assert after["parcours_reasons", ("worry",)] == 0
    assert after["parcours_worker_heartbeat_seconds", ()] < 60


def test_a_database_that_is_away_is_a_figure_and_no_failure(tmp_path: Path) -> None:
    url = "postgresql+psycopg://nobody@127.0.0.1:1/nothing"
    away = create_app(Settings(data_dir=tmp_path, database_url=url), db.sessions(db.engine(url)))
    with TestClient(away, base_url="https://parcours.test") as server:
        found = figures(server)
    assert found["parcours_ready", ()] == 0
    assert found["parcours_reasons", ("fault",)] == 1
    assert ("parcours_backlog_events", ()) not in found

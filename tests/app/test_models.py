"""Versions of what matching has learnt: compared, one held on to, and learning again."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from app import matching
from app.db import Sessions
from identity import matching as learning
from identity import models, reviews
from identity.errors import ModelNotFound
from tests.app.test_matching import AUTO, REVIEW, add, links, numbered, people, run


@pytest.fixture(autouse=True)
def few_suffice(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was learnt from few records judges others, as what was learnt from many does."""
    monkeypatch.setattr(learning, "LEAST_LEARNT", 0)


def do_waiting(sessions: Sessions) -> Mapping[str, Any]:
    number = matching.run_waiting(sessions, auto=AUTO, review=REVIEW)
    assert number is not None
    with sessions() as session:
        done = reviews.find_run(session, number)
        assert done.state == "done", done.result
        return dict(done.result or {})


def weights(sessions: Sessions) -> dict[tuple[str, str], float]:
    return {pair: round(weight, 6) for pair, weight in links(sessions).items()}


def test_a_version_is_rolled_back_to_for_all_runs_until_matching_may_learn_again(
    sessions: Sessions,
) -> None:
    everybody = people(200, 1)
    add(sessions, numbered(everybody))
    first = run(sessions, reviews.ALL)["model_run"]
    by_the_first = weights(sessions)
    add(sessions, numbered(people(200, 2), start=1_000))
    second = run(sessions, reviews.ALL)["model_run"]
    assert first < second
    by_the_second = weights(sessions)
    assert any(by_the_second[pair] != weight for pair, weight in by_the_first.items())
    with sessions.begin() as session:
        told = models.pin(session, None, by="ada")
        assert (told.run_id, told.in_force, told.pinned_by) == (first, True, "ada")
        kept = [(v.run_id, v.in_force) for v in models.list_all(session)]
        assert kept == [(second, False), (first, True)]
        reviews.request_run(session, {"asked_by": "test"})
    done = do_waiting(sessions)
    assert (done["model_run"], done["records"]) == (first, 534)
    now = weights(sessions)
    assert all(now[pair] == pytest.approx(w, abs=0.01) for pair, w in by_the_first.items())
    with sessions() as session:
        assert len(models.list_all(session)) == 2, "nothing was learnt"
    ada = {"first_name": "ada", "last_name": "lovelace", "email": "countess@mail.net"}
    add(sessions, {"ada": ada, "also ada": ada})
    assert run(sessions, reviews.NEW)["model_run"] == first
    with sessions.begin() as session:
        models.unpin(session)
    third = run(sessions, reviews.ALL)["model_run"]
    with sessions() as session:
        kept = [(v.run_id, v.in_force) for v in models.list_all(session)]
    assert kept == [(third, True), (second, False), (first, False)]


def test_a_version_is_not_gone_back_to_before_the_first_nor_to_what_nobody_can_read(
    sessions: Sessions,
) -> None:
    add(sessions, numbered(people(60, 1)))
    first = run(sessions, reviews.ALL)["model_run"]
    with sessions.begin() as session:
        for wanted in (None, 10**9):
            with pytest.raises(ModelNotFound):
                models.pin(session, wanted, by="ada")
    second = run(sessions, reviews.ALL)["model_run"]
    with sessions.begin() as session:
        session.execute(
            sa.text("UPDATE identity.model SET learnt = '{\"records\": 5}' WHERE run_id = :r"),
            {"r": first},
        )
    with sessions.begin() as session:
        for wanted in (None, first):
            with pytest.raises(ModelNotFound):
                models.pin(session, wanted, by="ada")
        assert models.find(session, first).learnt is None
        assert models.pin(session, second, by="ada").in_force
    with sessions.begin() as session:
        session.execute(sa.text("UPDATE identity.model SET learnt = '{\"records\": 5}'"))
    third = run(sessions, reviews.ALL)["model_run"]  # an upgrade: none can be held on to
    with sessions() as session:
        newest, *_ = models.list_all(session)
        assert (newest.run_id, newest.in_force) == (third, True)
        assert not any(v.pinned_at for v in models.list_all(session))


def test_a_pinned_version_that_knows_nothing_of_a_field_gives_way(sessions: Sessions) -> None:
    rows = [{k: v for k, v in row.items() if k != "birth_date"} for row in people(60, 1)]
    add(sessions, numbered(rows))
    first = run(sessions, reviews.ALL)["model_run"]
    with sessions.begin() as session:
        models.pin(session, first, by="ada")
    add(sessions, numbered(people(60, 2), start=1_000))
    second = run(sessions, reviews.ALL)["model_run"]
    with sessions() as session:
        [newest, _] = models.list_all(session)
    assert (newest.run_id, newest.in_force, newest.pinned_at) == (second, True, None)


def test_a_version_that_somebody_goes_back_to_while_a_run_learns_is_held_on_to(
    sessions: Sessions,
) -> None:
    add(sessions, numbered(people(60, 1)))
    first = run(sessions, reviews.ALL)["model_run"]

    def go_back(message: str) -> None:
        if message == "weighing":
            with sessions.begin() as session:
                models.pin(session, first, by="ada")

    with sessions.begin() as session:
        reviews.request_run(session, {"asked_by": "test"})
    second = matching.run_waiting(
        sessions, auto=AUTO, review=REVIEW, way=matching.Way(tell=go_back)
    )
    with sessions() as session:
        kept = [(v.run_id, v.in_force) for v in models.list_all(session)]
    assert kept == [(second, False), (first, True)]


def test_a_pinned_version_is_not_scored_by_over_and_over(sessions: Sessions) -> None:
    """What was learnt is old, and stays so: the last whole run counts."""
    add(sessions, numbered(people(60, 1)))
    run(sessions, reviews.ALL)
    with sessions.begin() as session:
        models.pin(session, run_of(sessions), by="ada")
        session.execute(sa.text("UPDATE identity.model SET learnt_at = now() - interval '9 days'"))
        session.execute(sa.text("UPDATE identity.run SET finished_at = now() - interval '9 days'"))
    run(sessions, reviews.ALL)
    add(sessions, {"who": {"first_name": "grace", "last_name": "hopper"}})
    matching.request_if_needed(sessions, interval=0, whole_every=86_400)
    with sessions() as session:
        last = reviews.last_run(session)
    assert last is not None
    assert (last.state, last.parameters["scope"]) == ("waiting", reviews.NEW)


def run_of(sessions: Sessions) -> int:
    with sessions() as session:
        return models.list_all(session)[0].run_id


def test_versions_are_listed_compared_and_rolled_back_over_http(
    server: TestClient, token: Callable[..., dict[str, str]], sessions: Sessions
) -> None:
    server.headers.update(token("identity:read", "identity:admin"))
    add(sessions, numbered(people(100, 1)))
    first = run(sessions, reviews.ALL)["model_run"]
    add(sessions, numbered(people(100, 2), start=1_000))
    second = run(sessions, reviews.ALL)["model_run"]
    listed = server.get("/v1/identity/models").json()["data"]
    assert [(m["run_id"], m["in_force"], m["records"]) for m in listed] == [
        (second, True, 268), (first, False, 134),
    ]  # fmt: skip
    told = server.get(f"/v1/identity/models/{first}").json()
    assert told["beside"]["run_id"] == second
    moved = [abs(row["difference"]) for row in told["weights"]]
    assert moved == sorted(moved, reverse=True)
    assert moved[0] > 0
    same = server.get(f"/v1/identity/models/{first}", params={"beside": first}).json()
    assert {row["difference"] for row in same["weights"]} == {0.0}
    assert "smith" not in json.dumps(told)
    assert server.get("/v1/identity/models/999999").json()["code"] == "model-not-found"
    back = server.post("/v1/identity/models/rollback", json={})
    assert back.status_code == 202
    assert (back.json()["run_id"], back.json()["run"]["state"]) == (first, "waiting")
    assert do_waiting(sessions)["model_run"] == first
    gone = server.post("/v1/identity/models/rollback", json={})
    assert (gone.status_code, gone.json()["code"]) == (404, "model-not-found")
    resumed = server.post("/v1/identity/models/resume")
    assert (resumed.status_code, resumed.json()["run"]["state"]) == (202, "waiting")
    assert do_waiting(sessions)["model_run"] > second

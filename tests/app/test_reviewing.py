"""The review queue: what is worth most first, both records beside each other, decisions taught."""

import json
from datetime import UTC, datetime, timedelta
from math import log2
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

import consent
from app import matching
from app.db import Sessions
from app.identities import reviewing
from identity import graph, isotonic, labels, people, queue, recalibration, reviews
from identity.errors import LabelsThin, RecalibrationNotFound, ReviewDecided, ReviewNotFound
from tests.app.conftest import AUTO, NOW, REVIEW, keep


@pytest.fixture
def database_url(matched_url: str) -> str:
    return matched_url


def doubt(session: Session, pairs: dict[tuple[int, int], float]) -> None:
    """Queue pairs as a matching run does; nothing else waits."""
    session.execute(sa.text("DELETE FROM identity.review"))
    rows = [
        {
            "left_id": min(pair),
            "right_id": max(pair),
            "weight": log2(p / (1 - p)),
            "probability": p,
            "evidence": {"prior": -3.0, "first_name": 3.0 + log2(p / (1 - p))},
            "run_id": 1,
        }
        for pair, p in pairs.items()
    ]
    session.execute(graph.statement("queue_reviews"), {"rows": json.dumps(rows)})


def entropy(p: float) -> float:
    return -p * log2(p) - (1 - p) * log2(1 - p)


def waiting(session: Session) -> list[Any]:
    return list(queue.waiting(session, now=datetime.now(UTC)))


def test_the_queue_begins_with_what_is_uncertain_and_much_hangs_on(
    matched: Session, ids: dict[str, int]
) -> None:
    logins = [("user_id", f"q-{n}") for n in range(6)]
    made = graph.identify(matched, logins)
    devices = graph.identify(matched, [("device_id", f"q-{n}") for n in range(2)])
    a, b, c, d, e, f = (made[login] for login in logins)
    for login, device in zip((a, b), devices.values(), strict=True):
        seen = [graph.Evidence(login, device, "event", "identify", NOW)]
        graph.reconsider(matched, graph.observe(matched, seen), at=NOW)
    doubt(matched, {(a, b): 0.7, (c, d): 0.7, (e, f): 0.9, (c, e): 0.61})
    found = waiting(matched)
    assert [(row.left_id, row.right_id) for row in found] == [(a, b), (c, e), (c, d), (e, f)]
    assert [row.value for row in found] == pytest.approx(
        [2 * entropy(0.7), entropy(0.61), entropy(0.7), entropy(0.9)]
    )
    # In pages, by what the last one was worth.
    last = found[1]
    rest = queue.waiting(
        matched, now=datetime.now(UTC), after=(last.value, last.kind, last.id), limit=1
    )
    assert [row.id for row in rest] == [found[2].id]


def test_links_that_guards_hold_wait_with_how_often_such_links_were_right(
    matched: Session, ids: dict[str, int]
) -> None:
    doubt(matched, {})
    made = keep(matched, {"one": {"first_name": "ada"}, "two": {"first_name": "zebulon"}})
    match = graph.Evidence(made["one"], made["two"], "match", "splink", NOW, evidence_id=1,
                           weight=9.0, probability=0.97)  # fmt: skip
    graph.reconsider(matched, graph.observe(matched, [match]), at=NOW)
    [held] = waiting(matched)
    assert (held.kind, held.guard, held.probability) == ("held", "conflict", 0.97)
    assert held.likely == pytest.approx(queue.HELD_SHARE)
    assert held.value == pytest.approx(entropy(queue.HELD_SHARE) * (1 + 1))
    reference = queue.reference(held.kind, held.id)
    moved = queue.decide(matched, reference, match=True, by="ada", at=NOW)
    assert len(moved.merged) == 1
    assert waiting(matched) == []
    with pytest.raises(ReviewDecided):
        queue.decide(matched, reference, match=True, by="ada", at=NOW)
    # One decision moves what is believed of the next link that this guard holds.
    more = keep(matched, {"three": {"first_name": "mary"}, "four": {"first_name": "xerxes"}})
    match = graph.Evidence(more["three"], more["four"], "match", "splink", NOW, evidence_id=1,
                           weight=9.0, probability=0.97)  # fmt: skip
    graph.reconsider(matched, graph.observe(matched, [match]), at=NOW)
    [held] = waiting(matched)
    assert held.likely == pytest.approx((0.35 * 20 + 1) / 21)
    queue.decide(matched, queue.reference(held.kind, held.id), match=False, by="ada", at=NOW)
    persons = people.people_of(matched, more.values())
    assert persons[more["three"]] != persons[more["four"]]
    assert [d.is_match for d in labels.decided(matched, "held")] == [True, False]


def test_what_is_postponed_comes_back_at_its_time(matched: Session, ids: dict[str, int]) -> None:
    doubt(matched, {(ids["grace"], ids["stranger"]): 0.8})
    [entry] = waiting(matched)
    now = datetime.now(UTC)
    for days in (1, 3):  # the later word counts
        queue.postpone(matched, str(entry.id), until=now + timedelta(days=days), by="ada", now=now)
    assert waiting(matched) == []
    assert queue.find(matched, str(entry.id), now=now).id == entry.id
    assert not queue.waiting(matched, now=now + timedelta(days=2))
    assert len(queue.waiting(matched, now=now + timedelta(days=3))) == 1


def test_both_records_stand_side_by_side_and_values_need_a_purpose_and_consent(
    matched: Session, ids: dict[str, int]
) -> None:
    doubt(matched, {(ids["grace"], ids["stranger"]): 0.8, (ids["ada"], ids["silent"]): 0.8})
    now = datetime.now(UTC)
    asked: dict[str, Any] = {"now": now, "cursor": None, "limit": 10, "language": "fr"}
    shown = reviewing.page(matched, purpose=consent.LINK, **asked)["data"]
    pairs = {(entry["left"], entry["right"]): entry for entry in shown}
    entry = pairs["crm_id:grace", "crm_id:stranger"]
    weights = {w["comparison"]: w for w in entry["comparison"]["weights"]}
    assert (weights["last_name"]["left"], weights["last_name"]["right"]) == (
        "hopper",
        "quartermain",
    )
    assert weights["last_name"]["text"].startswith("Nom : différent (−")
    assert weights["birth_date"]["level"] == "different"
    total = sum(w["weight"] for w in entry["comparison"]["weights"])
    assert total == pytest.approx(entry["comparison"]["match_weight"], abs=1e-6)
    silent = pairs["crm_id:ada", "crm_id:silent"]
    assert "lovelace" not in json.dumps(silent)
    hidden = reviewing.page(matched, purpose=None, **asked)["data"]
    assert "hopper" not in json.dumps(hidden)
    assert hidden[0]["comparison"]["weights"]


def decided(session: Session, share: dict[float, tuple[int, int]]) -> None:
    """Decide so many pairs of each probability as (matches, others)."""
    rows: dict[tuple[int, int], tuple[float, bool]] = {}
    for p, (matches, others) in share.items():
        for n in range(matches + others):
            made = graph.identify(session, [("crm_id", f"d{p}-{n}-{s}") for s in "lr"])
            left, right = sorted(made.values())
            rows[left, right] = (p, n < matches)
    doubt(session, {pair: p for pair, (p, _) in rows.items()})
    found = session.execute(sa.text("SELECT id, left_id, right_id FROM identity.review")).all()
    for row in found:
        _, match = rows[row.left_id, row.right_id]
        reviews.decide(session, row.id, match=match, by="ada", at=NOW)


def test_a_recalibration_needs_labels_of_both_kinds_and_can_be_rolled_back(
    matched: Session, ids: dict[str, int]
) -> None:
    with pytest.raises(LabelsThin, match="0 decided"):
        recalibration.fit(matched, by="ada")
    decided(matched, {0.9: (60, 0)})
    with pytest.raises(LabelsThin, match="60 decided reviews, 60 of them matches"):
        recalibration.fit(matched, by="ada")
    decided(matched, {0.65: (4, 36), 0.8: (20, 20)})
    made = recalibration.fit(matched, by="ada")
    assert (made.labels, made.matches) == (140, 84)
    curve = recalibration.curve(matched)
    # Decided: .10, .50 and 1.0 of them. The model's own word counts as ten pairs in each bin.
    assert 0.1 < curve.at(0.65) < 0.4
    assert 0.5 < curve.at(0.8) < 0.65
    assert curve.at(0.9) > 0.95
    merge, ask = curve.least(AUTO), curve.least(REVIEW)
    assert merge < 0.9, "pairs of .9 were matches in all cases"
    assert REVIEW < ask < 0.9
    second = recalibration.fit(matched, by="ada")
    assert recalibration.roll_back(matched, by="bob").id == second.id
    assert recalibration.current(matched) is made
    recalibration.roll_back(matched, by="bob")
    assert recalibration.curve(matched).least(AUTO) == AUTO
    with pytest.raises(RecalibrationNotFound):
        recalibration.roll_back(matched, by="bob")
    assert [one.ended_by for one in recalibration.list_all(matched)] == ["bob", "bob"]


def test_the_queue_is_ordered_by_what_probabilities_mean_after_a_recalibration(
    matched: Session, ids: dict[str, int]
) -> None:
    decided(matched, {0.65: (2, 38), 0.8: (20, 20), 0.9: (39, 1)})
    recalibration.fit(matched, by="ada")
    curve = recalibration.curve(matched)
    made = graph.identify(matched, [("user_id", f"w-{n}") for n in range(6)])
    a, b, c, d, e, f = sorted(made.values())
    doubt(matched, {(a, b): 0.65, (c, d): 0.8, (e, f): 0.62})
    found = waiting(matched)
    assert found[0].left_id == c
    for row in found:
        assert row.likely == pytest.approx(curve.at(row.probability), abs=1e-9)
        assert row.value == pytest.approx(entropy(row.likely))


def test_the_next_run_links_from_the_recalibrated_probability_on(sessions: Sessions) -> None:
    eve = {"first_name": "eve", "last_name": "sandler", "birth_date": "1970-01-02"}
    variants = {
        "eve-0": eve,
        "eve-1": {**eve, "birth_date": "1971-05-09"},
        "eve-2": {"first_name": "e", "last_name": "sandler", "birth_date": "1970-11-02"},
        "eve-3": {"first_name": "ewa", "last_name": "sandler", "birth_date": "1970-01-20"},
    }
    with sessions.begin() as session:
        keep(session, variants)
        curve = sa.text(
            "INSERT INTO identity.recalibration (lows, shares, labels, matches, made_by)"
            " VALUES ('{0,0.05,1}', '{0,0.96,1}', 60, 30, 'test')"
        )
        session.execute(curve)
        reviews.request_run(session, {"asked_by": "test"})
    matching.run_waiting(sessions, auto=AUTO, review=REVIEW)
    with sessions() as session:
        weakest = session.scalar(
            sa.text("SELECT min(probability) FROM identity.link WHERE kind = 'match'")
        )
    assert weakest is not None
    assert 0.04 < weakest < 0.9, "at the model's own word nothing below .95 is linked"


def test_a_curve_ascends_whatever_was_decided() -> None:
    curve = isotonic.fit([(0.6, True)] * 50 + [(0.9, False)] * 50)
    assert list(curve.true) == sorted(curve.true)
    assert list(curve.said) == sorted(set(curve.said))
    assert curve.at(0.9) < 0.7
    assert curve.at(0.0) == 0.0
    assert curve.at(1.0) == 1.0
    for share in (0.0, 0.1, 0.5, 0.95, 1.0):
        assert (
            curve.at(curve.least(share)) == pytest.approx(share, abs=1e-9)
            or curve.at(curve.least(share)) >= share
        )
    assert isotonic.fit([]).at(0.731) == pytest.approx(0.731, abs=0.01)


def test_an_undone_merge_and_a_constraint_are_labels(matched: Session, ids: dict[str, int]) -> None:
    person = people.people_of(matched, [ids["ada"]])[ids["ada"]]
    merge = people.merges(matched, person=person)[-1]
    [match] = labels.matches_of(matched, merge.id)
    reviewing.undo(matched, merge.id, by="ada", at=NOW)
    [label] = labels.decided(matched)
    assert (label.is_match, label.origin) == (False, "undo")
    assert label.probability == match.probability
    assert label.model_run_id is not None
    labels.keep_constraint(matched, ids["twice"], ids["ada"], match=True, by="bob")
    [label] = labels.decided(matched)  # the latest word about a pair is its label
    assert (label.is_match, label.origin) == (True, "constraint")
    labels.keep_constraint(matched, ids["ada"], ids["stranger"], match=False, by="bob")
    assert len(labels.decided(matched)) == 1, "matching has said nothing of these two"


def test_the_routes_list_decide_and_postpone(
    server: TestClient, sessions: Sessions, token: Any
) -> None:
    header = token("identity:review", "identity:read", purposes=(consent.LINK,))
    with sessions.begin() as session:
        rows = session.execute(sa.text("SELECT value, id FROM identity.identifier"))
        ids = {row.value: row.id for row in rows}
        doubt(session, {(ids["grace"], ids["stranger"]): 0.8, (ids["grace"], ids["brother"]): 0.7})
    first = server.get("/v1/identity/reviews?limit=1", headers=header).json()
    second = server.get(
        f"/v1/identity/reviews?limit=1&cursor={first['next_cursor']}", headers=header
    ).json()
    assert first["data"][0]["left"] == "crm_id:brother"
    assert second["data"][0]["right"] == "crm_id:stranger"
    number = second["data"][0]["id"]
    shown = server.get(f"/v1/identity/reviews/{number}?purpose=profile.link", headers=header)
    assert "quartermain" in shown.text
    route = f"/v1/identity/reviews/{number}/decision"
    past = {"decision": "later", "until": "2020-01-01T00:00:00Z"}
    for wrong in (past, {"decision": "match", "until": "2999-01-01T00:00:00Z"}, {"decision": "no"}):
        assert server.post(route, json=wrong, headers=header).status_code == 422
    assert server.post(route, json={"decision": "later"}, headers=header).status_code == 200
    listed = server.get("/v1/identity/reviews", headers=header).json()
    assert [entry["left"] for entry in listed["data"]] == ["crm_id:brother"]
    decision = server.post(route, json={"decision": "match"}, headers=header)
    assert decision.json() == {"merged": 1, "split": 0}
    assert server.post(route, json={"decision": "match"}, headers=header).status_code == 409
    for absent in ("999999", "held-999999"):
        path = f"/v1/identity/reviews/{absent}"
        assert server.get(path, headers=header).status_code == 404
        answer = server.post(f"{path}/decision", json={"decision": "match"}, headers=header)
        assert answer.status_code == 404
    assert server.get("/v1/identity/reviews/x-1", headers=header).status_code == 422
    admin = token("identity:admin", "identity:read")
    thin = server.post("/v1/identity/recalibrations", headers=admin)
    assert (thin.status_code, thin.json()["code"]) == (409, "labels-thin")
    assert server.get("/v1/identity/recalibrations", headers=admin).json() == {"data": []}
    nothing = server.post("/v1/identity/recalibrations/rollback", headers=admin)
    assert nothing.status_code == 404


def test_what_names_no_entry_is_not_found(matched: Session) -> None:
    for wrong in ("", "held-", "held-x", "٣", "9" * 30):
        with pytest.raises(ReviewNotFound):
            queue.parse(wrong)

"""A preview says what then happens, to people, consents and segments; and writes nothing."""

import json
import random
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

import consent
from api.routes import identity_previews
from app import pipeline
from app.db import Sessions
from app.identities import reviewing
from app.profiles import read
from identity import graph, namespaces, preview, reviews, suspensions
from identity.errors import ModelNotFound, NamespaceRulesInvalid, PreviewTooLarge
from identity.identifiers import Namespace
from identity.namespaces import Setting
from identity.preview import Bounds, Proposal
from tests.app.conftest import AUTO, NOW, REVIEW

FORCE: dict[str, Any] = {"merge": AUTO, "review": REVIEW}


def tables(session: Session) -> dict[str, Any]:
    """Every row of every table, as one number for each table.

    But for when write keys were last used, which a server notes now and then.
    """
    names = session.scalars(
        sa.text(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables"
            " WHERE schemaname IN ('app', 'identity', 'consent')"
            " AND tablename <> 'write_key' ORDER BY 1"
        )
    )
    return {
        name: session.execute(
            sa.text(
                f"SELECT count(*), sum(hashtextextended(t::text, 0)::numeric) FROM {name} t"  # noqa: S608 -- names of our tables
            )
        ).one()
        for name in names.all()
    }


def partition(session: Session) -> dict[int, int]:
    rows = session.execute(sa.text("SELECT id, person_id FROM identity.identifier"))
    return {row.id: row.person_id for row in rows}


def world(session: Session, seed: int) -> None:
    """Logins with devices that some share, e-mail addresses, cards, a kiosk and doubtful pairs.

    Forms bear what is matched: of what two logins share nobody is made by a match.
    """
    dice = random.Random(seed)  # noqa: S311 -- a seeded world, no secret
    logins = [("user_id", f"p{seed}-{n}") for n in range(25)]
    devices = [("device_id", f"p{seed}-{n}") for n in range(30)]
    mails = [("email", f"p{seed}-{n}@mail.net") for n in range(20)]
    cards = [("crm_id", f"p{seed}-{n}") for n in range(25)]
    forms = [("form_id", f"p{seed}-{n}") for n in range(25)]
    ids = graph.identify(session, [*logins, *devices, *mails, *cards, *forms])
    graph.settle(session, list(ids.values()))
    graph.set_link_consent(session, dict.fromkeys(ids.values(), "given"))
    seen = []
    for _ in range(140):
        one, other = ids[dice.choice(logins)], ids[dice.choice([*devices, *mails, *cards])]
        at = NOW - timedelta(days=dice.randrange(800))
        seen.append(graph.Evidence(one, other, "event", "identify", at, last_at=at))
    for _ in range(30):
        form, another = dice.sample(forms, 2)
        one, other = sorted((ids[form], ids[dice.choice((another, dice.choice(mails)))]))
        p = dice.choice((0.951, 0.97, 0.99))
        seen.append(graph.Evidence(one, other, "match", "splink", NOW, evidence_id=1, weight=5.0,
                                   probability=p, details={"prior": 5.0}))  # fmt: skip
    graph.reconsider(session, graph.observe(session, seen) | set(ids.values()), at=NOW)
    pairs = {tuple(sorted((ids[dice.choice(forms)], ids[dice.choice(cards)]))) for _ in range(8)}
    pairs |= {tuple(sorted((ids[dice.choice(forms)], ids[dice.choice(forms)]))) for _ in range(8)}
    rows = [
        {"left_id": a, "right_id": b, "weight": 2.0, "probability": dice.uniform(0.6, 0.94),
         "evidence": {}, "run_id": 1}
        for a, b in pairs if a != b
    ]  # fmt: skip
    session.execute(graph.statement("queue_reviews"), {"rows": json.dumps(rows)})


PROPOSALS = [
    Setting(Namespace("user_id", 1, None, False, 200, None, False)),
    Setting(Namespace("device_id", 7, 100, False, 200, 7, False)),
    Setting(Namespace("device_id", 7, 100, False, 200, None, True)),
    Setting(Namespace("user_id", 1, 1, True, 2, None, False)),
    Setting(Namespace("email", 4, 1, False, 200, None, False)),
    Setting(Namespace("crm_id", 1, 1, True, 200, None, False)),
    Setting(Namespace("crm_id", 3, None, False, 1, None, False), ("p1-3", "P1-4"), ("-1.$",)),
]


@pytest.mark.parametrize("setting", PROPOSALS, ids=range(len(PROPOSALS)))
def test_rules_do_to_people_what_their_preview_says(session: Session, setting: Setting) -> None:
    world(session, 1)
    before = partition(session)
    found = preview.preview(session, Proposal(setting), merge=AUTO)
    assert partition(session) == before
    namespaces.put(session, setting, by="test")
    for portion in namespaces.touched(session, setting.rules.name):
        graph.reconsider(session, portion, at=NOW)
    after = partition(session)
    moved = {i for i in after if after[i] != before[i]}
    assert moved, "this change moves somebody"
    told = {i: person for person, members in found.after.items() for i in members}
    assert {i: told.get(i, before[i]) for i in after} == after
    assert set(told) >= moved
    groups = session.execute(sa.text("SELECT id, group_id FROM identity.identifier"))
    assert {row.id: row.group_id for row in groups if row.id in found.group} == found.group


@pytest.mark.parametrize("merge", [0.6, 0.75, 0.96, 0.98])
def test_thresholds_do_to_people_what_their_preview_says(session: Session, merge: float) -> None:
    world(session, 2)
    before = partition(session)
    found = preview.preview(session, Proposal(merge=merge), merge=AUTO)
    linked = "UPDATE identity.link SET revoked_at = now() WHERE kind = 'match' AND probability < :p"
    session.execute(sa.text(linked), {"p": merge})
    doubted = session.execute(
        sa.text("SELECT * FROM identity.review WHERE decision IS NULL AND probability >= :p"),
        {"p": merge},
    )
    new = [
        graph.Evidence(r.left_id, r.right_id, "match", "splink", NOW, evidence_id=1,
                       weight=r.weight, probability=r.probability)
        for r in doubted
    ]  # fmt: skip
    graph.observe(session, new)
    graph.reconsider(session, set(before), at=NOW)
    after = partition(session)
    assert after != before
    told = {i: person for person, members in found.after.items() for i in members}
    assert {i: told.get(i, before[i]) for i in after} == after
    sizes: dict[int, int] = {}
    for person in after.values():
        sizes[person] = sizes.get(person, 0) + 1
    for person, members in found.after.items():
        assert sizes[person] == len(members)


def test_a_model_does_what_its_preview_says(matched: Session) -> None:
    run = matched.scalar(sa.text("SELECT run_id FROM identity.model"))
    same = preview.preview(matched, Proposal(model_run=run), merge=AUTO)
    assert same.merges == same.splits == {}, "the model that is in force changes nobody"
    lower = preview.preview(matched, Proposal(model_run=run, merge=0.02), merge=AUTO)
    assert lower.merges
    matched.execute(sa.text("UPDATE identity.link SET probability = 0.96 WHERE kind = 'match'"))
    # As if another model had been sure of nobody: matches that this one does not find would go.
    sure = "UPDATE identity.model SET learnt = jsonb_set(learnt, '{shares,match}', '1e-12')"
    matched.execute(sa.text(sure))
    matched.expire_all()
    other = preview.preview(matched, Proposal(model_run=run), merge=AUTO)
    assert other.splits
    with pytest.raises(ModelNotFound):
        preview.preview(matched, Proposal(model_run=10**9), merge=AUTO)
    with pytest.raises(PreviewTooLarge):
        preview.preview(matched, Proposal(model_run=run), merge=AUTO, bounds=Bounds(records=10))


def test_no_model_brings_back_what_was_undone(matched: Session) -> None:
    run = matched.scalar(sa.text("SELECT run_id FROM identity.model"))
    suspensions.suspend(matched, run_id=run, by="ada")
    before = partition(matched)
    for some in suspensions.touched(matched, run_id=run):
        graph.reconsider(matched, some, at=NOW)
    assert partition(matched) != before
    matched.execute(sa.text("UPDATE identity.link SET probability = 0.96 WHERE kind = 'match'"))
    matched.execute(sa.text("UPDATE identity.link SET probability = 0 WHERE id % 2 = 0"))
    found = preview.preview(matched, Proposal(model_run=run), merge=AUTO)
    assert found.merges == found.splits == {}


def test_a_preview_joins_nobody_by_what_is_taken_back_revoked_or_restricted(
    matched: Session,
) -> None:
    """As a run does not: new pairs of a rule that was undone are undone, and so on."""
    run = matched.scalar(sa.text("SELECT run_id FROM identity.model"))
    wider = Proposal(model_run=run, merge=0.02)
    waiting = Proposal(merge=0.02)
    assert preview.preview(matched, wider, merge=AUTO).merges
    doubted = matched.execute(sa.text("SELECT left_id, right_id FROM identity.review")).all()
    row = {"left_id": min(doubted[0]), "right_id": max(doubted[0])}
    told = preview.preview(matched, waiting, merge=AUTO)
    assert told.merges

    def joins(proposal: Proposal) -> bool:
        found = preview.preview(matched, proposal, merge=AUTO)
        who = {i: person for person, members in found.after.items() for i in members}
        return who.get(row["left_id"], 0) == who.get(row["right_id"], 1)

    assert joins(wider)
    assert joins(waiting)
    with matched.begin_nested() as point:
        suspensions.suspend(matched, rule="splink", by="ada")
        before = partition(matched)
        for some in suspensions.touched(matched, rule="splink"):
            graph.reconsider(matched, some, at=NOW)
        assert partition(matched) != before
        for proposal in (wider, waiting):
            found = preview.preview(matched, proposal, merge=AUTO)
            assert found.merges == found.splits == {}
        point.rollback()
    with matched.begin_nested() as point:
        revoked = ("INSERT INTO identity.link (kind, left_id, right_id, rule, first_at, last_week,"
                   " evidence, revoked_at) VALUES ('match', :left_id, :right_id, 'splink', now(),"
                   " 0, '{}', now())")  # fmt: skip
        matched.execute(sa.text(revoked), row)
        assert not joins(wider)
        assert not joins(waiting)
        point.rollback()
    ada = "SELECT right_id FROM identity.link WHERE kind = 'match' AND held IS NULL LIMIT 1"
    matched.execute(sa.text("UPDATE identity.identifier SET restricted = true WHERE id = :i"),
                    {"i": matched.scalar(sa.text(ada))})  # fmt: skip
    matched.execute(sa.text("UPDATE identity.identifier SET restricted = true WHERE id = :i"),
                    {"i": row["left_id"]})  # fmt: skip
    assert not joins(wider)
    assert not joins(waiting)
    stricter = preview.preview(matched, Proposal(model_run=run, merge=0.999999), merge=AUTO)
    kept = partition(matched)[matched.scalar(sa.text(ada)) or 0]
    assert kept not in stricter.splits


def test_rules_that_cannot_be_are_refused(session: Session) -> None:
    wrong = Setting(Namespace("crm_id", 3, 2, True, 200, None, False))
    with pytest.raises(NamespaceRulesInvalid):
        preview.preview(session, Proposal(wrong), merge=AUTO)
    broken = Setting(Namespace("crm_id", 3), (), ("(",))
    with pytest.raises(NamespaceRulesInvalid):
        preview.preview(session, Proposal(broken), merge=AUTO)


@pytest.fixture
def shop(server: TestClient, sessions: Sessions, write_key: str) -> TestClient:
    """Two customers with an order each, of whom one allows e-mail; matching doubts they are one."""
    choices = {
        "u-1": {"marketing.email": True, "analytics.audience": True, consent.LINK: True},
        "u-2": {"marketing.email": False, "analytics.audience": True, consent.LINK: True},
    }
    for user, preferences in choices.items():
        event = {"userId": user, "writeKey": write_key,
                 "context": {"consent": {"categoryPreferences": preferences}}}  # fmt: skip
        server.post("/v1/identify", json={**event, "traits": {"first_name": "Ada"}})
        server.post("/v1/track", json={**event, "event": "Order Completed"})
    with sessions.begin() as session:
        while not pipeline.step(session).idle:
            pass
    with sessions.begin() as session:
        ids = [read.find(session, f"user_id:{user}").person_id for user in choices]
        row = {"left_id": min(ids), "right_id": max(ids), "weight": 8.0, "probability": 0.995,
               "evidence": {}, "run_id": 1}  # fmt: skip
        session.execute(graph.statement("queue_reviews"), {"rows": json.dumps([row])})
    return server


def test_a_preview_tells_segments_consents_and_examples_and_every_table_stays(
    shop: TestClient, sessions: Sessions, token: Any
) -> None:
    purposes = ("analytics.audience", "marketing.email")
    header = token(purposes=purposes)
    for key, count, purpose in (
        ("twice", {"gte": 2}, purposes[0]),
        ("once", {"eq": 1}, purposes[0]),
        ("mail", {"gte": 1}, purposes[1]),
        ("ever", {"gte": 3}, purposes[0]),
    ):
        rule = {"event": "Order Completed", "count": count}
        body = {"key": key, "name": key, "purpose": purpose, "rule": rule}
        assert shop.post("/v1/segments", json=body, headers=header).status_code == 201
    with sessions() as session:
        before = tables(session)
    answer = shop.post(
        "/v1/identity/preview?purpose=analytics.audience",
        json={"merge_threshold": 0.99, "review_threshold": 0.9},
        headers=header,
    )
    assert answer.status_code == 200, answer.text
    found = answer.json()
    with sessions() as session:
        assert tables(session) == before
    assert (found["people_merged"], found["people_split"]) == (2, 0)
    assert (found["largest_before"], found["largest_after"]) == ([1, 1], [2])
    assert found["consent_conflicts"] == {"marketing.email": 1}
    told = {one["segment"]: (one["before"], one["after"]) for one in found["segments"]}
    # By e-mail nobody could be told any more: the one who refused would take the other's place.
    assert told == {"twice": (0, 1), "once": (2, 0), "mail": (1, 0)}
    [example] = found["examples"]
    shown = sorted(name for one in example["people"] for name in one["shown"])
    assert (example["kind"], shown) == ("merge", ["user_id:u-1", "user_id:u-2"])
    quiet = shop.post("/v1/identity/preview", json={"merge_threshold": 0.99}, headers=header)
    assert "u-1" not in quiet.text
    mail = shop.post(
        "/v1/identity/preview?purpose=marketing.email",
        json={"merge_threshold": 0.99},
        headers=header,
    )
    assert "u-1" in mail.text
    assert "u-2" not in mail.text
    with sessions.begin() as session:  # and so it comes
        [waiting] = session.execute(sa.text("SELECT id FROM identity.review")).all()
        session.execute(sa.text("UPDATE identity.review SET probability = 0.8"))
        pair = session.execute(sa.text("SELECT left_id, right_id FROM identity.review")).one()
        match = graph.Evidence(pair.left_id, pair.right_id, "match", "splink", datetime.now(UTC),
                               evidence_id=1, weight=8.0, probability=0.995)  # fmt: skip
        moved = graph.reconsider(session, graph.observe(session, [match]), at=datetime.now(UTC))
        pipeline.after_move(session, moved)
        assert waiting.id
    sizes = {
        one["key"]: one["size"] for one in shop.get("/v1/segments", headers=header).json()["data"]
    }
    assert sizes == {"twice": 1, "once": 0, "mail": 0, "ever": 0}


def test_events_are_stitched_while_a_preview_runs(shop: TestClient, sessions: Sessions) -> None:
    """The transaction of a preview holds no lock that stitching waits for."""
    with sessions() as session:
        session.connection(execution_options={"postgresql_readonly": True})
        preview.preview(session, Proposal(merge=0.99), merge=AUTO)
        held = session.scalars(
            sa.text("SELECT DISTINCT mode FROM pg_locks WHERE pid = pg_backend_pid()")
        ).all()
        assert set(held) <= {"AccessShareLock", "ExclusiveLock"}  # the latter on its own id
        with sessions.begin() as other:
            moved = reviewing.decide(
                other, str(other.scalar(sa.text("SELECT id FROM identity.review"))), match=True,
                by="test", at=datetime.now(UTC),
            )  # fmt: skip
            assert len(moved.merged) == 1
        with pytest.raises(sa.exc.InternalError, match="read-only"):
            reviews.request_run(session, {})


def test_what_proposes_nothing_is_refused(server: TestClient, token: Any) -> None:
    header = token("identity:read")
    for wrong in ({}, {"merge_threshold": None}, {"merge_threshold": 1.5}, {"what": 1},
                  {"namespace": {"key": "Not A Name"}}):  # fmt: skip
        assert server.post("/v1/identity/preview", json=wrong, headers=header).status_code == 422
    absent = server.post("/v1/identity/preview", json={"model_run": 7}, headers=header)
    assert (absent.status_code, absent.json()["code"]) == (404, "model-not-found")


def test_a_preview_is_given_up_when_it_looks_at_too_many_or_for_too_long(
    session: Session,
) -> None:
    world(session, 3)
    rules = Proposal(Setting(Namespace("user_id", 1, None, False, 200, None, False)))
    most = preview.preview(session, rules, merge=AUTO).looked_at
    assert most > 20
    assert preview.preview(session, rules, merge=AUTO, bounds=Bounds(identifiers=most)).looked_at
    for proposal, bounds in (
        (rules, Bounds(identifiers=most - 1)),
        (rules, Bounds(until=time.monotonic() - 1)),
        (Proposal(merge=0.97), Bounds(identifiers=3)),
        (Proposal(merge=0.97), Bounds(until=time.monotonic() - 1)),
    ):
        with pytest.raises(PreviewTooLarge, match="use parcours identity preview"):
            preview.preview(session, proposal, merge=AUTO, bounds=bounds)


def test_a_preview_over_http_says_where_a_large_one_is_done(
    shop: TestClient, token: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    header = token("identity:read")
    body = {"merge_threshold": 0.99}
    for limit, value in (("MOST_IDENTIFIERS", -1), ("MOST_SECONDS", -1)):
        monkeypatch.setattr(identity_previews, limit, value)
        said = shop.post("/v1/identity/preview", json=body, headers=header)
        assert (said.status_code, said.json()["code"]) == (409, "preview-too-large")
        assert "parcours identity preview" in said.text
        monkeypatch.undo()

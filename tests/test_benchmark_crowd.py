"""The people that benchmarks load are what the pipeline leaves of the events that say the same."""

import random
from typing import Any

import sqlalchemy as sa
from fastapi.testclient import TestClient

from app import matching, pipeline
from app.db import Sessions
from benchmarks import crowd
from identity import reviews

IDENTIFIERS = """
SELECT i.namespace, i.value, i.link_consent, i.settled, i.closed, i.first_seen_at IS NULL,
       (SELECT array_agg(m.value ORDER BY m.value) FROM identity.identifier m
        WHERE m.group_id = i.group_id),
       (SELECT array_agg(m.value ORDER BY m.value) FROM identity.identifier m
        WHERE m.person_id = i.person_id),
       (SELECT array_agg(m.value ORDER BY m.value) FROM identity.identifier m
        WHERE m.reach_id = i.reach_id),
       i.group_id = (SELECT min(m.id) FROM identity.identifier m WHERE m.group_id = i.group_id),
       i.person_id = i.group_id, i.reach_id = i.group_id
FROM identity.identifier i ORDER BY 1, 2
"""
LINKS = """
SELECT l.kind, least(a.namespace, b.namespace), least(a.value, b.value), greatest(a.value, b.value),
       l.rule, l.weight, l.probability, l.evidence, l.held, l.revoked_at, l.last_week,
       l.evidence_id IS NULL
FROM identity.link l JOIN identity.identifier a ON a.id = l.left_id
JOIN identity.identifier b ON b.id = l.right_id ORDER BY 1, 2, 3, 4
"""
RECORDS = """
SELECT i.namespace, i.value, r.fields, r.keys
FROM identity.record r JOIN identity.identifier i ON i.id = r.identifier_id ORDER BY 1, 2
"""
INDEXES = "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'identity' ORDER BY 1"


def rows(sessions: Sessions, query: str) -> list[tuple[Any, ...]]:
    with sessions() as session:
        return [tuple(row) for row in session.execute(sa.text(query))]


def test_people_that_benchmarks_load_are_what_the_pipeline_leaves(
    server: TestClient, sessions: Sessions, write_key: str
) -> None:
    dice = random.Random(3)  # noqa: S311 -- an invented population, no secret
    people = list(crowd.population(60, dice))
    allowed = {"consent": {"categoryPreferences": {"profile.link": True}}}
    batch = [
        {
            "type": "identify",
            "userId": f"p{number}",
            "traits": {**fields, "phone": f"+{fields['phone']}"},
            "context": allowed,
        }
        for number, fields in enumerate(people, 1)
    ]
    assert server.post("/v1/batch", json={"batch": batch, "writeKey": write_key}).status_code == 200
    while True:
        with sessions.begin() as session:
            if pipeline.step(session).idle:
                break
    with sessions.begin() as session:
        reviews.request_run(session, {"asked_by": "test"})
    matching.run_waiting(sessions, auto=2, review=2)  # notes keys, and links nobody
    left = [rows(sessions, query) for query in (IDENTIFIERS, LINKS, RECORDS, INDEXES)]
    assert len(left[0]) == 3 * len(people)
    with sessions.begin() as session:
        tables = "identity.identifier, identity.link, identity.record"
        session.execute(sa.text(f"TRUNCATE {tables} RESTART IDENTITY"))
    assert crowd.load(sessions, people, prefix="p", compared=True) == len(people)
    loaded = [rows(sessions, query) for query in (IDENTIFIERS, LINKS, RECORDS, INDEXES)]
    for pipelines, ours in zip(left, loaded, strict=True):
        assert ours == pipelines

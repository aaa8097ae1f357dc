"""Exempt audience measurement stays by itself (research/consent.md section 3, check 88)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from fastapi.testclient import TestClient

from app import pipeline
from app.access import sources
from app.db import Sessions
from app.lake import copy
from app.lake.duckdb_engine import open_lake

EXEMPT = "audience.exempt"
WANTS = {"consent": {"categoryPreferences": {"marketing.email": True, "profile.link": True}}}


def test_88_exempt_data_join_nobody_are_in_no_segment_and_go_nowhere(
    server: TestClient, sessions: Sessions, tmp_path: Path, token: Callable[..., dict[str, str]]
) -> None:
    header = token(purposes=("marketing.email", EXEMPT))
    purpose = {"key": EXEMPT, "lawful_basis": "legitimate_interests", "linkable": False,
               "regime": "exempt_measurement"}  # fmt: skip
    assert server.post("/v1/purposes", json=purpose, headers=header).status_code == 201
    with sessions.begin() as session:
        exempt = sources.add(session, "counter", collection_purpose=EXEMPT)[1]
        web = sources.add(session, "web")[1]
    for key, purpose_key in (("buyers", "marketing.email"), ("counted", EXEMPT)):
        rule = {"trait": "plan", "op": "eq", "value": "gold"}
        segment = {"key": key, "name": key, "purpose": purpose_key, "rule": rule}
        answer = server.post("/v1/segments", json=segment, headers=header)
        assert answer.status_code == 201, answer.text
    hook = {"name": "mail", "kind": "webhook", "url": "https://mail.example/hook",
            "purpose": "marketing.email", "segments": ["buyers"]}  # fmt: skip
    answer = server.post("/v1/destinations", json=hook, headers=header)
    assert answer.status_code == 201, answer.text

    def send(key: str, who: str) -> None:
        body: dict[str, Any] = {
            "userId": who, "anonymousId": f"d-{who}", "context": WANTS, "writeKey": key,
            "traits": {"plan": "gold", "email": f"{who}@example.org"},
        }  # fmt: skip
        assert server.post("/v1/identify", json=body).json()["accepted"] == 1
        while True:
            with sessions.begin() as session:
                if pipeline.step(session).idle:
                    return

    send(web, "ada")
    send(exempt, "bob")
    copy.copy_new(sessions, tmp_path)

    with sessions() as session:
        rows = session.execute(sa.text("SELECT value, person_id FROM identity.current_person"))
        one: dict[str, int] = {row.value: row.person_id for row in rows}
        assert one["ada"] == one["d-ada"]
        assert one["bob"] != one["d-bob"]  # E3
        compared = session.scalar(sa.text("SELECT count(*) FROM identity.record"))
        assert compared == 1
        assert session.scalar(sa.text("SELECT count(*) FROM app.segment_member")) == 1  # E4
        assert session.scalar(sa.text("SELECT count(*) FROM app.delivery")) == 1  # E6
        with open_lake(session, tmp_path, EXEMPT) as lake:
            assert lake.events == 2  # counted, both: the basis is no consent
        with open_lake(session, tmp_path, "marketing.email") as lake:
            assert lake.events == 1
    query = {"purpose": "marketing.email"}
    known = server.get("/v1/profiles/user_id:bob", params=query, headers=header).json()
    assert known["traits"] == {}

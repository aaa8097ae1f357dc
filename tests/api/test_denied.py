"""Who was denied what, one decision at a time, and what somebody has restricted."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from fastapi.testclient import TestClient

import consent
from app.consents import denials
from app.consents.record import record
from app.consents.tables import DeniedUse
from app.db import Sessions
from consent import restrictions
from identity import graph

Token = Callable[..., dict[str, str]]
EMAIL = "marketing.email"


def test_a_denied_read_is_listed_with_its_reason_for_as_long_as_it_is_kept(
    server: TestClient, sessions: Sessions, token: Token
) -> None:
    with sessions.begin() as session:
        graph.identify(session, [("user_id", "ada"), ("user_id", "bob")])
        record(
            session, "user_id", "ada", {EMAIL: "refused"}, collected_by="test",
            received_at=datetime.now(UTC),
        )  # fmt: skip
    header = token("profiles:read", "consents:read", purposes=(EMAIL,))

    def get(path: str, subject: str = "user_id:ada") -> list[dict[str, object]]:
        answer = server.get(path, params={"subject": subject}, headers=header)
        assert answer.status_code == 200, answer.text
        found: list[dict[str, object]] = answer.json()["data"]
        return found

    for _ in range(2):
        server.get("/v1/profiles/user_id:ada", params={"purpose": EMAIL}, headers=header)
    found = get("/v1/consents/denied-uses")
    assert [(d["use"], d["purpose"], d["reason"]) for d in found] == [
        ("read", EMAIL, "refused")
    ] * 2
    assert get("/v1/consents/denied-uses", "user_id:bob") == []
    counted = server.get("/v1/consents/denials", headers=header).json()["data"]
    assert [c["denials"] for c in counted if c["use"] == "read"] == [2]

    now = datetime.now(UTC)
    with sessions.begin() as session:
        restrictions.restrict(
            session, [("user_id", "ada")], "objection", reason_ref="request:1", at=now,
            purpose_key=EMAIL,
        )  # fmt: skip
    [objection] = get("/v1/consents/restrictions")
    assert (objection["kind"], objection["purpose"], objection["in_force"]) == (
        "objection", EMAIL, True,
    )  # fmt: skip
    other = server.get("/v1/consents/denied-uses", headers=token("profiles:read"))
    assert other.status_code == 403

    with sessions.begin() as session:
        assert not denials.forget(session, before=now - timedelta(hours=1))
        assert len(get("/v1/consents/denied-uses")) == 2
        denials.forget(session, before=datetime.now(UTC))
    assert get("/v1/consents/denied-uses") == []


def test_a_decision_that_denies_very_many_is_only_counted(sessions: Sessions) -> None:
    now = datetime.now(UTC)
    with sessions.begin() as session:
        everybody = dict.fromkeys(range(denials.MOST + 1), "unknown")
        denials.note(session, "export", EMAIL, everybody, at=now)
        denials.note(session, "export", EMAIL, {}, at=now)
        assert session.scalar(sa.select(sa.func.count()).select_from(DeniedUse)) == 0
        assert [d["denials"] for d in consent.denials(session)] == [denials.MOST + 1]

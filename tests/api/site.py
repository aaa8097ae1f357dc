"""A website that sends events to a whole server, for tests of what its consent signals do."""

from base64 import b64encode
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from fastapi.testclient import TestClient

from app.access import sources
from app.db import Sessions

Token = Callable[..., dict[str, str]]
CATEGORIES = {"Advertising": ["ads.share"], "Analytics": ["analytics.audience"]}
PREFERENCE = "Segment Consent Preference Updated"
#: What the privacy officer's client may do.
OFFICER = ("consents:read", "privacy:process", "destinations:write", "sources:admin")


class Site:
    """A website that sends events, and what the privacy officer is told of its visitor."""

    def __init__(
        self, server: TestClient, sessions: Sessions, officer: dict[str, str], **settings: Any
    ) -> None:
        with sessions.begin() as session:
            name = f"site-{len(sources.list_all(session))}"
            self.key = sources.add(session, name, categories=CATEGORIES, **settings)[1]
        self.server, self.sessions, self.officer = server, sessions, officer
        self.user = f"u-{name}"

    def send(
        self, context: Any = None, *, event: str = "Seen", headers: Any = None, **more: Any
    ) -> dict[str, Any]:
        body = {
            "type": "track", "event": event, "userId": self.user, "writeKey": self.key,
            "context": {} if context is None else context, **more,
        }  # fmt: skip
        answer = self.server.post("/v1/track", json=body, headers=headers or {})
        assert answer.status_code == 200
        return dict(answer.json())

    def choose(self, preferences: Any) -> dict[str, Any]:
        said = {} if preferences is None else {"categoryPreferences": preferences}
        return self.send({"consent": said}, event=PREFERENCE)

    def decide(self, purpose: str, subject: str | None = None) -> dict[str, Any]:
        answer = self.server.get(
            "/v1/consents/decision",
            params={"subject": subject or f"user_id:{self.user}", "purpose": purpose},
            headers=self.officer,
        )
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def records(self) -> list[dict[str, Any]]:
        answer = self.server.get(
            "/v1/consents", params={"subject": f"user_id:{self.user}"}, headers=self.officer
        )
        return list(answer.json()["data"])

    def say(self, client: dict[str, str] | None = None, **more: Any) -> Any:
        """Say it with the key of the page, or as a client does."""
        basic = b64encode(f"{self.key}:".encode()).decode()
        body = {"subject": {"namespace": "user_id", "value": self.user}, **more}
        headers = client or {"Authorization": f"Basic {basic}"}
        return self.server.post("/v1/consents", json=body, headers=headers)

    def refused(self) -> list[list[str]]:
        """What each stored event may never be used for, in their order."""
        with self.sessions() as session:
            query = sa.text("SELECT refused FROM app.event WHERE user_id = :u ORDER BY received_at")
            return [sorted(row) for row in session.scalars(query, {"u": self.user})]

    def denials(self, use: str) -> dict[tuple[str, str], int]:
        answer = self.server.get("/v1/consents/denials", headers=self.officer)
        return {
            (d["purpose"], d["reason"]): d["denials"]
            for d in answer.json()["data"]
            if d["use"] == use
        }

"""A purpose that demands deterministic links sees two people where matching has joined them."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

import consent
from app import pipeline
from app.access import clients
from app.db import Sessions
from app.destinations import portions
from app.destinations.deliver import deliver
from app.lake.copy import copy_new
from app.lake.duckdb_engine import open_lake
from app.profiles import read
from app.settings import Settings
from consent import Purpose
from identity import graph, people

SURE, LOOSE = "transactional.email", "transactional.loose"
NOW = datetime.now(UTC)


@pytest.fixture
def header(server: TestClient, token: Any, sessions: Sessions) -> dict[str, str]:
    with sessions.begin() as session:
        for key, confidence in ((SURE, "deterministic"), (LOOSE, "probable")):
            consent.catalogue.add_purpose(
                session,
                Purpose(key, lawful_basis="contract", link_confidence=confidence),  # type: ignore[arg-type]  # one of two texts
            )
    header: dict[str, str] = token(*clients.SCOPES, purposes=(SURE, LOOSE))
    return header


@pytest.fixture
def joined(
    server: TestClient, sessions: Sessions, write_key: str, header: dict[str, str]
) -> dict[str, int]:
    """Two customers with an order and a device each, whom matching has joined."""
    for n in (1, 2):
        event = {"userId": f"u-{n}", "anonymousId": f"d-{n}", "writeKey": write_key,
                 "context": {"consent": {"categoryPreferences": {consent.LINK: True}}}}  # fmt: skip
        traits = {"first_name": "Ada", f"only_{n}": n}
        server.post("/v1/identify", json={**event, "traits": traits})
        server.post("/v1/track", json={**event, "event": "Order Completed"})
    settle(sessions)
    for key, count in (("once", {"eq": 1}), ("twice", {"gte": 2})):
        for purpose in (SURE, LOOSE):
            rule = {"event": "Order Completed", "count": count}
            name = f"{key}-{purpose.rpartition('.')[2]}"
            body = {"key": name, "name": name, "purpose": purpose, "rule": rule}
            assert server.post("/v1/segments", json=body, headers=header).status_code == 201
    with sessions.begin() as session:
        ids = {n: read.find(session, f"user_id:u-{n}").acting_id for n in (1, 2)}
        low, high = sorted(ids.values())
        match = graph.Evidence(low, high, "match", "splink", NOW, evidence_id=1,
                               weight=9.0, probability=0.995)  # fmt: skip
        moved = graph.reconsider(session, graph.observe(session, [match]), at=NOW)
        assert len(moved.merged) == 1
        pipeline.after_move(session, moved)
    return {"one": ids[1], "other": ids[2]}


def settle(sessions: Sessions) -> None:
    idle = False
    while not idle:
        with sessions.begin() as session:
            idle = pipeline.step(session).idle


def profile(server: TestClient, header: dict[str, str], ref: str, purpose: str) -> dict[str, Any]:
    answer = server.get(f"/v1/profiles/{ref}?purpose={purpose}", headers=header)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def names(body: dict[str, Any]) -> set[str]:
    return {f"{i['namespace']}:{i['value']}" for i in body["identifiers"]}


def test_a_profile_shows_what_is_asserted_to_be_the_one_that_was_asked_for(
    server: TestClient, header: dict[str, str], joined: dict[str, int]
) -> None:
    loose = profile(server, header, "user_id:u-2", LOOSE)
    assert names(loose) == {"user_id:u-1", "user_id:u-2", "anonymous_id:d-1", "anonymous_id:d-2"}
    assert loose["withheld"] == []
    sure = {n: profile(server, header, f"user_id:u-{n}", SURE) for n in (1, 2)}
    for n, other in ((1, 2), (2, 1)):
        assert names(sure[n]) == {f"user_id:u-{n}", f"anonymous_id:d-{n}"}
        assert f"only_{n}" in sure[n]["traits"]
        assert f"only_{other}" not in sure[n]["traits"]
        assert sure[n]["withheld"] == [
            {"what": "part", "reason": "link_confidence", "identifiers": 2}
        ]
        events = server.get(f"/v1/profiles/user_id:u-{n}/events?purpose={SURE}", headers=header)
        assert {e["user_id"] for e in events.json()["data"]} == {f"u-{n}"}
        # The id that was answered answers the same.
        again = profile(server, header, sure[n]["profile_id"], SURE)
        assert again == sure[n]
    assert sure[1]["profile_id"] != sure[2]["profile_id"]
    listed = {
        purpose: server.get(f"/v1/profiles?purpose={purpose}", headers=header).json()["data"]
        for purpose in (SURE, LOOSE)
    }
    assert len(listed[LOOSE]) == 1
    assert {one["profile_id"] for one in listed[SURE]} == {p["profile_id"] for p in sure.values()}


def test_a_segment_has_both_as_members_and_neither_by_the_orders_of_both(
    server: TestClient, header: dict[str, str], joined: dict[str, int], sessions: Sessions
) -> None:
    def sizes() -> dict[str, int]:
        listed = server.get("/v1/segments", headers=header).json()["data"]
        return {one["key"]: one["size"] for one in listed}

    expected = {"once-email": 2, "twice-email": 0, "once-loose": 0, "twice-loose": 1}
    assert sizes() == expected
    pipeline.refresh_all(sessions)
    assert sizes() == expected
    members = server.get("/v1/segments/once-email/members", headers=header).json()["data"]
    sure = [profile(server, header, f"user_id:u-{n}", SURE) for n in (1, 2)]
    assert {m["profile_id"] for m in members} == {p["profile_id"] for p in sure}
    assert [[s["segment"] for s in p["segments"]] for p in sure] == [["once-email"]] * 2
    # Decided to be one, they are one for every purpose; undecided, each stays on as before.
    with sessions.begin() as session:
        moved = people.must_link(session, joined["one"], joined["other"], by="test", at=NOW)
        pipeline.after_move(session, moved)
    assert sizes() == {"once-email": 0, "twice-email": 1, "once-loose": 0, "twice-loose": 1}
    left = (
        "SELECT why_left FROM app.segment_member m JOIN app.segment s ON s.id = m.segment_id"
        " WHERE s.key = 'once-email' ORDER BY why_left"
    )
    with sessions() as session:
        assert session.scalars(sa.text(left)).all() == ["merged", "rule_no_longer_met"]


class Receiver(BaseHTTPRequestHandler):
    """Keeps the bodies that are sent to it."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.bodies.append(json.loads(body))  # type: ignore[attr-defined]  # set below
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def receiver() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    server.bodies = []  # type: ignore[attr-defined]  # a list of our own
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def test_an_export_names_each_by_its_own_identifiers(
    server: TestClient,
    header: dict[str, str],
    joined: dict[str, int],
    sessions: Sessions,
    receiver: ThreadingHTTPServer,
) -> None:
    url = f"http://127.0.0.1:{receiver.server_port}/"
    for name, segments, purpose in (
        ("sure", ["once-email", "twice-email"], SURE),
        ("loose", ["twice-loose"], LOOSE),
    ):
        body = {"name": name, "url": url, "purpose": purpose, "segments": segments}
        answer = server.post("/v1/destinations", json=body, headers=header)
        assert answer.status_code == 201, answer.text
    while portions.advance(sessions):
        pass
    with httpx.Client() as client:
        while deliver(sessions, client):
            pass
    told = [
        (b["data"]["segment"], sorted(v for vs in b["data"]["identifiers"].values() for v in vs))
        for b in receiver.bodies  # type: ignore[attr-defined]  # a list of our own
    ]
    assert sorted(told) == [
        ("once-email", ["d-1", "u-1"]),
        ("once-email", ["d-2", "u-2"]),
        ("twice-loose", ["d-1", "d-2", "u-1", "u-2"]),
    ]


def test_journeys_count_two_people(
    joined: dict[str, int], sessions: Sessions, settings: Settings
) -> None:
    copy_new(sessions, settings.lake_dir)
    counted = {}
    for purpose in (SURE, LOOSE):
        with sessions() as session, open_lake(session, settings.lake_dir, purpose) as lake:
            counted[purpose] = lake.profiles
    assert counted == {SURE: 2, LOOSE: 1}


def test_a_new_version_that_demands_more_holds_at_the_next_read(
    server: TestClient, header: dict[str, str], joined: dict[str, int], sessions: Sessions
) -> None:
    body = {"key": LOOSE, "version": 2, "lawful_basis": "contract", "title": {"en": "Receipts"},
            "link_confidence": "deterministic"}  # fmt: skip
    answer = server.post("/v1/purposes", json=body, headers=header)
    assert answer.status_code == 201, answer.text
    assert answer.json()["link_confidence"] == "deterministic"
    assert len(names(profile(server, header, "user_id:u-1", LOOSE))) == 2
    pipeline.refresh_all(sessions)
    once = server.get("/v1/segments/once-loose", headers=header).json()
    assert once["size"] == 2
    wrong = {**body, "version": 3, "link_confidence": "certain"}
    assert server.post("/v1/purposes", json=wrong, headers=header).status_code == 422

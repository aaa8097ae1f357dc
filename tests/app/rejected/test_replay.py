"""A rejected event becomes an event after all: once, at its own time, as consent allows."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from app.access import sources
from app.access.tables import Source
from app.db import Sessions
from app.events import tally
from tests.app.rejected.conftest import Call, Send, basic

NAMELESS = {"type": "track", "userId": "u-1", "messageId": "m-1"}
NAMED = {**NAMELESS, "event": "Order Completed"}


def only(call: Call, **filters: Any) -> dict[str, Any]:
    """The one rejected event there is."""
    [found] = call("GET", params={"include": "payload", **filters}).json()["data"]
    return dict(found)


def events(sessions: Sessions) -> list[sa.Row[Any]]:
    columns = "message_id, name, occurred_at, received_at, properties"
    with sessions() as session:
        query = sa.text(f"SELECT {columns} FROM app.event ORDER BY id")  # noqa: S608 -- ours
        return list(session.execute(query))


def test_it_is_corrected_replayed_and_there_once_with_its_times(
    server: TestClient, write_key: str, call: Call, sessions: Sessions
) -> None:
    sent = datetime.now(UTC) - timedelta(hours=3)  # this clock is three hours slow
    happened = sent - timedelta(minutes=5)
    body = {"batch": [NAMELESS | {"timestamp": happened.isoformat()}], "sentAt": sent.isoformat()}
    server.post("/v1/batch", json=body, headers=basic(write_key))
    found = only(call)
    received = datetime.fromisoformat(found["received_at"])
    event = found["payload"] | {"event": "Order Completed"}
    answer = call("POST", f"/{found['id']}/replay", json={"event": event})
    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        "id": found["id"], "state": "replayed", "outcome": "accepted", "message_id": "m-1",
        "code": "", "message": "",
    }  # fmt: skip
    [row] = events(sessions)
    assert (row.message_id, row.name) == ("m-1", "Order Completed")
    assert row.received_at == received
    assert row.occurred_at == happened + (received - sent)
    after = only(call)
    assert (after["state"], after["outcome"], after["attempts"]) == ("replayed", "accepted", 1)
    assert after["result_message_id"] == "m-1"
    assert after["corrected_by"] == after["closed_by"]
    assert after["closed_by"].startswith("cl_")
    assert (after["payload"], after["replayable"]) == (None, False)


def test_what_is_replayed_is_not_received_again(
    write_key: str, call: Call, send: Send, sessions: Sessions
) -> None:
    send(NAMELESS, {**NAMELESS, "messageId": "m-2"}, {**NAMED, "messageId": "m-3"})
    for found in call("GET").json()["data"]:
        event = {**NAMED, "messageId": "m-3" if found["message_id"] == "m-2" else "m-1"}
        assert call("POST", f"/{found['id']}/replay", json={"event": event}).status_code == 200
    with sessions() as session:
        counted = tally.read(session, 1, datetime.now(UTC)).day
    assert (counted.received, counted.accepted, counted.replayed) == (3, 1, 1)
    assert counted.rejected == {"event_missing": 2}
    assert len(events(sessions)) == counted.accepted + counted.replayed


def test_a_correction_can_be_stored_and_replayed_later(
    send: Send, call: Call, sessions: Sessions
) -> None:
    send({**NAMELESS, "properties": {"x": "x" * 200_000}})
    path = f"/{only(call)['id']}"
    refused = call("POST", f"{path}/replay")
    assert (refused.status_code, refused.json()["code"]) == (422, "correction-required")
    odd = {**NAMED, "properties": {"a": "\x00b\ud800", "n": 10**400}}
    corrected = call("PATCH", path, content=json.dumps({"event": odd}).encode())
    assert corrected.status_code == 200, corrected.text
    assert corrected.json()["payload"]["properties"] == {"a": "b�", "n": 10**400}
    assert (corrected.json()["state"], corrected.json()["name"]) == ("open", "Order Completed")
    assert call("POST", f"{path}/replay").json()["outcome"] == "accepted"
    assert events(sessions)[0].properties == {"a": "b�", "n": 10**400}
    late = call("PATCH", path, json={"event": NAMED})
    assert (late.status_code, late.json()["code"]) == (409, "rejected-event-closed")


def test_a_correction_that_is_too_large_to_keep_is_refused_and_changes_nothing(
    send: Send, call: Call
) -> None:
    send(NAMELESS)
    before = only(call)
    huge = {"event": {**NAMED, "properties": {"x": "x" * 140_000}}}
    for method, path in (("PATCH", ""), ("POST", "/replay")):
        answer = call(method, f"/{before['id']}{path}", json=huge)
        assert (answer.status_code, answer.json()["code"]) == (422, "correction-invalid")
    assert only(call) == before


def test_one_that_is_rejected_again_stays_open_with_the_new_reason(
    send: Send, call: Call, sessions: Sessions
) -> None:
    send(NAMELESS)
    found = only(call)
    nobody = {**NAMED, "userId": None}
    answer = call("POST", f"/{found['id']}/replay", json={"event": nobody}).json()
    assert (answer["state"], answer["outcome"]) == ("open", "rejected")
    after = only(call)
    assert (after["state"], after["code"], after["attempts"]) == ("open", "no_user_anon_id", 1)
    assert after["message"] == answer["message"] != found["message"]
    assert after["payload"]["event"] == "Order Completed"
    assert events(sessions) == []
    assert call("POST", f"/{found['id']}/replay", json={"event": NAMED}).json()["outcome"] == (
        "accepted"
    )
    assert only(call)["attempts"] == 2


def test_one_that_was_there_already_is_replayed_as_a_duplicate(
    send: Send, call: Call, sessions: Sessions
) -> None:
    send(NAMELESS)
    send(NAMED)
    answer = call("POST", f"/{only(call)['id']}/replay", json={"event": NAMED}).json()
    assert (answer["state"], answer["outcome"]) == ("replayed", "duplicate")
    assert only(call)["outcome"] == "duplicate"
    assert len(events(sessions)) == 1


def test_one_without_an_id_keeps_the_id_that_its_sender_was_told(
    send: Send, call: Call, sessions: Sessions
) -> None:
    said = send({"type": "track", "userId": "u-1"})["rejected"][0]["message_id"]
    event = {"type": "track", "userId": "u-1", "event": "Seen"}
    answer = call("POST", f"/{only(call)['id']}/replay", json={"event": event}).json()
    assert answer["message_id"] == said
    assert [row.message_id for row in events(sessions)] == [said]


def test_of_many_who_replay_at_once_one_does_and_the_others_see_that_it_is_done(
    send: Send, call: Call, sessions: Sessions
) -> None:
    send(NAMELESS)
    path = f"/{only(call)['id']}/replay"
    # Each brings an id of its own: only the state of the row can hold them back.
    bodies = [{"event": {**NAMED, "messageId": f"m-{n}"}} for n in range(12)]
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda body: call("POST", path, json=body), bodies))
    assert sorted(a.status_code for a in answers) == [200] + [409] * 11
    problems = [a.json() for a in answers if a.status_code == 409]
    assert all("replayed" in p["message"] for p in problems)
    [row] = events(sessions)
    assert row.message_id == only(call)["result_message_id"]


def test_many_are_replayed_in_pages_each_with_its_result(
    send: Send, call: Call, sessions: Sessions
) -> None:
    ids = list(range(7))
    send({"type": "x", "userId": "u-1"}, *[{**NAMED, "messageId": f"m-{n}"} for n in ids])
    large = {"padding": "x" * 40_000}
    first = send(*[{**NAMED, "messageId": f"l-{n}", "properties": large} for n in ids], 5)
    assert {r["code"] for r in first["rejected"]} == {"too_large", "not_an_object"}
    send({**NAMED, "messageId": "l-3"})
    with sessions.begin() as session:  # now the source may send more
        session.execute(sa.update(Source).values(max_event_bytes=100_000))
    done, cursor, pages = [], None, 0
    while pages == 0 or cursor:
        wanted = {"source": "web", "code": "too_large", "limit": 3, "cursor": cursor}
        answer = call("POST", "/replay", json=wanted).json()
        done += answer["data"]
        cursor, pages = answer["next_cursor"], pages + 1
    assert pages == 3
    assert [d["message_id"] for d in done] == [f"l-{n}" for n in ids]
    assert [d["outcome"] for d in done] == ["accepted"] * 3 + ["duplicate"] + ["accepted"] * 3
    rest = call("POST", "/replay", json={}).json()
    assert (rest["accepted"], rest["rejected"], rest["unfit"]) == (0, 1, 1)
    assert [(d["code"], d["state"]) for d in rest["data"]] == [
        ("unknown_type", "open"), ("not_an_object", "open")
    ]  # fmt: skip
    assert len(events(sessions)) == 7 + 7


def test_two_who_replay_many_at_once_share_them(send: Send, call: Call, sessions: Sessions) -> None:
    large = {"padding": "x" * 40_000}
    for part in (range(60), range(60, 120)):  # more than is in memory at once
        send(*[{**NAMED, "messageId": f"m-{n}", "properties": large} for n in part])
    with sessions.begin() as session:
        session.execute(sa.update(Source).values(max_event_bytes=100_000))

    def all_of_them(_: int) -> int:
        return int(call("POST", "/replay", json={"limit": 1000}).json()["accepted"])

    with ThreadPoolExecutor(4) as pool:
        accepted = list(pool.map(all_of_them, range(4)))
    assert sum(accepted) == len(events(sessions)) == 120
    assert call("GET", params={"state": "open"}).json()["data"] == []


def test_a_replay_that_consent_denies_destroys_what_was_kept(
    send: Send, call: Call, sessions: Sessions
) -> None:
    send(NAMELESS)
    with sessions.begin() as session:  # since then the source asks for consent
        session.execute(sa.update(Source).values(collection_purpose="analytics.audience"))
    answer = call("POST", f"/{only(call)['id']}/replay", json={"event": NAMED}).json()
    assert (answer["state"], answer["outcome"], answer["code"]) == (
        "discarded", "rejected", "consent_denied"
    )  # fmt: skip
    assert only(call)["payload"] is None
    assert events(sessions) == []


def test_consent_is_decided_at_the_time_of_the_replay(
    server: TestClient, send: Send, call: Call, sessions: Sessions, write_key: str
) -> None:
    """Whoever withdrew between the receipt and the replay has withdrawn."""
    yes = {"consent": {"categoryPreferences": {"analytics.audience": True}}}
    send({**NAMED, "messageId": "m-0", "context": yes}, NAMELESS)
    withdrawal = {
        "subject": {"namespace": "user_id", "value": "u-1"},
        "decisions": [{"purpose": "analytics.audience", "state": "withdrawn"}],
    }
    server.post("/v1/consents", json=withdrawal, headers=basic(write_key)).raise_for_status()
    with sessions.begin() as session:
        session.execute(sa.update(Source).values(collection_purpose="analytics.audience"))
    answer = call("POST", f"/{only(call)['id']}/replay", json={"event": NAMED}).json()
    assert answer["code"] == "consent_denied"
    assert [row.message_id for row in events(sessions)] == ["m-0"]


def test_the_choices_of_a_replayed_event_are_recorded_as_known_since_the_replay(
    send: Send, call: Call, sessions: Sessions
) -> None:
    yes = {"consent": {"categoryPreferences": {"analytics.audience": True}}}
    send({**NAMELESS, "context": yes})
    with sessions.begin() as session:
        session.execute(
            sa.text("UPDATE app.rejected_event SET received_at = received_at - '1d'::interval")
        )
    found = only(call)
    call("POST", f"/{found['id']}/replay", json={"event": {**NAMED, "context": yes}})
    with sessions() as session:
        query = sa.text("SELECT effective_at, recorded_at FROM consent.record")
        [record] = session.execute(query).all()
    assert record.effective_at == datetime.fromisoformat(found["received_at"])
    assert datetime.now(UTC) - record.recorded_at < timedelta(minutes=5)


def test_what_is_given_up_is_deleted_and_cannot_be_replayed(send: Send, call: Call) -> None:
    send(NAMELESS)
    path = f"/{only(call)['id']}"
    assert call("DELETE", path).status_code == 204
    assert call("DELETE", path).status_code == 204
    assert (only(call)["state"], only(call)["payload"]) == ("discarded", None)
    answer = call("POST", f"{path}/replay", json={"event": NAMED})
    assert (answer.status_code, answer.json()["code"]) == (409, "rejected-event-closed")
    assert "discarded" in answer.json()["message"]


def test_what_was_replayed_cannot_be_given_up(send: Send, call: Call) -> None:
    send(NAMELESS)
    path = f"/{only(call)['id']}"
    call("POST", f"{path}/replay", json={"event": NAMED})
    assert call("DELETE", path).status_code == 409
    assert only(call)["state"] == "replayed"


def test_the_events_of_a_source_that_was_removed_are_not_replayed(
    send: Send, call: Call, sessions: Sessions
) -> None:
    send(NAMELESS)
    with sessions.begin() as session:
        sources.remove(session, sources.find(session, "web"))
    answer = call("POST", f"/{only(call)['id']}/replay", json={"event": NAMED}).json()
    assert (answer["outcome"], answer["code"]) == ("rejected", "source_removed")
    assert events(sessions) == []


def test_a_correction_of_another_form_is_refused(send: Send, call: Call) -> None:
    send(NAMELESS)
    forms: list[Any] = [{"event": []}, {"event": None}, [], {"other": {}}]
    for wrong in forms:
        answer = call("POST", f"/{only(call)['id']}/replay", json=wrong)
        assert (answer.status_code, answer.json()["code"]) == (422, "request-invalid"), wrong


def test_what_a_request_refuses_is_refused_by_those_beyond_its_limit_too(
    server: TestClient, call: Call, sessions: Sessions
) -> None:
    with sessions.begin() as session:
        _, key = sources.add(session, "small", max_batch_events=1)
    said = {"consent": {"categoryPreferences": {"ads.share": False}}}
    pages: list[dict[str, Any]] = [
        {"type": "page", "userId": f"u-{n}", "messageId": f"m-{n}"} for n in range(2)
    ]
    pages[1]["context"] = {"consent": None}  # says nothing
    headers = {**basic(key), "Sec-GPC": "1"}
    server.post("/v1/batch", json={"batch": pages, "context": said}, headers=headers)
    assert call("POST", "/replay", json={"code": "too_many"}).json()["accepted"] == 1
    with sessions() as session:
        rows = session.execute(sa.text("SELECT context, refused FROM app.event ORDER BY id")).all()
    assert [row.context for row in rows] == [{**said, "gpc": True}] * 2
    assert "ads.share" in rows[0].refused
    assert sorted(rows[0].refused) == sorted(rows[1].refused)


@pytest.mark.parametrize(
    "body", ['{"batch": [', '{"batch": ["no object"]}', '{"batch": [{"type": "jump"}]}']
)
def test_what_is_sent_in_place_of_a_request_opts_out_as_its_header_did(
    server: TestClient, call: Call, sessions: Sessions, body: str
) -> None:
    with sessions.begin() as session:
        _, key = sources.add(session, "small")
    server.post("/v1/batch", content=body, headers={**basic(key), "Sec-GPC": "1"})
    server.post("/v1/batch", content=body, headers=basic(key))
    later, first = call("GET", "").json()["data"]
    assert (first["gpc"], later["gpc"]) == (True, False)
    for n, one in enumerate((first, later)):
        event = {"type": "page", "userId": f"u-{n}", "context": {"gpc": False}}
        wrong = {"event": {**event, "type": "none"}}
        path = f"/{one['id']}/replay"
        assert call("POST", path, json=wrong).json()["outcome"] == "rejected"
        assert call("POST", path, json={"event": event}).json()["outcome"] == "accepted"
    with sessions() as session:
        rows = session.execute(sa.text("SELECT context, refused FROM app.event ORDER BY id")).all()
    assert [row.context["gpc"] for row in rows] == [True, False]
    assert rows[0].refused
    assert not rows[1].refused

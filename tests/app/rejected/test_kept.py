"""What of a rejected event is kept, what is only counted, and when it goes."""

import asyncio
import gzip
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import sqlalchemy as sa
from fastapi.testclient import TestClient

import consent
from app import pipeline
from app.access import sources
from app.access.tables import PersonRead, Source
from app.db import Sessions
from app.events import envelope, kept, rejected
from app.events.body import to_message
from app.events.envelope import Rejection
from app.events.item import Batch, Outcome
from app.events.writer import Writer
from app.suppression.gate import Gate
from consent import Purpose
from tests.app.rejected.conftest import Call, Send, basic

NAMELESS = {"type": "track", "userId": "u-1"}
DAYS = timedelta(days=30)


def strict(sessions: Sessions) -> str:
    """The write key of a source that collects on consent."""
    with sessions.begin() as session:
        return sources.add(session, "strict", collection_purpose="analytics.audience")[1]


def listed(call: Call, **filters: Any) -> list[dict[str, Any]]:
    answer = call("GET", params={"include": "payload", **filters})
    assert answer.status_code == 200, answer.text
    data: list[dict[str, Any]] = answer.json()["data"]
    return data


def counted(call: Call) -> dict[tuple[str, str], int]:
    return {(c["code"], c["state"]): c["events"] for c in call("GET", "/counts").json()["data"]}


def test_a_rejected_event_is_kept_with_reason_source_time_and_what_was_sent(
    send: Send, call: Call
) -> None:
    before = datetime.now(UTC)
    event = {**NAMELESS, "messageId": "m-1", "properties": {"total": 59.9}}
    said = send(event, 3, context={"ip": "203.0.113.7"})["rejected"]
    scalar, found = listed(call)
    assert found["payload"] == {**event, "context": {"ip": "203.0.113.7"}}
    assert (found["code"], found["message"]) == (said[0]["code"], said[0]["message"])
    assert (found["source"], found["state"], found["attempts"]) == ("web", "open", 0)
    assert (found["message_id"], found["type"], found["name"]) == ("m-1", "track", None)
    assert (found["truncated"], found["replayable"]) == (False, True)
    assert before <= datetime.fromisoformat(found["received_at"]) <= datetime.now(UTC)
    assert (scalar["code"], scalar["payload"], scalar["replayable"]) == ("not_an_object", 3, False)


def test_a_source_that_collects_on_consent_keeps_a_count_and_the_reason_and_nothing_else(
    server: TestClient, sessions: Sessions, send: Send, call: Call
) -> None:
    key = strict(sessions)
    agreed = {"consent": {"categoryPreferences": {"analytics.audience": True}}}
    send(NAMELESS, {**NAMELESS, "context": agreed}, {"type": "x"}, key=key)
    server.post("/v1/batch", content=b"{marker", headers=basic(key))
    assert listed(call) == []
    assert counted(call) == {
        ("event_missing", "not_kept:consent"): 2,
        ("unknown_type", "not_kept:consent"): 1,
        ("body_unreadable", "not_kept:consent"): 1,
    }


def test_what_consent_denied_is_not_kept(sessions: Sessions, send: Send, call: Call) -> None:
    said = send({"type": "track", "event": "Seen", "userId": "u-1"}, key=strict(sessions))
    assert [r["code"] for r in said["rejected"]] == ["consent_denied"]
    assert listed(call) == []
    assert counted(call) == {}


def test_an_event_that_refuses_the_collection_purpose_itself_is_only_counted(
    send: Send, call: Call
) -> None:
    no = {"consent": {"categoryPreferences": {"service.operation": False}}}
    other = {"consent": {"categoryPreferences": {"ads.share": False}}}
    send({**NAMELESS, "context": no}, {**NAMELESS, "context": other})
    assert [found["payload"]["context"] for found in listed(call)] == [other]
    assert counted(call)["event_missing", "not_kept:consent"] == 1


def test_so_is_one_with_a_universal_opt_out_where_these_are_about_the_purpose_or_one_above_it(
    sessions: Sessions, send: Send, call: Call, server: TestClient
) -> None:
    collected = [
        Purpose("resale", lawful_basis="contract", regime="us_optout"),
        Purpose("resale.web", lawful_basis="contract", parent="resale"),
    ]
    with sessions.begin() as session:
        for purpose in collected:
            consent.catalogue.add_purpose(session, purpose)
        keys = [
            sources.add(session, purpose.key, collection_purpose=purpose.key)[1]
            for purpose in collected
        ]
    for key in keys:
        send({**NAMELESS, "context": {"gpc": True}}, NAMELESS, key=key)
        server.post("/v1/batch", content="no JSON", headers={**basic(key), "Sec-GPC": "1"})
    no = {"consent": {"categoryPreferences": {"resale": False}}}
    send({**NAMELESS, "context": no}, key=keys[1])
    assert [found["payload"].get("context") for found in listed(call)] == [None, None]
    rows = call("GET", "/counts").json()["data"]
    assert sum(row["events"] for row in rows if row["state"] == "not_kept:consent") == 5


def test_of_a_huge_event_the_beginning_is_kept_and_of_a_large_one_all(
    send: Send, call: Call
) -> None:
    for size in (60_000, 300_000):
        send({**NAMELESS, "event": "Big", "properties": {"x": "é" * (size // 2)}})
    huge, large = listed(call)
    assert huge["code"] == large["code"] == "too_large"
    assert huge["size"] > 300_000
    assert (huge["truncated"], huge["replayable"]) == (True, False)
    assert 131_000 < len(huge["payload"].encode()) <= kept.WHOLE_BYTES
    assert huge["payload"].startswith('{"type": "track"')
    assert (large["truncated"], large["replayable"]) == (False, True)
    assert len(large["payload"]["properties"]["x"]) == 30_000


ODD: list[str] = [
    r'{"type":"track","a\u0000":"\u0000 \ud800 x"}',
    '{"type":"track","n":' + "9" * 4000 + "}",
    '{"type":"track","n":1e400,"m":NaN}',
    '{"type":"track","deep":' + '{"a":' * 90 + "1" + "}" * 90 + "}",
    '{"type":"track","same":1,"same":2}',
    r'{"type":{"\ud800":1},"name":["\u0000"]}',
    r'"\ud800\u0000"',
    "[[[1]]]",
    "null",
    '{"type":"track","deep":' + '{"a":' * 900 + "1" + "}" * 900 + "}",
]  # fmt: skip


def test_whatever_is_in_it_can_be_kept_and_shown(
    server: TestClient, write_key: str, call: Call
) -> None:
    for odd in ODD:
        body = b'{"batch":[' + odd.encode() + b"]}"
        answer = server.post("/v1/batch", content=body, headers=basic(write_key))
        assert len(answer.json()["rejected"]) == 1, odd[:60]
    answer = call("GET", params={"include": "payload"})
    assert answer.status_code == 200
    shown = [found["payload"] for found in answer.json()["data"]][::-1]
    assert shown[0] == {"type": "track", "a": " � x"}
    assert shown[1]["n"] == int("9" * 4000)
    assert shown[2] == {"type": "track", "n": None, "m": None}
    assert shown[3]["deep"]["a"]["a"]
    assert shown[4] == {"type": "track", "same": 2}
    assert shown[5:] == [{"type": {"�": 1}, "name": [""]}, "�", [[[1]]], None, None]
    assert answer.json()["data"][0]["code"] == "nested_too_deeply"
    for found in answer.json()["data"]:
        assert call("GET", f"/{found['id']}").json()["payload"] == found["payload"]


def test_of_a_request_that_cannot_be_read_a_piece_is_kept_when_its_key_is_known(
    server: TestClient, write_key: str, call: Call
) -> None:
    broken = b'{"writeKey": "' + write_key.encode() + b'", "batch": [{"a": "\x00\xff"'
    bodies = [
        ({}, broken + b"x" * 50_000),
        ({"Content-Encoding": "gzip"}, b'{"batch": []}'),
        ({"Content-Encoding": "gzip"}, gzip.compress(b"[]")),
        ({}, b'{"batch": {"no": "list"}}'),
    ]
    for more, body in bodies:
        answer = server.post("/v1/batch", content=body, headers={**basic(write_key), **more})
        assert (answer.status_code, answer.json()["code"]) == (400, "body-unreadable")
    for keyless in ({}, basic("wk_wrong")):
        assert server.post("/v1/batch", content=broken, headers=keyless).status_code == 400
    no_list, empty, not_gzip, first = listed(call)
    assert {f["code"] for f in (no_list, empty, not_gzip, first)} == {"body_unreadable"}
    assert first["payload"].startswith('{"writeKey": "…", "batch": [{"a": "�"xxx')
    assert len(first["payload"]) <= kept.BODY_BYTES
    assert (first["truncated"], first["replayable"]) == (True, False)
    assert first["size"] == len(bodies[0][1])
    assert (not_gzip["payload"], empty["payload"]) == ({"batch": []}, [])
    assert no_list["payload"] == {"batch": {"no": "list"}}
    assert not no_list["replayable"]


def test_no_write_key_is_kept(server: TestClient, write_key: str, call: Call) -> None:
    server.post("/v1/track", json={"userId": "u-1", "writeKey": write_key})
    server.post("/v1/track", params={"writeKey": write_key}, content=f'"{write_key}'.encode())
    whole, body = listed(call)[::-1]
    assert whole["payload"] == {"type": "track", "userId": "u-1"}
    assert body["payload"] == '"wk_…'
    assert write_key not in json.dumps([whole, body])


def test_a_source_has_at_most_a_thousand_kept_in_a_minute_and_the_others_are_counted(
    send: Send, call: Call, sessions: Sessions
) -> None:
    with ThreadPoolExecutor(4) as pool:
        said = list(pool.map(lambda _: send(*[NAMELESS] * 400), range(4)))
    assert sum(len(one["rejected"]) for one in said) == 1600
    with sessions() as session:
        per_minute = session.scalars(
            sa.text(
                "SELECT count(*) FROM app.rejected_event GROUP BY date_trunc('minute', received_at)"
            )
        ).all()
    assert max(per_minute) <= kept.MOST_PER_MINUTE
    assert sum(per_minute) >= kept.MOST_PER_MINUTE
    found = counted(call)
    assert found["event_missing", "open"] == sum(per_minute)
    assert found.get(("event_missing", "not_kept:bound"), 0) == 1600 - sum(per_minute)
    with sessions.begin() as session:  # as if a minute went by
        ago = "UPDATE app.rejected_room SET minute_at = minute_at - '1m'::interval"
        session.execute(sa.text(ago))
    send(NAMELESS)
    assert counted(call)["event_missing", "open"] == sum(per_minute) + 1


def test_a_source_has_at_most_sixteen_megabytes_kept_in_a_minute(
    send: Send, call: Call, sessions: Sessions
) -> None:
    large = {**NAMELESS, "event": "Big", "properties": {"x": "x" * 120_000}}
    for _ in range(5):
        send(*[large] * 34)
    with sessions() as session:
        size, rows = session.execute(
            sa.text(
                "SELECT max(bytes), max(events) FROM (SELECT sum(octet_length(payload)) AS bytes, "
                "count(*) AS events FROM app.rejected_event "
                "GROUP BY date_trunc('minute', received_at)) m"
            )
        ).one()
    assert size <= kept.BYTES_PER_MINUTE + kept.WHOLE_BYTES
    if rows < 170:  # all in one minute
        assert size > kept.BYTES_PER_MINUTE - kept.WHOLE_BYTES
        assert counted(call)["too_large", "not_kept:bound"] == 170 - rows


def test_what_the_database_refuses_is_kept_as_it_would_have_been_stored(
    send: Send, call: Call, sessions: Sessions
) -> None:
    """A client cannot send such an event: parsing removes what PostgreSQL cannot hold."""
    with sessions() as session:
        source = sources.settings_of(sources.find(session, "web"))
    now = datetime.now(UTC)
    message = {"type": "track", "event": "Seen", "userId": "u-1", "previousId": "p"}
    read = envelope.read(to_message(message), received_at=now, largest=1_000)
    assert isinstance(read, envelope.Envelope)
    bad = msgspec.structs.replace(read, name="a\x00b", message_id="bad")
    writer = Writer(sessions)

    async def write() -> list[Outcome]:
        return await writer.submit(Batch(source, [read, bad, read], now))

    outcomes = asyncio.run(write())
    writer.close()
    assert [(o.state, o.code) for o in outcomes] == [
        ("accepted", ""), ("rejected", "unstorable"), ("duplicate", "")
    ]  # fmt: skip
    [found] = listed(call)
    assert (found["code"], found["message_id"], found["name"]) == ("unstorable", "bad", "ab")
    assert found["payload"]["previousId"] == "p"
    assert call("POST", f"/{found['id']}/replay").json()["outcome"] == "accepted"


def test_events_beyond_the_limit_of_a_request_are_kept_too(send: Send, call: Call) -> None:
    events = [{**NAMELESS, "event": "Seen", "messageId": f"m-{n}"} for n in range(2_503)]
    assert send(*events)["accepted"] == 2_500
    found = listed(call)
    assert [(f["code"], f["message_id"], f["replayable"]) for f in found] == [
        ("too_many", f"m-{n}", True) for n in (2_502, 2_501, 2_500)
    ]
    done = call("POST", "/replay", json={"code": "too_many"}).json()
    assert (done["accepted"], done["duplicates"]) == (3, 0)


def test_writers_who_keep_events_of_the_same_sources_do_not_block_each_other(
    sessions: Sessions,
) -> None:
    with sessions.begin() as session:
        made = [sources.settings_of(sources.add(session, f"s-{n}")[0]) for n in range(4)]
    now = datetime.now(UTC)
    refused = [
        rejected.Refused(s, now, Rejection("x", "", raw=to_message({"type": "x"}))) for s in made
    ]

    def keep(worker: int) -> None:
        mine = refused if worker % 2 else refused[::-1]
        for _ in range(20):
            with sessions.begin() as session:
                rejected.keep(session, mine, Gate(), {})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(keep, range(4)))
    with sessions() as session:
        query = "SELECT count(*) FROM app.rejected_event GROUP BY source_id"
        assert session.scalars(sa.text(query)).all() == [80] * 4


def test_only_who_administers_sources_may_read_and_the_list_leaves_out_what_was_sent(
    server: TestClient, send: Send, call: Call, token: Callable[..., dict[str, str]]
) -> None:
    send(NAMELESS)
    [found] = call("GET").json()["data"]
    assert "payload" not in found
    others = token("profiles:read", "privacy:process", "events:write")
    for method, path in (
        ("GET", ""), ("GET", "/counts"), ("GET", "/1"), ("PATCH", "/1"), ("DELETE", "/1"),
        ("POST", "/1/replay"), ("POST", "/replay"),
    ):  # fmt: skip
        for headers, status in ((others, 403), ({}, 401)):
            answer = server.request(
                method, f"/v1/rejected-events{path}", headers=headers, json={"event": {}}
            )
            assert answer.status_code == status, (method, path)


def test_who_reads_what_was_sent_is_noted_with_whom_it_names(
    sessions: Sessions, send: Send, call: Call
) -> None:
    """Not who is listed without it, nor whom nobody knows."""
    send({**NAMELESS, "event": "Seen"}, {**NAMELESS, "userId": "u-2", "event": "Seen"})
    with sessions.begin() as session:
        pipeline.step(session)
    send(NAMELESS, {"type": "track", "properties": {"friend": "u-2"}}, {"userId": "stranger"})
    rows = call("GET").json()["data"]
    listed(call)
    for row in rows:
        call("GET", f"/{row['id']}")
    with sessions() as session:
        known = session.execute(sa.text("SELECT id, value FROM identity.identifier"))
        names = {row.id: row.value for row in known}
        notes = session.scalars(sa.select(PersonRead).order_by(PersonRead.id)).all()
    assert [(note.operation, {names[i] for i in note.identifier_ids}) for note in notes] == [
        ("GET /v1/rejected-events", {"u-1", "u-2"}),
        ("GET /v1/rejected-events/{rejected_id}", {"u-2"}),
        ("GET /v1/rejected-events/{rejected_id}", {"u-1"}),
    ]


def test_what_is_old_goes_and_what_is_younger_stays(
    send: Send, call: Call, sessions: Sessions
) -> None:
    send(NAMELESS, {"type": "x"})
    age = "UPDATE app.rejected_event SET received_at = received_at - '31d'::interval "
    with sessions.begin() as session:
        session.execute(sa.text(age + "WHERE code = 'unknown_type'"))
        assert rejected.clean_up(session, datetime.now(UTC), keep=DAYS) is False
    assert [found["code"] for found in listed(call)] == ["event_missing"]


def test_a_source_that_is_set_to_collect_on_consent_loses_what_it_had_kept(
    send: Send, call: Call, sessions: Sessions
) -> None:
    send(NAMELESS)
    with sessions.begin() as session:
        session.execute(sa.update(Source).values(collection_purpose="analytics.audience"))
        rejected.clean_up(session, datetime.now(UTC), keep=DAYS)
    assert listed(call) == []


def test_of_more_than_a_source_may_keep_the_oldest_go(
    send: Send, call: Call, sessions: Sessions
) -> None:
    send(NAMELESS)
    many = sa.text(
        "INSERT INTO app.rejected_event (source_id, received_at, code, message) "
        "SELECT source_id, received_at, 'later', '' FROM app.rejected_event, generate_series(1, :n)"
    )
    with sessions.begin() as session:
        session.execute(many, {"n": kept.MOST_PER_SOURCE})
        assert rejected.clean_up(session, datetime.now(UTC), keep=DAYS) is False
    assert counted(call) == {("later", "open"): kept.MOST_PER_SOURCE}
    with sessions.begin() as session:
        session.execute(many, {"n": 0})
        large = "UPDATE app.rejected_event SET payload = repeat('x', 100000) WHERE id % 30 = 0"
        session.execute(sa.text(large))
        while rejected.clean_up(session, datetime.now(UTC), keep=DAYS):
            pass
        total = "SELECT sum(octet_length(payload)) FROM app.rejected_event"
        left = session.scalar(sa.text(total)) or 0
    assert kept.BYTES_PER_SOURCE - 200_000 <= left <= kept.BYTES_PER_SOURCE

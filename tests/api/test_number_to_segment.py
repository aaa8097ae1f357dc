"""A number becomes a segment with one call, and stays the people it counted (issue 7, check 28)."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

import consent
from app import pipeline
from app.db import Sessions, statement
from app.events import stream
from app.profiles import read
from consent import Purpose

PURPOSE, OTHER, MEASURE = "analytics.audience", "marketing.email", "measure.only"
YES = {PURPOSE: True, consent.LINK: True}
STEPS = [{"event": "Viewed"}, {"event": "Ordered"}]
PEOPLE = {"u-0": ("FR", 2), "u-1": ("FR", 1), "u-2": ("DE", 1), "u-3": (None, 1), "u-4": ("ÇA", 2)}


@pytest.fixture
def header(server: TestClient, sessions: Sessions, token: Any, write_key: str) -> dict[str, str]:
    """Five people of three countries, of whom two order, and a device that looks."""
    looked = {"anonymousId": "d-0", "writeKey": write_key, **STEPS[0],
              "context": {"consent": {"categoryPreferences": YES}}}  # fmt: skip
    server.post("/v1/track", json=looked).raise_for_status()
    for user, (country, steps) in PEOPLE.items():
        said = {"userId": user, "writeKey": write_key,
                "context": {"consent": {"categoryPreferences": YES}}}  # fmt: skip
        traits = {"country": country} if country else {}
        server.post("/v1/identify", json={**said, "traits": traits}).raise_for_status()
        for step in STEPS[:steps]:
            server.post("/v1/track", json={**said, **step}).raise_for_status()
    settle(sessions)
    return dict(token(purposes=(PURPOSE, OTHER)))


def settle(sessions: Sessions) -> None:
    """Work until nothing waits: an event is not read while an older transaction runs anywhere.

    On a busy machine that was another database's, and the answer was that of before the event.
    """
    waits = True
    while waits:
        with sessions.begin() as session:
            idle = pipeline.step(session).idle
            waits = not idle or stream.backlog(session, "pipeline").events > 0


def ask(server: TestClient, header: dict[str, str], **more: Any) -> dict[str, Any]:
    answer = server.post("/v1/analyses/funnel", json={"steps": STEPS, **more}, headers=header)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def behind(server: TestClient, header: dict[str, str], query: str, bucket: str) -> set[str]:
    page = server.get(
        f"/v1/analyses/{query}/profiles", params={"bucket": bucket}, headers=header
    ).json()
    listed = {one["profile_id"] for one in page["data"]}
    assert len(listed) == page["n_profiles"]
    return listed


def members(server: TestClient, header: dict[str, str], key: str) -> set[str]:
    page = server.get(f"/v1/segments/{key}/members", headers=header).json()
    return {one["profile_id"] for one in page["data"]}


def make(
    server: TestClient, header: dict[str, str], query: str, bucket: str, key: str
) -> dict[str, Any]:
    body = {"bucket": bucket, "key": key, "name": key}
    answer = server.post(f"/v1/analyses/{query}/segment", json=body, headers=header)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def test_a_segment_of_a_number_has_its_size_and_follows_its_people(
    server: TestClient, header: dict[str, str], sessions: Sessions, write_key: str
) -> None:
    funnel = ask(server, header)
    for step in funnel["result"]["steps"]:
        key = step["bucket"].replace(":", "-")
        made = make(server, header, funnel["query_id"], step["bucket"], key)
        assert made["size"] == made["n_profiles"] == step["n"]
        listed = behind(server, header, funnel["query_id"], step["bucket"])
        assert members(server, header, key) == listed
    viewers = members(server, header, "step-1")
    # Somebody who comes later is behind the number of a new answer, and not in the segment.
    said = {"writeKey": write_key, "context": {"consent": {"categoryPreferences": YES}}}
    server.post("/v1/track", json={**said, "userId": "u-9", **STEPS[0]}).raise_for_status()
    # Two members become one person, one withdraws: a member less each.
    login = {**said, "userId": "u-0", "anonymousId": "d-0"}
    server.post("/v1/identify", json=login).raise_for_status()
    server.post(
        "/v1/consents",
        json={"subject": {"namespace": "user_id", "value": "u-2"},
              "decisions": [{"purpose": PURPOSE, "state": "withdrawn"}],
              "evidence": {"method": "test"}},
        headers=header,
    ).raise_for_status()  # fmt: skip
    settle(sessions)
    assert ask(server, header)["result"]["steps"][0]["n"] == 6 + 1 - 1 - 1
    now = members(server, header, "step-1")
    assert now < viewers
    assert len(now) == len(viewers) - 1 - 1


def test_rows_of_a_breakdown_open_to_their_profiles(
    server: TestClient, header: dict[str, str]
) -> None:
    found = ask(server, header, breakdown={"trait": "country"})
    rows = found["result"]["breakdown"]
    assert found["semantics"]["breakdown"] == "trait as of now"
    assert {row["value"]: row["steps"] for row in rows} == {
        "FR": [2, 1], "DE": [1, 0], "ÇA": [1, 1], None: [2, 0],
    }  # fmt: skip
    everybody: set[str] = set()
    for row in rows:
        for n, bucket in zip(row["steps"], row["buckets"], strict=True):
            assert len(behind(server, header, found["query_id"], bucket)) == n
        everybody |= behind(server, header, found["query_id"], row["buckets"][0])
    assert everybody == behind(server, header, found["query_id"], "step:1")
    few = ask(server, header, breakdown={"trait": "country", "limit": 1})
    [_, other, nothing] = few["result"]["breakdown"]
    assert (other["other"], other["steps"], other["buckets"][0]) == (True, [2, 1], "other:1")
    assert (nothing["value"], nothing["steps"]) == (None, [2, 0])
    for n, bucket in zip(other["steps"], other["buckets"], strict=True):
        assert len(behind(server, header, few["query_id"], bucket)) == n


def test_a_segment_splits_a_funnel_and_another_purposes_does_not(
    server: TestClient, header: dict[str, str], write_key: str, sessions: Sessions
) -> None:
    rule = {"trait": "country", "value": "FR"}
    for key, purpose in (("french", PURPOSE), ("mailable", OTHER)):
        body = {"key": key, "name": key, "purpose": purpose, "rule": rule}
        server.post("/v1/segments", json=body, headers=header).raise_for_status()
    found = ask(server, header, breakdown={"segment": "french"})
    rows = {row["value"]: row["steps"] for row in found["result"]["breakdown"]}
    assert rows == {True: [2, 1], False: [4, 1]}
    # A trait that changes changes the answer, and shows.
    said = {"userId": "u-0", "traits": {"country": "DE"}, "writeKey": write_key,
            "context": {"consent": {"categoryPreferences": YES}}}  # fmt: skip
    server.post("/v1/identify", json=said).raise_for_status()
    settle(sessions)
    again = ask(server, header, breakdown={"segment": "french"}, as_of=found["as_of"])
    assert again["fingerprint"] != found["fingerprint"]
    rows = {row["value"]: row["steps"] for row in again["result"]["breakdown"]}
    assert rows == {True: [1, 0], False: [5, 2]}
    for segment, code in (("mailable", "definition-invalid"), ("nowhere", "segment-not-found")):
        asked: dict[str, Any] = {"steps": STEPS, "breakdown": {"segment": segment}}
        answer = server.post("/v1/analyses/funnel", json=asked, headers=header)
        assert answer.json()["code"] == code


def test_what_may_not_be_named_is_in_no_segment_and_lists_are_not_made_by_hand(
    server: TestClient, header: dict[str, str], sessions: Sessions, token: Any
) -> None:
    with sessions.begin() as session:
        consent.catalogue.add_purpose(
            session, Purpose(MEASURE, lawful_basis="contract", linkable=False)
        )
    wide = token(purposes=(PURPOSE, MEASURE))
    counted = ask(server, wide, purpose=MEASURE)
    made = make(server, wide, counted["query_id"], "step:1", "unnamed")
    assert (made["size"], made["withheld"]) == (0, {"not_linkable": made["n_profiles"]})
    answer = server.post(
        "/v1/analyses/funnel",
        json={"steps": STEPS, "purpose": MEASURE, "breakdown": {"trait": "country"}},
        headers=wide,
    )
    assert answer.json()["code"] == "definition-invalid"

    rule = make(server, header, ask(server, header)["query_id"], "step:1", "viewers")["rule"]
    for purpose, status in ((PURPOSE, 201), (OTHER, 422)):
        body = {"key": f"by-hand-{status}", "name": "x", "purpose": purpose, "rule": rule}
        assert server.post("/v1/segments", json=body, headers=header).status_code == status
    lost = {**rule, "listed": "l_nowhere"}
    body = {"key": "lost", "name": "x", "purpose": PURPOSE, "rule": lost}
    assert server.post("/v1/segments", json=body, headers=header).status_code == 422
    # The list goes with the last segment that is made of it.
    count = sa.text("SELECT count(*) FROM app.people_list_member WHERE list = :key")
    for key, left in (("viewers", 6), ("by-hand-201", 0)):
        assert server.delete(f"/v1/segments/{key}", headers=header).status_code == 204
        with sessions() as session:
            assert session.scalar(count, {"key": rule["listed"]}) == left


def test_who_may_make_a_segment(server: TestClient, header: dict[str, str], token: Any) -> None:
    query = ask(server, header)["query_id"]
    body = {"bucket": "step:1", "key": "a", "name": "a"}
    url = f"/v1/analyses/{query}/segment"
    for scopes in (("journeys:read", "profiles:read"), ("journeys:read", "segments:write")):
        few = token(*scopes, purposes=(PURPOSE,))
        assert server.post(url, json=body, headers=few).status_code == 403
    assert server.post(url, json=body, headers=token(purposes=(OTHER,))).status_code == 403
    assert server.post(url, json={**body, "bucket": "no:1"}, headers=header).status_code == 422
    assert server.post(url, json=body, headers=header).status_code == 201
    assert server.post(url, json=body, headers=header).json()["code"] == "segment-exists"
    gone = server.post("/v1/analyses/q_no/segment", json=body, headers=header)
    assert gone.status_code == 404


def test_an_erased_person_is_in_no_list(
    server: TestClient, header: dict[str, str], sessions: Sessions
) -> None:
    made = make(server, header, ask(server, header)["query_id"], "step:1", "viewers")
    count = sa.text("SELECT count(*) FROM app.people_list_member WHERE list = :key")
    with sessions.begin() as session:
        before = session.scalar(count, {"key": made["rule"]["listed"]})
        person = read.find(session, "user_id:u-1").person_id
        session.execute(
            statement("app.privacy", "erase_profiles"),
            {"ids": [person], "at": datetime.now(UTC), "message_ids": []},
        )
        assert session.scalar(count, {"key": made["rule"]["listed"]}) == before - 1


FRENCH = {"type": "identify", "prop": "country", "value": "FR"}
HIDDEN = {"all": [{"type": "track"}, {"not": {"any": [STEPS[0], FRENCH]}}]}
JOURNEY: dict[str, Any] = {
    "key": "shop",
    "name": "Shop",
    "stages": [{"id": "told", "order": 1}, {"id": "bought", "order": 2}],
    "channels": ["web"],
    "touchpoints": [
        {"id": "told", "stage": "told", "channel": "web", "match": FRENCH},
        {"id": "bought", "stage": "bought", "channel": "web", "match": STEPS[1]},
    ],
}


@pytest.mark.parametrize(
    ("kind", "asked"),
    [
        ("funnel", {"steps": [FRENCH, STEPS[1]]}),
        ("funnel", {"steps": STEPS, "universe": HIDDEN}),
        ("paths", {"label": ["event"], "start": FRENCH}),
        ("attribution", {"label": ["event"], "conversion": HIDDEN}),
        ("retention", {"start": FRENCH}),
        ("stickiness", {"activity": FRENCH}),
        ("anomalies", {"match": STEPS[1], "per": FRENCH}),
        (
            "drivers",
            {"entry": FRENCH, "outcome": STEPS[1], "observe": "P1D", "window": "P7D"},
        ),
        ("prediction", {"outcome": STEPS[1], "population": FRENCH}),
        ("findings", {"entry": STEPS[0], "outcome": STEPS[1], "failure": FRENCH}),
        ("matrix", {"journey": "shop"}),
        ("funnel", {"steps": STEPS, "breakdown": {"trait": "country"}}),
        ("time-to-convert", {"steps": STEPS, "breakdown": {"trait": "country"}}),
        (
            "compare",
            {
                "entry": STEPS[0],
                "variants": [
                    {"name": "a", "trait": "country", "value": "FR"},
                    {"name": "b", "rest": True},
                ],
                "outcomes": [{"name": "orders", "match": STEPS[1]}],
            },
        ),
    ],
)
def test_who_asks_by_a_traits_values_must_be_allowed_to_read_it(
    server: TestClient, token: Any, kind: str, asked: dict[str, Any], sessions: Sessions
) -> None:
    writing = token(purposes=(PURPOSE,))
    server.post("/v1/journeys", json=JOURNEY, headers=writing).raise_for_status()
    counting = token("journeys:read", purposes=(PURPOSE,))
    answer = server.post(f"/v1/analyses/{kind}", json=asked, headers=counting)
    assert (answer.status_code, answer.json()["code"]) == (403, "insufficient-scope")
    reading = token("journeys:read", "profiles:read", purposes=(PURPOSE,))
    assert server.post(f"/v1/analyses/{kind}", json=asked, headers=reading).status_code == 200
    elsewhere = token("journeys:read", "profiles:read", purposes=(OTHER,))
    answer = server.post(f"/v1/analyses/{kind}", json=asked, headers=elsewhere)
    assert answer.json()["code"] == "purpose-not-allowed"
    with sessions.begin() as session:  # one that must not know people knows no traits of theirs
        blind = Purpose(MEASURE, lawful_basis="contract", linkable=False)
        consent.catalogue.add_purpose(session, blind)
    measuring = token("journeys:read", "profiles:read", purposes=(MEASURE,))
    answer = server.post(
        f"/v1/analyses/{kind}", json={**asked, "purpose": MEASURE}, headers=measuring
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "definition-invalid")


def test_no_label_is_made_of_what_people_told_of_themselves(
    server: TestClient, header: dict[str, str]
) -> None:
    """Traits come in events too: these are asked for as traits, and not as properties."""
    rows = ask(server, header, breakdown={"prop": "country", "value": "last"})["result"][
        "breakdown"
    ]
    assert {row["value"]: row["steps"] for row in rows} == {None: [6, 2]}
    for kind, asked in (
        ("paths", {"label": [{"prop": "country"}]}),
        ("attribution", {"label": [{"prop": "country"}], "conversion": STEPS[1]}),
    ):
        answer = server.post(f"/v1/analyses/{kind}", json=asked, headers=header)
        assert answer.status_code == 200, answer.text
        assert not [one for one in ("FR", "DE", "ÇA") if f'"{one}"' in answer.text]


def test_traits_that_events_say_are_no_properties_to_who_does_not_say_so(
    server: TestClient, header: dict[str, str], token: Any, write_key: str, sessions: Sessions
) -> None:
    """Neither a count nor a sum tells what an identify call said."""
    said = {"userId": "u-0", "traits": {"age": 7654321}, "writeKey": write_key,
            "context": {"consent": {"categoryPreferences": YES}}}  # fmt: skip
    server.post("/v1/identify", json=said).raise_for_status()
    settle(sessions)
    counting = token("journeys:read", purposes=(PURPOSE,))
    told = {"type": "identify"}
    french = {"prop": "country", "value": "FR"}
    for steps, n in (([french], 0), ([{"all": [told, french]}], 0), ([told], 5)):
        answer = server.post("/v1/analyses/funnel", json={"steps": steps * 2}, headers=counting)
        assert answer.json()["result"]["steps"][0]["n"] == n, answer.text
    asked: dict[str, dict[str, Any]] = {
        "attribution": {"conversion": told, "label": ["event"], "value": "age"},
        "compare": {
            "entry": STEPS[0], "outcomes": [{"name": "orders", "match": STEPS[1]}],
            "amounts": [{"name": "ages", "match": told, "prop": "age"}],
            "variants": [{"name": "a", "entry": STEPS[0]}, {"name": "b", "rest": True}],
        },
    }  # fmt: skip
    for kind, question in asked.items():
        answer = server.post(f"/v1/analyses/{kind}", json=question, headers=counting)
        assert answer.status_code == 200, answer.text
        assert "7654321" not in json.dumps(answer.json()["result"]), kind


def test_a_preview_by_traits_needs_the_scope_that_reads_them(
    server: TestClient, header: dict[str, str], token: Any
) -> None:
    """Its size is 1 or 0 of a value that somebody has: it tells the trait."""
    body = {"key": "french", "name": "french", "purpose": PURPOSE,
            "rule": {"trait": "country", "value": "FR"}}  # fmt: skip
    server.post("/v1/segments", json=body, headers=header).raise_for_status()
    few = token("segments:read", purposes=(PURPOSE,))
    many = token("segments:read", "profiles:read", purposes=(PURPOSE,))
    for rule in (
        {"trait": "country", "value": "FR"},
        {"not": {"any": [{"event": "Ordered"}, {"group_trait": "plan", "value": "pro"}]}},
    ):
        wanted = {"purpose": PURPOSE, "rule": rule}
        answer = server.post("/v1/segments/preview", json=wanted, headers=few)
        assert (answer.status_code, answer.json()["code"]) == (403, "insufficient-scope")
        assert server.post("/v1/segments/preview", json=wanted, headers=many).status_code == 200
    wanted = {"purpose": PURPOSE, "rule": {"event": "Ordered"}}
    assert server.post("/v1/segments/preview", json=wanted, headers=few).json()["size"] == 2
    url = "/v1/segments/french/explain/user_id:u-0"
    assert server.get(url, headers=few).status_code == 403
    assert server.get(url, headers=many).json()["meets"]


def test_a_segment_by_traits_needs_the_scope_that_reads_them(
    server: TestClient, header: dict[str, str], token: Any
) -> None:
    """Its members are whoever has the value: who may define it by traits may read them."""
    few = token("segments:read", "segments:write", purposes=(PURPOSE,))
    many = token("segments:read", "segments:write", "profiles:read", purposes=(PURPOSE,))
    by_event = {"event": "Ordered"}
    for number, rule in enumerate((
        {"trait": "country", "value": "FR"},
        {"not": {"any": [by_event, {"group_trait": "plan", "value": "pro"}]}},
    )):  # fmt: skip
        body = {"key": f"s-{number}", "name": "s", "purpose": PURPOSE, "rule": rule}
        url = f"/v1/segments/s-{number}"
        refused = server.post("/v1/segments", json=body, headers=few)
        assert (refused.status_code, refused.json()["code"]) == (403, "insufficient-scope")
        assert server.get(url, headers=few).status_code == 404
        server.post("/v1/segments", json={**body, "rule": by_event}, headers=few).raise_for_status()
        changed = {"name": "s", "purpose": PURPOSE, "rule": rule}
        refused = server.put(url, json=changed, headers=few)
        assert (refused.status_code, refused.json()["code"]) == (403, "insufficient-scope")
        assert server.get(url, headers=few).json()["rule"] == by_event
        assert server.put(url, json=changed, headers=many).status_code == 200
        # Sent again as it is, or called otherwise, it asks nothing new.
        assert server.put(url, json={**changed, "name": "t"}, headers=few).status_code == 200

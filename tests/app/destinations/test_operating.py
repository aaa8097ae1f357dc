"""What operators do with a destination: dry run, outcomes, replay, sync, switching off and on."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from app.destinations import outbox, seal, syncing
from app.destinations.tables import Destination
from app.privacy import requests as privacy_requests
from app.privacy import run
from app.profiles import computing, history
from app.settings import Settings
from identity import identifiers
from tests.app.destinations.world import World
from tests.end_to_end.conftest import Receiver

PROS = {"trait": "plan", "op": "eq", "value": "pro"}
MAPPING = {
    "email": {"identifier": "email"}, "age": {"trait": "age"},
    "city": {"trait": "city", "required": True},
}  # fmt: skip


def there(people: World, url: str, **more: Any) -> int:
    people.segment("pros", PROS)
    made = people.destination(
        kind="segment", url=url, secrets={"write_key": "wk-secret"}, segments=["pros"],
        mapping=MAPPING, **more,
    )  # fmt: skip
    return int(made["id"])


def test_a_dry_run_shows_what_would_be_sent_and_why_not_and_sends_nothing(
    people: World, receiver: Receiver
) -> None:
    people.people("ada", plan="pro", city="Lyon", age="36")
    people.people("bob", plan="pro")
    people.people("eve", plan="pro", city="Rome", age="old")
    path = f"/v1/destinations/{there(people, receiver.url)}"
    people.say("ada", "given")
    found = people.post(f"{path}/dry-run")
    assert receiver.received == []
    [[identify, track]] = found["would_send"]
    assert identify["traits"] == {"email": "ada@mail.net", "age": 36, "city": "Lyon", "pros": True}
    assert track["event"] == "Audience Entered"
    reasons = sorted(one.partition(": ")[2] for one in found["not_sent"])
    assert reasons == [
        "field age: not of type integer",
        "field city: required, and there is no value",
    ]
    assert "wk-secret" not in json.dumps(found)
    people.deliver()
    outcomes = people.outcomes(int(path.rpartition("/")[2]))
    assert sorted(outcomes, key=str) == [
        ("segment.entered", "delivered", None),
        ("segment.entered", "failed", "field age: not of type integer"),
        ("segment.entered", "failed", "field city: required, and there is no value"),
    ]
    people.identify("eve", age=20)
    people.work()
    assert people.post(f"{path}/replay") == {"queued": 2}
    people.deliver()
    assert people.get(path)["failed"] == 1
    assert people.get(path)["held"] == 2


def test_what_was_refused_is_sent_again_unless_something_later_has_overtaken_it(
    people: World, receiver: Receiver
) -> None:
    people.people("ada", "bob", plan="pro", city="Lyon")
    receiver.answers = [400] * 3  # both together, and each alone
    number = there(people, receiver.url)
    people.deliver()
    assert [o[1:] for o in people.outcomes(number)] == [("failed", "HTTP 400")] * 2
    people.identify("bob", plan="free")
    people.work()
    with people.sessions() as session:
        before = set(session.scalars(sa.text("SELECT message_id FROM app.delivery")))
    assert people.post(f"/v1/destinations/{number}/replay") == {"queued": 1}, "bob has left since"
    people.deliver()
    with people.sessions() as session:
        assert before == set(session.scalars(sa.text("SELECT message_id FROM app.delivery")))
    last = json.loads(receiver.received[-1].body)["batch"]
    assert {call["userId"] for call in last} == {"ada", "bob"}


def test_who_is_erased_while_it_waits_to_be_sent_again_is_known_to_have_been_sent(
    people: World, receiver: Receiver, settings: Settings
) -> None:
    people.people("ada", plan="pro", city="Lyon")
    receiver.answers = [400]
    number = there(people, receiver.url)
    people.deliver()
    assert people.post(f"/v1/destinations/{number}/replay") == {"queued": 1}
    with people.sessions.begin() as session:
        request = privacy_requests.open_(
            session, settings, kind="erasure", identifiers=[identifiers.parse("user_id:ada")],
            by="test", now=datetime.now(UTC), attested="a test",
        ).id  # fmt: skip
    run.at_once(people.sessions, settings, request)
    assert [row[0] for row in people.outcomes(number)] == ["profile.erased"]


def test_a_sync_sends_only_differences_and_a_full_one_everything(
    people: World, receiver: Receiver
) -> None:
    people.people("ada", "bob", plan="pro", city="Lyon")
    number = there(people, receiver.url)
    path = f"/v1/destinations/{number}"
    people.deliver()
    receiver.received.clear()
    people.post(f"{path}/sync")
    people.deliver()
    assert receiver.received == []
    assert {o[2] for o in people.outcomes(number, state="dropped")} == {
        "nothing has changed since it was sent last"
    }
    people.post(f"{path}/sync", full=True)
    people.deliver()
    calls = json.loads(receiver.received[0].body)["batch"]
    assert [(c["type"], c["traits"]["city"]) for c in calls] == [("identify", "Lyon")] * 2
    receiver.received.clear()
    people.patch(path, {"mapping": {"town": {"trait": "city"}}})
    people.deliver()
    calls = json.loads(receiver.received[0].body)["batch"]
    assert {json.dumps(c["traits"]) for c in calls} == {'{"town": "Lyon", "pros": true}'}


def test_a_computed_trait_that_changes_is_a_difference_too(
    people: World, receiver: Receiver
) -> None:
    count = {"kind": "count", "event": "Order"}
    body = {"name": "Orders", "purpose": "marketing.email", "definition": count}
    put = people.server.put("/v1/computed-traits/orders", json=body, headers=people.header)
    assert put.is_success, put.text
    people.people("ada", "bob", plan="pro")
    _compute(people)
    people.segment("pros", PROS)
    wanted = {
        "kind": "segment", "url": receiver.url, "secrets": {"write_key": "wk"}, "name": "there",
        "segments": ["pros"], "settings": {"send": "identify"}, "purpose": "marketing.email",
    }  # fmt: skip
    misspelt = {**wanted, "mapping": {"orders": {"computed": "order"}}}
    refused = people.server.post("/v1/destinations", json=misspelt, headers=people.header)
    assert refused.status_code == 422
    assert "#/mapping/orders/computed: no computed trait order; did you mean orders" in refused.text
    wanted["mapping"] = {"orders": {"computed": "orders"}}
    number = people.post("/v1/destinations", wanted)["id"]
    used = people.server.delete("/v1/computed-traits/orders", headers=people.header)
    assert (used.status_code, used.json()["detail"]) == (409, "there"), "its field would be emptied"
    graph = people.get("/v1/segments/dependencies")["data"]
    mapped = {"kind": "computed_trait", "name": "orders"}
    assert {"what": {"kind": "destination", "name": "there"}, "of": mapped} in graph
    people.deliver()
    receiver.received.clear()
    body = {"userId": "ada", "event": "Order", "writeKey": people.key}
    people.server.post("/v1/track", json=body).raise_for_status()
    people.work()
    _compute(people)
    people.deliver()
    [call] = json.loads(receiver.received[-1].body)["batch"]
    assert (call["userId"], call["traits"]) == ("ada", {"orders": 1, "pros": True})
    _compute(people)
    people.deliver()
    assert len(receiver.received) == 1
    for error in ("'took longer than 10 s'", "NULL"):
        with people.sessions.begin() as session:
            session.execute(sa.text(f"UPDATE app.computed_trait SET error = {error}"))  # noqa: S608 -- of this test
        people.identify("ada", name="Ada")
        people.now()
        people.settle()
        waits = people.get(f"/v1/destinations/{number}")["waiting"]
        assert (waits, len(receiver.received)) == (int(error != "NULL"), 1), "it is not emptied"


def test_a_computed_trait_that_goes_by_time_or_while_it_is_sent_is_a_difference_too(
    people: World, receiver: Receiver
) -> None:
    """A field kept the orders of months ago, and one that came while the last was on its way."""
    count = {"kind": "count", "event": "Order", "within_days": 30}
    body = {"name": "Orders", "purpose": "marketing.email", "definition": count}
    people.server.put("/v1/computed-traits/orders", json=body, headers=people.header)
    people.people("ada", plan="pro")
    people.segment("pros", PROS)
    people.post("/v1/destinations", {
        "kind": "segment", "url": receiver.url, "secrets": {"write_key": "wk"}, "name": "there",
        "segments": ["pros"], "settings": {"send": "identify"}, "purpose": "marketing.email",
        "mapping": {"orders": {"computed": "orders"}},
    })  # fmt: skip
    _compute(people)
    people.deliver()
    receiver.received.clear()

    def told(later: timedelta = timedelta(0)) -> list[int]:
        _compute(people, later)
        people.deliver()
        calls = [c for r in receiver.received for c in json.loads(r.body)["batch"]]
        receiver.received.clear()
        return [call["traits"]["orders"] for call in calls]

    def order() -> None:
        body = {"userId": "ada", "event": "Order", "writeKey": people.key}
        people.server.post("/v1/track", json=body).raise_for_status()
        people.work()

    order()
    assert told() == [1]
    order()
    with people.sessions.begin() as session:  # the answer about the first came after the second
        session.execute(sa.text("UPDATE app.held_record SET sent_at = now() + interval '9 s'"))
    assert told() == [2]
    assert told(timedelta(days=31)) == [0]
    assert told(timedelta(days=31)) == []


def test_another_rule_of_what_survives_is_a_difference_too(
    people: World, receiver: Receiver
) -> None:
    people.people("ada", plan="pro", city="Lyon")
    people.identify("ada", city="Rome")
    people.work()
    there(people, receiver.url)
    people.deliver()
    receiver.received.clear()
    path = "/v1/trait-rules/city"
    for method, body in (("PUT", {"rule": "first"}), ("DELETE", None)):
        people.server.request(method, path, json=body, headers=people.header).raise_for_status()
        while history.advance(people.sessions, syncing.follow_trait):
            pass
        people.deliver()
    calls = [c for r in receiver.received for c in json.loads(r.body)["batch"]]
    assert [call["traits"]["city"] for call in calls] == ["Lyon", "Rome"]


def _compute(people: World, later: timedelta = timedelta(0)) -> None:
    """Do what the jobs `computing` and `held` do."""
    while computing.advance(people.sessions, now=datetime.now(UTC) + later):
        pass
    with people.sessions.begin() as session:
        outbox.follow_computed(session, now=datetime.now(UTC))


def test_410_switches_off_and_what_changed_meanwhile_is_sent_when_it_is_on_again(
    people: World, receiver: Receiver
) -> None:
    people.people("ada", plan="pro", city="Lyon")
    receiver.answers = [410]
    number = there(people, receiver.url)
    people.deliver()
    shown = people.get(f"/v1/destinations/{number}")
    assert (shown["enabled"], shown["why_disabled"]) == (False, "the endpoint answered 410 Gone")
    people.people("bob", plan="pro", city="Rome")
    people.deliver()
    assert len(receiver.received) == 1
    shown = people.patch(f"/v1/destinations/{number}", {"enabled": True})
    assert (shown["enabled"], shown["why_disabled"]) == (True, None)
    assert shown["sync"]["state"] == "waiting"
    assert (shown["waiting"], shown["backlog_seconds"] >= 0) == (1, True)
    people.deliver()
    shown = people.get(f"/v1/destinations/{number}")
    assert (shown["held"], shown["sync"]["state"]) == (2, "done")


def test_secrets_are_sealed_shown_nowhere_and_not_moved_to_another_address(
    people: World, receiver: Receiver
) -> None:
    number = there(people, receiver.url)
    path = f"/v1/destinations/{number}"
    with people.sessions() as session:
        stored = session.get_one(Destination, number).secret
    assert stored.startswith(seal.MARK)
    assert "wk-secret" not in stored
    assert "wk-secret" not in json.dumps(people.get("/v1/destinations"))
    moved = {"settings": {"url": "https://elsewhere.test/v1/batch"}}
    refused = people.server.patch(path, json=moved, headers=people.header)
    assert refused.status_code == 422
    assert "given its secrets anew" in refused.text
    refused = people.server.patch(path, json={**moved, "secrets": {}}, headers=people.header)
    assert (refused.status_code, "#/secrets/write_key" in refused.text) == (422, True)
    people.patch(path, {**moved, "secrets": {"write_key": "another"}})


def test_where_records_are_stays_while_any_is_held(people: World, receiver: Receiver) -> None:
    people.people("ada", plan="pro", city="Lyon")
    elsewhere = {"settings": {"url": "https://elsewhere.test/"}, "secrets": {"write_key": "a"}}
    number = there(people, receiver.url)
    file = people.destination(kind="file", name="files", segments=["pros"],
                              settings={"directory": "crm", "parts": 2})["id"]  # fmt: skip
    people.deliver()
    moves = [
        (file, {"settings": {"directory": "crm", "parts": 3}}, "parts"),
        (file, {"settings": {"directory": "crm", "parts": 2, "format": "parquet"}}, "format"),
        (file, {"settings": {"directory": "else", "parts": 2}, "secrets": {}}, "directory"),
        (number, elsewhere, "url"),
    ]
    for one, wanted, said in moves:
        refused = people.server.patch(f"/v1/destinations/{one}", json=wanted, headers=people.header)
        assert (refused.status_code, f"#/settings/{said}" in refused.text) == (422, True)
    same = {"settings": {"directory": "crm", "parts": 2}}
    people.patch(f"/v1/destinations/{file}", same)
    people.identify("ada", plan="free")
    people.settle()
    for one, wanted, _ in moves[:3]:
        people.patch(f"/v1/destinations/{one}", wanted)


def test_what_a_kind_cannot_use_is_refused_with_a_pointer(people: World) -> None:
    people.segment("pros", PROS)
    known = {"kind": "segment", "secrets": {"write_key": "w"}}
    for wanted, said in (
        ({"kind": "nonsense"}, "#/kind"),
        ({"kind": "segment", "secrets": {}}, "#/secrets/write_key"),
        ({**known, "settings": {"x": 1}}, "#/settings/x"),
        ({**known, "mapping": {"a": {}}}, "#/mapping/a"),
        ({**known, "mapping": {"a\nb": {"value": 1}}}, "#/mapping"),
        (
            {
                "kind": "postgres",
                "settings": {"host": "h", "database": "d", "user": "u"},
                "secrets": {"password": ""},
            },
            "#/secrets/password",
        ),
        ({"kind": "webhook", "url": "ftp://x/"}, "#/settings/url"),
        ({"kind": "webhook", "url": "http://[::1"}, "#/settings"),
        ({"kind": "webhook", "url": "https:///x"}, "#/settings"),
        ({"kind": "webhook", "url": "https://x/", "mapping": {"a": {"value": 1}}}, "#/mapping"),
        ({"kind": "hubspot", "secrets": {"access_token": "t"}, "mapping": {}}, "email must be"),
        ({"kind": "brevo", "secrets": {"api_key": "k"}, "settings": {"lists": {"no": 1}}}, "lists"),
    ):
        body = {"name": "there", "purpose": "marketing.email", "segments": ["pros"], **wanted}
        answer = people.server.post("/v1/destinations", json=body, headers=people.header)
        assert (answer.status_code, said in answer.text) == (422, True), answer.text


def test_what_sends_or_shows_is_for_who_may_know_people_for_its_purpose_and_none_is_without_one(
    people: World, receiver: Receiver, token: Callable[..., dict[str, str]]
) -> None:
    number = there(people, receiver.url)
    other = token("destinations:write", purposes=("analytics.audience",))
    path = f"/v1/destinations/{number}"
    like = {"name": "mine", "kind": "segment", "segments": ["pros"], "purpose": "marketing.email",
            "secrets": {"write_key": "wk"}, "settings": {"url": receiver.url}}  # fmt: skip
    for method, to, wanted in (
        ("POST", "/v1/destinations", like),
        ("POST", f"{path}/dry-run", None),
        ("POST", f"{path}/sync", None),
        ("POST", f"{path}/replay", None),
        ("GET", f"{path}/deliveries", None),
        ("PATCH", path, {"mapping": {"email": {"identifier": "email"}}}),
        ("PATCH", path, {"enabled": True}),
    ):
        refused = people.server.request(method, to, json=wanted, headers=other)
        said = (refused.status_code, refused.json().get("code"))
        assert said == (403, "purpose-not-allowed"), (method, to)
    off = people.server.patch(path, json={"enabled": False}, headers=other)
    assert off.json()["enabled"] is False
    body = {"name": "aimless", "kind": "segment", "segments": ["pros"],
            "secrets": {"write_key": "wk"}}  # fmt: skip
    none = people.server.post("/v1/destinations", json=body, headers=people.header)
    assert (none.status_code, none.json()["errors"][0]["pointer"]) == (422, "#/purpose")
    with people.sessions.begin() as session:  # as if its purpose had gone from the catalogue
        session.execute(sa.text("UPDATE app.destination SET purpose = 'gone', enabled = false"))
    gone = token(purposes=("gone",))
    refused = people.server.patch(path, json={"enabled": True}, headers=gone)
    assert refused.status_code == 404
    assert people.get(path)["enabled"] is False


def test_who_reads_of_whom_something_was_sent_is_noted(people: World, receiver: Receiver) -> None:
    people.people("ada", plan="pro", city="Lyon")
    number = there(people, receiver.url)
    people.deliver()
    people.outcomes(number)
    notes = people.get("/v1/reads", subject="user_id:ada")["data"]
    said = {(note["operation"], note["purpose"]) for note in notes}
    assert ("GET /v1/destinations/{destination_id}/deliveries", "marketing.email") in said


def test_the_kinds_say_what_they_need(people: World) -> None:
    listed = {one["kind"]: one for one in people.get("/v1/destinations/kinds")["data"]}
    assert listed["segment"]["secrets"]["required"] == ["write_key"]
    assert listed["webhook"]["holds_records"] is False

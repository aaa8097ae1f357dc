"""An operator changes rules over HTTP and by command; the worker carries them through."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

import consent
from app import pipeline, sweeps
from app.consents import spellings
from app.consents.explain import explain
from app.consents.permission import permissions
from app.consents.record import record
from app.db import Sessions
from consent import carrying
from identity import graph, identifiers, people, rebuild
from identity import sweeps as sweep

Ask = Callable[..., Any]


@pytest.fixture
def ask(server: TestClient, token: Callable[..., dict[str, str]]) -> Ask:
    header = token("identity:read", "identity:admin")

    def call(method: str, path: str, status: int = 200, **more: Any) -> Any:
        answer = server.request(method, f"/v1/identity{path}", headers=header, **more)
        assert answer.status_code == status, answer.text
        return answer.json()

    return call


@pytest.fixture
def send(server: TestClient, write_key: str, sessions: Sessions) -> Ask:
    def call(*messages: dict[str, Any]) -> None:
        body = {"batch": [{"type": "track", "event": "Seen", **m} for m in messages]}
        assert server.post("/v1/batch", json=body, auth=(write_key, "")).status_code == 200
        settle(sessions)

    return call


def settle(sessions: Sessions) -> None:
    idle = False
    while not idle:
        while sweeps.advance(sessions):
            pass
        with sessions.begin() as session:
            idle = pipeline.step(session).idle


def person(sessions: Sessions, reference: str) -> int:
    with sessions() as session:
        found = people.find(session, *identifiers.parse(reference))
    assert found is not None
    return found


def apart(sessions: Sessions, one: str, other: str) -> bool:
    return person(sessions, one) != person(sessions, other)


def test_a_blocked_value_lets_go_of_who_it_held_together_and_takes_them_back(
    ask: Ask, send: Ask, sessions: Sessions
) -> None:
    crm = {"context": {"externalIds": [{"type": "crm_id", "id": "Walk-In-7"}]}}
    send({"anonymousId": "a1", **crm}, {"anonymousId": "a2", **crm})
    assert not apart(sessions, "anonymous_id:a1", "anonymous_id:a2")
    set_ = ask("PUT", "/namespaces/crm_id", json={"blocked": ["walk-in-7"]})
    assert (set_["waiting"], set_["blocked"]) == (0, ["walk-in-7"])
    assert [s["what"] for s in set_["under_way"]] == ["namespace:crm_id"]
    for _ in range(2):  # asked twice, three identifiers are noted once
        sweeps.advance(sessions)
        set_ = ask("PUT", "/namespaces/crm_id", json={"blocked": ["walk-in-7"]})
        assert set_["waiting"] == 3
    settle(sessions)
    assert apart(sessions, "anonymous_id:a1", "anonymous_id:a2")
    held = ask("GET", "/held", params={"reason": "blocked"})
    assert [link["held_because"] for link in held["data"]] == ["blocked"] * 2
    assert held["counts"] == {"blocked": 2}
    assert ask("GET", "/namespaces")["waiting"] == 0
    [split] = ask("GET", "/splits")["data"][-1:]
    assert len(split["identifiers"]) == 1
    ask("PUT", "/namespaces/crm_id", json={"blocked_patterns": ["^Walk-"]})
    settle(sessions)
    assert apart(sessions, "anonymous_id:a1", "anonymous_id:a2")
    ask("DELETE", "/namespaces/crm_id")
    settle(sessions)
    assert not apart(sessions, "anonymous_id:a1", "anonymous_id:a2")


def test_who_was_seen_with_a_device_last_owns_it_where_that_is_the_rule(
    ask: Ask, send: Ask, sessions: Sessions
) -> None:
    send(
        {"userId": "ada", "anonymousId": "tablet", "timestamp": "2026-01-05T10:00:00Z"},
        {"userId": "bob", "anonymousId": "tablet", "timestamp": "2026-03-05T10:00:00Z"},
    )
    assert apart(sessions, "user_id:bob", "anonymous_id:tablet")
    ask("PUT", "/namespaces/anonymous_id", json={"priority": 8, "last_owner": True})
    settle(sessions)
    assert not apart(sessions, "user_id:bob", "anonymous_id:tablet")
    send({"userId": "ada", "anonymousId": "tablet", "timestamp": "2026-04-05T10:00:00Z"})
    assert not apart(sessions, "user_id:ada", "anonymous_id:tablet")
    assert apart(sessions, "user_id:bob", "anonymous_id:tablet")
    ask("PUT", "/namespaces/anonymous_id", json={"priority": 8, "owner_days": 90})
    settle(sessions)
    assert apart(sessions, "user_id:ada", "anonymous_id:tablet")  # both within 90 days
    send({"userId": "ada", "anonymousId": "tablet", "timestamp": "2026-08-05T10:00:00Z"})
    assert not apart(sessions, "user_id:ada", "anonymous_id:tablet")
    assert ask("GET", "/held")["counts"] == {"lapsed": 1}


def test_what_was_seen_with_a_crowd_is_nobodys(ask: Ask, send: Ask, sessions: Sessions) -> None:
    ask("PUT", "/namespaces/email", json={"priority": 4, "most_links": 3})
    mail = {"type": "identify", "traits": {"email": "info@shop.example"}}
    send(*({"anonymousId": f"a{n}", **mail} for n in range(3)))
    assert not apart(sessions, "anonymous_id:a0", "anonymous_id:a2")
    send({"anonymousId": "a3", **mail})
    assert apart(sessions, "anonymous_id:a0", "anonymous_id:a2")
    assert ask("GET", "/held")["counts"] == {"frequency": 4}


def test_a_rule_is_undone_as_a_whole_and_redone(ask: Ask, send: Ask, sessions: Sessions) -> None:
    send({"type": "alias", "userId": "ada", "previousId": "before"})
    assert not apart(sessions, "user_id:ada", "anonymous_id:before")
    undone = ask("POST", "/rules/alias/undo", 202)
    assert [(s["what"], s["share"]) for s in undone["under_way"]] == [("rule:alias", 0.0)]
    settle(sessions)
    assert apart(sessions, "user_id:ada", "anonymous_id:before")
    send({"type": "alias", "userId": "bob", "previousId": "other"})
    assert apart(sessions, "user_id:bob", "anonymous_id:other")
    assert [row["rule"] for row in ask("GET", "/undone")["data"]] == ["alias"]
    ask("POST", "/rules/alias/redo", 202)
    settle(sessions)
    assert not apart(sessions, "user_id:ada", "anonymous_id:before")
    assert not apart(sessions, "user_id:bob", "anonymous_id:other")
    assert ask("POST", "/rules/alias/redo", 404)["code"] == "suspension-not-found"
    assert ask("POST", "/runs/7/undo", 404)["code"] == "run-not-found"
    for none in ("aliass", "decision"):  # people's decisions are taken back one by one
        assert ask("POST", f"/rules/{none}/undo", 422)["code"] == "request-invalid"


def test_nobody_is_decided_about_with_themselves(ask: Ask, send: Ask) -> None:
    send({"userId": "ada"})
    both = {"left": "user_id:ada", "right": "user_id:ada"}
    for kind in ("must_link", "cannot_link"):
        said = ask("POST", "/constraints", 422, json={"kind": kind, **both})
        assert said["code"] == "constraint-invalid"


@pytest.mark.parametrize(
    "wrong",
    [{"unique": True}, {"unique": True, "limit": 2}, {"blocked_patterns": ["("]},
     {"blocked_patterns": [""]}, {"blocked_patterns": ["x" * 201]}],
)  # fmt: skip
def test_rules_that_contradict_each_other_are_refused(ask: Ask, wrong: dict[str, Any]) -> None:
    answer = ask("PUT", "/namespaces/crm_id", 422, json=wrong)
    assert answer["code"] == "namespace-rules-invalid"
    assert {row["namespace"] for row in ask("GET", "/namespaces")["data"]} == set(
        identifiers.NAMESPACES
    )


@pytest.fixture
def french() -> Iterator[None]:
    identifiers.read_phones_of("FR")
    yield
    identifiers.read_phones_of(None)


def respell(sessions: Sessions) -> None:
    with sessions.begin() as session:
        sweep.request_spelling(session)


def test_values_of_an_earlier_spelling_are_linked_with_the_new_one(
    sessions: Sessions, french: None
) -> None:
    old = [("phone", "0142685300"), ("phone", "33142685300"), ("email", "ada.b+x@gmail.com"),
           ("email", "zoe@example.net")]  # fmt: skip
    for _ in range(2):
        with sessions.begin() as session:
            graph.identify(session, old)
        respell(sessions)
        settle(sessions)
    with sessions() as session:
        persons = {v: people.find(session, n, v) for n, v in old}
        assert persons["0142685300"] == persons["33142685300"]
        assert people.find(session, "phone", "+33142685300") == persons["0142685300"]
        assert people.find(session, "email", "adab@gmail.com") == persons["ada.b+x@gmail.com"]
        assert len(people.held(session)) == 0
        assert rebuild.rebuild(session, check=True).people == 3


def test_a_withdrawal_by_the_new_spelling_ends_what_the_old_one_allowed(
    sessions: Sessions, french: None
) -> None:
    """Before it is known that both are one nothing is done with the data; after, it is heard."""
    now = datetime.now(UTC)
    with sessions.begin() as session:
        ids = graph.identify(session, [("phone", "0142685300"), ("user_id", "ada")])
        phone, ada = ids["phone", "0142685300"], ids["user_id", "ada"]
        seen = graph.Evidence(phone, ada, "event", "identify", now)
        graph.reconsider(session, graph.observe(session, [seen]), at=now)
        for purpose in ("analytics.audience", "profile.link"):
            record(session, "phone", "0142685300", {purpose: "given"}, collected_by="shop",
                   received_at=now)  # fmt: skip
    settle(sessions)
    assert allowed(sessions, phone) == {"0142685300": True, "ada": True}
    respell(sessions)
    assert allowed(sessions, phone) == {"0142685300": False, "ada": False}
    with sessions.begin() as session:
        say(session, {"analytics.audience": "withdrawn", "profile.link": "refused"})
    settle(sessions)
    assert allowed(sessions, phone) == {"0142685300": False, "+33142685300": False}
    assert apart(sessions, "phone:+33142685300", "user_id:ada")
    with sessions.begin() as session:
        assert people.find(session, "phone", "0142685300") == phone
        say(session, {"analytics.audience": "given", "profile.link": "given"})
    settle(sessions)
    assert allowed(sessions, phone) == {"0142685300": True, "+33142685300": True, "ada": True}
    settle(sessions)
    with sessions() as session:
        words = consent.history(session, [("phone", "0142685300")])
        assert len([w for w in words if w.evidence]) == 4  # copies of four words, once


def test_a_word_that_calls_itself_a_copy_goes_to_every_spelling_all_the_same(
    sessions: Sessions, french: None
) -> None:
    """Evidence is the sender's to write: none of it may keep a refusal from the other spellings."""
    with sessions.begin() as session:
        graph.identify(session, [("phone", "0142685300")])
    respell(sessions)
    settle(sessions)
    claims = dict.fromkeys(("spelling_of_record", "carried_from", "carried_by"), "1")
    with sessions.begin() as session:
        record(session, "phone", "+33142685300", {"analytics.audience": "refused"},
               collected_by="form", received_at=datetime.now(UTC),
               evidence={**claims, "page": "/preferences"})  # fmt: skip
    settle(sessions)
    with sessions() as session:
        [said] = consent.history(session, [("phone", "+33142685300")])
        [copy] = consent.history(session, [("phone", "0142685300")])
    assert said.evidence == {"page": "/preferences"}
    assert copy.evidence == {"page": "/preferences", "spelling_of_record": str(said.id)}


def test_what_is_carried_from_a_copy_goes_to_every_spelling_of_the_new_number(
    sessions: Sessions, french: None
) -> None:
    old, new = ("phone", "0142685300"), ("phone", "0142685301")
    with sessions.begin() as session:
        graph.identify(session, [old, new])
    respell(sessions)
    settle(sessions)
    with sessions.begin() as session:
        say(session, {"analytics.audience": "refused"})
    settle(sessions)
    now = datetime.now(UTC)
    with sessions.begin() as session:
        [copy] = consent.history(session, [old])
        assert copy.evidence[spellings.COPY]
        carrying.carry(session, [old], [new], by="request:1", at=now)
        ids = graph.identify(session, [new])
        spellings.spread(session, ids.values(), now=now)
        [carried] = consent.history(session, [new])
        [spread] = consent.history(session, [("phone", "+33142685301")])
    assert carried.evidence["carried_from"] == str(copy.id)
    assert (spread.state, spread.evidence[spellings.COPY]) == ("refused", str(carried.id))


def say(session: Session, words: dict[str, str]) -> None:
    at = datetime.now(UTC)
    record(session, "phone", "+33142685300", words, collected_by="form", received_at=at)


def allowed(sessions: Sessions, identifier: int) -> dict[str, bool]:
    """Say by both forms of the decision what may be used of a person."""
    with sessions() as session:
        person = people.people_of(session, [identifier])[identifier]
        names = {m.identifier_id: m.value for m in people.members(session, [person])}
        found = {names[p.identifier_id]: p.allowed
                 for p in permissions(session, "analytics.audience", [person])}  # fmt: skip
        now = datetime.now(UTC)
        for i, value in names.items():
            [told] = explain(session, person, i, at=now, known_at=now, purpose="analytics.audience")
            assert told.decision.allow == found[value]
    return found


def test_two_spellings_of_an_address_count_once(sessions: Sessions) -> None:
    now = datetime.now(UTC)
    with sessions.begin() as session:
        mails = [("email", f"a{n}.b@gmail.com") for n in range(5)]
        ids = graph.identify(session, [("user_id", "ada"), *mails])
        ada = ids.pop(("user_id", "ada"))
        links = [graph.Evidence(ada, i, "event", "identify", now) for i in ids.values()]
        graph.reconsider(session, graph.observe(session, links), at=now)
    respell(sessions)
    settle(sessions)
    with sessions() as session:
        person = people.find(session, "user_id", "ada") or 0
        assert len(people.members(session, [person])) == 11
        assert people.held(session) == []


def test_a_sweep_that_is_killed_goes_on_where_it_was(sessions: Sessions) -> None:
    old = [("email", f"ada.{n}@gmail.com") for n in range(30)]
    with sessions.begin() as session:
        graph.identify(session, old)
    respell(sessions)
    with suppress(ZeroDivisionError), sessions.begin() as session:
        assert sweep.step(session, window=10)
        raise ZeroDivisionError
    linked, more = 0, True
    while more:
        with sessions.begin() as session:
            found = sweep.step(session, window=10)
            more = found is not None and found.more
            linked += len(found.touched) if found else 0
    assert linked == 60
    respell(sessions)
    with sessions() as session:
        assert sweep.under_way(session) == []


def test_a_rebuild_tells_who_was_joined_by_it(sessions: Sessions) -> None:
    now = datetime.now(UTC)
    with sessions.begin() as session:
        ids = graph.identify(session, [("crm_id", "a"), ("crm_id", "b"), ("crm_id", "c")])
        a, b, c = sorted(ids.values())
        link = graph.Evidence(a, b, "event", "identify", now)
        graph.reconsider(session, graph.observe(session, [link]), at=now)
        graph.settle(session, ids.values())
        session.execute(
            sa.text("UPDATE identity.identifier SET person_id = id, group_id = id WHERE id = :b"),
            {"b": b},
        )
        assert rebuild.rebuild(session, check=True).moved == graph.Moved()
        found = rebuild.rebuild(session, check=False)
        assert found.moved == graph.Moved(merged=((a, b),), people=frozenset({a, b}))
        assert [(m.survivor_id, m.absorbed_id) for m in people.merges(session)] == [(a, b)]
        assert people.people_of(session, [a, b, c]) == {a: a, b: a, c: c}

"""An operator changes rules over HTTP and by command; the worker carries them through."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app import pipeline
from app.db import Sessions
from app.resolve import ask_again
from identity import graph, identifiers, people, rebuild, respelling

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
    assert (set_["waiting"], set_["blocked"]) == (3, ["walk-in-7"])
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
    assert ask("POST", "/rules/alias/undo", 202) == {"identifiers": 2, "waiting": 2}
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


def test_values_of_an_earlier_spelling_are_linked_with_the_new_one(
    sessions: Sessions, french: None
) -> None:
    old = [("phone", "0142685300"), ("phone", "33142685300"), ("email", "ada.b+x@gmail.com"),
           ("email", "zoe@example.net")]  # fmt: skip
    for _ in range(2):
        with sessions.begin() as session:
            graph.identify(session, old)
            for _, found in respelling.respell(session, portion=2):
                ask_again(session, [found])
        settle(sessions)
    with sessions() as session:
        persons = {v: people.find(session, n, v) for n, v in old}
        assert persons["0142685300"] == persons["33142685300"]
        assert people.find(session, "phone", "+33142685300") == persons["0142685300"]
        assert people.find(session, "email", "adab@gmail.com") == persons["ada.b+x@gmail.com"]
        assert len(people.held(session)) == 0
        assert rebuild.rebuild(session, check=True).people == 3

"""Segments that ask for the traits of the accounts that people are in."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from app import pipeline
from app.consents.permission import permissions
from app.db import Sessions
from app.profiles import accounts
from identity import people as persons

EMAIL = "marketing.email"


def test_who_is_in_an_account_is_selected_by_what_may_be_used_of_it(
    server: TestClient, sessions: Sessions, write_key: str, token: Callable[..., dict[str, str]]
) -> None:
    header = token(purposes=(EMAIL,))

    def group(user: str, account: str, agrees: bool = True, **traits: Any) -> None:
        body = {
            "userId": user, "groupId": account, "traits": traits, "writeKey": write_key,
            "context": {"consent": {"categoryPreferences": {EMAIL: agrees}}},
        }  # fmt: skip
        server.post("/v1/group", json=body).raise_for_status()
        with sessions.begin() as session:
            pipeline.step(session)

    def size(key: str) -> int:
        return int(server.get(f"/v1/segments/{key}", headers=header).json()["size"])

    group("ada", "acme", plan="gold")
    group("bea", "acme")
    rules: dict[str, Any] = {
        "gold": {"group_trait": "plan", "value": "gold"},
        "others": {"not": {"group_trait": "plan", "value": "gold"}},
        "household": {"group_trait": "plan", "group_type": "household", "op": "exists"},
    }
    for key, rule in rules.items():
        body = {"key": key, "name": key, "purpose": EMAIL, "rule": rule}
        server.post("/v1/segments", json=body, headers=header).raise_for_status()
    assert [size(key) for key in rules] == [2, 0, 0]
    group("cleo", "acme")  # asked about alone, in a step: what ada told counts for cleo
    assert [size(key) for key in rules] == [3, 0, 0]
    group("dan", "other", plan="free")
    assert [size(key) for key in rules] == [3, 1, 0]
    group("bea", "acme", plan="silver")
    assert [size(key) for key in rules] == [0, 4, 0]
    group("bea", "acme", agrees=False)  # what bea told may not be used any more: ada's counts
    assert [size(key) for key in rules] == [2, 1, 0]
    pipeline.refresh_all(sessions)
    assert [size(key) for key in rules] == [2, 1, 0]


def test_who_told_nothing_that_is_asked_is_not_decided_about(
    server: TestClient, sessions: Sessions, write_key: str
) -> None:
    for user, traits in (("ada", {"plan": "gold"}), ("bea", {"at": {"city": "Lyon"}}), ("cy", {})):
        body = {"userId": user, "groupId": "acme", "traits": traits, "writeKey": write_key}
        server.post("/v1/group", json=body).raise_for_status()
    with sessions.begin() as session:
        pipeline.step(session)
        people = {name: persons.find(session, "user_id", name) for name in ("ada", "bea", "cy")}
        asked = [person for person in people.values() if person is not None]
        assert accounts.tellers(session, asked, {"plan"}, EMAIL) == {people["ada"]}
        assert accounts.tellers(session, asked, {"at.city"}, EMAIL) == {people["bea"]}
        assert accounts.tellers(session, asked, {"size"}, EMAIL) == set()


def test_a_large_account_is_left_to_a_look_and_other_segments_are_not_asked_about_it(
    server: TestClient,
    sessions: Sessions,
    write_key: str,
    token: Callable[..., dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    header = token(purposes=(EMAIL,))
    asked: list[tuple[frozenset[str], int]] = []
    really = pipeline.advance

    def advance(session: Session, listed: Any, concerned: Any, moved: Any, **more: Any) -> Any:
        asked.append((frozenset(one.key for one in listed), len(concerned)))
        return really(session, listed, concerned, moved, **more)

    def say(user: str, agrees: bool = True, **traits: Any) -> None:
        body = {
            "userId": user, "groupId": "acme", "traits": traits, "writeKey": write_key,
            "context": {"consent": {"categoryPreferences": {EMAIL: agrees}}},
        }  # fmt: skip
        server.post("/v1/group", json=body).raise_for_status()
        asked.clear()
        with sessions.begin() as session:
            pipeline.step(session)

    def size() -> int:
        return int(server.get("/v1/segments/gold", headers=header).json()["size"])

    def define(key: str, rule: dict[str, Any]) -> None:
        body = {"key": key, "name": key, "purpose": EMAIL, "rule": rule}
        server.post("/v1/segments", json=body, headers=header).raise_for_status()

    monkeypatch.setattr(pipeline, "advance", advance)
    say("teller", plan="gold")
    for n in range(7):
        say(f"member-{n}")
    define("buyers", {"event": "Order"})
    say("teller", agrees=False)  # nobody's rule asks what may be used of the account
    assert asked == [(frozenset({"buyers"}), 1)]
    say("teller", agrees=True)
    define("gold", {"group_trait": "plan", "value": "gold"})
    assert size() == 8
    say("teller", agrees=False)
    assert (frozenset({"gold"}), 7) in asked
    assert all(count == 1 for keys, count in asked if "buyers" in keys)
    assert size() == 0
    say("teller", agrees=True)
    assert size() == 8

    monkeypatch.setattr(pipeline, "MOST_BESIDE", 4)
    say("teller", agrees=False)
    assert {count for _, count in asked} == {1}
    pipeline.refresh_all(sessions)
    assert size() == 0
    say("teller", plan="silver")  # who speaks is asked about, of whomever else it is the account
    assert {count for _, count in asked} == {1}


def test_of_many_who_tell_a_trait_the_latest_are_decided_about_while_one_of_them_may_be_used(
    server: TestClient,
    sessions: Sessions,
    write_key: str,
    token: Callable[..., dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(accounts, "LATEST_TELLERS", 1)
    monkeypatch.setattr(accounts, "LATEST_READ", 2)
    asked: list[int] = []

    def counted(session: Session, purpose: Any, subjects: Any) -> Any:
        asked.append(len(subjects))
        return permissions(session, purpose, subjects)

    monkeypatch.setattr(accounts, "permissions", counted)
    agrees = {"consent": {"categoryPreferences": {EMAIL: True}}}
    for n in range(6):
        body = {
            "userId": f"u{n}", "groupId": "acme", "traits": {"plan": f"p{n}"},
            "writeKey": write_key, "context": agrees,
        }  # fmt: skip
        server.post("/v1/group", json=body).raise_for_status()
    with sessions.begin() as session:
        pipeline.step(session)
        people = [persons.find(session, "user_id", f"u{n}") or 0 for n in range(6)]

    def tellers() -> set[int]:
        with sessions.begin() as session:
            return accounts.tellers(session, people[:1], {"plan"}, EMAIL)

    def plan() -> str:
        asked.clear()
        path = f"/v1/accounts/account:acme?purpose={EMAIL}"
        read = server.get(path, headers=token(purposes=(EMAIL,)))
        return str(read.json()["traits"]["plan"])

    assert tellers() == {people[5]}
    assert (plan(), asked) == ("p5", [2])
    for user in ("u5", "u4"):  # said of them alone, by no stamp of theirs
        said = {
            "subject": {"namespace": "user_id", "value": user},
            "decisions": [{"purpose": EMAIL, "state": "withdrawn"}],
        }
        server.post("/v1/consents", json=said, headers=token(purposes=(EMAIL,))).raise_for_status()
    assert tellers() == set(people)
    assert (plan(), asked) == ("p3", [2, 6])

"""Whoever keeps a copy of profiles by the feed hears of a survivorship rule that changed."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app import pipeline
from app.db import Sessions
from app.destinations import syncing
from app.events.tables import Progress
from app.profiles import history, rule_news

PURPOSE = "service.operation"


@pytest.mark.parametrize("portion", [1, 2_000])
def test_a_copy_that_follows_the_feed_has_what_profiles_say_after_a_rule_changed(
    server: TestClient,
    sessions: Sessions,
    write_key: str,
    token: Callable[..., dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
    portion: int,
) -> None:
    """A reader of the feed, and of changed profiles, kept the value of the rule of before."""
    monkeypatch.setattr(rule_news, "PORTION", portion)
    header = token(purposes=(PURPOSE,))
    for user, said in (("ada", ("Lyon", "Paris")), ("bob", ("Rome", "Bonn")), ("eve", ())):
        for town in said:
            send(server, write_key, userId=user, traits={"city": town})
        send(server, write_key, userId=user, anonymousId=f"of-{user}", traits={"plan": "pro"})
    with sessions.begin() as session:
        pipeline.step(session)
    copy: dict[str, Any] = {}
    place = follow(server, header, copy, None)
    cities = [copy[one]["traits"].get("city") for one in sorted(copy)]
    assert sorted(map(str, cities)) == ["Bonn", "None", "Paris"]

    def changed(method: str, cursor: str, **body: Any) -> str:
        path = "/v1/trait-rules/city"
        answer = server.request(method, path, json=body or None, headers=header)
        assert answer.is_success, answer.text
        while history.advance(sessions, syncing.follow_trait) or rule_news.advance(sessions):
            pass
        told: dict[str, Any] = {}
        cursor = follow(server, header, told, cursor)
        assert told.keys() <= copy.keys() - {of("eve")}, "who has no such trait is as before"
        copy.update(told)
        assert copy == {one: read(server, header, one) for one in copy}
        return cursor

    def of(user: str) -> str:
        return str(read(server, header, f"user_id:{user}")["profile_id"])

    place = changed("PUT", place, rule="first")
    assert copy[of("ada")]["traits"]["city"] == "Lyon"
    place = changed("PUT", place, rule="union")
    assert copy[of("bob")]["traits"]["city"] == ["Rome", "Bonn"]
    changed("DELETE", place)
    assert copy[of("ada")]["traits"]["city"] == "Paris"
    with sessions() as session:
        assert session.get(Progress, "trait:city") is None, "nothing is left to be told"


def send(server: TestClient, write_key: str, **more: Any) -> None:
    body = {"writeKey": write_key, **more}
    server.post("/v1/identify", json=body).raise_for_status()


def read(server: TestClient, header: dict[str, str], ref: str) -> dict[str, Any]:
    answer = server.get(f"/v1/profiles/{ref}?purpose={PURPOSE}", headers=header)
    assert answer.is_success, answer.text
    return dict(answer.json())


def follow(
    server: TestClient, header: dict[str, str], copy: dict[str, Any], after: str | None
) -> str:
    """Read the feed to its end, and each profile anew that it speaks of."""
    page: dict[str, Any] = {"has_more": True, "next_cursor": after}
    while page["has_more"]:
        params = {"after": page["next_cursor"]} if page["next_cursor"] else {}
        page = server.get("/v1/changes", params=params, headers=header).json()
        for one in page["data"]:
            copy[one["subject"]] = read(server, header, one["subject"])
    return str(page["next_cursor"])

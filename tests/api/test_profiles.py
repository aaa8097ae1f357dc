"""Reading profiles over HTTP: the timeline by choice, only what changed, and many at once."""

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from app import pipeline
from app.db import Sessions

EMAIL = "marketing.email"
Header = dict[str, str]


class People:
    """Sends events of people, each with what they say of marketing, and reads them."""

    def __init__(self, server: TestClient, sessions: Sessions, key: str, header: Header) -> None:
        self.server, self.sessions, self.key, self.header = server, sessions, key, header

    def send(self, kind: str, user: str, *, agrees: bool = True, **members: Any) -> None:
        consents = {"consent": {"categoryPreferences": {EMAIL: agrees}}}
        who = {"userId": user} if user else {}
        body = {**who, "writeKey": self.key, "context": consents, **members}
        self.server.post(f"/v1/{kind}", json=body).raise_for_status()

    def settle(self) -> None:
        idle = False
        while not idle:
            with self.sessions.begin() as session:
                idle = pipeline.step(session).idle

    def get(self, path: str, **parameters: Any) -> Any:
        headers = {**self.header, **parameters.pop("headers", {})}
        parameters = {"purpose": EMAIL, **parameters}
        return self.server.get(f"/v1/profiles/{path}", params=parameters, headers=headers)


@pytest.fixture
def people(
    server: TestClient, sessions: Sessions, write_key: str, token: Callable[..., Header]
) -> People:
    return People(server, sessions, write_key, token(purposes=(EMAIL,)))


def test_a_timeline_is_read_by_name_type_source_and_time_page_by_page(people: People) -> None:
    for n in range(12):
        name, day = ("Seen", "Bought")[n % 3 == 0], f"2026-11-{n + 1:02}T10:00:00Z"
        people.send("track", "ada", event=name, timestamp=day, properties={"n": n})
    people.send("page", "ada", name="Seen", timestamp="2026-11-13T10:00:00Z", properties={"n": 12})
    people.send("track", "ada", event="Seen", agrees=False, timestamp="2026-11-13T11:00:00Z")
    people.send("track", "ada", event="Seen", timestamp="2026-11-14T10:00:00Z")
    people.settle()

    def numbers(**asked: Any) -> list[int]:
        found = people.get("user_id:ada/events", **asked)
        assert found.status_code == 200, found.text
        return [event["properties"].get("n") for event in found.json()["data"]]

    everything = [None, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0]
    assert numbers() == everything
    assert numbers(name="Bought") == [9, 6, 3, 0]
    assert numbers(name=["Bought", "Nothing"], since="2026-11-04T10:00:00Z") == [9, 6, 3]
    assert numbers(name="Bought", until="2026-11-04T10:00:00Z") == [0]
    assert numbers(type="page") == [12]
    assert numbers(source="web", since="2026-11-13T12:00:00+02:00") == [None, 12]
    assert numbers(source="elsewhere") == []
    assert people.get("user_id:ada/events", type="nonsense").status_code == 422
    assert people.get("user_id:ada/events", since="yesterday").status_code == 422
    pages: list[list[int]] = []
    cursor = None
    while cursor is not None or not pages:
        asked = {"limit": 4, **({"cursor": cursor} if cursor else {})}
        page = people.get("user_id:ada/events", **asked).json()
        pages.append([event["properties"].get("n") for event in page["data"]])
        cursor = page["next_cursor"]
    assert [n for page in pages for n in page] == everything
    assert [len(page) for page in pages] == [4, 4, 4, 2]


def test_an_answer_that_is_still_the_same_is_not_sent_again_and_a_consent_changes_it(
    people: People,
) -> None:
    people.send("identify", "ada", traits={"city": "Lyon"})
    people.settle()
    parts = ["", "/traits", "/identifiers", "/events", "/segments", "/computed", "/journeys"]
    first = {part: people.get(f"user_id:ada{part}") for part in parts}
    tags = {part: answer.headers["ETag"] for part, answer in first.items()}
    assert all(answer.headers["Cache-Control"] == "private, no-cache" for answer in first.values())
    for part, tag in tags.items():
        for sent in (tag, f'"other", W/{tag}', "*"):
            again = people.get(f"user_id:ada{part}", headers={"If-None-Match": sent})
            assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", tag)
        stale = people.get(f"user_id:ada{part}", headers={"If-None-Match": '"stale"'})
        assert stale.status_code == 200
    people.server.post(
        "/v1/consents",
        json={
            "subject": {"namespace": "user_id", "value": "ada"},
            "decisions": [{"purpose": EMAIL, "state": "withdrawn"}],
        },
        headers=people.header,
    ).raise_for_status()
    for part, tag in tags.items():
        after = people.get(f"user_id:ada{part}", headers={"If-None-Match": tag})
        assert (after.status_code, after.headers["ETag"] != tag) == (200, True), part
        assert after.json()["withheld"][0]["reason"] == "withdrawn"
        assert "Lyon" not in after.text


def test_many_are_read_in_as_many_statements_as_one_and_each_as_if_alone(
    people: People, sessions: Sessions
) -> None:
    for n in range(40):
        people.send("identify", f"u{n}", agrees=n % 4 != 0, traits={"n": n}, anonymousId=f"a{n}")
    people.settle()
    found = [f"user_id:u{n}" for n in range(40)]
    refs = [*found, "user_id:nobody", "no reference", "anonymous_id:a1", "user_id:u1"]

    def batch(refs: list[str], **more: Any) -> Any:
        body = {"purpose": EMAIL, "refs": refs, **more}
        return people.server.post("/v1/profiles/batch", json=body, headers=people.header)

    def statements(ask: Callable[[], Any]) -> int:
        seen: list[str] = []

        def note(*called: Any) -> None:
            seen.append(called[2])

        engine = sessions.kw["bind"]
        sa.event.listen(engine, "before_cursor_execute", note)
        ask()
        sa.event.remove(engine, "before_cursor_execute", note)
        return len(seen)

    answer = batch(refs).json()
    assert [entry["ref"] for entry in answer["data"]] == refs
    by_ref = {entry["ref"]: entry for entry in answer["data"]}
    for ref in found:
        assert by_ref[ref]["profile"] == people.get(ref).json()
    withheld = by_ref["user_id:u4"]["profile"]
    assert (withheld["traits"], withheld["withheld"][0]["reason"]) == ({}, "refused")
    assert (by_ref["user_id:nobody"]["status"], by_ref["user_id:nobody"]["code"]) == (
        404, "profile-not-found",
    )  # fmt: skip
    assert (by_ref["no reference"]["status"], by_ref["no reference"]["code"]) == (
        422, "identifier-invalid",
    )  # fmt: skip
    assert by_ref["anonymous_id:a1"]["profile"] == by_ref["user_id:u1"]["profile"]
    some = batch(found[1:2], include=["traits"]).json()["data"][0]["profile"]
    assert sorted(some) == ["profile_id", "purpose", "traits", "withheld"]
    assert statements(lambda: batch(found)) <= statements(lambda: batch(found[1:2])) + 3
    for bad in ([], ["user_id:u1"] * 101, ["x" * 2000]):
        assert batch(bad).status_code == 422
    assert batch(["user_id:u1"], purpose="analytics.audience").status_code == 403


def test_a_copy_follows_what_changed_withdrawals_merges_and_erasures_included(
    people: People, sessions: Sessions
) -> None:
    def changed(after: str | None = None, limit: int = 100) -> tuple[dict[str, Any], str]:
        """What a program holds that keeps every profile by its id, and its largest sequence."""
        copy: dict[str, Any] = {}
        more, cursor, last = True, after, after or ""
        while more:
            asked: dict[str, Any] = {"purpose": EMAIL, "limit": limit}
            asked |= {"after": cursor} if cursor else {}
            page = people.server.get("/v1/changed-profiles", params=asked, headers=people.header)
            body = page.json()
            for one in body["data"]:
                copy[one["profile_id"]] = None if one["gone"] else one["traits"]
                last = max(last, one["sequence"])
            more, cursor = body["has_more"], body["next_cursor"]
        return copy, last

    for user in ("ada", "bea"):
        people.send("identify", user, traits={"name": user})
    people.send("identify", "", anonymousId="d-1", traits={"seen": 1})
    people.send("identify", "dora", agrees=False, traits={"name": "dora"})
    people.settle()
    refs = ("user_id:ada", "user_id:bea", "user_id:dora", "anonymous_id:d-1")
    ada, bea, dora, device = (people.get(ref).json()["profile_id"] for ref in refs)
    first, place = changed()
    assert first == {ada: {"name": "ada"}, bea: {"name": "bea"}, device: {"seen": 1}, dora: {}}
    assert changed(limit=1)[0] == first
    assert changed(place) == ({}, place)
    people.send("identify", "ada", traits={"name": "Ada"})
    people.send("identify", "bea", agrees=False)
    people.settle()
    second, place = changed(place)
    assert second == {ada: {"name": "Ada"}, bea: {}}
    people.send("track", "ada", anonymousId="d-1", event="Signed In")
    people.settle()
    third, place = changed(place)
    assert third == {ada: {"name": "Ada", "seen": 1}, device: None}
    people.send("track", "ada", anonymousId="d-2", event="Signed In", context={})
    people.settle()  # a device that nobody knew, and that says nothing of consent
    fourth, place = changed(place)
    assert fourth == {ada: {"name": "Ada", "seen": 1}}
    people.send("track", "ada", anonymousId="d-2", event="Signed In", context={})
    people.settle()
    assert changed(place) == ({}, place)
    assert people.server.get(
        "/v1/changed-profiles", params={"purpose": EMAIL, "after": "x" * 41}, headers=people.header
    ).json()["code"] == "cursor-invalid"  # fmt: skip

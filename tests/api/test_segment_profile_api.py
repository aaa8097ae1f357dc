"""Segment's Profile API: its paths, parameters and shapes answer, under consent."""

from base64 import b64encode
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.db import Sessions
from tests.api.test_profiles import EMAIL, Header, People

SPACE = f"/v1/spaces/{EMAIL}/collections"


class Client:
    """Asks as a program does that was written for Segment: the token is the user name."""

    def __init__(self, people: People) -> None:
        self.people = people
        token = people.header["Authorization"].removeprefix("Bearer ")
        self.header = {"Authorization": f"Basic {b64encode(f'{token}:'.encode()).decode()}"}

    def get(self, ref: str, part: str, *, of: str = "users", **asked: Any) -> Any:
        path = f"{SPACE}/{of}/profiles/{ref}/{part}"
        return self.people.server.get(path, params=asked, headers=self.header).json()

    def pages(self, ref: str, part: str, **asked: Any) -> list[Any]:
        """Follow `cursor.next` while `has_more`, as Segment documents it."""
        found = []
        cursor: dict[str, Any] = {"has_more": True, "next": ""}
        while cursor["has_more"]:
            more = {"next": cursor["next"]} if cursor["next"] else {}
            page = self.get(ref, part, **asked, **more)
            found.append(page.get("data", page.get("traits")))
            cursor = page["cursor"]
        return found


@pytest.fixture
def client(
    server: TestClient, sessions: Sessions, write_key: str, token: Callable[..., Header]
) -> Client:
    people = People(server, sessions, write_key, token(purposes=(EMAIL,)))
    traits = {f"t{n:02}": n for n in range(12)}
    for n in range(7):
        people.send("track", "ada", event=("Seen", "Bought")[n % 2], messageId=f"m-{n:010}",
                    timestamp=f"2026-11-0{n + 1}T10:00:00Z", properties={"n": n})  # fmt: skip
    people.send("identify", "ada", anonymousId="d-1", traits=traits, messageId="identify-ada-1",
                timestamp="2026-11-09T10:00:00Z")  # fmt: skip
    people.send("group", "ada", groupId="acme", traits={"plan": "free"})
    people.send("identify", "bob", traits={"x": 1})
    people.send("group", "bob", groupId="acme", traits={"seats": 3})
    people.send("identify", "cleo", traits={"secret": 1}, agrees=False)
    people.settle()
    rule = {"event": "Bought"}
    body = {"key": "buyers", "name": "Buyers", "purpose": EMAIL, "rule": rule}
    server.post("/v1/segments", json=body, headers=people.header).raise_for_status()
    return Client(people)


def test_traits_are_paged_chosen_and_say_where_they_are_from(client: Client) -> None:
    first = client.get("user_id:ada", "traits")
    assert list(first["traits"]) == ["buyers", *(f"t{n:02}" for n in range(9))]
    assert first["cursor"] == {
        "url": f"{SPACE}/users/profiles/user_id:ada/traits",
        "has_more": True,
        "next": first["cursor"]["next"],
        "limit": 10,
    }
    assert [len(page) for page in client.pages("user_id:ada", "traits", limit=5)] == [5, 5, 3]
    assert client.get("anonymous_id:d-1", "traits", include="t03,t04,none")["traits"] == {
        "t03": 3,
        "t04": 4,
    }
    assert client.get("user_id:ada", "traits", **{"class": "audience"})["traits"] == {
        "buyers": True
    }
    assert client.get("user_id:ada", "traits", **{"class": "computed_trait"})["traits"] == {}
    assert client.get("user_id:ada", "traits", include="t03", verbose="true")["traits"] == {
        "t03": {"value": 3, "source_id": "web", "updated_at": "2026-11-09T10:00:00+00:00"}
    }
    withheld = client.get("user_id:cleo", "traits")
    assert (withheld["traits"], withheld["withheld"][0]["reason"]) == ({}, "refused")
    assert client.get("user_id:cleo", "events")["data"] == []
    assert client.get("user_id:cleo", "external_ids")["data"] == []


def test_a_segment_that_is_called_as_a_trait_is_does_not_hide_it(client: Client) -> None:
    """Nothing else of this API would tell of the trait; a segment answers by its class, too."""
    client.people.send("identify", "ada", traits={"buyers": "of three"})
    client.people.settle()
    asked = {"include": "buyers"}
    assert client.get("user_id:ada", "traits", **asked)["traits"] == {"buyers": "of three"}
    as_audience = client.get("user_id:ada", "traits", **{"class": "audience"})["traits"]
    assert as_audience == {"buyers": True}


def test_external_ids_events_metadata_and_links_have_segments_shapes(client: Client) -> None:
    ids = client.get("user_id:ada", "external_ids")["data"]
    assert {(i["type"], i["id"], i["collection"], i["encoding"]) for i in ids} == {
        ("user_id", "ada", "users", "none"),
        ("anonymous_id", "d-1", "users", "none"),
    }
    assert (ids[0]["source_id"], ids[0]["first_message_id"]) == ("web", "m-0000000000")
    assert [
        i["id"] for i in client.get("user_id:ada", "external_ids", include="user_id")["data"]
    ] == ["ada"]
    assert len(client.pages("user_id:ada", "external_ids", limit=1)) == 2

    events = client.get("user_id:ada", "events", include="Seen,Bought")["data"]
    assert [e["properties"]["n"] for e in events] == [6, 5, 4, 3, 2, 1, 0]
    assert (events[0]["type"], events[0]["event"], events[0]["source_id"]) == (
        "track", "Seen", "web",
    )  # fmt: skip
    assert events[0]["external_ids"][0]["id"] == "ada"
    assert list(events[0]["related"]) == ["users"]
    oldest = client.pages("user_id:ada", "events", include="Seen,Bought", sort="asc", limit=3)
    assert [[e["properties"]["n"] for e in page] for page in oldest] == [[0, 1, 2], [3, 4, 5], [6]]
    some = client.get("user_id:ada", "events", start="2026-11-03", end="2026-11-06",
                      exclude="Bought")["data"]  # fmt: skip
    assert [e["properties"]["n"] for e in some] == [4, 2]

    metadata = client.get("user_id:ada", "metadata")["metadata"]
    assert (metadata["first_message_id"], metadata["first_source_id"], metadata["expires_at"]) == (
        "m-0000000000", "web", None,
    )  # fmt: skip
    assert metadata["created_at"] < metadata["updated_at"]
    [link] = client.get("user_id:ada", "links")["data"]
    assert link["to_collection"] == "accounts"
    assert (link["external_ids"][0]["type"], link["external_ids"][0]["id"]) == ("group_id", "acme")


def test_accounts_answer_too(client: Client) -> None:
    found = client.get("group_id:acme", "traits", of="accounts")
    assert found["traits"] == {"plan": "free", "seats": 3}
    linked = client.get("group_id:acme", "links", of="accounts")["data"]
    assert [{i["id"] for i in one["external_ids"]} for one in linked] == [{"ada", "d-1"}, {"bob"}]
    [known] = client.get("group_id:acme", "external_ids", of="accounts")["data"]
    assert (known["id"], known["type"], known["collection"]) == ("acme", "group_id", "accounts")
    assert client.get("group_id:acme", "metadata", of="accounts")["metadata"]["created_at"]
    assert client.get("group_id:x", "traits", of="accounts")["error"]["code"] == "not_found"


def test_errors_are_segments_and_problems_at_once(client: Client) -> None:
    missing = client.get("user_id:nobody", "traits")
    assert missing["error"]["code"] == "not_found"
    assert missing["code"] == "profile-not-found"
    assert client.get("user_id:ada", "traits", limit=201)["error"]["code"] == "validation_error"
    assert client.get("user_id:ada", "traits", next="x")["error"]["code"] == "validation_error"
    server, path = client.people.server, f"{SPACE}/users/profiles/user_id:ada/traits"
    for header in ({}, {"Authorization": f"Basic {b64encode(b'none:').decode()}"}):
        answer = server.get(path, headers=header)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "authentication_error")
    other = path.replace(EMAIL, "analytics.audience")
    answer = server.get(other, headers=client.header)
    assert (answer.status_code, answer.json()["code"]) == (403, "purpose-not-allowed")

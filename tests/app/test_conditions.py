"""Conditions that a client sends: an operator is checked with its value, and errors point at it."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

import consent
from app import pipeline
from app.db import Sessions
from app.errors import DefinitionInvalid
from app.profiles import computing, paths
from app.profiles.conditions import Property
from app.profiles.conditions_sql import Values
from app.segments import compile as compiled
from app.segments import looking, members, refreshing
from app.segments.definition import RULE
from tests.app.test_segments import NOW, PURPOSE, Random

EMAIL = "marketing.email"

#: Each with what it is held against.
REFUSED: tuple[tuple[dict[str, Any], str], ...] = (
    ({"op": "exists", "value": "no"}, "true, .* or false"),
    ({}, "eq needs a value; .* exists"),
    ({"value": None}, "eq needs a value"),
    ({"op": "ne"}, "ne needs a value"),
    ({"op": "gt"}, "gt needs a value"),
    ({"op": "gt", "value": "100"}, "write the number without quotes"),
    ({"op": "lte", "value": "-1.5e3"}, "write the number without quotes"),
    ({"op": "gte", "value": True}, "gte takes a number"),
    ({"op": "lt", "value": [1]}, "lt takes a number"),
    ({"op": "in", "value": "FR"}, "in takes a list"),
    ({"op": "in", "value": []}, "in takes a list"),
    ({"op": "in", "value": ["a", None]}, "none of them null"),
    ({"op": "contains", "value": ""}, "contains takes a text"),
    ({"op": "contains", "value": ["a"]}, "contains takes a text"),
    ({"op": "within_days", "value": "7"}, "within_days takes a number of days"),
    ({"op": "in_next_days", "value": -1}, "in_next_days takes a number of days"),
    ({"op": "older_than_days", "value": 99_999}, "from 0 to 36500"),
    ({"value": float("inf")}, "a number that is none"),
    ({"value": {"a": ["\x00"]}}, "a character that PostgreSQL does not store"),
    ({"value": "\ud800"}, "a character that PostgreSQL does not store"),
)
TAKEN: tuple[dict[str, Any], ...] = (
    {"op": "exists"}, {"op": "exists", "value": True}, {"op": "exists", "value": False},
    {"op": "gt", "value": "2026-01-01"}, {"op": "gt", "value": "a"}, {"op": "lt", "value": 0.5},
    {"op": "in", "value": ["FR", 1, True]}, {"value": {"a": 1}}, {"op": "ne", "value": []},
    {"op": "contains", "value": 7}, {"op": "within_days", "value": 0},
)  # fmt: skip


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_an_operator_with_a_value_it_can_make_nothing_of_is_refused(number: int) -> None:
    """Of traits, computed traits, groups and properties alike, wherever they are in a rule."""
    said, why = REFUSED[number]
    for one, at in (
        ({"trait": "x", **said}, ""),
        ({"computed": "x", **said}, ""),
        ({"group_trait": "x", **said}, ""),
        ({"type": "page", "where": [{"prop": "x", **said}]}, "/where/0"),
        ({"sequence": [{"event": "A"}, {"event": "B", "where": [{"prop": "x", **said}]}]},
         "/sequence/1/where/0"),
    ):  # fmt: skip
        for rule, pointer in (
            (one, f"#/rule{at}/value"),
            ({"all": [{"event": "A"}, {"not": one}]}, f"#/rule/all/1/not{at}/value"),
            ({"not": {"any": [one]}}, f"#/rule/not/any/0{at}/value"),
        ):
            with pytest.raises(DefinitionInvalid, match=f"^{pointer}: .*{why}"):
                members.parse(rule)
            assert RULE.validate_python(rule)  # what is stored already is read as it stands


def test_an_operator_with_its_value_is_taken() -> None:
    for said in TAKEN:
        page = {"type": "page", "where": [{"prop": "x", **said}]}
        assert members.parse({"all": [{"trait": "x", **said}, page]})


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ({"event": "A", "count": {"gte": 5, "lte": 2}}, "#/rule/count: no count is at least 5"),
        ({"event": "A", "count": {"eq": 1, "gte": 2}}, "#/rule/count: 1 is not within"),
        ({"any": [{"event": "A", "count": {}}]}, "#/rule/any/0/count: state gte, lte or eq"),
        ({"all": [{"where": []}]}, "#/rule/all/0: a condition is one of"),
        ({"type": "click"}, "#/rule/type: Input should be 'track'"),
        ({"sequence": [{"event": "A"}, {"where": []}]}, "#/rule/sequence/1: name an event, or"),
        ({"not": {"trait": "x", "op": "like", "value": 1}}, "#/rule/not/op: "),
        ({"all": [{"trait": "x", "value": 1, "a/b": 2}]}, "#/rule/all/0/a~1b: "),
        ({"event": "a\x00"}, "#/rule/event: holds a character"),
    ],
    ids=["no-count", "no-eq", "no-bound", "unnamed", "type", "step", "operator", "extra", "nul"],
)
def test_what_cannot_be_met_or_read_is_refused_where_it_stands(
    rule: dict[str, Any], why: str
) -> None:
    with pytest.raises(DefinitionInvalid) as refused:
        members.parse(rule)
    assert str(refused.value).startswith(why), str(refused.value)


def test_what_was_let_in_before_conditions_were_checked_is_still_asked(session: Session) -> None:
    purpose = consent.catalogue.purpose(session, PURPOSE)
    Random(3).people(session, 10)
    for said, _ in REFUSED[:14]:
        rule = RULE.validate_python({"any": [{"trait": "x", **said}, {"event": "A"}]})
        assert compiled.members(session, rule, purpose, now=NOW)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("address.city", ["Lyon"]),
        ("address.zip", [69001]),
        ("products[].sku", ["s-1", "s-2"]),
        ("products.sku", ["s-1", "s-2"]),
        ("tags", [["a", "b"]]),
        ("tags[]", ["a", "b"]),
        ("a.b", ["literal"]),
        ("a.c", [1]),
        ("products[].none", []),
        ("address.city.name", []),
        ("address..city", []),
        (".city", []),
        ("empty", []),
        ('q"uo.te\\', [3]),
    ],
    ids=str,
)
def test_a_path_leads_to_the_same_in_the_product_and_in_postgresql(
    session: Session, path: str, found: list[Any]
) -> None:
    """And a key that is the whole path comes first."""
    traits = {
        "address": {"city": "Lyon", "zip": 69001, "street": None},
        "products": [{"sku": "s-1"}, {"sku": "s-2", "none": None}, 7],
        "tags": ["a", "b"], "a.b": "literal", "a": {"b": "deeper", "c": 1}, "empty": None,
        'q"uo': {"te\\": 3},
    }  # fmt: skip
    assert paths.look_up(traits, path) == found
    for value in ("Lyon", 69001, "s-1", "s-2", ["a", "b"], "a", "literal", "deeper", 1, 3):
        written = Values()
        test = written.property(Property(prop=path, value=value))
        asked = f"SELECT {test} FROM (SELECT CAST(:said AS json) AS properties) e"  # noqa: S608 -- ours
        met = session.scalar(sa.text(asked), {"said": json.dumps(traits), **written.values})
        assert met is (value in found), value


@pytest.fixture
def site(
    server: TestClient, sessions: Sessions, write_key: str, token: Callable[..., dict[str, str]]
) -> "Site":
    return Site(server, sessions, write_key, token(purposes=(EMAIL,)))


@dataclass
class Site:
    """A website whose calls go through the product, and a CRM that defines segments."""

    server: TestClient
    sessions: Sessions
    write_key: str
    header: dict[str, str]

    def call(self, kind: str, user: str, **said: Any) -> None:
        body = {
            "userId": user, "writeKey": self.write_key, **said,
            "context": {"consent": {"categoryPreferences": {EMAIL: True}}},
        }  # fmt: skip
        self.server.post(f"/v1/{kind}", json=body).raise_for_status()
        with self.sessions.begin() as session:
            pipeline.step(session)

    def segment(self, key: str, rule: dict[str, Any]) -> Any:
        body = {"key": key, "name": key, "purpose": EMAIL, "rule": rule}
        return self.server.post("/v1/segments", json=body, headers=self.header)

    def size(self, key: str) -> int:
        return int(self.server.get(f"/v1/segments/{key}", headers=self.header).json()["size"])

    def explain(self, key: str, user: str) -> Any:
        path = f"/v1/segments/{key}/explain/user_id:{user}"
        return self.server.get(path, headers=self.header).json()


def test_a_page_without_a_name_is_segmented_by_its_type_as_it_arrives(site: Site) -> None:
    pricing = {"type": "page", "where": [{"prop": "path", "value": "/pricing"}]}
    rules: dict[str, Any] = {
        "pricing": pricing,
        "pages-home": {"event": "Home", "type": "page"},
        "tracks-home": {"event": "Home", "type": "track"},
        "homes": {"event": "Home"},
        "then": {"sequence": [pricing, {"event": "Home", "type": "track"}]},
        "prices": {"computed": "prices", "op": "gte", "value": 2},
    }
    definition = {"kind": "count", **pricing}
    put = {"name": "Prices", "purpose": EMAIL, "definition": definition}
    site.server.put("/v1/computed-traits/prices", json=put, headers=site.header).raise_for_status()
    while computing.advance(site.sessions):
        pass
    for key, rule in rules.items():
        site.segment(key, rule).raise_for_status()
    site.call("page", "ada", properties={"path": "/pricing"})
    assert [site.size(key) for key in rules] == [1, 0, 0, 0, 0, 0]
    site.call("page", "ada", name="Home", properties={"path": "/"})
    assert [site.size(key) for key in rules] == [1, 1, 0, 1, 0, 0]
    site.call("track", "ada", event="Home")
    assert [site.size(key) for key in rules] == [1, 1, 1, 1, 1, 0]
    site.call("page", "ada", name="Prices", properties={"path": "/pricing"})
    assert [site.size(key) for key in rules] == [1, 1, 1, 1, 1, 1]
    [found] = [site.explain("pricing", "ada")["conditions"]]
    assert (found["met"], found["found"]) == (True, 2)


def test_what_lies_deeper_is_segmented_and_computed(site: Site) -> None:
    lyon = {"trait": "address.city", "value": "Lyon"}
    socks = {"event": "Order", "where": [{"prop": "products[].sku", "value": "socks"}]}
    rules: dict[str, Any] = {
        "lyon": lyon,
        "socks": socks,
        "not-lyon": {**lyon, "op": "ne"},
        "nowhere": {"trait": "address.city", "op": "exists", "value": False},
    }
    for key, rule in rules.items():
        site.segment(key, rule).raise_for_status()
    definitions = {
        "skus": {"kind": "unique_list", "event": "Order", "prop": "products[].sku"},
        "paid": {"kind": "sum", "event": "Order", "prop": "products.price"},
        "rfm": {"kind": "rfm", "event": "Order", "prop": "products.price"},
    }
    for key, definition in definitions.items():
        put = {"name": key, "purpose": EMAIL, "definition": definition}
        path = f"/v1/computed-traits/{key}"
        site.server.put(path, json=put, headers=site.header).raise_for_status()
    while computing.advance(site.sessions):
        pass
    site.call("identify", "ada", traits={"address": {"city": "Lyon"}})
    assert [site.size(key) for key in ("lyon", "not-lyon", "nowhere")] == [1, 0, 0]
    site.call("identify", "bea", traits={"address": {"city": "Nice"}, "address.city": None})
    site.call("identify", "cleo", traits={"address": {"city": "Nice"}})
    assert [site.size(key) for key in ("lyon", "not-lyon", "nowhere")] == [1, 1, 1]
    products = [{"sku": "hat", "price": 20}, {"sku": "socks", "price": 4.5}, {"sku": "socks"}]
    site.call("track", "ada", event="Order", properties={"products": products})
    assert site.size("socks") == 1
    assert site.explain("lyon", "ada")["conditions"]["found"] == "Lyon"
    asked = {"purpose": EMAIL}
    path = "/v1/profiles/user_id:ada/computed"
    answer = site.server.get(path, params=asked, headers=site.header).json()
    found = {one["key"]: (one["value"], one["events"]) for one in answer["data"]}
    assert found["skus"] == (["socks", "hat"], 1)
    assert found["paid"] == (24.5, 1)
    assert found["rfm"] == ({"recency_days": 0, "frequency": 1, "monetary": 24.5}, 1)


def test_dates_are_asked_from_today_on_and_time_alone_takes_people_in_and_out(site: Site) -> None:
    soon = (datetime.now(UTC) + timedelta(days=20)).date().isoformat()
    rules: dict[str, Any] = {
        "renews": {"trait": "renews", "op": "in_next_days", "value": 10},
        "renewed": {"trait": "renews", "op": "within_days", "value": 10},
        "lapsed": {"trait": "renews", "op": "older_than_days", "value": 10},
        "lately": {"event": "Order", "within_days": 10},
    }
    for key, rule in rules.items():
        site.segment(key, rule).raise_for_status()
    site.call("identify", "ada", traits={"renews": soon})
    ahead = datetime.now(UTC) + timedelta(days=700)  # a clock that is wrong: it counts from receipt
    site.call("track", "ada", event="Order", timestamp=ahead.isoformat())
    purpose = (
        "SELECT s.key FROM app.segment_member m JOIN app.segment s ON s.id = m.segment_id"
        " WHERE m.left_at IS NULL"
    )
    inside = {}
    for days in (0, 15, 25, 40):
        now = datetime.now(UTC) + timedelta(days=days)
        with site.sessions.begin() as own:
            for group in looking.due(own, now=None):
                found = looking.look(own, group, now=now)
                refreshing.refresh(own, found.segments, now=now, people=found.people, settled=True)
            inside[days] = set(own.scalars(sa.text(purpose)))
    assert inside == {0: {"lately"}, 15: {"renews"}, 25: {"renewed"}, 40: {"lapsed"}}


def test_who_lacks_something_is_asked_for_with_exists_and_false(site: Site) -> None:
    put = {"name": "Last", "purpose": EMAIL,
           "definition": {"kind": "last", "event": "Order", "prop": "sku"}}  # fmt: skip
    site.server.put("/v1/computed-traits/last", json=put, headers=site.header).raise_for_status()
    while computing.advance(site.sessions):
        pass
    for key, asked in {"plan": "trait", "last": "computed", "tier": "group_trait"}.items():
        rule = {asked: key, "op": "exists", "value": False}
        site.segment(key, rule).raise_for_status()
    site.call("identify", "ada", traits={"name": "Ada"})
    assert [site.size(key) for key in ("plan", "last", "tier")] == [1, 1, 1]
    site.call("identify", "ada", traits={"plan": "pro"})
    assert [site.size(key) for key in ("plan", "last", "tier")] == [0, 1, 1]
    site.call("track", "ada", event="Order", properties={"sku": "hat"})
    assert [site.size(key) for key in ("plan", "last", "tier")] == [0, 0, 1]
    site.call("group", "ada", groupId="acme", traits={"tier": "gold"})
    assert [site.size(key) for key in ("plan", "last", "tier")] == [0, 0, 0]


def test_a_refusal_of_a_condition_is_a_problem_that_points_at_it(site: Site) -> None:
    answer = site.segment("bad", {"all": [{"trait": "age", "op": "gt", "value": "18"}]})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert "#/rule/all/0/value: gt compares" in answer.json()["detail"]
    for evil in ("a\\u0000", "\\ud800"):
        raw = '{"key": "e", "name": "e", "purpose": "%s", "rule": {"trait": "x", "value": "%s"}}'
        for path in ("/v1/segments", "/v1/segments/preview"):
            said = site.server.post(path, content=raw % (EMAIL, evil), headers={
                **site.header, "content-type": "application/json"})  # fmt: skip
            assert said.status_code == 422, said.text

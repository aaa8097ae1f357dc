"""Accounts and households: traits, members since and until, any order, consent, merges, erasure."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from app import pipeline
from app.access import sources
from app.db import Sessions
from app.events.append import append
from app.events.body import to_message
from app.events.envelope import Envelope, read
from app.events.item import Item
from app.events.memory import Memory
from app.profiles import trait_rules
from tests.app.privacy.conftest import World, world  # noqa: F401 -- pytest looks fixtures up by name

EMAIL = "marketing.email"
START = datetime(2026, 3, 1, tzinfo=UTC)


def group(user: str, account: str, at: int = 0, *, agrees: bool = True, **traits: Any) -> Any:
    consents = {"categoryPreferences": {EMAIL: agrees, "profile.link": True}}
    return {
        "type": "group", "userId": user, "groupId": account, "traits": traits,
        "timestamp": (START + timedelta(days=at)).isoformat(), "context": {"consent": consents},
    }  # fmt: skip


def removed(user: str, account: str, at: int) -> Any:
    return {
        "type": "track", "event": "Account Removed User", "userId": user,
        "timestamp": (START + timedelta(days=at)).isoformat(), "context": {"groupId": account},
    }  # fmt: skip


class Reader:
    """Asks the API as a client that may."""

    def __init__(self, world: World, header: dict[str, str]) -> None:  # noqa: F811 -- the type
        self.world, self.header = world, header

    def get(self, path: str, **asked: Any) -> Any:
        asked = {"purpose": EMAIL, **asked}
        answer = self.world.server.get(f"/v1/{path}", params=asked, headers=self.header)
        return answer.json() if answer.status_code == 200 else answer.status_code

    def profile(self, user: str) -> str:
        return str(self.get(f"profiles/user_id:{user}")["profile_id"])

    def members(self, ref: str, **asked: Any) -> list[str]:
        return [one["profile_id"] for one in self.get(f"accounts/{ref}/members", **asked)["data"]]


@pytest.fixture
def reader(world: World, token: Any) -> Reader:  # noqa: F811 -- the fixture
    return Reader(world, token(purposes=(EMAIL,)))


def test_an_account_has_traits_with_provenance_and_members_since_and_until(
    reader: Reader,
) -> None:
    send = reader.world.send
    send(group("ada", "acme", 1, plan="free", name="Acme"), group("bob", "acme", 2, plan="team"))
    send(group("ada", "h-1", 3, group_type="Household", postcode="69001"))
    acme = reader.get("accounts/account:acme")
    assert (acme["type"], acme["id"], acme["traits"]) == (
        "account", "acme", {"name": "Acme", "plan": "team"},
    )  # fmt: skip
    assert (
        reader.get("accounts/group_id:acme") == acme == reader.get(f"accounts/{acme['account_id']}")
    )
    home = reader.get("accounts/household:h-1")
    assert (home["type"], home["traits"]) == ("household", {"postcode": "69001"})
    assert [one["id"] for one in reader.get("accounts")["data"]] == ["acme", "h-1"]
    assert [one["id"] for one in reader.get("accounts", type="household")["data"]] == ["h-1"]
    plan = reader.get("accounts/account:acme/traits")["traits"][1]
    assert (plan["key"], plan["identifier"], plan["others"][0]["value"]) == (
        "plan", "user_id:bob", "free",
    )  # fmt: skip
    ada, bob = reader.profile("ada"), reader.profile("bob")
    assert reader.members("account:acme") == [ada, bob]
    [first, second] = reader.get("profiles/user_id:ada/accounts")["data"]
    assert (first["id"], first["since"], first["until"]) == (
        "acme", "2026-03-02T00:00:00+00:00", None,
    )  # fmt: skip
    assert first["message_id"]
    assert second["type"] == "household"
    send(removed("ada", "acme", 5))
    assert reader.members("account:acme") == [bob]
    past = reader.get("accounts/account:acme/members", past=True)["data"][0]
    assert (past["profile_id"], past["until"]) == (ada, "2026-03-06T00:00:00+00:00")
    assert [one["id"] for one in reader.get("profiles/user_id:ada/accounts")["data"]] == ["h-1"]
    page = reader.get("accounts/account:acme/members", past=True, limit=1)
    rest = reader.get("accounts/account:acme/members", past=True, cursor=page["next_cursor"])
    assert [one["profile_id"] for one in page["data"] + rest["data"]] == [ada, bob]
    assert reader.get("accounts/account:nobody") == 404
    assert reader.get("accounts/nonsense") == 404
    assert reader.get("accounts/account:acme", purpose="analytics.audience") == 403
    with reader.world.sessions.begin() as session:
        sources.add(session, "crm")
        trait_rules.put(session, "account.plan", "source_priority", ("web", "crm"), by="test")
    assert reader.get("accounts/account:acme/traits")["traits"][1]["rule"] == "source_priority"


def test_only_what_people_allow_is_told_and_a_merge_makes_one_member_of_two(reader: Reader) -> None:
    send = reader.world.send
    send(group("ada", "acme", 1, plan="free"), group("bob", "acme", 2, plan="team", seats=9))
    send(group("bob", "acme", 4, agrees=False))
    acme = reader.get("accounts/account:acme")
    assert (acme["traits"], acme["withheld"]) == (
        {"plan": "free"},
        [{"what": "part", "reason": "withdrawn", "identifiers": 1}],
    )
    assert reader.members("account:acme") == [reader.profile("ada")]
    assert reader.get("profiles/user_id:bob/accounts")["data"] == []
    device = {**group("ada", "acme", 0), "userId": None, "anonymousId": "d-1"}
    send({key: value for key, value in device.items() if value is not None})
    assert len(reader.members("account:acme")) == 2
    send({"type": "identify", "userId": "ada", "anonymousId": "d-1", "traits": {},
          "context": device["context"]})  # fmt: skip
    assert reader.members("account:acme") == [reader.profile("ada")]
    [stay] = reader.get("profiles/user_id:ada/accounts")["data"]
    assert stay["since"] == "2026-03-01T00:00:00+00:00"
    send(removed("ada", "acme", 9))
    assert reader.members("account:acme") == []  # nor by the device, which nobody removed
    with reader.world.sessions() as session:
        still = sa.text(
            "SELECT DISTINCT i.value FROM app.group_member JOIN identity.current_person i"
            " USING (identifier_id)"
        )
        assert session.scalars(still).all() == ["bob"]
    send({**device, "timestamp": "2026-04-01T00:00:00Z", "userId": "ada"})
    assert reader.members("account:acme") == [reader.profile("ada")]


def test_an_account_that_only_people_speak_of_who_refuse_is_not_told(reader: Reader) -> None:
    """Whether they gave it traits or are only in it; one who agrees is enough."""
    reader.world.send(
        group("ada", "acme", 1, agrees=False, plan="free"),
        group("ada", "bare", 1, agrees=False),
        group("bob", "open", 1),
    )
    ways = ("account:{}", "account:{}/traits", "account:{}/members")
    segments = "spaces/marketing.email/collections/accounts/profiles/account:{}/"

    def told(key: str) -> bool:
        paths = [f"accounts/{way.format(key)}" for way in ways]
        paths += [segments.format(key) + part for part in ("external_ids", "metadata", "links")]
        answers = [reader.get(path) for path in paths]
        assert all(answer == 404 for answer in answers) or 404 not in answers
        return 404 not in answers

    def listed() -> list[str]:
        return [one["id"] for one in reader.get("accounts")["data"]]

    assert (told("acme"), told("bare"), told("open")) == (False, False, True)
    assert listed() == ["open"]
    reader.world.send(group("eve", "acme", 2), group("eve", "bare", 2))
    assert (told("acme"), told("bare")) == (True, True)
    assert sorted(listed()) == ["acme", "bare", "open"]
    metadata = reader.get(segments.format("acme") + "metadata")
    assert metadata["withheld"] == reader.get("accounts/account:acme")["withheld"]


def test_nothing_of_an_erased_person_is_left_in_accounts(reader: Reader) -> None:
    world = reader.world  # noqa: F811 -- of the reader
    address = "ada.lovelace@example.org"
    identify = {"type": "identify", "userId": "ada-1815", "traits": {"email": address},
                "context": group("x", "y")["context"]}  # fmt: skip
    world.send(identify, group("ada-1815", "alone", plan="free"), group("ada-1815", "acme"))
    world.send(group("bob-7", "acme", 2, owner=address), group("bob-7", address))
    assert {"app.account", "app.account_trait"} <= world.where(address)
    assert world.ask("erasure", "user_id:ada-1815", f"email:{address}")["state"] == "closed"
    assert world.where("ada-1815", address) == set()
    assert reader.get("accounts/account:alone") == 404
    assert reader.get("accounts/account:acme")["traits"] == {"owner": "[erased]"}
    assert reader.members("account:acme") == [reader.profile("bob-7")]
    assert len(reader.get("accounts")["data"]) == 2


def _reference(events: Sequence[Any]) -> dict[Any, tuple[datetime, datetime | None]]:
    """When the latest stay of whom in which account began and the last removal was, said slowly."""
    found = {}
    for user, account in {(e["userId"], a) for e in events for a in "ab"}:
        mine = [e for e in events if e["userId"] == user]
        gone = [e for e in mine if e["type"] == "track" and e["context"]["groupId"] == account]
        left = [datetime.fromisoformat(e["timestamp"]) for e in gone]
        for agrees in (True, False):
            joins = [
                datetime.fromisoformat(e["timestamp"])
                for e in mine
                if e.get("groupId") == account
                and e["context"]["consent"]["categoryPreferences"][EMAIL] is agrees
            ]
            if joins:
                before = [at for at in left if at < max(joins)]
                begun = min(at for at in joins if not before or at > max(before))
                found[user, account, agrees] = (begun, max(left, default=None))
    return found


def test_any_order_in_any_batches_ends_in_the_same_members_and_traits(sessions: Sessions) -> None:
    dice = random.Random(7)  # noqa: S311 -- a seeded test, no secret
    memory = Memory()
    with sessions.begin() as session:
        source = sources.settings_of(sources.add(session, "web")[0])
    for trial in range(12):
        events = []
        for at in range(24):
            user, account = f"{dice.choice('xyz')}{trial}", dice.choice("ab")
            if dice.random() < 0.3:
                events.append(removed(user, account, at))
            else:
                agrees = dice.random() < 0.7
                events.append(group(user, account, at, agrees=agrees, last=at))
        shuffled = dice.sample(events, len(events))
        for n in range(0, len(shuffled), 8):
            now = datetime.now(UTC)
            items = []
            for event in shuffled[n : n + 8]:
                envelope = read(to_message(event), received_at=now, largest=9_999)
                assert isinstance(envelope, Envelope)
                items.append(Item(source, envelope, now))
            with sessions.begin() as session:
                append(session, items, memory)
            with sessions.begin() as session:
                pipeline.step(session)
        with sessions() as session:
            rows = session.execute(
                sa.text(
                    "SELECT i.value, a.key, NOT (:purpose = ANY(m.refused)) AS agrees, m.joined_at,"
                    " (SELECT max(o.left_at) FROM app.account_member o WHERE o.account_id = a.id"
                    " AND o.identifier_id = i.id) AS left_at"
                    " FROM app.account_member m JOIN app.account a ON a.id = m.account_id"
                    " JOIN identity.identifier i ON i.id = m.identifier_id"
                    " WHERE m.joined_at IS NOT NULL AND i.value LIKE :mine"
                ),
                {"mine": f"_{trial}", "purpose": EMAIL},
            )
            stood = {(r.value, r.key, r.agrees): (r.joined_at, r.left_at) for r in rows}
            assert stood == _reference(events)
            told = session.execute(
                sa.text(
                    "SELECT i.value, a.key, max(CAST(CAST(t.value AS text) AS bigint))"
                    " FROM app.account_trait t JOIN app.account a ON a.id = t.account_id"
                    " JOIN identity.identifier i ON i.id = t.identifier_id WHERE i.value LIKE :mine"
                    " GROUP BY 1, 2"
                ),
                {"mine": f"_{trial}"},
            )
            last = {
                (e["userId"], e["groupId"]): e["traits"]["last"] for e in events if "groupId" in e
            }
            assert {(user, key): value for user, key, value in told} == last

"""Refusals and objections go down the tree of purposes, whichever came first."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from app import turning
from app.consents.permission import permissions
from consent import restrictions
from tests.app.privacy.conftest import World, world
from tests.app.test_catalogue import Officer, officer

__all__ = ["officer", "world"]
INTEREST: dict[str, Any] = {"lawful_basis": "legitimate_interests"}


@pytest.fixture
def tree(officer: Officer) -> Officer:
    """Purposes on legitimate interests: `pp`, below it `pp.child`, below that `pp.grandchild`."""
    for key, parent in (("pp", None), ("pp.child", "pp"), ("pp.grandchild", "pp.child")):
        assert officer.add(key, parent=parent, **INTEREST) == 201
    officer.say("given", "marketing.email")
    officer.work()
    return officer


def reasons(officer: Officer, *purposes: str) -> list[str]:
    return [officer.ask(purpose)["reason"] for purpose in purposes]


def test_an_objection_goes_down_the_tree(tree: Officer, world: World) -> None:
    tree.say("given", "ads.share")
    below = ("pp", "pp.child", "pp.grandchild")
    requests = [
        world.ask("objection", "user_id:ada", details={"purpose": purpose})
        for purpose in ("pp", "ads")
    ]
    assert reasons(tree, *below, "ads.share", "marketing.email") == [
        *["objection"] * 4,
        "given",
    ]
    assert tree.add("pp.later", parent="pp.child", **INTEREST) == 201
    assert reasons(tree, "pp.later") == ["objection"], "a purpose that comes later is below too"
    with tree.sessions.begin() as session:
        for request in requests:
            restrictions.lift(session, f"request:{request['id']}", at=datetime.now(UTC))
    assert set(reasons(tree, *below, "pp.later")) == {"lawful_basis:legitimate_interests"}
    assert reasons(tree, "ads.share") == ["given"]
    with tree.sessions() as session:
        unstated = sa.text(
            "SELECT count(*) FROM consent.restriction d WHERE NOT EXISTS (SELECT FROM "
            "consent.ledger_statement s WHERE s.about = d.entry_id)"
        )
        assert session.scalar(unstated) == 0, "the ledger tells of each"


def test_a_version_that_moves_below_another_purpose_hears_what_that_was_told(
    tree: Officer, world: World
) -> None:
    for key, parent in (("li.root", None), ("li.other", None), ("li.other.child", "li.other")):
        assert tree.add(key, parent=parent, **INTEREST) == 201
    assert tree.add("li.free", **INTEREST) == 201
    tree.say("refused", "li.root")
    moved = ("li.other", "li.other.child")
    assert set(reasons(tree, *moved)) == {"lawful_basis:legitimate_interests"}
    assert tree.add("li.other", 2, parent="li.root", **INTEREST) == 201
    assert reasons(tree, *moved) == ["refused", "refused"]
    tree.say("given", "li.other")
    assert tree.add("li.other", 3, parent="li.root", **INTEREST) == 201
    assert reasons(tree, "li.other") == ["lawful_basis:legitimate_interests"], "said since"
    world.ask("objection", "user_id:ada", details={"purpose": "pp"})
    assert tree.add("li.free", 2, parent="pp.child", **INTEREST) == 201
    assert reasons(tree, "li.free") == ["objection"]


def test_what_is_refused_before_the_version_takes_effect_is_refused_then(
    tree: Officer, world: World
) -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    for key in ("li.root", "li.other"):
        assert tree.add(key, **INTEREST) == 201
    when = tomorrow.isoformat()
    assert tree.add("li.other", 2, parent="li.root", effective_from=when, **INTEREST) == 201
    tree.say("refused", "li.root")
    stamp = {"consent": {"categoryPreferences": {"li.root": False}}}
    assert world.send({"type": "track", "userId": "bob", "event": "E", "context": stamp}) == []
    later = (tomorrow + timedelta(days=1)).isoformat()
    for who in ("user_id:ada", "user_id:bob"):
        assert tree.ask("li.other", who=who, at=later, known_at=later)["reason"] == "refused"


def test_an_objection_to_marketing_stops_all_that_is_below_it_on_every_basis(
    tree: Officer, world: World
) -> None:
    contract: dict[str, Any] = {"lawful_basis": "contract"}
    assert tree.add("offers", parent="marketing", **contract) == 201
    assert tree.add("offers.post", parent="offers", **INTEREST) == 201
    assert tree.add("offers.other", **contract) == 201
    world.ask("objection", "user_id:ada", details={"purpose": "marketing"})
    assert (
        reasons(tree, "offers", "offers.post", "marketing", "marketing.email") == ["objection"] * 4
    )
    assert reasons(tree, "offers.other", "pp") == [
        "lawful_basis:contract", "lawful_basis:legitimate_interests"
    ]  # fmt: skip
    assert tree.add("offers.later", parent="offers", **contract) == 201
    assert reasons(tree, "offers.later") == ["objection"]
    with world.sessions() as session:
        found = permissions(session, "offers", None)
        assert "objection" in {p.reason for p in found}, "decided so for everybody too"


@pytest.mark.parametrize("days", [0, 1], ids=["at_once", "announced"])
def test_whom_a_purpose_that_comes_below_concerns_is_looked_at_at_once(
    tree: Officer, days: int
) -> None:
    """Decisions refuse from then on: links and segments have to follow."""

    def looked_at() -> int:
        with tree.sessions.begin() as session:
            return turning.look(session)

    later = (datetime.now(UTC) + timedelta(days=days)).isoformat() if days else None
    when = {"effective_from": later} if later else {}
    contract: dict[str, Any] = {"lawful_basis": "contract"}
    assert tree.add("offers", **contract) == 201
    tree.demand("objection_marketing")
    tree.say("refused", "pp.child", who="user_id:bob")
    tree.work()
    assert tree.add("elsewhere", **contract) == 201
    assert tree.add("marketing.chat", parent="marketing", **contract) == 201
    assert looked_at() == 0, "nothing that was there before"
    assert tree.add("offers", 2, parent="marketing", **contract, **when) == 201
    assert looked_at() == 1
    assert reasons(tree, "offers") == ["objection"]
    assert tree.add("elsewhere", 2, parent="pp.child", **contract, **when) == 201
    assert looked_at() == 1
    tree.work()
    assert looked_at() == 0, "once"

"""What was counted and computed of events follows when these are erased or put right."""

from datetime import UTC, datetime
from typing import Any

import pytest

from app.profiles import computed_traits, computed_values, computing, history, read, trait_rules
from tests.app.privacy.conftest import World
from tests.app.privacy.test_erasure import ADA, SENT, ada, bob

PURPOSE = "marketing.email"


@pytest.fixture
def followed(world: World) -> World:
    """Every value of two traits is counted, and a list is computed of what was invited."""
    ada(world)
    bob(world)
    with world.sessions.begin() as session:
        for trait in ("friend", "email"):
            trait_rules.put(session, trait, "union", (), by="test")
        for key, definition in {
            "invited": {"kind": "last_list", "event": "Invited", "prop": "whom"},
            "bought": {"kind": "count", "event": "Bought"},
        }.items():
            computed_traits.put(session, key=key, name=key, purpose=PURPOSE, definition=definition)
    while history.advance(world.sessions) or computing.advance(world.sessions):
        pass
    return world


def known(world: World, user: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The traits and the computed traits of somebody, as a reader sees them."""
    with world.sessions() as session:
        view = read.view(session, read.find(session, f"user_id:{user}"), PURPOSE)
        traits = {key: trait.value for key, trait in read.traits(session, view).items()}
        found = computed_values.of_views(session, [view], now=datetime.now(UTC))
        return traits, {one.key: one.value for one in found[view.subject_id]}


def test_nothing_of_an_erased_person_is_left_in_what_was_made_of_others_events(
    followed: World,
) -> None:
    traits, computed = known(followed, "bob-7")
    assert (traits["friend"], computed) == ([SENT], {"invited": [SENT], "bought": 1})
    assert {"app.trait_value", "app.computed_value"} <= followed.where(*ADA)

    assert (
        followed.ask("erasure", "user_id:ada-1815", "email:adalovelace@gmail.com")["state"]
        == "closed"
    )

    assert followed.where(*ADA) == set()
    traits, computed = known(followed, "bob-7")
    assert (traits["friend"], traits["email"]) == (["[erased]"], ["bob@example.org"])
    assert computed == {"invited": ["[erased]"], "bought": 1}


def test_a_value_that_is_put_right_is_counted_as_the_right_one(followed: World) -> None:
    assert known(followed, "ada-1815")[0]["email"] == [SENT]
    right = {"trait": "email", "value": "countess@example.org"}
    followed.ask("rectification", "user_id:ada-1815", details=right)
    traits, computed = known(followed, "ada-1815")
    assert traits["email"] == ["countess@example.org"]
    assert computed == {"invited": None, "bought": 1}

"""A receiver that is switched off goes on holding people: who asks for them hears what to do."""

from typing import Any

import pytest

from app.privacy.erasure_steps import NOT_TAKEN, SWITCHED_OFF
from app.settings import Settings
from tests.app.destinations.test_removed import told
from tests.app.destinations.test_told_as_another import ask
from tests.app.destinations.world import World
from tests.end_to_end.conftest import Receiver


def result(shown: dict[str, Any], store: str) -> dict[str, Any]:
    found: dict[str, Any]
    [found] = [t["result"] for t in shown["tasks"] if t["store"] == store]
    return found


@pytest.mark.parametrize(
    ("kind", "store", "details"),
    [
        ("withdraw_all", "consents", None),
        ("restriction", "restriction", None),
        ("objection", "objection", {"purpose": "marketing"}),
    ],
)
def test_the_result_of_a_request_names_it(
    people: World, receiver: Receiver, settings: Settings, kind: str, store: str,
    details: dict[str, str] | None,
) -> None:  # fmt: skip
    made = told(people, receiver)
    people.patch(f"/v1/destinations/{made['id']}", {"enabled": False})
    assert "switched_off" not in result(ask(people, settings, kind, "user_id:bob"), store)
    found = result(ask(people, settings, kind, "user_id:ada", details=details), store)
    assert (found["switched_off"], found["to_do"]) == (["there"], SWITCHED_OFF)


def test_what_does_not_concern_it_says_nothing_of_it(
    people: World, receiver: Receiver, settings: Settings
) -> None:
    made = told(people, receiver)
    found = ask(people, settings, "withdraw_all", "user_id:bob")
    assert "switched_off" not in result(found, "consents")  # it is on
    people.patch(f"/v1/destinations/{made['id']}", {"enabled": False})
    said = {"purpose": "analytics.audience"}
    found = ask(people, settings, "objection", "user_id:ada", details=said)
    assert "switched_off" not in result(found, "objection")


def test_an_erasure_says_what_is_left_to_do(
    people: World, receiver: Receiver, settings: Settings
) -> None:
    made = told(people, receiver)
    people.patch(f"/v1/destinations/{made['id']}", {"enabled": False})
    people.now()
    shown = ask(people, settings, "erasure", "user_id:ada")
    found = result(shown, "destination")
    assert (found["why"], found["to_do"]) == ("disabled", SWITCHED_OFF)
    assert NOT_TAKEN != SWITCHED_OFF

"""A purpose that comes to be below another one hears all that stands refused there."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

import consent
from app.accountability.compare import Heard, compare
from app.consents.permission import permissions
from consent import Choice
from consent.purposes import Purpose
from identity import graph

NOW = datetime.now(UTC)
WHO = "user_id", "ada"
#: How what is said reaches us, by how well that is proved.
BY: dict[int, dict[str, Any]] = {
    1: {"collected_by": "source:web", "evidence": {"event_stamp": True}},
    2: {"collected_by": "source:web"},
    3: {"collected_by": "client:crm"},
}


def say(session: Session, purpose: str, state: str, hours_ago: int, proof: int,
        universal: str | None = None) -> None:  # fmt: skip
    """Put a word on record that is proved so well."""
    at = NOW - timedelta(hours=hours_ago)
    said = Choice(*WHO, purpose, state, at, universal=universal, **BY[proof])
    consent.record(session, [said], received_at=NOW)


def allowed(session: Session, purpose: str) -> tuple[bool, str]:
    [found] = permissions(session, purpose)
    return found.allowed, found.reason


@pytest.fixture
def ada(session: Session) -> Session:
    """Somebody of whom nothing is on record."""
    graph.settle(session, list(graph.identify(session, [WHO]).values()))
    return session


def test_a_weaker_refusal_that_comes_last_hides_no_better_one(ada: Session) -> None:
    say(ada, "marketing", "withdrawn", 9, 3)
    say(ada, "marketing", "refused", 8, 2)
    consent.catalogue.add_purpose(ada, Purpose("marketing.chat", parent="marketing"))
    say(ada, "marketing.chat", "given", 1, 2)
    assert allowed(ada, "marketing.chat") == (False, "refused"), "a key of the page lifts nothing"
    say(ada, "marketing.chat", "given", 0, 3)
    assert allowed(ada, "marketing.chat") == (True, "given")


def test_a_refusal_that_comes_after_a_universal_opt_out_does_not_hide_it(ada: Session) -> None:
    say(ada, "ads", "refused", 9, 1, "opt_out")
    say(ada, "ads", "refused", 8, 3)
    consent.catalogue.add_purpose(ada, Purpose("ads.later", parent="ads"))
    say(ada, "ads.later", "given", 1, 3)
    assert allowed(ada, "ads.later") == (False, "refused"), (
        "only what overrides the signal lifts it"
    )
    say(ada, "ads.later", "given", 1, 2, "override")
    assert allowed(ada, "ads.later") == (False, "refused"), "and not by the key of a page"
    say(ada, "ads.later", "given", 0, 3, "override")
    assert allowed(ada, "ads.later") == (True, "given")


@pytest.mark.parametrize(
    "above",
    [
        [("withdrawn", 9, 3, None), ("refused", 8, 2, None)],
        [("refused", 9, 1, "opt_out"), ("refused", 8, 2, None)],
        [("refused", 9, 3, None), ("given", 8, 3, None), ("refused", 7, 1, None)],
    ],
    ids=["weaker_last", "opt_out", "lifted"],
)
def test_the_simulation_of_a_new_parent_says_what_then_is(ada: Session, above: Any) -> None:
    consent.catalogue.add_purpose(ada, Purpose("one"))
    for state, hours_ago, proof, universal in above:
        say(ada, "marketing", state, hours_ago, proof, universal)
    say(ada, "one", "given", 1, 2)
    now = consent.catalogue.purpose(ada, "one")
    then = replace(now, version=2, parent="marketing", direct_marketing=True)
    [move] = compare(ada, now, then, heard=Heard("marketing"))
    consent.catalogue.add_purpose(ada, then)
    assert (move.then.allow, move.then.reason) == allowed(ada, "one")
    assert move.then.allow is (above[0][1] == 9 and above[1][0] == "given")

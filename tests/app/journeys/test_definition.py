"""What a journey may say, what is refused, and where a person stands in it."""

from typing import Any

import pytest
from pydantic import ValidationError

from app.journeys.definition import Journey, current_stage, definition_hash, finder
from app.journeys.match import EventView, Match, matches

JOURNEY: dict[str, Any] = {
    "key": "loan",
    "name": {"fr": "Souscrire", "en": "Subscribe"},
    "stages": [{"id": "file", "order": 1}, {"id": "offer", "order": 2, "phase": "during"}],
    "channels": ["web", {"id": "phone", "family": "remote"}],
    "touchpoints": [
        {"id": "call", "stage": "file", "channel": "phone", "match": {"source": "phone"}},
        {"id": "sent", "stage": "offer", "channel": "web", "match": {"event": "sent"}},
        {"id": "any", "stage": "file", "channel": "web", "match": {"type": "track"}},
    ],
}


def event(name: str, source: str = "web", **properties: object) -> EventView:
    return EventView(type="track", name=name, source=source, properties=properties)


def test_a_channel_may_be_written_as_its_id_alone() -> None:
    journey = Journey.model_validate(JOURNEY)
    assert [channel.id for channel in journey.channels] == ["web", "phone"]
    assert journey.purpose == "analytics.audience"
    assert journey.stage_rule == "furthest"


def test_the_first_touchpoint_that_fits_wins() -> None:
    find = finder(Journey.model_validate(JOURNEY))
    point = find(event("sent", source="phone"))
    assert point is not None
    assert point.id == "call"
    assert find(EventView(type="page", name=None, source="web")) is None


def test_the_stage_rule_says_whether_going_back_counts() -> None:
    timeline = [event("start"), event("sent"), event("start")]
    furthest = current_stage(Journey.model_validate(JOURNEY), timeline)
    latest = current_stage(Journey.model_validate({**JOURNEY, "stage_rule": "latest"}), timeline)
    assert furthest is not None
    assert latest is not None
    assert (furthest.id, latest.id) == ("offer", "file")
    assert current_stage(Journey.model_validate(JOURNEY), []) is None


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("stages", [{"id": "a", "order": 1}, {"id": "a", "order": 2}], "/stages/1/id: 'a'"),
        ("stages", [{"id": "a", "order": 1}, {"id": "b", "order": 1}], "/stages/1/order: 1"),
        ("channels", ["web", "phone", "web"], "/channels/2/id: 'web' is already used"),
        ("channels", ["web"], "/touchpoints/0/channel: unknown channel 'phone'; known: web"),
        ("stages", [{"id": "offer", "order": 1}], "/touchpoints/0/stage: unknown stage 'file'"),
    ],
)
def test_a_contradiction_is_refused_with_its_path(part: str, value: Any, message: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        Journey.model_validate({**JOURNEY, part: value})
    assert message in str(refusal.value)


@pytest.mark.parametrize(
    "match",
    [
        {},
        {"evnt": "typo"},
        {"all": []},
        {"value": 1},
        {"op": "exists"},
        {"event": "a", "value": 1},
        {"prop": "a"},
        {"prop": "a..b", "value": 1},
        {"prop": "a", "op": "in", "value": 1},
        {"prop": "a", "op": "in", "value": []},
        {"prop": "a", "op": "eq", "value": [1]},
        {"prop": "a", "op": "gt", "value": True},
        {"prop": "a", "op": "exists", "value": "yes"},
        {"prop": "a", "value": 1e301},
        {"prop": "a", "value": float("nan")},
        {"prop": "a", "value": {"b": 1}},
    ],
)
def test_a_match_that_cannot_mean_anything_is_refused(match: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Match.model_validate(match)


def test_who_says_so_is_said_of_fields_and_not_of_itself() -> None:
    said = {"source": "surveyed", "n": 3}
    Journey.model_validate({**JOURNEY, "provenance": [{**said, "of": "/stages"}]})
    with pytest.raises(ValidationError, match="no place of this map"):
        Journey.model_validate({**JOURNEY, "provenance": [{**said, "of": "/provenance"}]})


def test_a_match_nested_too_deep_is_refused() -> None:
    match: dict[str, Any] = {"event": "a"}
    for _ in range(11):
        match = {"not": match}
    assert Match.model_validate(match)
    with pytest.raises(ValidationError, match="nested"):
        Match.model_validate({"not": match})


@pytest.mark.parametrize(
    ("match", "fits"),
    [
        ({"event": "buy", "source": "web"}, True),
        ({"event": "buy", "source": "shop"}, False),
        ({"event": "buy", "prop": "cart.total", "op": "gte", "value": 20}, True),
        ({"prop": "cart.total", "value": "20"}, False),
        ({"prop": "cart.items.0", "value": "shirt"}, True),
        ({"prop": "cart.items", "op": "contains", "value": "jeans"}, True),
        ({"prop": "cart.items.0", "op": "contains", "value": "hir"}, True),
        ({"prop": "coupon", "op": "ne", "value": "X"}, True),
        ({"prop": "coupon", "op": "exists"}, False),
        ({"prop": "coupon", "op": "exists", "value": False}, True),
        ({"prop": "gift", "value": 1}, False),
        ({"prop": "gift", "op": "in", "value": [1, True]}, True),
        ({"any": [{"event": "sell"}, {"type": "track"}], "not": {"event": "sell"}}, True),
    ],
)
def test_a_match_reads_typed_properties(match: dict[str, Any], fits: bool) -> None:
    bought = event("buy", cart={"total": 20.0, "items": ["shirt", "jeans"]}, coupon=None, gift=True)
    assert matches(Match.model_validate(match), bought) is fits


def test_the_hash_ignores_how_a_definition_is_spelled_and_sees_what_it_says() -> None:
    plain = definition_hash(Journey.model_validate(JOURNEY))
    spelled = {
        **JOURNEY,
        "stage_rule": "furthest",
        "channels": [{"id": "web"}, JOURNEY["channels"][1]],
    }
    assert definition_hash(Journey.model_validate(dict(reversed(spelled.items())))) == plain
    assert definition_hash(Journey.model_validate({**JOURNEY, "stage_rule": "latest"})) != plain
    assert plain.startswith("sha256:")
    assert len(plain) == 71


def test_a_definition_survives_its_own_json() -> None:
    journey = Journey.model_validate(JOURNEY)
    assert Journey.model_validate_json(journey.model_dump_json()) == journey

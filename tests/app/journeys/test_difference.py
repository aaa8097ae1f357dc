"""What differs between two versions of a map, place by place."""

from copy import deepcopy
from typing import Any

from app.journeys.difference import Difference, difference
from app.journeys.templates import RETAIL


def changed(change: Any) -> dict[str, Any]:
    found = deepcopy(RETAIL)
    change(found)
    return found


def test_equal_ones_do_not_differ() -> None:
    assert difference(RETAIL, deepcopy(RETAIL)) == []


def test_64_added_removed_and_changed_touchpoints_are_listed() -> None:
    def change(found: dict[str, Any]) -> None:
        found["touchpoints"][0]["stage"] = "consider"
        del found["touchpoints"][1]
        found["touchpoints"].append({"id": "new/one", "stage": "buy"})

    found = difference(RETAIL, changed(change))
    assert [(each.kind, each.path) for each in found] == [
        ("changed", "/touchpoints/email-click/stage"),
        ("removed", "/touchpoints/search"),
        ("added", "/touchpoints/new~1one"),
    ]
    assert (found[0].before, found[0].after) == ("discover", "consider")


def test_another_order_of_rules_is_a_difference() -> None:
    def swap(found: dict[str, Any]) -> None:
        points = found["touchpoints"]
        points[0], points[1] = points[1], points[0]

    (found,) = difference(RETAIL, changed(swap))
    assert (found.kind, found.path) == ("moved", "/touchpoints")


def test_lists_without_ids_differ_as_a_whole() -> None:
    assert difference({"lost": [{"event": "a"}]}, {"lost": []}) == [
        Difference("/lost", "changed", [{"event": "a"}], [])
    ]
    assert difference({"x": [{"id": 1}, {"id": 1}]}, {"x": [{"id": 1}]}) == [
        Difference("/x", "changed", [{"id": 1}, {"id": 1}], [{"id": 1}])
    ]

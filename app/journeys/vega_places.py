"""Charts of places in a journey and of groups of people, as Vega-Lite marks; pure."""

from collections.abc import Callable, Mapping
from typing import Any

from app.journeys.least import LEAST

Chart = tuple[list[dict[str, Any]], dict[str, Any]]
Result = Mapping[str, Any]


def heat(x: str, y: str, colour: str) -> dict[str, Any]:
    """Return the marks of a heat map of two names."""
    return {
        "mark": {"type": "rect", "tooltip": True},
        "encoding": {
            "x": {"field": x, "type": "nominal", "sort": None},
            "y": {"field": y, "type": "nominal", "sort": None},
            "color": {"field": colour, "type": "quantitative"},
        },
    }


def _stacked(y: str, x: str, colour: str) -> dict[str, Any]:
    return {
        "mark": {"type": "bar", "tooltip": True},
        "encoding": {
            "y": {"field": y, "type": "nominal", "sort": None},
            "x": {"field": x, "type": "quantitative"},
            "color": {"field": colour, "type": "nominal"},
        },
    }


def _friction(result: Result) -> Chart:
    """Touchpoints, and below them the ways from one to the next that were asked for."""
    places = [(one["touchpoint"], "touchpoint", one) for one in result["touchpoints"]]
    places += [
        (f"{one['source']} → {one['target']}", "transition", one)
        for one in result["transitions"]
    ]  # fmt: skip
    rows = [
        {"place": name, "of": kind, "reason": part["name"],
         "points": 100 * part["points"] * part["weight"]
         / (sum(c["weight"] for c in one["components"]) or 1)}
        for name, kind, one in places for part in one["components"]
    ]  # fmt: skip
    return rows, _stacked("place", "points", "reason")


def _drop_off(result: Result) -> Chart:
    rows = [
        {"stage": stage["stage"], "how": how, "n": stage[how]}
        for stage in result["stages"]
        for how in ("moved", "in_progress", "dropped", "unknown")
    ]
    return rows, _stacked("stage", "n", "how")


def _voice(result: Result) -> Chart:
    """What is of few answers is pale."""
    rows = [
        {"survey": f"{survey['survey']}. {survey['instrument']}",
         **{key: one[key] for key in ("touchpoint", "n", "value")}}
        for survey in result["surveys"] for one in survey["touchpoints"] if one["n"]
    ]  # fmt: skip
    marks = heat("survey", "touchpoint", "value")
    marks["encoding"]["opacity"] = {
        "condition": {"test": f"datum.n < {LEAST}", "value": 0.2}, "value": 1
    }  # fmt: skip
    return rows, marks


def _moments_of_truth(result: Result) -> Chart:
    rows = [
        {"touchpoint": one["touchpoint"], "visit": side, "share": one[side]["share"]}
        for one in result["moments"] for side in ("good", "bad")
    ]  # fmt: skip
    return rows, heat("visit", "touchpoint", "share")


def _compare(result: Result) -> Chart:
    rows = [
        {"variant": group["variant"], "of": f"{measure} ({one['counted_from']})",
         "share": group["share"]}
        for one in result["alignments"]
        for measure, groups in one["outcomes"].items() for group in groups
    ]  # fmt: skip
    return rows, heat("variant", "of", "share")


CHARTS: dict[str, Callable[[Result], Chart]] = {
    "friction": _friction,
    "drop-off": _drop_off,
    "voice": _voice,
    "moments-of-truth": _moments_of_truth,
    "compare": _compare,
}

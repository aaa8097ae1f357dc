"""Charts of people over time, and of what decides, as Vega-Lite marks; pure."""

from collections.abc import Callable, Mapping
from typing import Any

from app.journeys.vega_places import Chart, Result, heat


def _retention(result: Result) -> Chart:
    rows = [
        {"cohort": cohort["start"], **{key: cell[key] for key in ("k", "n", "share", "incomplete")}}
        for cohort in result["cohorts"] for cell in cohort["cells"]
    ]  # fmt: skip
    return rows, heat("k", "cohort", "share")


def _lifecycle(result: Result) -> Chart:
    rows = [
        {"start": one["start"], "phase": phase, "n": one[phase], "incomplete": one["incomplete"]}
        for one in result["intervals"]
        for phase in ("new", "returning", "resurrecting", "dormant")
    ]
    return rows, {
        "mark": {"type": "bar", "tooltip": True},
        "encoding": {
            "x": {"field": "start", "type": "ordinal"},
            "y": {"field": "n", "type": "quantitative"},
            "color": {"field": "phase", "type": "nominal", "sort": None},
        },
    }


def _stickiness(result: Result) -> Chart:
    rows = [{key: bar[key] for key in ("intervals", "profiles")} for bar in result["bars"]]
    return rows, {
        "mark": {"type": "bar", "tooltip": True},
        "encoding": {
            "x": {"field": "intervals", "type": "ordinal"},
            "y": {"field": "profiles", "type": "quantitative"},
        },
    }


def driver(one: Mapping[str, Any]) -> str:
    """Name a feature in a few words."""
    return f"{one['name']} = {one['value']}" if one["kind"] == "prop" else str(one["name"])


def _drivers(result: Result) -> Chart:
    rows = [
        {"feature": driver(one), "difference": one["difference"], "low": one["interval"][0],
         "high": one["interval"][1], "q": one["q"]}
        for one in result["drivers"] if not one["leaks"]
    ]  # fmt: skip
    y = {"field": "feature", "type": "nominal", "sort": None}
    x = {"type": "quantitative", "title": "difference of the share that comes to the outcome"}
    return rows, {
        "layer": [
            {"mark": {"type": "rule"},
             "encoding": {"y": y, "x": {**x, "field": "low"}, "x2": {"field": "high"}}},
            {"mark": {"type": "point", "filled": True, "tooltip": True},
             "encoding": {"y": y, "x": {**x, "field": "difference"}}},
        ]
    }  # fmt: skip


def _prediction(result: Result) -> Chart:
    tenths = result["quality"]["calibration"] if result["quality"] else ()
    rows = [
        {**{key: one[key] for key in ("predicted", "observed", "n")},
         "low": one["interval"][0], "high": one["interval"][1]}
        for one in tenths
    ]  # fmt: skip
    x = {"field": "predicted", "type": "quantitative"}
    y = {"type": "quantitative", "title": "observed"}
    return rows, {
        "layer": [
            {"mark": {"type": "rule"},
             "encoding": {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}}},
            {"mark": {"type": "point", "filled": True, "tooltip": True},
             "encoding": {"x": x, "y": {**y, "field": "observed"}}},
        ]
    }  # fmt: skip


def _anomalies(result: Result) -> Chart:
    keys = ("start", "value", "expected", "low", "high", "status")
    rows = [{key: one[key] for key in keys} for one in result["points"]]
    x = {"field": "start", "type": "temporal"}
    return rows, {
        "layer": [
            {"mark": {"type": "area", "opacity": 0.2},
             "encoding": {"x": x, "y": {"field": "low", "type": "quantitative"},
                          "y2": {"field": "high"}}},
            {"mark": {"type": "line", "point": True, "tooltip": True},
             "encoding": {"x": x, "y": {"field": "value", "type": "quantitative"},
                          "color": {"field": "status", "type": "nominal"}}},
        ]
    }  # fmt: skip


def _next_purchase(result: Result) -> Chart:
    rows = [{key: band[key] for key in ("band", "n", "alive", "expected")}
            for band in result["bands"]]  # fmt: skip
    return rows, {
        "mark": {"type": "bar", "tooltip": True},
        "encoding": {
            "x": {"field": "band", "type": "ordinal"},
            "y": {"field": "expected", "type": "quantitative"},
        },
    }


def _uplift(result: Result) -> Chart:
    curve = result["ranking"]["curve"] if result["ranking"] else ()
    rows = [{"share": 0.0, "brought": 0.0}]
    rows += [{"share": n / len(curve), "brought": one} for n, one in enumerate(curve, 1)]
    return rows, {
        "mark": {"type": "line", "tooltip": True},
        "encoding": {
            "x": {"field": "share", "type": "quantitative", "title": "share of the people"},
            "y": {"field": "brought", "type": "quantitative", "title": "outcomes per treated"},
        },
    }


CHARTS: dict[str, Callable[[Result], Chart]] = {
    "retention": _retention,
    "lifecycle": _lifecycle,
    "stickiness": _stickiness,
    "drivers": _drivers,
    "prediction": _prediction,
    "next-purchase": _next_purchase,
    "anomalies": _anomalies,
    "uplift": _uplift,
}

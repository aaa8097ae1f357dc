"""Answers as Vega-Lite 5 specifications, data included; pure."""

from collections.abc import Mapping
from typing import Any

from app.journeys.vega_over_time import CHARTS as OVER_TIME
from app.journeys.vega_places import CHARTS, heat

SCHEMA = "https://vega.github.io/schema/vega-lite/v5.json"


def specification(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return a chart of an answer; raises ValueError for one that Vega-Lite cannot draw.

    Vega-Lite knows no Sankey diagram; of paths it draws how many are where at each step.
    """
    result = answer["result"]
    match answer["kind"]:
        case "funnel":
            rows = [
                {"step": f"{k}. {step['name'] or ''}".strip(), "n": step["n"]}
                for k, step in enumerate(result["steps"], start=1)
            ]
            marks: dict[str, Any] = {
                "mark": {"type": "bar", "tooltip": True},
                "encoding": {
                    "y": {"field": "step", "type": "nominal", "sort": None},
                    "x": {"field": "n", "type": "quantitative"},
                },
            }
        case "time-to-convert":
            rows = [dict(one) for one in result["bins"]]
            marks = {
                "mark": {"type": "bar", "tooltip": True},
                "encoding": {
                    "x": {"field": "start", "type": "quantitative", "bin": {"binned": True},
                          "title": "seconds"},
                    "x2": {"field": "end"},
                    "y": {"field": "n", "type": "quantitative"},
                },
            }  # fmt: skip
        case "matrix":
            rows = [
                {key: cell[key] for key in ("stage", "channel", "profiles", "events", "status")}
                for cell in result["cells"]
            ]
            marks = heat("stage", "channel", "profiles")
        case "switches":
            rows = [dict(move) for move in result["channels"]]
            marks = heat("target", "source", "n")
        case "paths":
            rows = [
                {"step": node["step"], "label": node["label"] or "other", "n": node["n"]}
                for node in result["flow"]["nodes"]
            ]
            marks = heat("step", "label", "n")
        case "conformance":
            rows = [
                {"deviation": deviation(one), "kind": one["kind"], "ways": one["ways"]}
                for one in result["deviations"]
            ]
            marks = {
                "mark": {"type": "bar", "tooltip": True},
                "encoding": {
                    "y": {"field": "deviation", "type": "nominal", "sort": None},
                    "x": {"field": "ways", "type": "quantitative"},
                    "color": {"field": "kind", "type": "nominal"},
                },
            }
        case "attribution":
            rows = [
                {"label": one["label"] or "other", "model": model, **credit}
                for one in result["channels"]
                for model, credit in one["credits"].items()
            ]
            marks = {
                "mark": {"type": "bar", "tooltip": True},
                "encoding": {
                    "y": {"field": "label", "type": "nominal", "sort": None},
                    "x": {"field": "conversions", "type": "quantitative"},
                    "yOffset": {"field": "model", "sort": None},
                    "color": {"field": "model", "type": "nominal", "sort": None},
                },
            }
        case kind if kind in CHARTS:
            rows, marks = CHARTS[kind](result)
        case kind if kind in OVER_TIME:
            rows, marks = OVER_TIME[kind](result)
        case kind:
            raise ValueError(f"there is no chart of {kind}")
    return {
        "$schema": SCHEMA,
        "description": f"{answer['kind']} {answer['query_id']}, as of {answer['as_of']}",
        "data": {"values": rows},
        "width": "container",
        **marks,
    }


def deviation(one: Mapping[str, Any]) -> str:
    """Say a deviation in a few words."""
    to = f" → {one['to']}" if one["to"] else ""
    return f"{one['kind'].replace('_', ' ')}: {one['touchpoint']}{to}"

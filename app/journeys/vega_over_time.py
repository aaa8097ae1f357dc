"""Charts of people over time, as Vega-Lite marks; pure."""

from collections.abc import Callable

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


CHARTS: dict[str, Callable[[Result], Chart]] = {
    "retention": _retention,
    "lifecycle": _lifecycle,
    "stickiness": _stickiness,
}

"""Answers as a table: what a console shows, and a file of CSV or Parquet holds; pure."""

import json
from collections.abc import Mapping
from typing import Any

Row = dict[str, Any]


def rows(answer: Mapping[str, Any]) -> list[Row]:
    """Return the main table of an answer, one row per figure that stands for people.

    Rows have the same columns, in the same order. Lists and objects inside are JSON text, so that
    every format can hold them.
    """
    table = _table(answer["kind"], answer["result"])
    columns = list(dict.fromkeys(name for row in table for name in row))
    return [{name: _plain(row.get(name)) for name in columns} for row in table]


def _table(kind: str, result: Mapping[str, Any]) -> list[Row]:  # noqa: C901 - a list of kinds
    match kind:
        case "funnel":
            total = [{**step, "breakdown": None} for step in result["steps"]]
            split = [
                {"name": step["name"], "n": n, "bucket": bucket, "breakdown": row["value"],
                 "other": row["other"]}
                for row in result["breakdown"] or ()
                for step, n, bucket in zip(
                    result["steps"], row["steps"], row["buckets"], strict=True)
            ]  # fmt: skip
            return total + split if split else [dict(step) for step in result["steps"]]
        case "paths":
            return [{**one, "route": " → ".join(one["route"])} for one in result["variants"]]
        case "matrix":
            return [_flat(cell) for cell in result["cells"]]
        case "switches":
            return [dict(move) for move in result["channels"]]
        case "friction":
            return [_friction(point) for point in result["touchpoints"]]
        case "drop-off":
            return [dict(stage) for stage in result["stages"]]
        case "voice":
            return [
                {"survey": survey["survey"], "instrument": survey["instrument"], **one}
                for survey in result["surveys"]
                for one in survey["touchpoints"]
            ]
        case "moments-of-truth":
            return [_flat(one) for one in result["moments"]]
        case "compare":
            return [
                {"counted_from": one["counted_from"], "measure": measure, **group}
                for one in result["alignments"]
                for part in ("outcomes", "amounts")
                for measure, groups in one[part].items()
                for group in groups
            ]
        case "findings":
            return [_finding(one) for one in result["findings"]]
        case "readiness":
            return [_finding(one) for one in result["criteria"]]
        case "time-to-convert":
            return [{**result["converted"]}]
        case "conformance":
            return [dict(one) for one in result["deviations"]]
        case "attribution":
            return [
                {"label": one["label"], "touches": one["touches"]}
                | {model: credit["conversions"] for model, credit in one["credits"].items()}
                for one in result["channels"]
            ]
    listed: list[Row] = result[_LISTS[kind]]
    # Where nothing is in the list, what there is to say are the single figures.
    plain = {k: v for k, v in result.items() if not isinstance(v, list | dict)}
    return [dict(row) for row in listed] or [plain]


#: Where the main table of the other kinds is.
_LISTS = {
    "retention": "cohorts",
    "lifecycle": "intervals",
    "stickiness": "bars",
    "drivers": "drivers",
    "prediction": "bands",
    "next-purchase": "bands",
    "uplift": "bands",
    "anomalies": "points",
}


def _friction(point: Row) -> Row:
    parts = {one["name"]: one["points"] for one in point["components"]}
    kept = {k: v for k, v in point.items() if k not in ("components", "absent", "assessment")}
    declared = (point["assessment"] or {}).get("declared")
    return {**kept, "declared": declared, **parts}


def _finding(one: Row) -> Row:
    """Put both languages and the request beside the figures."""
    words = {f"text_{language}": said for language, said in one["text"].items()}
    apart = {k: v for k, v in one.items() if k not in ("text", "evidence")}
    return {**words, **apart, **one["evidence"]}


def _flat(row: Row) -> Row:
    """Put the figures of an inner object beside the others, under both names."""
    found: Row = {}
    for name, value in row.items():
        if isinstance(value, dict) and name in ("dwell", "good", "bad"):
            found |= {f"{name}_{inner}": figure for inner, figure in value.items()}
        else:
            found[name] = value
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return value

"""Writes the record of processing as a page for a browser, that loads and runs nothing."""

import html
from collections.abc import Mapping
from typing import Any

from app.accountability.markdown import activity_rows, activity_title, controller_rows

STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;width:100%}"
    "th,td{border:1px solid #bbb;padding:.3rem .6rem;text-align:left;vertical-align:top}"
    "th{width:14rem;font-weight:600}"
)


def page(record: Mapping[str, Any]) -> str:
    """Return the record as HTML; what others wrote in it is text and nothing else."""
    controller = record["controller"]
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>"
        "<title>Record of processing activities</title>"
        f"<style>{STYLE}</style><h1>Record of processing activities</h1>",
        f"<p>As of {_text(record['generated_at'])}.</p>",
        "<h2>Controller</h2>",
        "<p>The controller is not set.</p>"
        if controller is None
        else _table(controller_rows(controller)),
    ]
    for one in record["activities"]:
        if one["in_use"]:
            parts += [f"<h2>{_text(activity_title(one))}</h2>", _table(activity_rows(one))]
    unused = [a["purpose"] for a in record["activities"] if not a["in_use"]]
    parts += ["<h2>Not in use</h2>", _list(unused)] if unused else []
    parts += ["<h2>Measures (art. 32)</h2>", _list(record["measures"])]
    parts += ["<h2>Gaps</h2>", _list(record["gaps"]), "</html>"]
    return "\n".join(parts)


def _table(rows: Mapping[str, Any]) -> str:
    cells = {
        name: "<br>".join(map(_text, value)) if isinstance(value, list) else _text(value)
        for name, value in rows.items()
    }
    lines = (
        f"<tr><th>{_text(name)}</th><td>{cell or '–'}</td></tr>" for name, cell in cells.items()
    )
    return f"<table>{''.join(lines)}</table>"


def _list(values: list[str]) -> str:
    return f"<ul>{''.join(f'<li>{_text(value)}</li>' for value in values)}</ul>" if values else "–"


def _text(value: Any) -> str:
    return "–" if value in (None, "") else html.escape(" ".join(str(value).split()))

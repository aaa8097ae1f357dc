"""Writes the record of processing as a page that people read."""

from collections.abc import Iterable, Mapping
from typing import Any


def page(record: Mapping[str, Any]) -> str:
    """Return the record as Markdown; what others wrote in it cannot change its form."""
    lines = ["# Record of processing activities", "", f"As of {record['generated_at']}.", ""]
    lines += _controller(record["controller"])
    for activity in record["activities"]:
        if activity["in_use"]:
            lines += _activity(activity)
    unused = [a["purpose"] for a in record["activities"] if not a["in_use"]]
    if unused:
        lines += ["## Not in use", "", _list(unused), ""]
    lines += ["## Measures (art. 32)", "", *(f"- {_text(m)}" for m in record["measures"]), ""]
    gaps = [f"- {_text(gap)}" for gap in record["gaps"]] or ["None."]
    return "\n".join([*lines, "## Gaps", "", *gaps, ""])


def _controller(controller: Mapping[str, Any] | None) -> list[str]:
    if controller is None:
        return ["The controller is not set.", ""]
    return ["## Controller", "", *_table(controller_rows(controller)), ""]


def controller_rows(controller: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is told of the controller, by line."""
    address = ", ".join(v for v in controller["address"].values() if v)
    officer = controller.get("dpo") or {}
    return {
        "Controller": controller["name"],
        "Address": address,
        "Contact": [controller["contact"], controller["email"], controller["phone"]],
        "Joint controllers": [_reached(one) for one in controller.get("joint_controllers", [])],
        "Representative": _reached(controller.get("representative") or {}),
        "Data protection officer": [v for v in officer.values() if v],
        "Authority": controller["authority"]["name"],
    }


def _reached(one: Mapping[str, str]) -> str:
    lines = (one.get(name) for name in ("name", "address", "email", "telephone"))
    return ", ".join(line for line in lines if line)


def _activity(one: Mapping[str, Any]) -> list[str]:
    return [f"## {_text(activity_title(one))}", "", *_table(activity_rows(one)), ""]


def activity_title(one: Mapping[str, Any]) -> str:
    """Return what an activity is called."""
    return str(one["title"].get("en") or next(iter(one["title"].values()), one["purpose"]))


def activity_rows(one: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is told of an activity, by line: text, or a list of it."""
    retention, people = one["retention"], one["people"]
    return {
        "Purpose": f"{one['purpose']}, version {one['version']}",
        "Lawful basis": one["lawful_basis"],
        "Condition of art. 9": one["article_9_condition"],
        "Persons": one["categories_of_persons"],
        "Data": one["categories_of_data"],
        "Special categories": one["special_categories"],
        "Collected by": one["sources"],
        "Segments": [f"{s['segment']} ({s['people']} people)" for s in one["segments"]],
        "Sent to": [_sent(d) for d in one["destinations"]],
        "Read by": one["read_by"],
        "Recipients": one["recipients"],
        "Transfers": [f"{t['country']}: {t['tool'] or 'no tool named'}" for t in one["transfers"]],
        "Kept in": one["storage_locations"],
        "Kept for": f"{retention['declared_days']} days" if retention["declared_days"] else None,
        "Deleted by rule": [_rule(rule) for rule in retention["rules"]],
        "Impact assessment": one["impact_assessment"]["reference"],
        "People allowed": None if people is None else str(people["allowed"]),
        "People denied": None if people is None else str(people["denied"]),
    }


def _sent(one: Mapping[str, Any]) -> str:
    where = one["region"] or "region unknown"
    removed = f"; removed {one['removed_at'][:10]}" if one["removed_at"] else ""
    return f"{one['recipient']} ({where}; {one['people_told']} people told{removed})"


def _rule(rule: Mapping[str, Any]) -> str:
    what = " ".join(str(rule[k]) for k in ("source", "type", "event") if rule[k]) or "all events"
    return f"{what}: {'for ever' if rule['days'] is None else str(rule['days']) + ' days'}"


def _table(rows: Mapping[str, Any]) -> list[str]:
    cells = {name: _list(v) if isinstance(v, list) else _text(v) for name, v in rows.items()}
    return ["| | |", "|---|---|", *(f"| {name} | {cell} |" for name, cell in cells.items())]


def _list(values: Iterable[Any]) -> str:
    return ", ".join(_text(value) for value in values) or "–"


def _text(value: Any) -> str:
    """Return text on one line, in which no sign means anything to Markdown or HTML."""
    if value is None or value == "":
        return "–"
    line = " ".join(str(value).split()).replace("&", "&amp;").replace("<", "&lt;")
    return "".join(f"\\{sign}" if sign in "\\`*_[]|#" else sign for sign in line)

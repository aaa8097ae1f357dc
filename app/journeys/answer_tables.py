"""All tables of an answer: its main one, its single figures, and one for each list in it; pure."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from app.journeys.answer_rows import Row, rows

Tables = dict[str, list[Row]]

#: The main table, the single figures, and what was asked and computed over.
MAIN, FIGURES, ABOUT = "table", "figures", "answer"
#: Objects whose names are what people chose (of measures): rows with a `key`, not tables.
_KEYED = ("outcomes", "amounts")
#: Objects that are read or sent again whole: JSON text.
_WHOLE = ("align", "request")


def tables(answer: Mapping[str, Any]) -> Tables:
    """Return every table of an answer by its name; no value of the answer is in none of them.

    A list of objects is a table called after its place (`flow.links`); what an object in a row
    holds has columns of its own (`dwell.p50`). A list inside a row is a table (`cohorts.cells`)
    whose rows begin with what the row says (`cohorts.start`) and its number (`cohorts.row`). Lists
    of single values are JSON text. All rows of a table have the same columns.
    """
    found: Tables = {MAIN: rows(answer), FIGURES: []}
    figures = _row(answer["result"], "", {}, found)
    found[FIGURES] = [{"name": name, "value": value} for name, value in figures.items()]
    if not figures:
        del found[FIGURES]
    found[ABOUT] = [{"name": name, "value": _cell(value)} for name, value in _about(answer)]
    return {name: _even(table) for name, table in found.items()}


def _row(value: Mapping[str, Any], place: str, beside: Row, found: Tables) -> Row:
    """Return the single values of an object, and put the lists in it into tables."""
    row: Row = {}
    for name, part in value.items():
        where = f"{place}.{name}" if place else name
        if isinstance(part, Mapping) and name in _KEYED:
            _list([{"key": key, **one} for key, each in part.items() for one in each],
                  where, beside, found)  # fmt: skip
        elif isinstance(part, Mapping) and name not in _WHOLE:
            inner = _row(part, where, beside, found)
            row |= {f"{name}.{below}": each for below, each in inner.items()}
        elif isinstance(part, list) and all(isinstance(one, Mapping) for one in part):
            if part or not beside:  # an empty list in a row may be one of single values
                _list(part, where, beside, found)
        else:
            row[name] = _cell(part)
    return row


def _list(part: list[Mapping[str, Any]], place: str, beside: Row, found: Tables) -> None:
    table = found.setdefault(place, [])
    last = place.rpartition(".")[2]
    for number, one in enumerate(part, 1):
        mine = {f"{last}.{name}": v for name, v in one.items() if not isinstance(v, list | dict)}
        below = {**beside, f"{last}.row": number, **mine}
        table.append({**beside, **_row(one, place, below, found)})


def _about(answer: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Everything of the envelope but the result, whose figures are the other tables."""
    for name, value in answer.items():
        if name == "result":
            continue
        if isinstance(value, dict):
            yield from ((f"{name}.{inner}", each) for inner, each in value.items())
        else:
            yield name, value


def _cell(value: Any) -> Any:
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return value


def _even(table: list[Row]) -> list[Row]:
    columns = list(dict.fromkeys(name for row in table for name in row))
    return [{name: row.get(name) for name in columns} for row in table]

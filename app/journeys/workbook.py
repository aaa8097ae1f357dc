"""A journey's definition as a workbook (XLSX, ISO/IEC 29500), and back without loss; pure.

People fill in maps in spreadsheets. One sheet holds each list, one row each item, in its order;
what is neither text nor number nor yes or no is JSON, in a column that says so. The sheet `Map`
shows stages × channels to the eye and is not read. Text stays text: what begins with = is no
formula, and what XML cannot hold is written as Excel does, _x0001_.
"""

import json
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from app.errors import DefinitionInvalid, MapUnreadable
from app.journeys.definition import Journey
from app.journeys.sentences import text
from app.journeys.sheet_cells import LONGEST, put, widen, writable, written

# openpyxl is loaded when a map is written or read: it loads NumPy, which most servers never need.
if TYPE_CHECKING:
    from openpyxl.worksheet.worksheet import Worksheet

#: The lists of a definition that are sheets; the rest are rows of the first sheet.
SHEETS = {
    "stages": "Stages",
    "channels": "Channels",
    "touchpoints": "Touchpoints",
    "personae": "Personae",
    "kpis": "KPIs",
    "provenance": "Provenance",
}
#: Sheets that a workbook may lack, and the titles of one that is still to be filled in.
OPTIONAL: dict[str, tuple[str, ...]] = {
    "personae": ("id", "name.fr", "name.en", "segment"),
    "kpis": ("id", "name.fr", "name.en", "direction", "target", "owner", "query (JSON)", "at"),
    "provenance": ("of", "source", "by", "on", "n", "query (JSON)"),
}
#: What has no blanks: those around it are no part of it.
CALLED = ("id", "stage", "channel", "key", "segment")
#: What is text even where somebody typed a number.
NAMES = ("id", "stage", "channel", "key", "segment", "by", "of", "owner", "at")
FIRST, SHOWN = "Journey", "Map"
#: The title of a column whose cells are JSON ends with this.
JSON = " (JSON)"
#: Bytes of a workbook, unpacked; one of 5,000 touchpoints has some 3 million.
LARGEST = 30_000_000
#: Rows that are read of a sheet, and columns.
MOST_ROWS, MOST_COLUMNS = 20_000, 200


def write(journey: Journey) -> bytes:
    """Return the workbook of a definition; raises MapUnreadable if a cell would be too long."""
    import openpyxl  # noqa: PLC0415  # see above

    definition = journey.model_dump(mode="json", by_alias=True, exclude_none=True)
    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    single = {key: value for key, value in definition.items() if key not in SHEETS}
    _fill(book.create_sheet(FIRST), [single])
    for key, title in SHEETS.items():
        _fill(book.create_sheet(title), definition.get(key, []), OPTIONAL.get(key, ()))
    _show(book.create_sheet(SHOWN), journey)
    out = BytesIO()
    book.save(out)
    return out.getvalue()


def read(content: bytes) -> Journey:
    """Return the journey that a workbook states.

    Raises MapUnreadable for what is no workbook, is too large, lacks a sheet, has two columns of
    one title or a cell that says JSON and is none; DefinitionInvalid, with the place and the row,
    for what is no journey.
    """
    body, places = _stated(content)
    return defined(body, places)


def defined(body: object, rows: Mapping[str, Sequence[int]] | None = None) -> Journey:
    """Return the journey of parsed JSON; raises DefinitionInvalid, with the place.

    `rows` are those of a workbook's lists.
    """
    try:
        return Journey.model_validate(body)
    except ValidationError as error:
        first = error.errors()[0]
        place = "/".join(str(part) for part in first["loc"])
        match first["loc"]:
            case (str(key), int(at), *_) if rows and key in rows:
                place += f" (sheet {SHEETS[key]}, row {rows[key][at]})"
        raise DefinitionInvalid(f"#/{place}: {first['msg']}") from None


def _stated(content: bytes) -> tuple[dict[str, Any], dict[str, list[int]]]:
    """Return what a workbook says, and of each list in which rows its items are."""
    import openpyxl  # noqa: PLC0415  # see above

    try:
        with zipfile.ZipFile(BytesIO(content)) as packed:
            if sum(part.file_size for part in packed.infolist()) > LARGEST:
                raise MapUnreadable(f"the workbook has more than {LARGEST:,} bytes unpacked")
        book = openpyxl.load_workbook(BytesIO(content), read_only=True, data_only=True)
    except MapUnreadable:
        raise
    except Exception as error:  # openpyxl raises whatever its parsers do: BadZipFile, KeyError, …
        raise MapUnreadable("this is no XLSX workbook") from error
    sheets = {key: title for key, title in SHEETS.items() if title in book.sheetnames}
    wanted = [FIRST, *(title for key, title in SHEETS.items() if key not in OPTIONAL)]
    missing = [title for title in wanted if title not in book.sheetnames]
    if missing:
        raise MapUnreadable(f"the workbook has no sheet {missing[0]!r}")
    try:
        single = list(_rows(book[FIRST]).values())
        lists = {key: _rows(book[title]) for key, title in sheets.items()}
    except MapUnreadable:
        raise
    except Exception as error:  # a sheet whose XML breaks off, or a style that is not there
        raise MapUnreadable("the workbook is damaged") from error
    if len(single) != 1:
        raise MapUnreadable(f"the sheet {FIRST!r} must have one row below its titles")
    stated = {key: list(items.values()) for key, items in lists.items()}
    return {**single[0], **stated}, {key: list(items) for key, items in lists.items()}


def _fill(
    sheet: "Worksheet", items: Sequence[Mapping[str, Any]], empty: Sequence[str] = ()
) -> None:
    flat = [dict(_cells(item)) for item in items]
    titles = list(dict.fromkeys(title for row in flat for title in row)) or empty
    for column, title in enumerate(titles, 1):
        widen(sheet, column, 24)
        _put_cell(sheet, 1, column, title, bold=True)
        for row, item in enumerate(flat, 2):
            _put_cell(sheet, row, column, item.get(title))
    sheet.freeze_panes = "A2"


def _cells(item: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    for key, value in item.items():
        if isinstance(value, dict) and value.keys() <= {"fr", "en"} and all(value.values()):
            yield from ((f"{key}.{language}", words) for language, words in value.items())
        elif isinstance(value, list | dict) or value == "":  # an empty cell is no text at all
            yield key + JSON, json.dumps(value, ensure_ascii=False)
        else:
            yield key, value


def _put_cell(sheet: "Worksheet", row: int, column: int, value: Any, *, bold: bool = False) -> None:
    if isinstance(value, str):
        value = writable(value)
        if len(value) > LONGEST:
            raise MapUnreadable(f"a text of {len(value):,} characters is too long for a cell")
    put(sheet, row, column, value, bold=bold)


def _show(sheet: "Worksheet", journey: Journey) -> None:
    stages = sorted(journey.stages, key=lambda stage: stage.order)
    widen(sheet, 1, 16)
    for column, stage in enumerate(stages, 2):
        widen(sheet, column, 28)
        _put_cell(sheet, 1, column, text(stage.name, stage.id), bold=True)
    for row, channel in enumerate(journey.channels, 2):
        _put_cell(sheet, row, 1, text(channel.name, channel.id), bold=True)
        for column, stage in enumerate(stages, 2):
            there = [
                text(point.name, point.id)
                for point in journey.touchpoints
                if (point.stage, point.channel) == (stage.id, channel.id)
            ]
            _put_cell(sheet, row, column, "\n".join(there)[:LONGEST] or None)
    sheet.freeze_panes = "B2"


def _rows(sheet: Any) -> dict[int, dict[str, Any]]:
    """Return what each row says that says anything, by its number."""
    sheet.reset_dimensions()  # what a file says of its size need not be so
    rows = sheet.iter_rows(max_row=MOST_ROWS + 2, max_col=MOST_COLUMNS, values_only=True)
    titles = [_text(title) for title in next(rows, ())]
    for place, title in enumerate(titles):
        if title and title in titles[:place]:
            raise MapUnreadable(f"the sheet {sheet.title!r} has two columns {title!r}")
    found: dict[int, dict[str, Any]] = {}
    for number, row in enumerate(rows, 2):
        if number > MOST_ROWS + 1:
            raise MapUnreadable(f"the sheet {sheet.title!r} has more than {MOST_ROWS:,} rows")
        item: dict[str, Any] = {}
        for title, value in zip(titles, row, strict=False):
            if title and value is not None and not (title in CALLED and str(value).isspace()):
                _put(item, str(title), _text(value), f"{sheet.title}, row {number}")
        if item:
            found[number] = item
    return found


def _put(item: dict[str, Any], title: str, value: Any, where: str) -> None:
    key, dot, language = title.rpartition(".")
    if title.endswith(JSON):
        try:
            item[title.removesuffix(JSON)] = json.loads(str(value))
        except (ValueError, RecursionError):
            raise MapUnreadable(f"{where}: the cell below {title!r} is no JSON") from None
    elif dot and language in ("fr", "en"):
        label = item.setdefault(key, {})
        if isinstance(label, dict):
            label[language] = str(value)
    else:
        typed = title in NAMES and isinstance(value, int) and not isinstance(value, bool)
        value = str(value) if typed else value
        item[title] = value.strip() if title in CALLED and isinstance(value, str) else value


def _text(value: object) -> object:
    if not isinstance(value, str):
        return value
    return written(value)

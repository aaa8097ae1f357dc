"""Reads and rewrites the parts of `file.py`, in a directory or an S3-compatible store, by Arrow."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.fs
import pyarrow.parquet

from app.destinations.file import OWN
from app.destinations.folders import folder
from app.destinations.kind import Setup
from app.destinations.wire import Wire

#: This machine's files.
LOCAL = pa.fs.LocalFileSystem()


def store(setup: Setup, wire: Wire) -> tuple[pa.fs.FileSystem, str]:
    """Return where to write, and what the names of files begin with."""
    settings = setup.settings
    if settings.directory:
        where = folder(settings.directory)
        where.mkdir(parents=True, exist_ok=True, mode=0o700)
        return LOCAL, f"{where}/"
    place = urlsplit(settings.endpoint)
    address, netloc = wire.address(place.hostname or "", place.port or 443), place.netloc
    if address and place.scheme == "http":
        # Arrow looks a name up once more, which may answer otherwise then (DNS rebinding). Over TLS
        # that wins nothing: nobody inside has a certificate for the name.
        netloc = f"[{address}]" if ":" in address else address
        netloc += f":{place.port or 80}"
    store = pa.fs.S3FileSystem(
        access_key=setup.secrets.access_key_id,
        secret_key=setup.secrets.secret_access_key,
        region=settings.region,
        endpoint_override=netloc,
        scheme=place.scheme,
        connect_timeout=5,
        request_timeout=20,
    )
    return store, f"{settings.bucket}/{settings.prefix}"


def rewrite(
    store: pa.fs.FileSystem, path: str, kind: str, changed: Mapping[str, Mapping[str, Any] | None]
) -> None:
    """Write a part anew with these rows, by profile id, in the place of what it had; None goes.

    Whoever reads meanwhile reads the old part or the new one. Rows that stay are not looked into: a
    part of 62,500 takes .1 s so, and .4 s value by value (as CSV, measured).
    """
    table = _table([row for row in changed.values() if row is not None], kind)
    if (before := _read(store, path, kind)) is not None:
        gone = pc.is_in(before["profile_id"], value_set=pa.array(list(changed), pa.string()))
        table = _together(before.filter(pc.invert(gone)), table, kind)
    names = [*OWN, *sorted(set(table.column_names) - set(OWN))]
    content = _written(table.select(names).sort_by("profile_id"), kind)
    if isinstance(store, pa.fs.LocalFileSystem):
        new = Path(f"{path}.new")
        new.write_bytes(content)
        new.replace(path)
        return
    with store.open_output_stream(path) as stream:
        stream.write(content)


def _read(store: pa.fs.FileSystem, path: str, kind: str) -> pa.Table | None:
    if store.get_file_info(path).type == pa.fs.FileType.NotFound:
        return None
    with store.open_input_stream(path) as stream:
        content = stream.read()
    if kind == "parquet":
        return pa.parquet.read_table(io.BytesIO(content))
    # Of names only the header says all: one may be quoted, with a line break in it.
    names = next(csv.reader(io.TextIOWrapper(io.BytesIO(content), "utf-8", newline="")))
    options = pa.csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True,
        null_values=[""], quoted_strings_can_be_null=False,
    )  # fmt: skip
    parsing = pa.csv.ParseOptions(newlines_in_values=True)
    return pa.csv.read_csv(io.BytesIO(content), convert_options=options, parse_options=parsing)


def _written(table: pa.Table, kind: str) -> bytes:
    out = io.BytesIO()
    if kind == "parquet":
        pa.parquet.write_table(table, out)
    else:
        pa.csv.write_csv(table, out)
    return out.getvalue()


def _table(rows: Sequence[Mapping[str, Any]], kind: str) -> pa.Table:
    """Return rows as a table: our columns and the fields."""
    names = dict.fromkeys([*OWN, *(name for row in rows for name in row)])
    return pa.table({name: _column([row.get(name) for row in rows], kind) for name in names})


def _together(before: pa.Table, new: pa.Table, kind: str) -> pa.Table:
    """Return the rows of both; of values of several types all are text."""
    columns = {}
    for name in dict.fromkeys([*before.column_names, *new.column_names]):
        parts = [
            table[name] if name in table.column_names else pa.nulls(table.num_rows)
            for table in (before, new)
        ]
        types = {part.type for part in parts if part.null_count < len(part)}
        if len(types) > 1:
            columns[name] = _column([value for part in parts for value in part.to_pylist()], kind)
        else:
            one = types.pop() if types else parts[0].type
            chunks = [chunk for part in parts for chunk in _chunks(part.cast(one))]
            columns[name] = pa.chunked_array(chunks, one)
    return pa.table(columns)


def _chunks(part: Any) -> list[Any]:
    return part.chunks if isinstance(part, pa.ChunkedArray) else [part]


def _column(values: Sequence[Any], kind: str) -> pa.Array:
    types = {type(value) for value in values if value is not None}
    if kind == "parquet" and types <= {int, float}:
        try:
            return pa.array(values, pa.float64() if float in types else pa.int64())
        except (OverflowError, pa.ArrowInvalid):  # a number that no column of numbers holds is text
            types = {str}
    if kind == "parquet" and types == {bool}:
        return pa.array(values, pa.bool_())
    return pa.array([None if value is None else _text(value) for value in values], pa.string())


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)

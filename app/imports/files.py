"""Reads rows from CSV, NDJSON and Parquet files, one at a time."""

import codecs
import csv
import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

import pyarrow.parquet as pq

from app.errors import ImportFailed

FORMATS = ("csv", "ndjson", "parquet", "xes")
UTF_8 = "UTF-8"
#: What programs of Western Europe wrote before UTF-8; Latin-1 with letters where that has controls.
WESTERN = "Windows-1252"
_SEPARATORS = ",;\t|"
_BLOCK = 1 << 20


def format_of(path: Path) -> str:
    """Return the format of a file by its name; `.gz` may follow. Raises ImportFailed."""
    suffixes = [s.lower().lstrip(".") for s in path.suffixes if s.lower() != ".gz"]
    name = {"jsonl": "ndjson", "json": "ndjson", "tsv": "csv"}.get(
        suffixes[-1] if suffixes else "", suffixes[-1] if suffixes else ""
    )
    if name not in FORMATS:
        raise ImportFailed(f"{path.name}: the name must end in one of .{', .'.join(FORMATS)}")
    return name


def rows(path: Path) -> Iterator[Any]:
    """Yield the rows of a CSV, NDJSON or Parquet file; empty values are left out.

    A line of NDJSON that is not an object is yielded as it is, to be rejected alone. Raises
    ImportFailed for a file that is not what its name says.
    """
    readers: dict[str, Callable[[Path], Iterator[Any]]] = {
        "csv": _csv,
        "ndjson": _ndjson,
        "parquet": _parquet,
    }
    kind = format_of(path)
    if kind not in readers:
        raise ImportFailed(f"{path.name}: rows come from {', '.join(readers)}")
    if not path.is_file():
        raise ImportFailed(f"{path}: no such file")
    try:
        for row in readers[kind](path):
            if isinstance(row, dict):
                yield {k: v for k, v in row.items() if k and v is not None and v != ""}
            else:
                yield row
    except (UnicodeDecodeError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ImportFailed(f"{path.name}: not readable as UTF-8 {kind}: {error}") from error


def columns(path: Path) -> list[str]:
    """Return the columns that a CSV or Parquet file names before its rows; NDJSON names none.

    Raises ImportFailed like `rows`.
    """
    kind = format_of(path)
    if kind == "parquet":
        try:
            return list(pq.read_schema(path).names)
        except (OSError, ValueError) as error:
            raise ImportFailed(f"{path.name}: not readable as Parquet: {error}") from error
    if kind != "csv":
        return []
    try:
        with _text(path) as handle:
            return [name for name in _table(handle).fieldnames or () if name]
    except (UnicodeDecodeError, EOFError, gzip.BadGzipFile, zlib.error, csv.Error) as error:
        raise ImportFailed(f"{path.name}: not readable as UTF-8 csv: {error}") from error


def encoding(path: Path) -> str:
    """Return the encoding of a file: UTF-8, or of a CSV file that cannot be that Windows-1252.

    UTF-8 in which some bytes are damaged is no other encoding, and stays an error of `rows`: it has
    more letters beyond ASCII that are right than bytes that are wrong. Reads all of a CSV file.
    """
    if format_of(path) != "csv" or not path.is_file():
        return UTF_8
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    right = wrong = 0
    with _open(path)(path, "rb") as handle:
        while block := handle.read(_BLOCK):
            if not (told := decoder.decode(block)).isascii():
                replaced = told.count("\ufffd")
                wrong += replaced
                right += len(told) - replaced - len(told.encode("ascii", "ignore"))
    return WESTERN if wrong > right else UTF_8


def _open(path: Path) -> Any:
    return gzip.open if path.suffix.lower() == ".gz" else open


def _text(path: Path) -> TextIO:
    western = encoding(path) == WESTERN
    # Of Windows-1252 five bytes are no character: they are read as what no name is made of.
    how = ("cp1252", "replace") if western else ("utf-8-sig", "strict")
    handle: TextIO = _open(path)(path, "rt", encoding=how[0], errors=how[1], newline="")
    return handle


def _csv(path: Path) -> Iterator[dict[str, Any]]:
    with _text(path) as handle:
        try:
            yield from _table(handle)
        except csv.Error as error:
            raise ImportFailed(f"{path.name}: not readable as CSV: {error}") from error


def _table(handle: TextIO) -> "csv.DictReader[str]":
    sample = handle.read(65_536)
    handle.seek(0)
    separator = max(_SEPARATORS, key=sample.split("\n", 1)[0].count)
    return csv.DictReader(handle, delimiter=separator)


def _ndjson(path: Path) -> Iterator[Any]:
    with _text(path) as handle:
        for line in handle:
            if not line.strip():
                continue
            try:
                yield json.loads(line)
            except (ValueError, RecursionError):
                yield line


def _parquet(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=10_000):
                yield from batch.to_pylist()
    except (OSError, ValueError) as error:
        raise ImportFailed(f"{path.name}: not readable as Parquet: {error}") from error

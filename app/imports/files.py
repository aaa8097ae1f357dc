"""Reads rows from CSV, NDJSON, Parquet and XLSX files, one at a time."""

import codecs
import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, TextIO, cast
from zipfile import BadZipFile, ZipFile

import pyarrow.parquet as pq

from app.errors import ImportFailed

FORMATS = ("csv", "ndjson", "parquet", "seq", "xes", "xlsx")
UTF_8 = "UTF-8"
#: What programs of Western Europe wrote before UTF-8; Latin-1 with letters where that has controls.
WESTERN = "Windows-1252"
#: What Excel writes as "Unicode text", with a mark at its beginning that says the order of bytes.
UTF_16 = "UTF-16"
#: The same without that mark, as databases of Windows write it.
UNMARKED = ("UTF-16-LE", "UTF-16-BE")
_QUOTED = re.compile(r'"[^"]*"')
#: No object of an array is longer, in characters.
_OBJECT = 64 << 20
_SEPARATORS = ",;\t|"
#: Excel's word on the separator, before the headings.
_TOLD = re.compile(r"sep=(.)\s*")
#: What files of these formats are called besides; tables of old are text of any name.
_ALSO = {
    "jsonl": "ndjson", "json": "ndjson", "tsv": "csv", "txt": "csv", "dat": "csv", "data": "csv",
    "xml": "xes",
}  # fmt: skip
#: Of which columns may be set apart by blanks.
_TEXTS = frozenset({"txt", "dat", "data"})
_BLOCK = 1 << 20
_LONGEST = 65_536
#: What a file of bytes that are not those of its encoding, or of a packer, raises.
_TORN = (UnicodeDecodeError, EOFError, gzip.BadGzipFile, BadZipFile, zlib.error)


def format_of(path: Path) -> str:
    """Return the format of a file by its name; `.gz` may follow, or it may be alone in a `.zip`.

    Raises ImportFailed.
    """
    inside = _inside(path)
    ending = _ending(inside)
    name = _ALSO.get(ending, ending)
    if name not in FORMATS:
        raise ImportFailed(f"{inside.name}: the name must end in one of .{', .'.join(FORMATS)}")
    if name in ("parquet", "xlsx") and inside != path:
        raise ImportFailed(f"{path.name}: unpack it; {name} is not read from an archive")
    return name


def _inside(path: Path) -> Path:
    """The name of what is read: that of the only file in an archive."""
    return Path(member(path)) if path.suffix.lower() == ".zip" else path


def _ending(path: Path) -> str:
    """The last part of a name, but for `.gz`."""
    suffixes = [s.lower().lstrip(".") for s in path.suffixes if s.lower() != ".gz"]
    return suffixes[-1] if suffixes else ""


def member(path: Path) -> str:
    """Return the name of the only file in an archive; raises ImportFailed."""
    if not path.is_file():
        raise ImportFailed(f"{path}: no such file")
    try:
        with ZipFile(path) as archive:
            names = [n for n in archive.namelist() if not n.endswith("/") and "__MACOSX" not in n]
    except BadZipFile as error:
        raise ImportFailed(f"{path.name}: not readable as ZIP: {error}") from error
    if len(names) != 1:
        raise ImportFailed(f"{path.name}: has {len(names)} files; import one of them")
    return names[0]


@contextmanager
def plain(path: Path) -> Iterator[BinaryIO]:
    """Yield the bytes of a file that may be packed. Raises ImportFailed for a locked archive."""
    if path.suffix.lower() == ".zip":
        name = member(path)
        with ZipFile(path) as archive:
            try:
                opened: Any = archive.open(name)
            except (RuntimeError, NotImplementedError) as error:
                raise ImportFailed(f"{path.name}: {error}") from error
            with opened as stream:
                packed = name.lower().endswith(".gz")
                yield cast("BinaryIO", gzip.GzipFile(fileobj=stream) if packed else stream)
        return
    opener: Any = gzip.open if path.suffix.lower() == ".gz" else open
    with opener(path, "rb") as stream:
        yield stream


def rows(path: Path, names: Sequence[str] = ()) -> Iterator[Any]:
    """Yield the rows of a CSV, NDJSON, Parquet or XLSX file; empty values are left out.

    `names` are those of the columns of a table of text without a line of them. Of a workbook those
    of its first sheet. A line of NDJSON that is not an object is yielded as it
    is, to be rejected alone. Raises ImportFailed for a file that is not what its name says.
    """
    readers: dict[str, Callable[[Path], Iterator[Any]]] = {
        "csv": partial(_csv, names=names),
        "ndjson": _ndjson,
        "parquet": _parquet,
        "xlsx": _xlsx,
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
    except _TORN as error:
        raise ImportFailed(f"{path.name}: not readable as {_coded(path)}: {error}") from error


def columns(path: Path, names: Sequence[str] = ()) -> list[str]:
    """Return the columns that a file of a table names before its rows; NDJSON names none.

    `names` are those of a table of text that does not. Raises ImportFailed like `rows`.
    """
    kind = format_of(path)
    if kind == "parquet":
        try:
            return list(pq.read_schema(path).names)
        except (OSError, ValueError) as error:
            raise ImportFailed(f"{path.name}: not readable as Parquet: {error}") from error
    if kind == "xlsx":
        return list(next(_xlsx(path), {}))
    if kind != "csv":
        return []
    try:
        with _text(path) as handle:
            return [name for name in _table(handle, path, names).fieldnames or () if name]
    except (*_TORN, csv.Error) as error:
        raise ImportFailed(f"{path.name}: not readable as {_coded(path)}: {error}") from error


def _coded(path: Path) -> str:
    """Say what a file was read as; what is packed and torn has no encoding yet."""
    try:
        return f"{encoding(path)} {format_of(path)}"
    except _TORN:
        return format_of(path)


def encoding(path: Path) -> str:
    """Return the encoding of a file: UTF-8, or of a text that is not UTF-16 or Windows-1252.

    UTF-8 in which some bytes are damaged is no other encoding, and stays an error of `rows`: it has
    more letters beyond ASCII that are right than bytes that are wrong. Reads all of a text.
    """
    if format_of(path) not in ("csv", "ndjson") or not path.is_file():
        return UTF_8
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    right = wrong = 0
    with plain(path) as handle:
        block = handle.read(_BLOCK)
        if block.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return UTF_16
        zeros = [block[odd:2_000:2].count(0) for odd in (1, 0)]
        if max(zeros) * 4 > len(block[:2_000]):  # no text of another encoding has any
            return UNMARKED[zeros[1] > zeros[0]]
        while block:
            if not (told := decoder.decode(block)).isascii():
                replaced = told.count("\ufffd")
                wrong += replaced
                right += len(told) - replaced - len(told.encode("ascii", "ignore"))
            block = handle.read(_BLOCK)
    return WESTERN if wrong > right else UTF_8


@contextmanager
def _text(path: Path) -> Iterator[TextIO]:
    # Of Windows-1252 five bytes are no character: they are read as what no name is made of.
    how = {WESTERN: ("cp1252", "replace"), UTF_16: ("utf-16", "strict")}
    how |= {name: (name, "strict") for name in UNMARKED}
    codec, errors = how.get(encoding(path), ("utf-8-sig", "strict"))
    with plain(path) as stream:
        yield io.TextIOWrapper(stream, encoding=codec, errors=errors, newline="")


def _csv(path: Path, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    with _text(path) as handle:
        try:
            yield from _table(handle, path, names)
        except csv.Error as error:
            raise ImportFailed(f"{path.name}: not readable as CSV: {error}") from error


def _table(handle: TextIO, path: Path, names: Sequence[str]) -> "csv.DictReader[str]":
    first = handle.readline(_LONGEST)
    while first.isspace():
        first = handle.readline(_LONGEST)
    if told := _TOLD.fullmatch(first):
        first, separator = handle.readline(_LONGEST), told[1]
    else:
        separator = max(_SEPARATORS, key=_QUOTED.sub("", first).count)
    # Blanks are a separator where nothing else is, as in CDNOW's purchases; several are one.
    spaced = separator not in first and _ending(_inside(path)) in _TEXTS
    return csv.DictReader(
        chain([first], handle) if first else handle,
        fieldnames=list(names) or None,
        delimiter=" " if spaced else separator,
        skipinitialspace=spaced,
    )


def _ndjson(path: Path) -> Iterator[Any]:
    with _text(path) as handle:
        for line in handle:
            if not line.strip():
                continue
            if line.lstrip().startswith("["):
                yield from _array(chain([line], iter(partial(handle.read, _LONGEST), "")), path)
                return
            yield _object(line)
            break
        for line in handle:
            if line.strip():
                yield _object(line)


def _object(line: str) -> Any:
    """Return what a line of NDJSON is, or the line."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return line


def _array(parts: Iterator[str], path: Path) -> Iterator[Any]:
    """Yield the items of an array of JSON one at a time; what follows it is not looked at."""
    decoder, text = json.JSONDecoder(), ""
    begun = False
    for part in parts:
        text += part
        while text := text.lstrip(" \t\r\n," if begun else " \t\r\n"):
            if not begun:
                begun, text = True, text[1:]
                continue
            if text.startswith("]"):
                return
            try:
                item, end = decoder.raw_decode(text)
            except (ValueError, RecursionError):
                break
            yield item
            text = text[end:]
        if len(text) > _OBJECT:
            break
    raise ImportFailed(f"{path.name}: the array of JSON in it is broken or cut short")


def _xlsx(path: Path) -> Iterator[dict[str, Any]]:
    import openpyxl  # noqa: PLC0415  # it loads NumPy, which few imports need

    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise ImportFailed(f"{path.name}: not readable as XLSX: {error}") from error
    try:
        lines = book.worksheets[0].iter_rows(values_only=True)
        first = next((line for line in lines if any(cell is not None for cell in line)), ())
        names = ["" if name is None else str(name) for name in first]
        for line in lines:
            yield dict(zip(names, line, strict=False))
    finally:
        book.close()


def _parquet(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=10_000):
                yield from batch.to_pylist()
    except (OSError, ValueError) as error:
        raise ImportFailed(f"{path.name}: not readable as Parquet: {error}") from error

"""Files as they come: separators, encodings, and what is damaged."""

import gzip
from pathlib import Path

import pytest

from app.errors import ImportFailed
from app.imports import files

ROWS = [{"name": "Zoë", "city": "Besançon"}, {"name": "Søren", "city": "Århus"}]
TEXT = "name,city\nZoë,Besançon\nSøren,Århus\n"


def written(tmp_path: Path, content: bytes, name: str = "people.csv") -> Path:
    file = tmp_path / name
    file.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return file


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_separator_is_the_one_that_the_headings_have(tmp_path: Path, separator: str) -> None:
    file = written(tmp_path, TEXT.replace(",", separator).encode())
    assert list(files.rows(file)) == ROWS
    assert files.columns(file) == ["name", "city"]


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
@pytest.mark.parametrize("name", ["people.csv", "people.tsv", "people.csv.gz"])
def test_what_cannot_be_utf_8_is_read_as_western_and_says_so(
    tmp_path: Path, encoding: str, name: str
) -> None:
    file = written(tmp_path, TEXT.encode(encoding), name)
    assert files.encoding(file) == files.WESTERN
    assert list(files.rows(file)) == ROWS


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_unicode_text_of_excel_is_read_and_says_so(tmp_path: Path, encoding: str) -> None:
    mark = "" if encoding == "utf-16" else "\ufeff"
    file = written(tmp_path, (mark + TEXT.replace(",", "\t")).encode(encoding))
    assert files.encoding(file) == files.UTF_16
    assert list(files.rows(file)) == ROWS
    assert files.columns(file) == ["name", "city"]
    torn = written(tmp_path, (mark + TEXT).encode(encoding) + b"\x00")
    with pytest.raises(ImportFailed, match="UTF-16"):
        list(files.rows(torn))


@pytest.mark.parametrize("before", ["sep=,\r\n", "\n", " \n\n", "sep=;\n"])
def test_headings_are_found_behind_empty_lines_and_excels_word_on_the_separator(
    tmp_path: Path, before: str
) -> None:
    text = TEXT.replace(",", ";") if ";" in before else TEXT
    file = written(tmp_path, (before + text).encode())
    assert list(files.rows(file)) == ROWS
    assert files.columns(file) == ["name", "city"]


def test_letters_of_windows_are_letters(tmp_path: Path) -> None:
    file = written(tmp_path, "name\nŠárka Œuvray\n".encode("cp1252"))
    assert list(files.rows(file)) == [{"name": "Šárka Œuvray"}]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_what_can_be_utf_8_is(tmp_path: Path, encoding: str) -> None:
    file = written(tmp_path, TEXT.encode(encoding))
    assert files.encoding(file) == files.UTF_8
    assert list(files.rows(file)) == ROWS


def test_a_letter_across_two_blocks_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_BLOCK", 1)
    assert files.encoding(written(tmp_path, TEXT.encode())) == files.UTF_8


def test_damaged_utf_8_is_not_read_as_something_else(tmp_path: Path) -> None:
    file = written(tmp_path, TEXT.encode() + b"Al\xffan,Lyon\n")
    assert files.encoding(file) == files.UTF_8
    with pytest.raises(ImportFailed, match="UTF-8"):
        list(files.rows(file))

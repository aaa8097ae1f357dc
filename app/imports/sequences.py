"""Reads sequences as UCI publishes MSNBC's visits: a line per person, a number per page.

The names of the pages are in a comment. No line says who or when: a person is a line, and the day
is said by whoever imports it. All events of a file are at its beginning, in their order.
"""

import gzip
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from app.errors import ImportFailed
from app.imports.files import plain
from app.imports.messages import digest, know

#: Pages of one line: more are no visit of a day.
LONGEST = 1_000_000


def messages(path: Path, *, day: datetime | None, namespace: str) -> Iterator[Any]:
    """Yield a track call for each page of each line, in order; raises ImportFailed.

    A page without a name is called by its number. What is no number is yielded as it is, to be
    rejected alone. The message id is made of the file's name, the line, the place and the page.
    """
    if not path.is_file():
        raise ImportFailed(f"{path}: no such file")
    if day is None:
        raise ImportFailed(f"{path.name}: no line says when it happened; say the day with --on")
    at = day.replace(tzinfo=UTC).isoformat()
    return _read(path, at, namespace)


def _read(path: Path, at: str, namespace: str) -> Iterator[Any]:
    names: list[str] = []
    line_number = 0
    try:
        with plain(path) as stream:
            for line in stream:
                words = line.decode("ascii").split()
                if not words or words[0].startswith("%"):
                    continue
                if not words[0].isdigit():
                    names = names or words
                    continue
                line_number += 1
                if len(words) > LONGEST:
                    raise ImportFailed(f"{path.name}: line {line_number} has {len(words)} pages")
                for place, word in enumerate(words):
                    yield _event(path.name, at, namespace, names, line_number, place, word)
    except (UnicodeDecodeError, EOFError, gzip.BadGzipFile, BadZipFile, zlib.error) as error:
        raise ImportFailed(f"{path.name}: not readable as sequences: {error}") from error


def _event(
    file: str, at: str, namespace: str, names: list[str], line: int, place: int, word: str
) -> Any:
    if not word.isdigit() or len(word) > 9:
        return word
    number = int(word)
    message: dict[str, Any] = {
        "type": "track",
        "event": names[number - 1] if 0 < number <= len(names) else word,
        "timestamp": at,
        "sourceSeq": place,
        "messageId": digest("seq", file, line, place, number),
        "properties": {},
        "context": {},
    }
    know(message, namespace, str(line))
    return message

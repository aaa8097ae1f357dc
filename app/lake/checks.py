"""Whether a file of the lake is as it was written: figures of one that is not would be wrong.

Parquet finds little of it: of 120 bits that were flipped, one at a time, 73 changed what was
counted and nothing said so; 45 stopped the query. So the whole file is read: when a process first
uses it, before it is put together with others or written anew, and once an hour by the worker.
"""

import errno
import hashlib
import logging
import os
import time
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa

from app.db import Sessions
from app.errors import LakeIncomplete
from app.lake.tables import LakePart

log = logging.getLogger("parcours.lake")

#: How often the worker reads each file, in seconds, and for how long at a time.
EVERY_SECONDS, AT_A_TIME_SECONDS = 3_600.0, 1.0
#: Files that a process remembers to have read.
MOST = 10_000

#: What a file was when this process read it whole: its checksum, and what the system said of it.
_read: OrderedDict[Path, tuple[str, int, int, int]] = OrderedDict()
#: When the worker read each listed file last.
_looked: dict[str, float] = {}


def checksum(path: Path) -> str:
    """Return what tells a file from any that differs by a byte."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def held(path: Path) -> int | None:
    """Return how many events a file says it holds; None where it is not there whole."""
    try:
        return int(pq.read_metadata(path).num_rows)
    except pa.ArrowInvalid:
        return None
    except OSError as error:
        if error.errno not in (None, errno.ENOENT):  # Arrow gives none for an end it cannot read
            raise
        return None


def sound(path: Path, wanted: str | None) -> bool:
    """Say whether a file is as it was written; it is removed where it is not.

    So it is lost for everybody at once, and made anew as all that is lost. Of files that are older
    than checksums are, `wanted` is None; their ends alone are looked at.
    """
    if wanted is None:
        return held(path) is not None
    try:
        if checksum(path) == wanted:
            return True
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno != errno.EIO:
            raise
    log.error("%s of the lake is not as it was written, it is removed: look at the disk", path.name)
    with suppress(OSError):  # who may only read leaves that to the worker
        path.unlink(missing_ok=True)
    return False


def ensure(wanted: Mapping[Path, str | None]) -> None:
    """Read those files that this process has not read as they are; raises LakeIncomplete."""
    for path, one in wanted.items():
        if one is None:
            continue
        try:
            said = path.stat()
        except FileNotFoundError as error:
            raise LakeIncomplete("ask again in a moment") from error
        known = (one, said.st_ino, said.st_size, said.st_mtime_ns)
        if _read.get(path) == known:
            continue
        if not sound(path, one):
            raise LakeIncomplete("ask again in a moment")
        _read[path] = known
        while len(_read) > MOST:
            with suppress(KeyError):  # another thread was quicker
                _read.popitem(last=False)


def left(path: Path) -> None:
    """Make the time of a file that when it left the listing; it may be damaged, and removed."""
    with suppress(FileNotFoundError):
        os.utime(path)


def look(sessions: Sessions, directory: Path) -> None:
    """Read the files that were not read for an hour, some at a time.

    Of a file that is older than checksums are, what it holds now is taken for what was written.
    """
    with sessions() as session:
        rows = session.execute(sa.select(LakePart.file, LakePart.checksum).order_by(LakePart.id))
        listed = {row.file: row.checksum for row in rows}
    for name in _looked.keys() - listed.keys():
        del _looked[name]
    begun = time.monotonic()
    for name, wanted in listed.items():
        if begun - _looked.get(name, -EVERY_SECONDS) < EVERY_SECONDS:
            continue
        if wanted is None:
            _note(sessions, directory / name)
        else:
            sound(directory / name, wanted)
        _looked[name] = time.monotonic()
        if _looked[name] - begun > AT_A_TIME_SECONDS:
            break


def _note(sessions: Sessions, path: Path) -> None:
    try:
        with pq.ParquetFile(path) as file:  # what cannot be read is not what was written
            for _ in file.iter_batches():
                pass
        found = checksum(path)
    except FileNotFoundError:
        return
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EIO):
            raise
        log.error("%s of the lake cannot be read, it is removed: look at the disk", path.name)
        with suppress(OSError):
            path.unlink(missing_ok=True)
        return
    with sessions.begin() as session:
        session.execute(
            sa.update(LakePart)
            .where(LakePart.file == path.name, LakePart.checksum.is_(None))
            .values(checksum=found)
        )

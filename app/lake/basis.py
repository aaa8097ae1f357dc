"""What a lake shows at a moment: who may be analysed, and which events of which files."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy.orm import Session

from app.consents.everybody import Everybody, everybody
from app.lake import copy


@dataclass(frozen=True, slots=True)
class Basis:
    """What an open lake shows: the people of a purpose, the files, and what is gone from them.

    While nothing changes in the database, each look returns the same `people` and equal lists.
    """

    people: Everybody
    removed: tuple[int, ...]
    files: tuple[Path, ...]
    checksums: Mapping[Path, str | None] = field(default_factory=dict)

    def same(self, other: "Basis") -> bool:
        """Say whether a lake opened on the other one shows the same events of the same people."""
        return (
            self.people is other.people
            and self.files == other.files
            and self.removed == other.removed
        )


def basis(session: Session, directory: Path, purpose: str) -> Basis:
    """Return what the lake shows for a purpose at this moment.

    Raises PurposeNotFound, LakeIncomplete.
    """
    people = everybody(session, purpose)
    gone, files = copy.listing(session, directory)
    return Basis(people, tuple(gone), tuple(files), files)

"""Refuses what is about somebody who was erased; where it cannot know, it refuses everything."""

from collections.abc import Collection, Iterable
from functools import lru_cache

from sqlalchemy.orm import Session

from app.errors import SubjectSuppressed, SuppressionKeyUnusable
from app.key_file import KeyFile
from app.settings import Settings
from app.suppression.key import RefKey, RefKeys
from consent import suppression

#: The file in the data directory, which the first erasure creates.
FILE = "suppression.key"

#: The keys of this process, in a list because they are set at start.
_keys: list[KeyFile] = []


def use(settings: Settings) -> KeyFile:
    """Take the keys from here, from now on. Raises SuppressionKeyUnusable."""
    _keys[:] = [
        KeyFile(
            settings.home / FILE,
            settings.suppression_key,
            "PARCOURS_SUPPRESSION_KEY",
            SuppressionKeyUnusable,
        )
    ]
    return _keys[0]


def keys() -> RefKeys:
    """Return the keys; raises SuppressionKeyUnusable where there are none."""
    found = _keys[0].keys() if _keys else None
    if found is None:
        where = _keys[0].origin if _keys else "nowhere"
        raise SuppressionKeyUnusable(f"it is looked for in {where}, and is not there")
    return _derived(found)


def keys_or_new() -> RefKeys:
    """Return the keys; makes the file where there is none. Raises SuppressionKeyUnusable."""
    if not _keys:
        raise SuppressionKeyUnusable("nothing says where it is")
    return _derived(_keys[0].keys_or_new())


#: What is derived of the keys takes 0.1 ms to make.
_derived = lru_cache(4)(RefKeys)


class Gate:
    """The list as one writer knows it; while it is empty a look costs nothing. One thread's."""

    def __init__(self) -> None:
        """Know nothing."""
        self._version = -1
        self._refs: frozenset[bytes] = frozenset()
        self._keys: tuple[RefKey, ...] = ()
        self.namespaces: frozenset[str] = frozenset()

    def refresh(self, session: Session) -> bool:
        """Take over what changed, and let nothing change until the end of this transaction.

        Call it first in every transaction that writes; says whether the list is another one now.
        Raises SuppressionKeyUnusable where something is on the list and cannot be found there.
        """
        version = suppression.read_lock(session)
        if version == self._version:
            return False
        entries = suppression.entries(session)
        self._keys = keys().keys if entries else ()
        if unknown := {e.key_id for e in entries} - {key.id for key in self._keys}:
            raise SuppressionKeyUnusable(f"{len(unknown)} keys that made the list are missing")
        self._refs = frozenset(entry.ref for entry in entries)
        self.namespaces = frozenset(entry.namespace for entry in entries)
        self._version = version
        return True

    @property
    def empty(self) -> bool:
        """Whether nobody is on the list."""
        return not self._refs

    def refuses(self, identifiers: Iterable[tuple[str, str]]) -> bool:
        """Say whether one of these canonical identifiers is on the list."""
        refs, keys = self._refs, self._keys
        return any(key.ref(*identifier) in refs for identifier in identifiers for key in keys)


def refuse(session: Session, identifiers: Collection[tuple[str, str]]) -> None:
    """Refuse to write about somebody who was erased; call it before the first write.

    Raises SubjectSuppressed, and SuppressionKeyUnusable as `Gate` does.
    """
    suppression.read_lock(session)
    if not suppression.size(session):
        return
    refs = [ref for identifier in identifiers for ref in keys().refs(*identifier)]
    if suppression.any_of(session, refs):
        raise SubjectSuppressed("a new and explicit act of the person is needed first")

"""What an entry says in public, and nothing more.

Of a person it holds a keyed reference and a commitment, which say nothing to who lacks the key, and
times to the minute. Whatever else there is to read is sealed beside it (research/consent.md 2.8).
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from ipaddress import ip_address
from typing import Any

from consent.errors import StatementInvalid
from consent.ledger.canonical import canonical
from consent.ledger.sealing import SubjectKey

#: The form of entries; a later one may have other members.
VERSION = "1"
#: What others may state in the ledger with `append`.
STATED = ("decision_manifest", "dsr", "config", "admin")
#: Members that the ledger itself writes.
OWN = frozenset({"v", "type", "index", "logged", "subject", "body"})
#: Names, numbers, hashes: no blanks, no "@", hence neither sentences nor addresses.
WORD = re.compile(r"[A-Za-z0-9._:/+=-]{0,200}")
MEMBER = re.compile(r"[a-z][a-z0-9_]{0,39}")
PHONE = re.compile(r"\+[0-9]{6,15}")


def entry(
    kind: str,
    index: int,
    logged: datetime,
    public: Mapping[str, str | None],
    *,
    key: SubjectKey | None = None,
    subject: bool = False,
    body: bytes | None = None,
) -> bytes:
    """Return an entry as the ledger holds it: canonical JSON, numbers as text.

    `key` commits to the `body`, and names the `subject` where there is one.
    """
    said = {name: value for name, value in public.items() if value is not None}
    said |= {"v": VERSION, "type": kind, "index": str(index), "logged": minute(logged)}
    if key is not None and subject:
        said["subject"] = key.reference(index)
    if key is not None and body is not None:
        said["body"] = key.commitment(index, body)
    return canonical(said)


def minute(at: datetime) -> str:
    """Return a time to the minute, so that it does not single anybody out."""
    return f"{at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='minutes')}Z"


@lru_cache(maxsize=1_000)
def word(text: str) -> str:
    """Return a name that may stand in public, or "other" where it might tell of somebody."""
    return text if _plain(text) else "other"


def checked(kind: str, public: Mapping[str, Any]) -> dict[str, str]:
    """Return what a statement wants to say in public, if it may; raises StatementInvalid.

    Names, numbers, times and hashes only. What looks like an address of a person, of mail or of a
    machine is refused; that an id is no person's only the caller knows.
    """
    if kind not in STATED:
        raise StatementInvalid(f"{kind!r} is not stated; {', '.join(STATED)} are")
    for name, value in public.items():
        if not MEMBER.fullmatch(name) or name in OWN:
            raise StatementInvalid(f"{name!r} is no member of a statement")
        if not isinstance(value, str) or not _plain(value):
            raise StatementInvalid(f"{name!r} is to be a short word; numbers too are text")
    return dict(public)


def _plain(text: str) -> bool:
    if not WORD.fullmatch(text) or PHONE.fullmatch(text):
        return False
    try:
        ip_address(text)
    except ValueError:
        return True
    return False

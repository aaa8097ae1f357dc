"""What others state in the ledger: manifests of decisions, requests, keys, settings, acts."""

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.orm import Session

from consent.ledger.entry import checked
from consent.ledger.tables import LedgerStatement


def append(
    session: Session,
    kind: str,
    public: Mapping[str, str],
    *,
    subject: tuple[str, str] | None = None,
    body: Mapping[str, Any] | None = None,
    about: UUID | None = None,
) -> UUID:
    """State something in the ledger, with this transaction; the sealer makes it an entry.

    `kind` is one of `entry.STATED`. `public` may be seen by everybody and stays for ever: short
    words, numbers and times as text, hashes, and nothing of a person. What is readable of a person
    goes into `body`, which is sealed under the key of the `subject` (an identifier, canonical), or
    of the installation where there is none; until then it waits in the database as it is. Returns
    what the entry will be found by, which is `about` where that is given. The same `about` a
    second time fails. Raises StatementInvalid.
    """
    words = checked(kind, public)
    found = about or uuid4()
    namespace, value = subject or (None, None)
    text = None if body is None else json.dumps(body, ensure_ascii=False, sort_keys=True)
    session.execute(
        sa.insert(LedgerStatement).values(
            about=found, kind=kind, public=words, namespace=namespace, value=value, body=text
        )
    )
    return found

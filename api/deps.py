"""What a route may ask for: a transaction, the settings, a page of a list."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, Query, Request, Response
from sqlalchemy.orm import Session

from app.access import reads
from app.settings import Settings


def transaction(request: Request) -> Iterator[Session]:
    """One request is one transaction: commit on success, roll back on any error.

    Whom it read is noted in it, before the answer leaves: what cannot be noted is not told.
    """
    with request.app.state.sessions.begin() as session:
        yield session
        reads.write(session, at=datetime.now(UTC))


def settings(request: Request) -> Settings:
    """Return the configuration the server was started with."""
    found: Settings = request.app.state.settings
    return found


def unstored(response: Response) -> None:
    """Let no cache keep an answer that shows a secret (RFC 9111 §5.2.2.5, RFC 7591 §3.2.1)."""
    response.headers["Cache-Control"] = "no-store"


#: For `dependencies=` of a route that shows a secret.
UNSTORED = [Depends(unstored)]
#: scope="function" commits before the response leaves; with the default scope a failed commit
#: would follow a 201 that was already sent (measured on FastAPI 0.165).
Db = Annotated[Session, Depends(transaction, scope="function")]
Configuration = Annotated[Settings, Depends(settings)]
Limit = Annotated[int, Query(ge=1, le=1000, description="At most so many entries.")]
Cursor = Annotated[str | None, Query(description="`next_cursor` of the previous page.")]

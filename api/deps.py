"""What a route may ask for: a transaction, the settings, a page of a list."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, Query, Request, Response
from sqlalchemy.orm import Session

from app.access import reads
from app.errors import OverCapacity
from app.settings import Settings

#: Requests of one process that have a transaction at once: fewer than there are connections (20)
#: and threads (40), so that who has one does not wait for who waits for one. What is left is for
#: the second sessions of previews and analyses, write keys and `readyz`: many previews at once
#: make these wait for each other, which ends, as nobody needs a third.
MOST_AT_ONCE = 16
#: So long, in seconds, may one wait for its turn.
LONGEST_WAIT = 30.0


async def turn(request: Request) -> AsyncIterator[None]:
    """Let a request wait for its transaction without a thread; raises OverCapacity.

    A request takes a thread for each of its steps. Those that waited for a connection, or for what
    another transaction held, had all threads, and the one that held it got none to end in: 70
    consents at once stood still for 30 s, and with them all that needs a thread, `readyz` too.
    """
    state = request.app.state
    if not hasattr(state, "turns"):
        state.turns = asyncio.Semaphore(MOST_AT_ONCE)
    turns: asyncio.Semaphore = state.turns
    try:
        async with asyncio.timeout(LONGEST_WAIT):
            await turns.acquire()
    except TimeoutError:
        raise OverCapacity("too many requests wait for the database") from None
    try:
        yield
    finally:
        turns.release()


def transaction(
    request: Request, turn: Annotated[None, Depends(turn, scope="function")]
) -> Iterator[Session]:
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

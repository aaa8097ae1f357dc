"""Who keeps what: decided so that nothing is destroyed because somebody was only matched."""

from collections.abc import Collection, Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

import consent
from app.consents.permission import Use, parameters, undisputed


def answers(
    session: Session,
    purpose: consent.Purpose,
    people: Collection[int],
    *,
    use: Use,
    page_days: int,
) -> Iterator[sa.Row[Any]]:
    """Yield what is decided for people, and what would be if nobody had been matched.

    What one of both allows is kept. A refusal, objection or age that comes over a match bars every
    use at once, but a match may be wrong, and is undone then: what it destroyed would be lost to
    somebody else. Over links that were asserted a refusal destroys. Not for `page_days` where it
    came by a key that stands in pages, by which anybody can refuse in anybody's name: so long the
    person, or who answers for the data, can say otherwise.
    """
    asked = {**parameters(purpose, people, use=use), "page_days": page_days}
    yield from session.execute(undisputed(matched=True), asked)
    yield from session.execute(undisputed(matched=False), asked)

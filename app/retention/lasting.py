"""Who keeps what: decided so that nothing is destroyed because somebody was only matched."""

from collections.abc import Collection, Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

import consent
from app.consents.permission import Use, asserted, decision, parameters


def answers(
    session: Session, purpose: consent.Purpose, people: Collection[int], *, use: Use
) -> Iterator[sa.Row[Any]]:
    """Yield what is decided for people, and what would be if nobody had been matched.

    What one of both allows is kept. A refusal, objection or age that comes over a match bars every
    use at once, but a match may be wrong, and is undone then: what it destroyed would be lost to
    somebody else. Over links that were asserted a refusal destroys.
    """
    asked = parameters(purpose, people, use=use)
    yield from session.execute(decision(people), asked)
    yield from session.execute(asserted(), asked)

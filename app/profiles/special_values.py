"""What events say of special categories (GDPR art. 9), for purposes that cover them."""

from typing import Any

from sqlalchemy.orm import Session

import consent
from app.db import statement
from app.events import special
from app.profiles.read import View


def read(session: Session, view: View, *, limit: int) -> list[dict[str, Any]]:
    """Return the newest values of categories that the purpose covers now; of others nothing.

    Whether the person agrees was decided with the view.
    """
    purpose = consent.catalogue.purpose(session, view.purpose)
    if not special.categories_of(purpose) or not view.allowed:
        return []
    rows = session.execute(
        statement("app.profiles", "special_values"),
        {"identifiers": list(view.allowed), "purpose": view.purpose, "limit": limit},
    )
    return [
        {
            "category": category,
            "pointer": pointer,
            "value": value,
            "source": row.source,
            "event": row.name or row.type,
            "message_id": row.message_id,
            "occurred_at": row.occurred_at.isoformat(),
        }
        for row in rows
        for category, some in row.apart.items()
        if special.covers(purpose, category)
        for pointer, value in some.items()
    ]

"""Who answers for the processing: the controller, as receipts and records name it."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from consent.errors import ControllerNotFound
from consent.tables import Party

CONTROLLER = "controller"


def controller(session: Session) -> dict[str, Any]:
    """Return what is told of the controller; raises ControllerNotFound."""
    found = session.scalar(sa.select(Party.declared).where(Party.role == CONTROLLER))
    if found is None:
        raise ControllerNotFound("set it with PUT /v1/controller, or `parcours consent controller`")
    return dict(found)


def set_controller(session: Session, declared: Mapping[str, Any]) -> None:
    """Say who the controller is, in place of what was said before."""
    values = {"role": CONTROLLER, "declared": dict(declared)}
    statement = insert(Party).values(values)
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["role"],
            set_={"declared": statement.excluded.declared, "updated_at": sa.func.now()},
        )
    )

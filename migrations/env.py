"""Tells Alembic what the schema should be: the tables of app, identity and consent together."""

import re
import warnings

import sqlalchemy as sa
from alembic import context
from sqlalchemy.dialects.postgresql.base import ischema_names

from app import work
from app.access import tables as access
from app.consents import tables as consents
from app.db import Base as AppBase
from app.destinations import tables as destinations
from app.events import tables as events
from app.journeys import tables as journeys
from app.lake import tables as lake
from app.pending import tables as pending
from app.plans import tables as plans
from app.privacy import tables as privacy
from app.profiles import tables as profiles
from app.retention import tables as retention
from app.segments import tables as segments
from consent.ledger import tables as ledger
from consent.tables import Base as ConsentBase
from identity.tables import Base as IdentityBase

#: Importing a module is what puts its tables into the metadata.
FEATURES = (
    access, consents, destinations, events, journeys, lake, ledger, pending, plans, privacy,
    profiles, retention, segments, work,
)  # fmt: skip
SCHEMAS = {"app", "identity", "consent"}
#: SQLAlchemy does not know this type of PostgreSQL when it reads a schema.
ischema_names["xid8"] = events.TransactionId


#: Partitions come and go while the product runs (app.events.partitions).
PARTITION = re.compile(r"event_p\d+")


def _ours(name: str | None, kind: str, _parents: object) -> bool:
    if kind == "table":
        return PARTITION.fullmatch(name or "") is None
    return kind != "schema" or name in SCHEMAS


def run(connection: sa.Connection) -> None:
    """Migrate on this connection, in one transaction."""
    context.configure(
        connection=connection,
        target_metadata=[AppBase.metadata, IdentityBase.metadata, ConsentBase.metadata],
        include_schemas=True,
        include_name=_ours,
        version_table="schema_version",
        version_table_schema="public",
    )
    with context.begin_transaction(), warnings.catch_warnings():
        # Before PostgreSQL 18 a computed column can only be stored; which it is changes nothing.
        warnings.filterwarnings("ignore", "Computed column", sa.exc.SAWarning)
        context.run_migrations()


run(context.config.attributes["connection"])

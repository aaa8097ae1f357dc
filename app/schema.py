"""Brings the database schema up to date; several processes may ask for it at once."""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

import migrations
from app import restored

if TYPE_CHECKING:
    from alembic.config import Config

#: Where Alembic finds the migrations, whose names begin with their revision.
PLACE = Path(migrations.__file__).parent


def configuration(connection: sa.Connection) -> "Config":
    """Return Alembic's configuration, bound to this connection."""
    config: Config = import_module("alembic.config").Config()
    config.set_main_option("script_location", str(PLACE))
    config.attributes["connection"] = connection
    return config


def migrate(engine: sa.Engine, revision: str = "head") -> None:
    """Upgrade the schema in one transaction; a second caller waits and finds nothing to do.

    A database that was restored from another cluster is ready to go on afterwards.
    """
    with engine.begin() as connection:
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(hashtextextended('migrate', 0))"))
        if revision != "head" or _current(connection) != newest():
            _command().upgrade(configuration(connection), revision)
    if revision == "head":
        restored.go_on(engine)


def downgrade(engine: sa.Engine, revision: str) -> None:
    """Take the schema back to an earlier revision; the data of what disappears is lost."""
    with engine.begin() as connection:
        _command().downgrade(configuration(connection), revision)


def newest() -> str:
    """Return the revision that this version of the product needs."""
    return max(file.name for file in PLACE.glob("versions/[0-9]*.py")).partition("_")[0]


def _current(connection: sa.Connection) -> str | None:
    """Return the revision of the database; None where it has none yet."""
    if connection.scalar(sa.text("SELECT to_regclass('public.schema_version')")) is None:
        return None
    found = connection.scalars(sa.text("SELECT version_num FROM public.schema_version")).all()
    return str(found[0]) if len(found) == 1 else None


def _command() -> Any:
    """Return Alembic's commands: 0.15 s to load, which a database that is up to date needs not."""
    return import_module("alembic.command")

"""Brings the database schema up to date; several processes may ask for it at once."""

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

import migrations
from app import restored


def configuration(connection: sa.Connection) -> Config:
    """Return Alembic's configuration, bound to this connection."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.attributes["connection"] = connection
    return config


def migrate(engine: sa.Engine, revision: str = "head") -> None:
    """Upgrade the schema in one transaction; a second caller waits and finds nothing to do.

    A database that was restored from another cluster is ready to go on afterwards.
    """
    with engine.begin() as connection:
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(hashtextextended('migrate', 0))"))
        config = configuration(connection)
        command.upgrade(config, revision)
    if revision == "head":
        restored.go_on(engine)


def downgrade(engine: sa.Engine, revision: str) -> None:
    """Take the schema back to an earlier revision; the data of what disappears is lost."""
    with engine.begin() as connection:
        command.downgrade(configuration(connection), revision)

"""What every command needs: the database (started if need be, migrated), and how to speak."""

import json
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

import consent
from app import analysts, db, schema
from app.db import Sessions
from app.destinations import folders, seal
from app.lake import turns
from app.ledger.keystore import Keystore
from app.postgres import database
from app.privacy import refusals
from app.privacy.replay import replay
from app.settings import Settings
from app.suppression import gate
from identity import identifiers

DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Where the embedded PostgreSQL and the lake live."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]

err = Console(stderr=True)


def settings(data_dir: Path | None = None) -> Settings:
    """Return the configuration, with what the command line said on top."""
    return Settings(data_dir=data_dir) if data_dir else Settings()


@contextmanager
def opened(settings: Settings) -> Iterator[Sessions]:
    """Yield sessions on the migrated database; works beside a running server and without one."""
    identifiers.read_phones_of(settings.default_region)
    gate.use(settings)
    turns.use(settings)
    seal.use(settings)
    folders.use(settings)
    with database(settings) as url:
        engine = db.engine(url, pool_size=8)
        try:
            schema.migrate(engine)
            sessions = db.sessions(engine)
            with sessions.begin() as session:
                consent.catalogue.seed(session)
                analysts.refresh(session)
            replay(sessions, settings)
            if refusals.behind(sessions, settings):
                with closing(Keystore(settings)) as keystore:
                    refusals.repeat(sessions, keystore, settings)
            yield sessions
        finally:
            engine.dispose()


def show(data: Any, as_json: bool, *columns: str) -> None:
    """Print data: as JSON, its times as RFC 3339 has them, or as a table of these columns."""
    if as_json or not isinstance(data, list):
        sys.stdout.write(json.dumps(data, indent=2, ensure_ascii=False, default=_plain) + "\n")
        return
    # In a narrow terminal a cell gets longer: cut short, codes and pointers say nothing.
    table = Table(*(Column(_cell(column), overflow="fold") for column in columns))
    for row in data:
        table.add_row(*(_cell(row.get(column)) for column in columns))
    Console().print(table)


def say(*sentences: str) -> None:
    """Print sentences, a line each, and nothing in them that a terminal would obey."""
    for sentence in sentences:
        typer.echo(visible(sentence))


def visible(text: str) -> str:
    """Return a text without what a terminal would obey or hide: identifiers are anybody's."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _cell(value: Any) -> Text:
    """Return what a cell shows: no markup, and nothing that a terminal would obey or hide."""
    if isinstance(value, list):
        text = ", ".join(map(str, value))
    else:
        text = "" if value is None else str(value)
    return Text(visible(text))

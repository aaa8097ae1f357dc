"""What the embedded PostgreSQL writes into its own log names nobody."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest
import sqlalchemy as sa

import consent
from app import db, schema
from app.access import sources
from app.db import Sessions
from app.events.append import append
from app.events.body import to_message
from app.events.envelope import Envelope, read
from app.events.insert import WORTH_A_COPY, Way
from app.events.item import Item
from app.events.memory import Memory
from app.postgres import embedded

SETTING = "log_error_verbosity = terse"


@pytest.fixture
def home() -> Iterator[Path]:
    with TemporaryDirectory(prefix="parcours-log-") as folder:
        yield Path(folder)


def items(sessions: Sessions) -> list[Item]:
    """As many events as are copied, of one person."""
    with sessions.begin() as session:
        consent.catalogue.seed(session)
        source = sources.settings_of(sources.add(session, "web")[0])
    now = datetime.now(UTC)
    made = []
    for number in range(WORTH_A_COPY):
        who = "alice@example.com"
        message = {"type": "track", "event": "Read", "userId": who, "messageId": f"{who}-{number}"}
        found = read(to_message(message), received_at=now, largest=9_999)
        assert isinstance(found, Envelope)
        made.append(Item(source, found, now))
    return made


def waits(sessions: Sessions) -> bool:
    with sessions() as session:
        return bool(session.scalar(sa.text("SELECT count(*) FROM pg_locks WHERE NOT granted")))


def test_two_writers_of_one_event_leave_its_message_id_out_of_the_log(home: Path) -> None:
    with embedded(home) as url:
        engine = db.engine(url)
        schema.migrate(engine)
        sessions = db.sessions(engine)
        events = items(sessions)

        def second() -> None:
            with sessions.begin() as session:
                append(session, events, Memory(), way=Way.SOUGHT)

        with sessions.begin() as session:  # on whose rows they would wait for each other
            Memory().ids(session, set(events[0].speakers))
        with ThreadPoolExecutor(1) as pool:
            with sessions.begin() as session:
                append(session, events, Memory(), way=Way.SOUGHT)
                racing = pool.submit(second)
                deadline = time.monotonic() + 20
                while not waits(sessions):
                    assert time.monotonic() < deadline
                    time.sleep(0.01)
            with pytest.raises(sa.exc.IntegrityError):
                racing.result(20)
        engine.dispose()
    log = (home / "postgres" / "server.log").read_text()
    assert "duplicate key value" in log
    assert "DETAIL" not in log
    assert "CONTEXT" not in log
    assert "alice" not in log


def test_a_data_directory_of_an_earlier_version_gets_the_setting_running_or_not(
    home: Path,
) -> None:
    configuration = home / "postgres" / "parcours.conf"

    def forget() -> None:
        lines = configuration.read_text().splitlines(keepends=True)
        kept = [line for line in lines if not line.startswith(SETTING)]
        assert len(kept) == len(lines) - 1
        configuration.write_text("".join(kept))

    with embedded(home) as url:
        assert setting(url) == "terse"
    forget()
    with embedded(home) as url:
        assert setting(url) == "terse"
        forget()
        with psycopg.connect(url) as connection:
            connection.execute("SELECT pg_reload_conf()")
        until(url, "default")
        with embedded(home):
            until(url, "terse")


def setting(url: str) -> str:
    with psycopg.connect(url) as connection:
        row = connection.execute("SHOW log_error_verbosity").fetchone()
        assert row is not None
        return str(row[0])


def until(url: str, wanted: str) -> None:
    deadline = time.monotonic() + 10
    while setting(url) != wanted:
        assert time.monotonic() < deadline
        time.sleep(0.02)

"""A database of matched people, for tests of what is said and asked of them: one run for all."""

from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

import consent
from app import db, matching
from app.consents.record import record as record_consent
from identity import graph, records, reviews
from tests.app import test_matching
from tests.conftest import _execute, _named

NOW = datetime(2026, 11, 28, tzinfo=UTC)
AUTO, REVIEW = 0.95, 0.6
Named = dict[str, dict[str, str]]
ADA = {
    "first_name": "ada", "last_name": "lovelace", "birth_date": "1985-12-10",
    "email": "countess@mail.net", "phone": "447700900123", "postcode": "NW15LS",
}  # fmt: skip
#: Beside a town of strangers: one person twice, a brother, and who may not be matched.
NAMED: Named = {
    "ada": ADA,
    "twice": {**ADA, "last_name": "lovelaec", "email": "other@post.org"},
    "brother": {
        "first_name": "byron",
        "last_name": "lovelace",
        "birth_date": "1983-01-22",
        "postcode": "NW15LS",
    },
    "grace": {
        "first_name": "grace",
        "last_name": "hopper",
        "birth_date": "1986-12-09",
        "postcode": "NW15LS",
    },
    "initial": {"first_name": "g", "last_name": "hopper", "birth_date": "1986-02-19"},
    "refuses": {**ADA, "email": "refuses@mail.net"},
    "silent": {**ADA, "email": "silent@mail.net"},
    "stranger": {"first_name": "zoe", "last_name": "quartermain", "birth_date": "1999-01-31"},
}


def keep(session: Session, named: Named) -> dict[str, int]:
    """Records of people of whom most gave `profile.link`, as consent and identity know it."""
    made = graph.identify(session, [("crm_id", name) for name in named])
    ids = {name: made["crm_id", name] for name in named}
    graph.settle(session, list(ids.values()))
    for name in ids.keys() - {"silent"}:
        state = "refused" if name == "refuses" else "given"
        record_consent(
            session, "crm_id", name, {consent.LINK: state}, collected_by="test", received_at=NOW
        )
        graph.set_link_consent(session, {ids[name]: state})
    records.keep(session, {ids[name]: fields for name, fields in named.items()})
    return ids


@pytest.fixture(scope="session")
def matched_template(server_url: str, template: str) -> Iterator[str]:
    """The name of a database of matched people, for others to be cloned from."""
    name = f"matched_{uuid4().hex[:12]}"
    _execute(server_url, f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY FILE_COPY')
    engine = db.engine(_named(server_url, name))
    sessions = db.sessions(engine)
    with sessions.begin() as session:
        keep(session, {**test_matching.numbered(test_matching.people(150, 7)), **NAMED})
        reviews.request_run(session, {"asked_by": "test"})
    matching.run_waiting(sessions, auto=AUTO, review=REVIEW)
    engine.dispose()
    yield name
    _execute(server_url, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def matched_url(server_url: str, matched_template: str) -> Iterator[str]:
    """The address of a copy of it, for one test."""
    name = f"test_{uuid4().hex[:12]}"
    _execute(
        server_url, f'CREATE DATABASE "{name}" TEMPLATE "{matched_template}" STRATEGY FILE_COPY'
    )
    yield _named(server_url, name)
    _execute(server_url, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(scope="session")
def matched_engine(server_url: str, matched_template: str) -> Iterator[sa.Engine]:
    """One engine on a copy of it, for tests that roll back."""
    name = f"kept_{uuid4().hex[:12]}"
    _execute(
        server_url, f'CREATE DATABASE "{name}" TEMPLATE "{matched_template}" STRATEGY FILE_COPY'
    )
    engine = db.engine(_named(server_url, name))
    yield engine
    engine.dispose()
    _execute(server_url, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def matched(matched_engine: sa.Engine) -> Iterator[Session]:
    """A session among matched people; nothing of it survives the test."""
    with db.sessions(matched_engine)() as session:
        yield session


@pytest.fixture
def ids(matched: Session) -> dict[str, int]:
    """The identifiers of the matched people, by name."""
    rows = matched.execute(sa.text("SELECT value, id FROM identity.identifier"))
    return {row.value: row.id for row in rows}

"""Check 85: a role for analyses reads what consent lets it, and can do nothing else."""
# ruff: noqa: S608 -- the statements here are of ours

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

import consent
from app import analysts
from app.consents.permission import parameters, permissions
from app.consents.record import record
from app.errors import AnalystExists, AnalystNotFound, DefinitionInvalid
from consent.tables import PurposeVersion
from identity import people
from tests.app.privacy.conftest import World, world

__all__ = ["world"]
PURPOSE = "analytics.audience"
OTHER = "marketing.email"
ROLE = "analyst_85"


@contextmanager
def role(world: World, *purposes: str) -> Iterator[Callable[..., list[tuple[Any, ...]]]]:
    """A role with a connection of its own; roles belong to the server, so it is removed again."""
    with world.sessions.begin() as session:
        analysts.add(session, ROLE, purposes)
    url = sa.make_url(str(world.settings.database_url)).render_as_string(hide_password=False)

    def ask(text: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(url) as connection:
            # As whoever signs in with it: a superuser keeps no right in this connection.
            connection.execute(f"SET SESSION AUTHORIZATION {ROLE}".encode())
            return connection.execute(text.encode()).fetchall()

    try:
        yield ask
    finally:
        with world.sessions.begin() as session:
            analysts.remove(session, ROLE)


def live(world: World) -> None:
    given = {
        "consent": {"categoryPreferences": dict.fromkeys((PURPOSE, OTHER, consent.LINK), True)}
    }
    refused = {"consent": {"categoryPreferences": {PURPOSE: False}}}
    world.send(
        {"type": "identify", "userId": "yes", "traits": {"city": "Lyon"}, "context": given},
        {"type": "track", "userId": "yes", "event": "Order", "properties": {"n": 1},
         "context": given},
        {"type": "track", "userId": "no", "event": "Order", "context": refused},
        {"type": "track", "userId": "silent", "event": "Order"},
    )  # fmt: skip


def say(world: World, user: str, state: str, purpose: str = PURPOSE) -> None:
    with world.sessions.begin() as session:
        record(
            session, "user_id", user, {purpose: state}, collected_by="test",
            received_at=datetime.now(UTC),
        )  # fmt: skip


EVENTS = f"SELECT * FROM analytics.\"{PURPOSE}:events\" WHERE name = 'Order'"
TRAITS = f'SELECT * FROM analytics."{PURPOSE}:traits"'


def test_85_an_analytics_role_reads_who_allows_the_purpose_and_nothing_else(world: World) -> None:
    live(world)
    with role(world, PURPOSE) as ask:
        [event] = ask(EVENTS)
        with world.sessions() as session:
            person = people.find(session, "user_id", "yes") or 0
            assert event[0] == people.profile_ids(session, [person])[person]
            tables = session.scalars(
                sa.text(
                    "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables "
                    "WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
                )
            ).all()
        assert event[7] == {"n": 1}
        assert [(t[1], t[2]) for t in ask(TRAITS)] == [("city", "Lyon")]
        assert len(tables) > 40
        for table in tables:
            for sort in (f"SELECT * FROM {table}", f"DELETE FROM {table} RETURNING 1"):
                with pytest.raises((psycopg.errors.InsufficientPrivilege,
                                    psycopg.errors.ReadOnlySqlTransaction)):  # fmt: skip
                    ask(sort)
        for forbidden in (
            f'SELECT * FROM analytics."{OTHER}:events"',
            "SELECT consent.refuse_change()",
            "CREATE TABLE public.mine (n int)",
            "CREATE FUNCTION analytics.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "SELECT pg_read_file('postgresql.conf')",
            "SELECT rolpassword FROM pg_authid",
            "COPY (SELECT 1) TO PROGRAM 'true'",
            "SET ROLE postgres",
        ):
            with pytest.raises(psycopg.Error):
                ask(forbidden)

        say(world, "yes", "withdrawn")
        assert ask(EVENTS) == ask(TRAITS) == []
        say(world, "no", "given")  # its event carried a refusal, which stays with the event
        say(world, "silent", "given")
        assert len(ask(EVENTS)) == 1


def test_85_the_views_decide_as_the_product_does_by_every_version_of_the_purpose(
    world: World,
) -> None:
    live(world)
    say(world, "silent", "given")
    with role(world, PURPOSE) as ask:

        def both() -> tuple[int, int]:
            with world.sessions() as session:
                allowed = sum(p.allowed for p in permissions(session, PURPOSE))
            return allowed, len({row[0] for row in ask(EVENTS)})

        assert both() == (2, 2)
        with world.sessions.begin() as session:
            now = consent.catalogue.purpose(session, PURPOSE)
            consent.catalogue.add_purpose(
                session,
                consent.Purpose(
                    key=PURPOSE, version=now.version + 1, lawful_basis=now.lawful_basis,
                    mode=now.mode, title=now.title, renews=True,
                    effective_from=datetime.now(UTC) + timedelta(days=1),
                ),
            )  # fmt: skip
        assert both() == (2, 2), "it takes effect tomorrow"
        with world.sessions.begin() as session:
            session.execute(sa.text("SET LOCAL session_replication_role = replica"))
            session.execute(sa.text("UPDATE consent.purpose SET effective_from = now() "
                                    "WHERE effective_from > now()"))  # fmt: skip
        assert both() == (0, 0), "earlier consent is stale"


def test_85_the_views_know_what_is_below_marketing_and_what_was_widened(world: World) -> None:
    """Neither of which a version says of itself."""
    live(world)
    with world.sessions.begin() as session:
        for user in ("yes", "silent"):
            demand = (
                "INSERT INTO consent.restriction (namespace, value, kind, from_at, reason_ref) "
                "VALUES ('user_id', :user, 'objection_marketing', now(), 'test')"
            )
            session.execute(sa.text(demand), {"user": user})
        below = consent.Purpose(
            "offers", lawful_basis="legitimate_interests", parent="marketing",
            effective_from=datetime.now(UTC),
        )  # fmt: skip
        consent.catalogue.add_purpose(session, below)
    with role(world, PURPOSE, "offers") as ask:
        with world.sessions() as session:
            allowed = {p.profile_id for p in named(session, "offers") if p.allowed}
        assert len(allowed) == 1, "of the three, only one has not objected"
        seen = ask("SELECT profile_id FROM analytics.\"offers:events\" WHERE name = 'Order'")
        assert {row[0] for row in seen} == allowed

        assert len(ask(EVENTS)) == 1
        with world.sessions.begin() as session:
            insert(session, PURPOSE, 2, explicit=True)
            reasons = {p.reason for p in permissions(session, PURPOSE)}
            assert "given" not in reasons
            assert "stale_notice" in reasons
        assert ask(EVENTS) == [], "who agreed before that asked for it was not asked"


@dataclass(frozen=True)
class Named:
    """What is decided of one profile."""

    profile_id: Any
    allowed: bool


def named(session: Session, purpose: str) -> list[Named]:
    decided = permissions(session, purpose)
    profiles = people.profile_ids(session, [p.person_id for p in decided])
    return [Named(profiles[p.person_id], p.allowed) for p in decided]


def insert(session: Session, key: str, version: int, **more: Any) -> None:
    """Write a version straight into the table: also one that would be refused today."""
    said = {
        "lawful_basis": "consent", "mode": "most_restrictive", "title": {}, "description": {},
        "effective_from": datetime.now(UTC), **more,
    }  # fmt: skip
    session.execute(sa.insert(PurposeVersion).values(key=key, version=version, **said))


SPECIAL = ("health", "religion", "sexual_orientation")


@pytest.mark.parametrize("seed", range(3))
def test_85_the_version_in_force_is_that_of_the_product_whatever_versions_there_are(
    session: Session, seed: int
) -> None:
    dice = random.Random(seed)  # noqa: S311 -- a seeded test, no secret
    now = datetime.now(UTC)
    keys = [f"random.{n}" for n in range(60)]
    for n, key in enumerate(keys):
        basis = dice.choice(("consent", "consent", "consent", "legitimate_interests"))
        for version in range(1, dice.randrange(2, 8)):
            insert(
                session, key, version, lawful_basis=basis,
                mode=dice.choice(("most_restrictive", "per_identifier")),
                renews=dice.random() < 0.15, explicit=dice.random() < 0.2 * version,
                adults_only=dice.random() < 0.2, linkable=dice.random() < 0.8,
                direct_marketing=dice.random() < 0.2,
                parent=dice.choice((None, None, None, "marketing", *keys[:n][-3:])),
                declared=dice.choice((
                    {}, {"special_categories": dice.sample(SPECIAL, dice.randrange(4))}
                )),
                effective_from=now + dice.choice((-9, -3, -1, -1, -1, 5)) * timedelta(days=1),
            )  # fmt: skip
    known = consent.catalogue.purposes(session)
    values = ", ".join(f"{text} AS {name}" for name, text in analysts.PARAMETERS.items())
    renewed = {"said": 0, "wider": 0, "no": 0, "below": 0}
    for key in keys:
        read = f"WITH in_force AS ({analysts.in_force(key)}) SELECT {values} FROM in_force"
        row = session.execute(sa.text(read)).one_or_none()
        if key not in known:
            assert row is None
            continue
        assert row is not None
        assert dict(row._mapping) == parameters(known[key], None)
        by = [
            v for v in consent.catalogue.versions(session, key) if v.version == known[key].renewed
        ]
        renewed["no" if not by else "said" if by[0].renews else "wider"] += 1
        own = "SELECT direct_marketing FROM consent.purpose WHERE (key, version) = (:key, :version)"
        said = session.scalar(sa.text(own), {"key": key, "version": known[key].version})
        renewed["below"] += known[key].direct_marketing and not said
    assert all(renewed.values()), renewed


def test_whoever_adds_a_parameter_to_the_decision_gives_it_to_the_views(session: Session) -> None:
    asked = parameters(consent.catalogue.purpose(session, PURPOSE), None)
    assert analysts.PARAMETERS.keys() == asked.keys()


def test_85_roles_are_listed_made_anew_and_removed(world: World) -> None:
    with role(world, PURPOSE, OTHER) as ask:
        with world.sessions.begin() as session:
            assert [(a.name, a.purposes) for a in analysts.list_all(session)] == [
                (ROLE, (PURPOSE, OTHER))
            ]
            assert analysts.refresh(session) == 0
            session.execute(
                sa.text(
                    f"COMMENT ON FUNCTION analytics.\"{PURPOSE}:events\"() IS '{PURPOSE} of-before'"
                )
            )
            assert analysts.refresh(session) == 1
            with pytest.raises(AnalystExists):
                analysts.add(session, ROLE, [PURPOSE])
        assert ask(EVENTS) == []
    with world.sessions.begin() as session:
        assert analysts.list_all(session) == []
        for name in (ROLE, "postgres"):
            with pytest.raises(AnalystNotFound):
                analysts.remove(session, name)
        for name in ("", "Robert'); DROP TABLE app.event; --", "ä"):
            with pytest.raises(DefinitionInvalid):
                analysts.add(session, name, [PURPOSE])
        with pytest.raises(consent.PurposeNotFound):
            analysts.add(session, ROLE, ["no.such"])

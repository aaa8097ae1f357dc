"""The schema moves forward and back, holds what the code expects, and keeps what is in it."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy.orm import Session

import consent
from app import db, schema
from app.access import sources, write_keys
from consent import Choice
from identity import graph

NOW = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.fixture
def empty(server_url: str) -> Iterator[sa.Engine]:
    """An engine on a database without any schema of ours."""
    name = f"empty_{uuid4().hex[:12]}"
    admin = db.engine(server_url).execution_options(isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(sa.text(f'CREATE DATABASE "{name}" TEMPLATE template0'))
    url = sa.make_url(server_url).set(database=name).render_as_string(hide_password=False)
    engine = db.engine(url)
    yield engine
    engine.dispose()
    with admin.connect() as connection:
        connection.execute(sa.text(f'DROP DATABASE "{name}" WITH (FORCE)'))
    admin.dispose()


def revisions(engine: sa.Engine) -> list[str]:
    """All revisions, oldest first."""
    with engine.connect() as connection:
        script = ScriptDirectory.from_config(schema.configuration(connection))
        assert len(script.get_heads()) == 1
        return [r.revision for r in script.walk_revisions()][::-1]


def shape(engine: sa.Engine) -> set[tuple[str, ...]]:
    """Every column, index, constraint, view and trigger of ours."""
    queries = (
        "SELECT table_schema, table_name, column_name, data_type, is_nullable, "
        "coalesce(column_default, '') FROM information_schema.columns WHERE table_schema = any(:s)",
        "SELECT schemaname, indexname, indexdef FROM pg_indexes WHERE schemaname = any(:s)",
        "SELECT schemaname, viewname, definition FROM pg_views WHERE schemaname = any(:s)",
        "SELECT trigger_schema, trigger_name, event_manipulation FROM information_schema.triggers "
        "WHERE trigger_schema = any(:s)",
        "SELECT n.nspname, c.conname, pg_get_constraintdef(c.oid) FROM pg_constraint c "
        "JOIN pg_namespace n ON n.oid = c.connamespace WHERE n.nspname = any(:s)",
    )
    with engine.connect() as connection:
        return {
            tuple(map(str, row))
            for query in queries
            for row in connection.execute(sa.text(query), {"s": ["app", "identity", "consent"]})
        }


def fill(session: Session) -> None:
    """Put something of every schema into the database."""
    consent.catalogue.seed(session)
    consent.record(
        session, [Choice("user_id", "ada", "ads.share", "given", NOW, "test")], received_at=NOW
    )
    ids = graph.identify(session, [("user_id", "ada"), ("email", "ada@example.org")])
    left, right = ids.values()
    evidence = graph.Evidence(left, right, "event", "identify", NOW)
    graph.reconsider(session, graph.observe(session, [evidence]), at=NOW)


def content(engine: sa.Engine) -> dict[str, list[dict[str, Any]]]:
    """All rows of all tables of ours, by column."""
    with engine.connect() as connection:
        tables = connection.scalars(
            sa.text(
                "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables "
                "WHERE schemaname IN ('identity', 'consent', 'app')"
            )
        ).all()
        return {
            table: list(connection.scalars(sa.text(f"SELECT to_jsonb(t) FROM {table} t")))  # noqa: S608 -- names from the catalogue
            for table in tables
        }


def in_columns(rows: list[dict[str, Any]], columns: Iterable[str]) -> Counter[str]:
    """The rows with these columns only."""
    return Counter(json.dumps({c: row[c] for c in columns}, sort_keys=True) for row in rows)


def test_there_is_one_head_and_the_code_expects_exactly_it(empty: sa.Engine) -> None:
    assert revisions(empty)[-1] == schema.newest()
    schema.migrate(empty)
    with empty.begin() as connection:
        command.check(schema.configuration(connection))


def test_up_down_and_up_again_ends_in_the_same_schema(empty: sa.Engine) -> None:
    schema.migrate(empty)
    before = shape(empty)
    schema.downgrade(empty, "base")
    assert shape(empty) == set()
    schema.migrate(empty)
    assert shape(empty) == before


def test_each_step_back_is_the_step_forward_undone(empty: sa.Engine) -> None:
    for revision in revisions(empty):
        before = shape(empty)
        schema.migrate(empty, revision)
        after = shape(empty)
        schema.downgrade(empty, "-1")
        assert shape(empty) == before
        schema.migrate(empty, revision)
        assert shape(empty) == after


def test_a_database_that_holds_data_is_upgraded_and_loses_nothing(empty: sa.Engine) -> None:
    schema.migrate(empty)
    with db.sessions(empty).begin() as session:
        fill(session)  # in today's schema: the code knows no other
    schema.downgrade(empty, "-1")
    before = content(empty)
    assert sum(map(len, before.values())) > 10
    schema.migrate(empty)
    after = content(empty)
    for table, rows in before.items():
        columns = rows[0].keys() & after[table][0].keys() if rows else set()
        assert not in_columns(rows, columns) - in_columns(after[table], columns), table
    with db.sessions(empty).begin() as session:
        assert sources.add(session, "web")[1]
    schema.migrate(empty)  # a second caller finds nothing to do


def test_two_processes_may_migrate_at_once(empty: sa.Engine) -> None:
    schema.migrate(empty)
    schema.migrate(empty)
    with empty.connect() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM public.schema_version")) == 1


def test_write_keys_survive_the_way_to_several_of_them_and_back(empty: sa.Engine) -> None:
    schema.migrate(empty, "0003")
    insert = sa.text(
        "INSERT INTO app.source (name, write_key_hash, collection_purpose, stamp_is_evidence, "
        "categories) VALUES ('web', :hash, 'service.operation', true, '{}')"
    )
    with empty.begin() as connection:
        connection.execute(insert, {"hash": write_keys.hash_key("wk_old")})
    schema.migrate(empty)
    with db.sessions(empty).begin() as session:
        old = sources.find_by_key(session, "wk_old")
        assert old is not None
        new = write_keys.add(session, old.id)[1]
        sources.add(session, "app")
    schema.downgrade(empty, "0003")
    schema.migrate(empty)
    with db.sessions(empty)() as session:
        again = sources.find_by_key(session, new)
        assert again is not None
        assert again.name == "web"
        assert sources.find_by_key(session, "wk_old") is None


def test_a_database_full_of_events_is_put_into_partitions_and_back(empty: sa.Engine) -> None:
    with empty.connect() as connection:
        script = ScriptDirectory.from_config(schema.configuration(connection))
        [revision] = [r for r in script.walk_revisions() if "partitions" in r.path]
    partitioned, before_it = revision.revision, revision.down_revision
    assert isinstance(before_it, str)
    schema.migrate(empty, before_it)
    insert = sa.text(
        "INSERT INTO app.event (source_id, message_id, type, identifier_id, identifier_ids,"
        " occurred_at, received_at, refused, properties, context)"
        " VALUES (1, :id, 'track', 1, '{1}', now(), now(), '{}', '{\"b\": 1, \"a\": 2.50}', '{}')"
        " RETURNING id"
    )
    with empty.begin() as connection:
        last = [connection.scalar(insert, {"id": f"m-{n}"}) for n in range(500)][-1]
        connection.execute(
            sa.text(
                "INSERT INTO app.trait (identifier_id, key, refused, value, occurred_at,"
                " received_at, event_id, source_id) VALUES (1, 'k', '{}', '1', now(), now(),"
                " :event, 1)"
            ),
            {"event": last},
        )
    before = events(empty)
    schema.migrate(empty, partitioned)
    assert events(empty) == before
    into = sa.text(
        insert.text.replace("context)", "context, part)").replace("'{}')", "'{}', :part)")
    )
    with empty.begin() as connection:
        assert connection.scalar(sa.text("SELECT message_id FROM app.trait")) == "m-499"
        assert connection.scalar(into, {"id": "new", "part": 1}) > last
        # Long after, in another partition, a message id may come again.
        assert connection.scalar(into, {"id": "m-7", "part": 2}) > last + 1
    with pytest.raises(sa.exc.IntegrityError), empty.begin() as connection:
        connection.execute(into, {"id": "m-7", "part": 1})
    schema.downgrade(empty, "-1")
    after = events(empty)
    assert after[: len(before)] == before
    assert [row[3] for row in after[len(before) :]] == ["new"]
    with empty.begin() as connection:
        assert connection.scalar(insert, {"id": "newer"}) > after[-1][0]


def events(engine: sa.Engine) -> list[tuple[object, ...]]:
    """All events by their ids, in the columns that each revision has."""
    with engine.connect() as connection:
        rows = connection.execute(
            sa.text(
                "SELECT id, CAST(transaction AS text), source_id, message_id, type, identifier_ids,"
                " occurred_at, received_at, refused, CAST(properties AS text) FROM app.event"
                " ORDER BY id"
            )
        )
        return [tuple(row) for row in rows]


def test_a_destination_that_was_deleted_comes_back_as_removed_by_what_it_was_sent(
    empty: sa.Engine,
) -> None:
    schema.migrate(empty, "0047")
    leaf = json.dumps({"destination": {"id": "7", "name": "mail house", "host": "mail.test"}})
    with empty.begin() as connection:
        connection.execute(
            sa.text(
                "INSERT INTO app.disclosure (destination_id, purpose, identifier_ids, leaf,"
                " decided_at) SELECT 7, 'marketing.email', '{1}', :leaf, now()"
                " FROM generate_series(1, 2)"
            ),
            {"leaf": leaf},
        )
    schema.migrate(empty)
    with empty.connect() as connection:
        rows = connection.execute(
            sa.text(
                "SELECT id, name, url, purpose, enabled, removed_at IS NOT NULL AS removed"
                " FROM app.destination"
            )
        ).all()
    assert [tuple(row) for row in rows] == [
        (7, "mail house", "//mail.test", "marketing.email", False, True)
    ]


def test_whom_newer_rules_of_the_catalogue_concern_is_looked_at_again(empty: sa.Engine) -> None:
    schema.migrate(empty, "0055")
    people = {"covered": 1, "agreed_anew": 2, "other": 1}
    with Session(empty) as session, session.begin():
        ids = graph.identify(session, [("user_id", name) for name in (*people, "objected")])
        versions = (
            "INSERT INTO consent.purpose (key, version, lawful_basis, mode, title, description, "
            "parent, declared) VALUES (:key, :version, :basis, 'most_restrictive', '{}', '{}', "
            ":parent, CAST(:declared AS jsonb))"
        )
        health = '{"special_categories": ["health"]}'
        for key, version, basis, parent, declared in (
            ("care", 1, "consent", None, "{}"),
            ("care", 2, "consent", None, health),
            ("news", 1, "consent", None, health),
            ("news", 2, "consent", None, "{}"),
            ("offers", 1, "contract", "marketing", "{}"),
        ):
            said = {"key": key, "version": version, "basis": basis, "parent": parent,
                    "declared": declared}  # fmt: skip
            session.execute(sa.text(versions), said)
        choices = [
            Choice("user_id", name, "news" if name == "other" else "care", "given", NOW, "test",
                   purpose_version=version)
            for name, version in people.items()
        ]  # fmt: skip
        consent.record(session, choices, received_at=NOW)
        session.execute(
            sa.text(
                "INSERT INTO consent.restriction (namespace, value, kind, from_at, reason_ref) "
                "VALUES ('user_id', 'objected', 'objection_marketing', now(), 'test')"
            )
        )
        session.execute(sa.text("DELETE FROM app.touched"))
    schema.migrate(empty)
    with empty.connect() as connection:
        rows = connection.execute(sa.text("SELECT identifier_id, details FROM app.touched"))
        touched = {row.identifier_id: row.details for row in rows}
    assert touched == {
        ids["user_id", "covered"]: {"care": "stale_notice"},
        ids["user_id", "objected"]: {"all": "objection_marketing"},
    }


def test_what_webhooks_were_told_before_is_held_and_put_right(empty: sa.Engine) -> None:
    """Ada was told of with a device that is somebody else's since; Bob has left, Eve never was."""
    schema.migrate(empty, "0064")
    with Session(empty) as session, session.begin():
        names = [("user_id", name) for name in ("ada", "bob", "eve", "zoe")]
        ids = graph.identify(session, [*names, ("anonymous_id", "dev")])
        session.execute(
            sa.text(
                "INSERT INTO app.destination (id, name, kind, url, secret, purpose, segments,"
                " enabled) OVERRIDING SYSTEM VALUE"
                " VALUES (1, 'w', 'webhook', 'http://w', '', 'p', '{}', true)"
            )
        )
        told = (("ada", "entered", True), ("ada", "exited", False), ("bob", "entered", True),
                ("bob", "exited", True), ("eve", "entered", False),
                ("zoe", "entered", True))  # fmt: skip
        for name, kind, sent in told:
            session.execute(
                sa.text(
                    "INSERT INTO app.delivery (destination_id, message_id, person_id, profile_id,"
                    " type, payload, state, sent, due_at, created_at)"
                    " SELECT 1, gen_random_uuid(), i, profile_id, :type, '{\"segment\": \"s\"}',"
                    " :state, :sent, now(), now() FROM identity.current_person"
                    " JOIN unnest(ARRAY[CAST(:id AS bigint)]) i ON i = identifier_id"
                ),
                {"type": f"segment.{kind}", "state": "delivered" if sent else "waiting",
                 "sent": sent, "id": ids["user_id", name]},
            )  # fmt: skip
        for name, others in (("ada", [ids["anonymous_id", "dev"]]), ("zoe", [])):
            session.execute(
                sa.text(
                    "INSERT INTO app.disclosure (destination_id, purpose, identifier_ids, leaf,"
                    " decided_at) SELECT 1, 'p', CAST(:all AS bigint[]),"
                    " json_build_object('profile', profile_id), now()"
                    " FROM identity.current_person WHERE identifier_id = :id"
                ),
                {"all": [ids["user_id", name], *others], "id": ids["user_id", name]},
            )
    schema.migrate(empty, "0065")
    with empty.connect() as connection:
        held = connection.execute(sa.text("SELECT person_id, segments FROM app.held_record"))
        looks = connection.execute(
            sa.text("SELECT person_id, state FROM app.delivery WHERE type = 'profile.updated'")
        )
        ada, zoe = ids["user_id", "ada"], ids["user_id", "zoe"]
        assert {row.person_id: row.segments for row in held} == {ada: ["s"], zoe: ["s"]}
        assert {row.person_id: row.state for row in looks} == {ada: "waiting"}


def test_alerts_from_before_say_by_themselves_whom_to_tell_of_what(empty: sa.Engine) -> None:
    schema.migrate(empty, "0073")
    said = {"name": "Orders", "analysis": "funnel", "alert": {"destination": "alarms"}}
    with empty.begin() as connection:
        connection.execute(
            sa.text(
                "INSERT INTO app.saved_analysis (key, definition, purpose, of_traits, saved_at,"
                " due_at) VALUES ('orders', :said, 'marketing.email', false, now(), now())"
            ),
            {"said": json.dumps(said)},
        )
        connection.execute(
            sa.text(
                "INSERT INTO app.analysis_alert (id, saved, what, found, raised_at, told_at)"
                " VALUES (gen_random_uuid(), 'orders', 'bound', '{}', now(), now())"
            )
        )
    schema.migrate(empty)
    told = sa.text("SELECT destination, about, ended_at FROM app.analysis_alert")
    about = {"saved_analysis": "orders", "name": "Orders", "analysis": "funnel",
             "purpose": "marketing.email"}  # fmt: skip
    with empty.begin() as connection:
        assert [tuple(row) for row in connection.execute(told)] == [("alarms", about, None)]
        connection.execute(sa.text("UPDATE app.analysis_alert SET saved = NULL"))
    schema.downgrade(empty, "0073")
    with empty.connect() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM app.analysis_alert")) == 0


def test_computed_traits_of_a_window_are_computed_anew_and_stand_meanwhile(
    empty: sa.Engine,
) -> None:
    schema.migrate(empty, "0079")
    with empty.begin() as connection:
        for key, more in (("lately", ', "within_days": 30'), ("ever", "")):
            connection.execute(
                sa.text(
                    "INSERT INTO app.computed_trait (key, name, purpose, definition, position,"
                    " until, computed_at)"
                    " VALUES (:key, :key, 'p', CAST(:said AS jsonb), 9, 9, now())"
                ),
                {"key": key, "said": f'{{"kind": "count", "event": "E"{more}}}'},
            )
    schema.migrate(empty)
    asked = "SELECT key, until FROM app.computed_trait WHERE computed_at IS NOT NULL"
    with empty.connect() as connection:
        found = {row.key: row.until for row in connection.execute(sa.text(asked))}
    assert found == {"lately": None, "ever": 9}

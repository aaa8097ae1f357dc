"""No column that a decision reads can be changed behind the ledger's back.

Tables and columns are those of the database itself: one that is added is tried as well, and has to
be found, or be named here with the reason why it need not be.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

import consent
from app.db import Sessions
from app.ledger.keystore import Keystore
from consent import ages, carrying, ledger, restrictions, vendors
from tests.app.ledger.recording import NOW, choice, people, record
from tests.app.ledger.test_ledger_verify import by_id
from tests.consent.strings import V1

Sealing = Callable[..., int]

#: What a decision reads of the schema `consent`, and which rows are tried.
READ = {
    "record": "value = 'u-1'",
    "restriction": "value = 'u-2' AND lift_id IS NULL",
    "age_band": "value = 'kim'",
    "tc_string": "value = 'visitor'",
    "carried_tc_string": "value = 'new@example.org'",
    "purpose": "key = 'ads.share'",
    "notice": "key = 'banner'",
    "vendor_list": "version = 7",
}
#: The tables of the schema of which no decision reads a row.
NOT_READ = {
    "suppression": "held against the erasure journal, which is elsewhere (test_ledger_suppression)",
    "erasure": "says which transactions may delete; what they deleted is counted by keys",
    "denial": "counts of what was denied",
    "journal_due": "waits for the journal of refusals; what that tells takes away alone",
    "refusal_journal": "how far that journal tells; a smaller number hears some of it again",
    "party": "who the controller is; the ledger has the hash of each version",
    "ledger_entry": "examined itself (test_ledger_verify)",
    "ledger_node": "examined itself (test_ledger_verify)",
    "ledger_checkpoint": "examined itself (test_ledger_verify)",
    "ledger_key": "public keys; who examines names those that they trust",
    "ledger_sealed": "examined itself (test_ledger_verify)",
    "ledger_statement": "waits for the sealer; what it may say there is examined",
}
#: Columns that may change unseen, with the reason.
UNSEEN = {
    ("restriction", "id"): "in what order they are listed",
    ("tc_string", "said_at"): "that the same string was sent again; a string that differs is found",
    ("carried_tc_string", "said_at"): "as that of the string it was carried from",
    ("purpose", "created_at"): "decides nothing; since when it counts is effective_from",
    ("notice", "created_at"): "decides nothing",
    ("vendor_list", "added_at"): "decides nothing",
}
#: Another value for a type, or for a column whose values are checked.
OTHER = {
    "text": "'other'", "bigint": "{0} + 7", "smallint": "{0} + 1", "boolean": "NOT {0}",
    "timestamp with time zone": "coalesce({0}, now()) + interval '400 days'",
    "jsonb": "coalesce({0}, '{{}}') || '{{\"forged\": true}}'", "ARRAY": "'{{forged}}'",
    "uuid": "gen_random_uuid()", "xid8": "CAST('5' AS xid8)",
}  # fmt: skip
CHECKED = {
    ("record", "state"): "'refused'", ("record", "universal"): "'override'",
    ("restriction", "kind"): "'objection'", ("age_band", "band"): "'teen'",
    ("purpose", "lawful_basis"): "'contract'", ("purpose", "mode"): "'per_identifier'",
    ("purpose", "regime"): "'exempt_measurement'",
    ("purpose", "link_confidence"): "'deterministic'",
}  # fmt: skip


@pytest.fixture
def sealed(sessions: Sessions, sealing: Sealing) -> None:
    """One row of everything, all of it in the ledger."""
    people(sessions, 4)
    record(sessions, [choice("user_id:u-3", "refused")])
    with sessions.begin() as session:
        consent.catalogue.add_notice(
            session, key="banner", version=1, language="en", purposes=["ads.share"], body="Agree?"
        )
        whom = [("user_id", "u-2")]
        restrictions.restrict(session, whom, "restriction", reason_ref="r-1", at=NOW)
        restrictions.restrict(session, whom, "objection", reason_ref="r-2", at=NOW)
        restrictions.lift(session, "r-2", at=NOW + timedelta(hours=1))
        child = ages.Span("child", NOW, NOW + timedelta(days=900))
        ages.state(session, "user_id", "kim", [child], stated_by="test", at=NOW)
        old = ("email", "old@example.org")
        vendors.keep(session, {("anonymous_id", "visitor"): (V1, NOW), old: (V1, NOW)})
        carrying.carry(session, [old], [("email", "new@example.org")], by="test", at=NOW)
        vendor = {"purposes": [1], "legIntPurposes": [], "flexiblePurposes": []}
        listed = {"vendorListVersion": 7, "vendors": {"5": vendor}}
        vendors.add_list(session, json.dumps(listed).encode())
    sealing()


def columns(session: Session) -> list[tuple[str, str, str, bool]]:
    """Every column of every table of the schema, its type, and whether it is computed."""
    query = (
        "SELECT c.table_name, c.column_name, c.data_type, c.is_generated = 'ALWAYS' "
        "FROM information_schema.columns c JOIN information_schema.tables t "
        "USING (table_schema, table_name) "
        "WHERE c.table_schema = 'consent' AND t.table_type = 'BASE TABLE' ORDER BY 1, 2"
    )
    return [(str(t), str(c), str(d), bool(g)) for t, c, d, g in session.execute(sa.text(query))]


def test_every_table_of_consent_is_read_by_decisions_or_is_not(sessions: Sessions) -> None:
    with sessions() as session:
        assert {table for table, *_ in columns(session)} == READ.keys() | NOT_READ.keys()
        known = {(table, column) for table, column, *_ in columns(session)}
    assert known >= UNSEEN.keys() | CHECKED.keys()


def test_every_column_that_a_decision_reads_is_examined(
    sessions: Sessions, keystore: Keystore, sealed: None
) -> None:
    keys = by_id(keystore)

    def problems(*statements: str) -> list[str]:
        with sessions() as session:
            session.execute(sa.text("SET LOCAL session_replication_role = replica"))
            for one in statements:
                changed = session.execute(sa.text(one))
                assert changed.rowcount == 1, one  # type: ignore[attr-defined]  # a change has it
            found = ledger.verify(session, full=True, keys=keys).problems
            session.rollback()
        return [problem.what for problem in found]

    assert problems() == []
    with sessions() as session:
        asked = [row for row in columns(session) if row[0] in READ]
    unseen = set()
    for table, column, kind, computed in asked:
        if computed:
            continue  # of the others, by an expression that is the schema's
        value = CHECKED.get((table, column)) or OTHER[kind].format(f'"{column}"')
        where = READ[table]
        if not problems(f'UPDATE consent.{table} SET "{column}" = {value} WHERE {where}'):  # noqa: S608  # our own names
            unseen.add((table, column))
    assert unseen == UNSEEN.keys()
    for table, where in READ.items():
        assert problems(f"DELETE FROM consent.{table} WHERE {where}"), table  # noqa: S608  # our own names


#: A row more of each table, put there by hand.
MORE = {
    "record": "INSERT INTO consent.record (namespace, value, purpose, purpose_version, state, "
    "effective_at, recorded_at, order_time, collected_by, evidence, transaction) SELECT namespace, "
    "'ghost', purpose, 1, state, effective_at, recorded_at, order_time, collected_by, evidence, "
    "CAST('9223372036854775807' AS xid8) FROM consent.record WHERE value = 'u-1'",
    "restriction": "INSERT INTO consent.restriction (namespace, value, kind, from_at, reason_ref) "
    "VALUES ('user_id', 'ghost', 'restriction', now(), 'none')",
    "age_band": "INSERT INTO consent.age_band (namespace, value, band, from_at, stated_by) "
    "VALUES ('user_id', 'ghost', 'teen', now(), 'none')",
    "tc_string": "INSERT INTO consent.tc_string VALUES ('user_id', 'ghost', 'x', now())",
    "carried_tc_string": "INSERT INTO consent.carried_tc_string VALUES "
    "('user_id', 'ghost', 'x', 'x', now())",
    "purpose": "INSERT INTO consent.purpose (key, version, lawful_basis, mode, title, description, "
    "created_at) VALUES ('ads.share', 9, 'contract', 'most_restrictive', '{}', '{}', :before)",
    "notice": "INSERT INTO consent.notice (key, version, language, purposes, body, body_sha256, "
    "created_at) VALUES ('banner', 9, 'en', '{}', '', '', :before)",
    "vendor_list": "INSERT INTO consent.vendor_list (version, vendors, sha256, added_at) "
    "VALUES (9, '{}', '', :before)",
}


@pytest.mark.parametrize("table", READ)
def test_a_row_that_was_put_there_by_hand_is_found(
    table: str, sessions: Sessions, keystore: Keystore, sealed: None
) -> None:
    """A version of what is published becomes an entry by itself; here the sealer stands still."""
    with sessions() as session:
        session.execute(sa.text("SET LOCAL session_replication_role = replica"))
        query = sa.text(MORE[table])
        if ":before" in MORE[table]:
            query = query.bindparams(before=datetime.now(UTC) - timedelta(days=2))
        assert session.execute(query).rowcount == 1  # type: ignore[attr-defined]  # a change has it
        [problem] = ledger.verify(session, full=True, keys=keystore.by_ids).problems
        session.rollback()
    assert problem.index is None

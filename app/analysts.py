"""Roles of PostgreSQL that read for analyses: what consent lets them, and nothing else.

Each purpose has two views in the schema `analytics`, of events and of traits. They decide anew with
every query, by the statement that decides for the product. A role reads the views of its purposes;
on no other table of this database has it any right, and no way to the keystore.
"""

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

import consent
from app.consents.permission import decision
from app.db import advisory_lock
from app.errors import AnalystExists, AnalystNotFound, DefinitionInvalid
from consent.resolve import UNCONDITIONAL, UNRESTRICTED

SCHEMA = "analytics"
#: Names of roles; they are written into statements.
NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
#: How the roles and functions of this module are known.
MARK = "parcours analyst"
VIEWS = ("events", "traits")
#: RFC 7677 recommends so many at least.
ITERATIONS = 4096
#: What the statement of the decision asks, read from the catalogue at the time of each query: the
#: set form of `consent.catalogue.purpose`; a test holds the two equal on random versions.
IN_FORCE = """
{marketing}, version AS (
  SELECT p.*, row_number() OVER (ORDER BY p.version) AS n,
         ARRAY(SELECT jsonb_array_elements_text(
           CASE jsonb_typeof(p.declared -> 'special_categories')
                WHEN 'array' THEN p.declared -> 'special_categories' END)) AS categories
  FROM consent.purpose p
  WHERE p.key = {purpose} AND p.effective_from <= clock_timestamp()
), counting AS (
  -- What all versions tell of whose grants still count; one that covers more than that renews.
  SELECT v.n, CASE WHEN v.renews THEN v.version ELSE 0 END AS renewed,
         v.categories AS told, v.explicit AS asked
  FROM version v
  WHERE v.n = 1
  UNION ALL
  SELECT v.n, CASE WHEN w.renews THEN v.version ELSE c.renewed END,
         CASE WHEN w.renews THEN v.categories
              ELSE ARRAY(SELECT unnest(c.told) INTERSECT SELECT unnest(v.categories)) END,
         v.explicit AND (w.renews OR c.asked)
  FROM counting c
  JOIN version v ON v.n = c.n + 1
  CROSS JOIN LATERAL (
    SELECT v.renews OR v.lawful_basis = 'consent'
      AND (NOT v.categories <@ c.told OR v.explicit AND NOT c.asked)) w(renews)
)
  SELECT v.key, v.mode, v.lawful_basis, v.explicit, v.adults_only, v.linkable, v.link_confidence,
         v.direct_marketing OR v.key IN (SELECT key FROM marketing) AS direct_marketing, c.renewed
  FROM version v JOIN counting c USING (n)
  ORDER BY n DESC
  LIMIT 1
"""
BASIS = "(SELECT lawful_basis FROM in_force)"
#: Each parameter of `app.consents.permission`, as an expression over the version in force.
PARAMETERS = {
    "purpose": "(SELECT key FROM in_force)",
    "mode": "(SELECT mode FROM in_force)",
    "renewed": "(SELECT renewed FROM in_force)",
    "explicit": "(SELECT explicit FROM in_force)",
    "lawful_basis": BASIS,
    "unconditional": BASIS + f" IN {tuple(sorted(UNCONDITIONAL))}",
    "restrictable": BASIS + f" NOT IN {tuple(sorted(UNRESTRICTED))}",
    "objectable": "(SELECT lawful_basis IN ('legitimate_interests', 'public_task') FROM in_force)",
    "direct_marketing": "(SELECT direct_marketing FROM in_force)",
    "adults_only": "(SELECT adults_only FROM in_force)",
    "unlinkable": "(SELECT NOT linkable FROM in_force)",
}
ROLES = sa.text("""
  SELECT r.rolname AS name, coalesce(array_agg(DISTINCT split_part(c.relname, ':', 1))
           FILTER (WHERE has_table_privilege(r.oid, c.oid, 'SELECT')), '{}') AS purposes
  FROM pg_roles r
  LEFT JOIN (pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = :schema)
    ON c.relkind = 'v'
  WHERE shobj_description(r.oid, 'pg_authid') = :mark
  GROUP BY r.rolname ORDER BY r.rolname
""")
MADE = sa.text("""
  SELECT p.proname AS name, obj_description(p.oid, 'pg_proc') AS comment
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
  WHERE n.nspname = :schema ORDER BY p.proname
""")
PARAMETER = re.compile(r"(?<![:\w]):(\w+)")


@dataclass(frozen=True, slots=True)
class Analyst:
    """A role and the purposes for which it reads."""

    name: str
    purposes: tuple[str, ...]


def add(session: Session, name: str, purposes: Sequence[str]) -> str:
    """Create a role that reads for these purposes and return its password, which is shown once.

    Raises DefinitionInvalid, AnalystExists and PurposeNotFound.
    """
    if not NAME.fullmatch(name):
        raise DefinitionInvalid("a role is a-z, 0-9 and _, begins with a letter, up to 40")
    for purpose in purposes:
        consent.catalogue.purpose(session, purpose)
    if session.scalar(sa.text("SELECT 1 FROM pg_roles WHERE rolname = :name"), {"name": name}):
        raise AnalystExists(name)
    password = secrets.token_urlsafe(24)
    # As a verifier, so that the password is in no statement and hence in no log.
    _run(session, f"CREATE ROLE {name} LOGIN NOINHERIT PASSWORD '{_verifier(password)}'")
    _run(session, f"COMMENT ON ROLE {name} IS '{MARK}'")
    _run(session, f"ALTER ROLE {name} SET default_transaction_read_only = on")
    _run(session, f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
    _run(session, f"GRANT USAGE ON SCHEMA {SCHEMA} TO {name}")
    for purpose in sorted(set(purposes)):
        for view in VIEWS:
            _make(session, purpose, view)
            _run(session, f"GRANT EXECUTE ON FUNCTION {_called(purpose, view)}() TO {name}")
            _run(session, f"GRANT SELECT ON {_called(purpose, view)} TO {name}")
    return password


def list_all(session: Session) -> list[Analyst]:
    """Return the roles that were made here, by name."""
    rows = session.execute(ROLES, {"mark": MARK, "schema": SCHEMA})
    return [Analyst(row.name, tuple(row.purposes)) for row in rows]


def remove(session: Session, name: str) -> None:
    """Take a role's rights and the role itself; who is connected as it reads nothing more.

    Raises AnalystNotFound, also of a role that was not made here.
    """
    if name not in {analyst.name for analyst in list_all(session)}:
        raise AnalystNotFound(name)
    for what in ("ALL TABLES", "ALL FUNCTIONS"):
        _run(session, f"REVOKE ALL ON {what} IN SCHEMA {SCHEMA} FROM {name}")
    _run(session, f"REVOKE ALL ON SCHEMA {SCHEMA} FROM {name}")
    _run(session, f"DROP ROLE {name}")


def refresh(session: Session) -> int:
    """Make views anew whose statement has changed with the product; return how many."""
    if session.scalar(sa.text(f"SELECT to_regnamespace('{SCHEMA}')")) is None:
        return 0
    made = 0
    with advisory_lock(session, "analysts") as mine:
        rows = session.execute(MADE, {"schema": SCHEMA}).all()
        for row in rows if mine else ():
            purpose, _, digest = row.comment.rpartition(" ")
            view = row.name.rpartition(":")[2]
            if digest != _digest(_body(purpose, view)):
                _make(session, purpose, view)
                made += 1
    return made


def _make(session: Session, purpose: str, view: str) -> None:
    """Make the function that decides and reads, and the view that calls it.

    A function is text to PostgreSQL, so that no view stands in the way of a later migration. It
    has the rights of the product; who may call it is told one by one.
    """
    body, called = _body(purpose, view), _called(purpose, view)
    columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS[view].items())
    _run(
        session,
        f"CREATE OR REPLACE FUNCTION {called}() RETURNS TABLE ({columns}) LANGUAGE plpgsql STABLE "
        f"SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$\n"
        f"#variable_conflict use_column\nBEGIN RETURN QUERY {body}; END $body$",
    )
    _run(session, f"REVOKE ALL ON FUNCTION {called}() FROM PUBLIC")
    _run(session, f"COMMENT ON FUNCTION {called}() IS '{purpose} {_digest(body)}'")
    read = f"SELECT * FROM {called}()"  # noqa: S608 -- names of ours, quoted
    _run(session, f"CREATE OR REPLACE VIEW {called} AS {read}")


#: Whose data may be used, as which profile: that of the person, or of the asserted group.
ALLOWED = """allowed AS (
  SELECT p.identifier_id, i.profile_id, a.key AS purpose
  FROM in_force a CROSS JOIN permission p
  JOIN identity.current_person i ON i.identifier_id
    = CASE a.link_confidence WHEN 'deterministic' THEN p.group_id ELSE p.person_id END
  WHERE p.allowed
)"""
#: What is read, but what was stamped against the purpose.
READS = {
    "events": """
  SELECT a.profile_id, e.id, e.type, e.name, e.occurred_at, e.received_at, s.name, e.properties
  FROM allowed a JOIN app.event e ON e.identifier_id = a.identifier_id
  JOIN app.source s ON s.id = e.source_id
  WHERE NOT app.barred(e.refused, a.purpose)""",
    "traits": """
  SELECT a.profile_id, t.key, t.value, t.occurred_at, s.name
  FROM allowed a JOIN app.trait t ON t.identifier_id = a.identifier_id
  JOIN app.source s ON s.id = t.source_id
  WHERE a.purpose <> ALL(t.refused)""",
}
COLUMNS = {
    "events": {
        "profile_id": "uuid", "event_id": "bigint", "type": "text", "name": "text",
        "occurred_at": "timestamptz", "received_at": "timestamptz", "source": "text",
        "properties": "json",
    },
    "traits": {
        "profile_id": "uuid", "key": "text", "value": "json", "occurred_at": "timestamptz",
        "source": "text",
    },
}  # fmt: skip


def decided(purpose: str) -> str:
    """Return what comes before a statement over `permission`: the decision, for everybody."""
    permission = PARAMETER.sub(lambda found: PARAMETERS[found[1]], decision(None).text)
    return f"WITH in_force AS ({in_force(purpose)}), permission AS ({permission})"


def in_force(purpose: str) -> str:
    """Return the query of the version in effect: one row, or none where there is no such."""
    literal = "'" + purpose.replace("'", "''") + "'"
    marketing = consent.catalogue.WITH_MARKETING.format(known="")
    return IN_FORCE.format(purpose=literal, marketing=marketing)


def _body(purpose: str, view: str) -> str:
    """Return the statement of a view: the decision, and what it lets be read."""
    return f"{decided(purpose)}, {ALLOWED} {READS[view]}"


def _called(purpose: str, view: str) -> str:
    name = f"{purpose}:{view}".replace('"', '""')
    return f'{SCHEMA}."{name}"'


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()[:16]


def _run(session: Session, text: str) -> None:
    """Run a statement as it is: what defines roles and views takes no parameters."""
    session.connection().exec_driver_sql(text)


def _verifier(password: str) -> str:
    """Return what PostgreSQL keeps of a password (SCRAM-SHA-256, RFC 5803 section 3)."""
    salt = secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, ITERATIONS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    parts = [base64.b64encode(part).decode() for part in (salt, stored, server)]
    return f"SCRAM-SHA-256${ITERATIONS}:{parts[0]}${parts[1]}:{parts[2]}"

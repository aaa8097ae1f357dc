"""TC strings by identifier, the vendor lists they name, and what both allow a vendor."""

from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from consent.errors import VendorListInvalid
from consent.signals import acceptance, tcf, vendor
from consent.signals.bits import Undecodable
from consent.signals.vendor import Declared, VendorList
from consent.tables import CarriedTcString, TcStringRow, VendorListVersion

__all__ = ["VendorListVersion", "add_list", "denied", "keep", "lists", "new", "strings_of"]

Identifier = tuple[str, str]


@cache
def _statement(name: str) -> sa.TextClause:
    return sa.text((files("consent") / "sql" / f"{name}.sql").read_text(encoding="utf-8"))


def keep(
    session: Session,
    strings: Mapping[Identifier, tuple[str, datetime]],
    doubtful: Collection[Identifier] = (),
) -> None:
    """Keep the accepted TC string that each identifier sent, unless a later one is there.

    Of several that one event carried, with blanks between, each must allow what is asked. One that
    is dated in the future stands for none: no clock ahead keeps what is said until then. Of whom
    the clock is `doubtful` nobody knows which came last: what is kept must allow it as well.
    """
    rows = [
        {"namespace": who[0], "value": who[1], "string": string, "said_at": said_at}
        for who, (string, said_at) in sorted(strings.items())
    ]
    sure = [row for row in rows if (row["namespace"], row["value"]) not in doubtful]
    if len(sure) < len(rows):
        unsure = [row for row in rows if row not in sure]
        session.execute(_statement("keep_doubtful"), {"rows": msgspec.json.encode(unsure).decode()})
    if not sure:
        return
    added = insert(TcStringRow)
    session.execute(
        added.on_conflict_do_update(
            index_elements=["namespace", "value"],
            set_={"string": added.excluded.string, "said_at": added.excluded.said_at},
            where=sa.or_(
                TcStringRow.said_at <= added.excluded.said_at,
                TcStringRow.said_at > sa.func.statement_timestamp(),
            ),
        ),
        sure,
    )


def new(session: Session, strings: Mapping[Identifier, tuple[str, datetime]]) -> set[Identifier]:
    """Return of which of these identifiers another TC string is kept, or none.

    What is kept stays as it is until the transaction ends: of whom a string says nothing new nobody
    decides by another meanwhile. Who only asks what a vendor may do does not wait for this.
    """
    rows = [{"namespace": namespace, "value": value} for namespace, value in sorted(strings)]
    asked = {"rows": msgspec.json.encode(rows).decode()}
    found = session.execute(_statement("kept_tc_strings"), asked)
    kept = {(row.namespace, row.value): row.string for row in found}
    return {who for who, (string, _) in strings.items() if kept.get(who) != string}


def denied(
    session: Session,
    identifiers: Mapping[Identifier, bool],
    vendor_id: int,
    purpose: str,
    *,
    now: datetime | None = None,
) -> str | None:
    """Return why a vendor may not be told of a person for a purpose; None if it may.

    Each string of the identifiers that has not lapsed must allow it, and one of them must be of an
    identifier that may grant (its value in the mapping), and its own (`consent.carrying`). Where
    one of them said more than could be kept (`keep`), nothing allows it.
    """
    now = now or datetime.now(UTC)
    own, carried = (
        [(who, said) for who, said in _strings(session, table, identifiers)
         if said is None or now < acceptance.ends(said)]
        for table in (TcStringRow, CarriedTcString)
    )  # fmt: skip
    strings = [said for _, said in own + carried if said is not None]
    if len(strings) < len(own + carried) or not any(identifiers[who] for who, _ in own):
        return "no_tc_string"
    purposes = vendor.purposes_of(purpose)
    if not purposes:
        return "no_tcf_purpose"
    lists = _lists(session, {found.list_version for found in strings}, vendor_id)
    reasons = (
        vendor.denied(found, vendor_id, purposes, lists.get(found.list_version))
        for found in strings
    )
    return next((why for why in reasons if why), None)


def add_list(session: Session, document: bytes) -> VendorListVersion:
    """Add a vendor list as IAB Europe publishes it, or return the version if it is there.

    Raises VendorListInvalid, also where the same version says something else.
    """
    try:
        found = vendor.read_list(msgspec.json.decode(document))
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise VendorListInvalid(str(error)) from error
    vendors = {
        str(key): [sorted(d.purposes), sorted(d.legitimate), sorted(d.flexible)]
        for key, d in sorted(found.vendors.items())
    }
    there = session.get(VendorListVersion, found.version)
    if there is not None:
        if there.vendors != vendors:
            raise VendorListInvalid(f"version {found.version} is there and says something else")
        return there
    made = VendorListVersion(
        version=found.version, vendors=vendors, sha256=sha256(document).hexdigest()
    )
    session.add(made)
    session.flush()
    session.refresh(made)
    return made


def lists(session: Session) -> list[VendorListVersion]:
    """Return the vendor lists that are there, the newest first."""
    query = sa.select(VendorListVersion).order_by(VendorListVersion.version.desc())
    return list(session.scalars(query))


def strings_of(session: Session, identifiers: Collection[Identifier]) -> list[dict[str, Any]]:
    """Return the TC strings that are kept of these identifiers, as plain values."""
    return [
        {
            "identifier": f"{row.namespace}:{row.value}",
            "string": row.string,
            "said_at": row.said_at.isoformat(),
            "of_a_former_address": table is CarriedTcString,
        }
        for table in (TcStringRow, CarriedTcString)
        for row in session.execute(_of(table, identifiers))
    ]


def _of(
    table: type[TcStringRow | CarriedTcString], identifiers: Collection[Identifier]
) -> sa.Select[str, str, str, datetime]:
    # Few: the identifiers of one person.
    wanted = sa.tuple_(table.namespace, table.value).in_(sorted(identifiers))
    query = sa.select(table.namespace, table.value, table.string, table.said_at).where(wanted)
    return query.order_by(table.namespace, table.value, table.said_at)


def _strings(
    session: Session,
    table: type[TcStringRow | CarriedTcString],
    identifiers: Collection[Identifier],
) -> Iterator[tuple[Identifier, tcf.TcString | None]]:
    """Yield the strings of those identifiers that have one; None for what could not be kept.

    Or not be read: what an earlier version kept and this one refuses allows nothing, and is no
    reason to tell nobody else.
    """
    for namespace, value, string, _ in session.execute(_of(table, identifiers)):
        for one in string.split() or [""]:
            yield (namespace, value), _read(one)


def _read(string: str) -> tcf.TcString | None:
    try:
        return tcf.decode(string)
    except Undecodable:
        return None


def _lists(session: Session, versions: set[int], vendor_id: int) -> dict[int, VendorList]:
    """Return what these versions say of one vendor."""
    entry = VendorListVersion.vendors[str(vendor_id)]
    query = sa.select(VendorListVersion.version, entry).where(
        VendorListVersion.version.in_(versions)
    )
    found: dict[int, VendorList] = {}
    for version, declared in session.execute(query):
        found[version] = VendorList(version, _declared(vendor_id, declared))
    return found


def _declared(vendor_id: int, entry: Any) -> dict[int, Declared]:
    return {vendor_id: Declared(*map(frozenset, entry))} if entry else {}

"""What an identifier denied is denied by the one that takes its place, and never granted."""

from datetime import UTC, datetime, timedelta

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Session

import consent
from consent import carrying
from tests.consent.build import tc

NOW = datetime.now(UTC)
OLD, NEW = ("email", "old-31@example.org"), ("email", "new-31@example.org")
ENTRY = {"purposes": [4], "legIntPurposes": [], "flexiblePurposes": []}
DOCUMENT = {"vendorListVersion": 51, "vendors": {"10": ENTRY, "11": ENTRY}}


def why(session: Session, vendor: int) -> str | None:
    return consent.vendors.denied(session, {NEW: True}, vendor, "ads.personalised")


def carry(session: Session) -> None:
    carrying.carry(session, [OLD], [NEW], by="request:1", at=NOW)


def test_a_tc_string_is_carried_as_far_as_it_denies(session: Session) -> None:
    consent.vendors.add_list(session, msgspec.json.encode(DOCUMENT))
    said = {"purposes": [4], "vendors": [10, 11], "disclosed": [10, 11], "publisher": [4]}
    restricted = tc(**said, restrictions=[(4, 0, 11)])  # type: ignore[arg-type]  # lists of numbers
    consent.vendors.keep(session, {OLD: (restricted, NOW)})
    carry(session)
    assert why(session, 10) == "no_tc_string", "what it allowed is not carried"
    allows = tc(**said)  # type: ignore[arg-type]  # lists of numbers
    consent.vendors.keep(session, {NEW: (allows, NOW)})
    assert why(session, 10) is None
    assert why(session, 11) == "vendor_restricted"
    carrying.carry(session, [NEW], [OLD], by="request:2", at=NOW)
    carry(session)  # back and forth: each stays once
    of = consent.vendors.strings_of(session, [NEW])
    assert sorted(one["of_a_former_address"] for one in of) == [False, True, True]


def test_nobody_adds_a_purpose_while_refusals_are_carried(session: Session) -> None:
    """It would hear neither what the old address refused nor what the new one does."""
    carry(session)
    held = sa.text(
        "SELECT mode FROM pg_locks WHERE pid = pg_backend_pid() AND granted "
        "AND relation = CAST('consent.purpose' AS regclass)"
    )
    assert "ShareLock" in session.scalars(held).all()


def test_all_refusals_that_stand_are_carried_as_each_is_proved(session: Session) -> None:
    """A browser's yes lifts what a browser refused, and not what was told to a client."""

    def said(who: tuple[str, str], state: str, minutes: int, **evidence: bool) -> None:
        at = NOW + timedelta(minutes=minutes - 60)
        choice = consent.Choice(
            *who, "ads.share", state, at, "client:test", evidence=dict(evidence)
        )
        consent.record(session, [choice], received_at=NOW)

    said(OLD, "given", 1)
    said(OLD, "refused", 2)
    said(OLD, "given", 3)
    said(OLD, "refused", 4)
    said(OLD, "refused", 5, event_stamp=True)
    carry(session)
    copies = consent.history(session, [NEW])
    assert [(c.state, c.stamp) for c in copies] == [("withdrawn", False), ("refused", True)]
    assert {c.evidence["carried_by"] for c in copies} == {"request:1"}
    known = consent.catalogue.purposes(session)

    def stands() -> str:
        records = consent.history(session, [NEW])
        found = consent.standings(records, at=NOW, known_at=None, purposes=known)
        return found[*NEW, "ads.share"].standing

    said(NEW, "given", 6, event_stamp=True)
    assert stands() == "refused"
    said(NEW, "given", 7)
    assert stands() == "given"

"""Which TC string of an identifier counts for vendors: the last one, by a clock that is right."""

from datetime import UTC, datetime, timedelta

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Session

import consent
from app.access import sources
from app.events import append as events
from app.events.body import to_message
from app.events.envelope import Envelope, read
from app.events.item import Item
from app.events.memory import Memory
from tests.consent.build import tc

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
WHO = ("anonymous_id", "tc-device")
YES = tc(created=NOW - DAY, purposes=[4], vendors=[10], disclosed=[10], publisher=[4])
NO = tc(created=NOW - DAY, purposes=[], vendors=[], disclosed=[10], publisher=[4])


def denied(session: Session) -> str | None:
    entry = {"purposes": [4], "legIntPurposes": [], "flexiblePurposes": []}
    document = {"vendorListVersion": 51, "vendors": {"10": entry}}
    consent.vendors.add_list(session, msgspec.json.encode(document))
    return consent.vendors.denied(session, {WHO: True}, 10, "ads.personalised", now=NOW)


def send(session: Session, at: datetime, *strings: str, sent_at: datetime | None = None) -> None:
    """An event of a source, whose clock may be ahead."""
    sources.add(session, f"tc-{at}")
    source = sources.settings_of(sources.find(session, f"tc-{at}"))
    names = ("tcf", "gdpr_consent")
    said = dict(zip(names, strings, strict=False))
    context = {"consent": {"tcf": said.pop("tcf")}, **said}
    raw = to_message({
        "type": "track", "event": "Seen", "anonymousId": WHO[1], "messageId": f"m-{at}",
        "timestamp": at.isoformat(), "context": context,
        **({"sentAt": sent_at.isoformat()} if sent_at else {}),
    })  # fmt: skip
    envelope = read(raw, received_at=NOW, largest=20_000)
    assert isinstance(envelope, Envelope)
    events.append(session, [Item(source, envelope, NOW)], Memory())


def test_a_string_of_a_clock_that_is_ahead_is_replaced_by_a_later_one(session: Session) -> None:
    send(session, NOW + 300 * DAY, YES)
    assert denied(session) is None
    send(session, NOW, NO)
    assert denied(session) == "no_vendor_consent"


def test_so_is_one_that_was_kept_as_of_a_future_time_before(session: Session) -> None:
    row = sa.text("INSERT INTO consent.tc_string VALUES (:n, :v, :s, :at)")
    session.execute(row, {"n": WHO[0], "v": WHO[1], "s": YES, "at": NOW + 300 * DAY})
    assert denied(session) is None
    consent.vendors.keep(session, {WHO: (NO, NOW)})
    assert denied(session) == "no_vendor_consent"
    consent.vendors.keep(session, {WHO: (YES, NOW - DAY)})
    assert denied(session) == "no_vendor_consent", "what is older does not come back"


def test_of_two_strings_on_one_event_both_must_allow_it(session: Session) -> None:
    send(session, NOW - timedelta(hours=2), YES, NO)
    assert denied(session) == "no_vendor_consent"
    send(session, NOW - timedelta(hours=1), NO, YES)
    assert denied(session) == "no_vendor_consent"
    send(session, NOW, YES, YES)
    assert denied(session) is None


def test_of_a_clock_that_fell_back_for_years_what_is_kept_must_allow_it_as_well(
    session: Session,
) -> None:
    fallen = datetime(2015, 1, 1, tzinfo=UTC)
    send(session, NOW - timedelta(hours=3), YES)
    for n in range(2):
        at = fallen + timedelta(seconds=n)
        send(session, at, NO, sent_at=at)
        assert denied(session) == "no_vendor_consent"
    [kept] = session.scalars(sa.text("SELECT string FROM consent.tc_string"))
    assert kept.split() == [YES, NO], "once each"
    at = fallen + timedelta(minutes=1)
    send(session, at, YES, sent_at=at)
    assert denied(session) == "no_vendor_consent", "which of them came last nobody knows"
    send(session, NOW, YES)
    assert denied(session) is None


def test_what_is_too_much_to_be_kept_allows_nothing_whoever_else_speaks_for_the_person(
    session: Session,
) -> None:
    """A phone's yes is no answer to what the laptop said, though nobody can tell that any more."""
    other = ("anonymous_id", "tc-phone")
    consent.vendors.keep(session, {other: (YES, NOW), WHO: (YES, NOW - DAY)})
    both = {WHO: True, other: True}
    assert denied(session) is None
    for n in range(6):  # 11 kB each
        long = tc(created=NOW - (n + 2) * DAY, purposes=[4], vendors=[10, 65_535], disclosed=[10],
                  publisher=[4])  # fmt: skip
        consent.vendors.keep(session, {WHO: (long, NOW)}, doubtful={WHO})
    for _ in range(2):
        why = consent.vendors.denied(session, both, 10, "ads.personalised", now=NOW)
        assert why == denied(session) == "no_tc_string"
        consent.vendors.keep(session, {WHO: (YES, NOW)}, doubtful={WHO})
    consent.vendors.keep(session, {WHO: (YES, NOW + DAY)})
    assert consent.vendors.denied(session, both, 10, "ads.personalised", now=NOW) is None

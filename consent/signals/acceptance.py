"""Whether a TC string that can be decoded may count. Decoding is not accepting.

Source: TCF policies and specification 2.3, as gathered in research/consent.md 2.4.
"""

from datetime import date, datetime, timedelta

from consent.signals.stamp import Rules
from consent.signals.tcf import TcString
from consent.signals.tcf_canada import CanadaString

#: A banner must ask again after 13 months (TCF policies, appendix B).
LONGEST = timedelta(days=395)
#: A string of a later day names the vendors that were shown (TCF 2.3).
DISCLOSED_SINCE = date(2026, 2, 28)
#: How far ahead the clock of who wrote it may be: the day is all that it says.
AHEAD = timedelta(days=1)
#: Purposes that may not rest on legitimate interest (TCF 2.2); such bits are ignored.
CONSENT_ONLY = frozenset({1, 3, 4, 5, 6})
#: The lowest id that a consent management platform can have.
FIRST_CMP = 2


def problem(found: TcString, rules: Rules, now: datetime) -> str | None:
    """Return why a TC string does not count, in one word; None when it does."""
    checks = {
        "not_service_specific": not found.service_specific,
        "unknown_cmp": not _known(found.cmp_id, rules),
        "policy_too_old": found.policy_version < rules.policy_floor,
        "dates_differ": found.created.date() != found.updated.date(),
        "dated_ahead": found.updated > now + AHEAD,
        "too_old": now >= ends(found),
        "no_disclosed_vendors": found.disclosed is None and found.created.date() > DISCLOSED_SINCE,
    }
    return next((why for why, wrong in checks.items() if wrong), None)


def problem_in_canada(found: CanadaString, rules: Rules, now: datetime) -> str | None:
    """Return why a string of IAB Canada's does not count; None when it does.

    It is of one service always, has policies of its own, and names no vendors that we read.
    """
    checks = {
        "unknown_cmp": not _known(found.cmp_id, rules),
        "dates_differ": found.created.date() != found.updated.date(),
        "dated_ahead": found.updated > now + AHEAD,
        "too_old": now >= ends(found),
    }
    return next((why for why, wrong in checks.items() if wrong), None)


def _known(cmp_id: int, rules: Rules) -> bool:
    """Say whether a source knows who made a string; anybody, where it names no banners."""
    return cmp_id >= FIRST_CMP and (not rules.collectors or cmp_id in rules.collectors)


def ends(found: TcString | CanadaString) -> datetime:
    """Return when a TC string stops counting."""
    return found.updated + LONGEST


def changes(found: TcString | CanadaString, now: datetime) -> datetime | None:
    """Return when, after now, `problem` may answer otherwise."""
    moments = (found.updated - AHEAD, ends(found))
    return min((moment for moment in moments if moment > now), default=None)


def ignored(found: TcString) -> frozenset[int]:
    """Return the purposes whose bit of legitimate interest is set and says nothing."""
    own = found.publisher.legitimate if found.publisher else frozenset[int]()
    return (found.legitimate | own) & CONSENT_ONLY

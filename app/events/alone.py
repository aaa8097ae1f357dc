"""Events that serve one purpose alone, whatever other purposes there will be.

What is collected for audience measurement that is exempt from consent may be used for nothing else
(CNIL, guidelines on cookies and other trackers, 2020, art. 5; research/consent.md 2.10). Such an
event refuses every purpose there is, by name, and begins these with a mark that says which one it
is for: a purpose that is added later is none that it names. `app.barred` is the same in SQL.
"""

from collections.abc import Collection, Iterable

import consent

MARK = "!"
#: So many days a device is counted under one id: 13 months from when it was seen first.
TRACKER_DAYS = 395


def refusing(own: consent.Purpose, purposes: Iterable[str]) -> list[str]:
    """Return what an event refuses that is for this purpose alone; the mark comes first."""
    return [MARK + own.key, *sorted(set(purposes) - {own.key})]


def is_alone(refused: Collection[str]) -> bool:
    """Say whether an event is for one purpose alone."""
    return any(name.startswith(MARK) for name in refused)


def bars(refused: Collection[str], purpose: str) -> bool:
    """Say whether an event, or what was made of it, may not be used for a purpose."""
    return purpose in refused or any(
        name.startswith(MARK) and name != MARK + purpose for name in refused
    )

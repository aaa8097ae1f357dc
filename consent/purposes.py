"""Purposes: why data is used and on which lawful basis."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

LawfulBasis = Literal[
    "consent",
    "contract",
    "legal_obligation",
    "vital_interests",
    "public_task",
    "legitimate_interests",
]
Mode = Literal["most_restrictive", "per_identifier", "latest_explicit"]
LinkConfidence = Literal["probable", "deterministic"]
Regime = Literal["eu_optin", "us_optout", "exempt_measurement"]

#: The purpose that decides whether somebody's identifiers and records may be joined.
LINK = "profile.link"


@dataclass(frozen=True, slots=True)
class Purpose:
    """One version of a purpose.

    `mode` says whose word counts when a person has several identifiers: `most_restrictive` asks
    every asserted identifier that has said anything, `per_identifier` only the one being used
    (an address, a device), `latest_explicit` lets what an account said last on a notice that
    declared to hold for the whole account outrank what other identifiers said before (CNIL,
    recommendation on cross-device consent, 2026). `valid_days` ends a consent that is not renewed.

    A refusal of a purpose is one of its children too (`parent`); a grant is of itself alone (GDPR
    art. 7(2)). `renews` marks a version that differs so much that earlier grants are stale from
    `effective_from` on. `explicit` asks for a decision of its own: the stamp that events carry is
    not enough (art. 9(2)(a)). `direct_marketing` ends by an objection on every basis (art. 21(3)).
    `adults_only` is refused to everybody who is known to be under 18, whatever their guardian says.
    `linkable` false keeps the purpose's data from being read by person, joined or sent (audience
    measurement exempt from consent). `declared` is what is told and recorded and decides no use:
    data classes, recipients, retention (by which data are deleted), transfers, the impact
    assessment, names in other vocabularies.

    `link_confidence` says how sure it must be that identifiers are one person's for data to be used
    together: `deterministic` asks for asserted links, and what is only matched counts as two.
    """

    key: str
    version: int = 1
    lawful_basis: LawfulBasis = "consent"
    mode: Mode = "most_restrictive"
    title: dict[str, str] = field(default_factory=dict)
    description: dict[str, str] = field(default_factory=dict)
    valid_days: int | None = None
    parent: str | None = None
    regime: Regime = "eu_optin"
    renews: bool = False
    explicit: bool = False
    direct_marketing: bool = False
    linkable: bool = True
    adults_only: bool = False
    effective_from: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    declared: dict[str, Any] = field(default_factory=dict)
    link_confidence: LinkConfidence = "probable"
    #: Grants of earlier versions are stale: the last version in effect that `renews`.
    renewed: int = 0


class Versions:
    """All versions of all purposes: which of them was in effect when somebody agreed."""

    def __init__(self, versions: Iterable[Purpose] = ()) -> None:
        """`versions` are in order."""
        self._by_key: dict[str, list[Purpose]] = {}
        for version in versions:
            self._by_key.setdefault(version.key, []).append(version)

    def __len__(self) -> int:
        """Return how many versions there are."""
        return sum(map(len, self._by_key.values()))

    def at(self, key: str, when: datetime, *, last: int | None = None) -> Purpose:
        """Return the version that was in effect then, the first one before any was.

        None later than `last`: so far a notice goes that was shown. Raises KeyError.
        """
        first, *later = self._by_key[key]
        found = first
        for version in later:
            if version.effective_from <= when and (last is None or version.version <= last):
                found = version
        return found

    def states(self, now: datetime) -> list[dict[str, Purpose]]:
        """Return the purposes as they are now, and as they will be each time a version begins.

        One whose first version is still to come is in all of them.
        """
        moments = {v.effective_from for versions in self._by_key.values() for v in versions}
        return [
            {key: self.at(key, when) for key in self._by_key}
            for when in (now, *sorted(moment for moment in moments if moment > now))
        ]


def below(known: Iterable[Purpose], key: str) -> list[str]:
    """Return the keys of the purposes below one in the tree, the nearest first."""
    children: dict[str, list[str]] = {}
    for one in known:
        if one.parent is not None:
            children.setdefault(one.parent, []).append(one.key)
    found = sorted(children.get(key, ()))
    for parent in found:  # grows while it is read: the next generation
        found += [child for child in sorted(children.get(parent, ())) if child not in found]
    return found


#: What is below it is direct marketing, and an objection to that names it (GDPR art. 21(2)).
MARKETING = "marketing"
#: Category names that consent banners commonly use, and the purposes they stand for. A source
#: can say otherwise; a purpose's own key always means itself; `profile.link` has no alias,
#: because no banner category names identity resolution.
COMMON_CATEGORIES: dict[str, tuple[str, ...]] = {
    "analytics": ("analytics.audience",),
    "performance": ("analytics.audience",),
    "statistics": ("analytics.audience",),
    "functional": ("device.storage",),
    "preferences": ("content.personalised",),
    "personalization": ("content.personalised",),
    "personalisation": ("content.personalised",),
    "marketing": ("marketing", "marketing.email", "marketing.sms"),
    "email": ("marketing.email",),
    "sms": ("marketing.sms",),
    "advertising": ("ads", "ads.share", "ads.personalised"),
    "targeting": ("ads", "ads.share", "ads.personalised"),
}

"""Purposes: why data is used, on which lawful basis, and the catalogue a new server starts with."""

from dataclasses import dataclass, field
from typing import Literal

LawfulBasis = Literal[
    "consent",
    "contract",
    "legal_obligation",
    "vital_interests",
    "public_task",
    "legitimate_interests",
]
Mode = Literal["most_restrictive", "per_identifier"]

#: The purpose that decides whether somebody's identifiers and records may be joined.
LINK = "profile.link"


@dataclass(frozen=True, slots=True)
class Purpose:
    """One version of a purpose.

    `mode` says whose word counts when a person has several identifiers: `most_restrictive` asks
    every asserted identifier that has said anything, `per_identifier` only the one being used
    (an address, a device). `valid_days` ends a consent that is not renewed.
    """

    key: str
    version: int = 1
    lawful_basis: LawfulBasis = "consent"
    mode: Mode = "most_restrictive"
    title: dict[str, str] = field(default_factory=dict)
    description: dict[str, str] = field(default_factory=dict)
    valid_days: int | None = None


def _consent(key: str, english: str, french: str, mode: Mode = "most_restrictive") -> Purpose:
    """Return a purpose that rests on consent, which lapses after 13 months (CNIL, TCF)."""
    return Purpose(
        key=key, mode=mode, title={"en": english, "fr": french}, valid_days=395, version=1
    )


#: What a new installation knows. Keys as in research/consent.md 2.4, mapped there to TCF and DPV.
CATALOGUE: tuple[Purpose, ...] = (
    Purpose(
        key="service.operation",
        lawful_basis="contract",
        title={
            "en": "Provide and support the service you asked for",
            "fr": "Fournir et assister le service demandé",
        },
    ),
    _consent(
        LINK, "Recognise you across devices and channels", "Vous reconnaître d'un canal à l'autre"
    ),
    _consent(
        "analytics.audience",
        "Understand how customers use us",
        "Mesurer l'audience et les parcours",
    ),
    _consent("content.personalised", "Personalise what you see", "Personnaliser les contenus"),
    _consent("marketing.email", "Send you offers by e-mail", "Vous envoyer des offres par e-mail"),
    _consent("marketing.sms", "Send you offers by text message", "Vous envoyer des offres par SMS"),
    _consent(
        "ads.share", "Share data with advertising partners", "Partager des données publicitaires"
    ),
    _consent("ads.personalised", "Show you personalised advertising", "Publicité personnalisée"),
    _consent(
        "device.storage",
        "Store information on your device",
        "Stocker des informations sur votre appareil",
        "per_identifier",
    ),
)

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
    "marketing": ("marketing.email", "marketing.sms"),
    "email": ("marketing.email",),
    "sms": ("marketing.sms",),
    "advertising": ("ads.share", "ads.personalised"),
    "targeting": ("ads.share", "ads.personalised"),
}

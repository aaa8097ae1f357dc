"""The purposes that a new installation knows, with their names in TCF, DPV and at Google."""

from typing import Any

from consent.purposes import LINK, Mode, Purpose

#: Whose data, by what everybody who comes here is.
PERSONS = ["customers", "visitors"]
#: By the beginning of a key, the longest first: which classes of data, and for how many days they
#: are needed. 25 months for measuring (CNIL, audience measurement, 2025), three years for offers
#: (CNIL, retention in commercial management, 2022), 13 months for what devices hold.
NEEDS: tuple[tuple[str, list[str], int], ...] = (
    ("profile.link", ["contact", "identifiers"], 1_095),
    ("profile", ["behaviour", "profile"], 760),
    ("analytics", ["behaviour", "identifiers"], 760),
    ("measure", ["behaviour", "identifiers"], 760),
    ("product", ["behaviour"], 760),
    ("content", ["behaviour", "profile"], 760),
    ("marketing", ["contact", "behaviour"], 1_095),
    ("ads", ["behaviour", "identifiers", "profile"], 760),
    ("geo", ["location"], 395),
    ("device", ["network"], 395),
)


def _needs(key: str) -> dict[str, Any]:
    """Return what a purpose declares of its data: an operator adds a version that says better."""
    classes, days = next((c, d) for start, c, d in NEEDS if key.startswith(start))
    return {"persons": PERSONS, "data_classes": classes, "retention_days": days}


def _consent(
    key: str,
    english: str,
    french: str,
    mode: Mode = "most_restrictive",
    *,
    parent: str | None = None,
    direct_marketing: bool = False,
    explicit: bool = False,
    adults_only: bool = False,
    **names: Any,
) -> Purpose:
    """Return a purpose that rests on consent, which lapses after 13 months (CNIL, TCF)."""
    return Purpose(
        key=key,
        mode=mode,
        title={"en": english, "fr": french},
        valid_days=395,
        parent=parent,
        direct_marketing=direct_marketing,
        explicit=explicit,
        adults_only=adults_only,
        declared={**_needs(key), **({"mappings": names} if names else {})},
    )


#: Keys and their TCF ids as in research/consent.md 2.4; DPV 2 purposes; Google Consent Mode v2
#: types. Profiling for advertising is for adults: of minors it is forbidden to online platforms
#: (Regulation (EU) 2022/2065, art. 28(2)). A parent gathers: who refuses it refuses all below it,
#: who gives it gives nothing else.
CATALOGUE: tuple[Purpose, ...] = (
    Purpose(
        key="service.operation",
        lawful_basis="contract",
        title={
            "en": "Provide and support the service you asked for",
            "fr": "Fournir et assister le service demandé",
        },
        # How long the service needs its data only its operator can say. Until then it keeps all.
        declared={
            "persons": PERSONS,
            "data_classes": ["contact", "identifiers", "behaviour"],
            "mappings": {"dpv": "dpv:ServiceProvision", "google": ["functionality_storage"]},
        },
    ),
    _consent(
        LINK,
        "Recognise you across devices and channels",
        "Vous reconnaître d'un canal à l'autre",
        dpv="dpv:IdentityVerification",
    ),
    _consent(
        "analytics.audience",
        "Understand how customers use us",
        "Mesurer l'audience et les parcours",
        tcf=9,
        dpv="dpv:AnalyseUsage",
        google=["analytics_storage"],
    ),
    _consent("content", "Choose what you see", "Choisir ce que vous voyez"),
    _consent(
        "content.basic",
        "Choose content by what you look at now",
        "Choisir les contenus selon la page consultée",
        parent="content",
        tcf=11,
        dpv="dpv:ServicePersonalisation",
    ),
    _consent(
        "content.personalised",
        "Personalise what you see",
        "Personnaliser les contenus",
        parent="content",
        tcf=6,
        dpv="dpv:ServicePersonalisation",
        google=["personalization_storage"],
    ),
    _consent(
        "profile.content",
        "Profile you to choose content",
        "Établir un profil pour choisir les contenus",
        parent="content",
        tcf=5,
        dpv="dpv:Personalisation",
    ),
    _consent(
        "measure.content",
        "Measure how content performs",
        "Mesurer la performance des contenus",
        parent="content",
        tcf=8,
        dpv="dpv:AnalyseUsage",
    ),
    _consent(
        "marketing",
        "Send you offers",
        "Vous envoyer des offres",
        direct_marketing=True,
        dpv="dpv:DirectMarketing",
    ),
    _consent(
        "marketing.email",
        "Send you offers by e-mail",
        "Vous envoyer des offres par e-mail",
        parent="marketing",
        direct_marketing=True,
        dpv="dpv:DirectMarketing",
    ),
    _consent(
        "marketing.sms",
        "Send you offers by text message",
        "Vous envoyer des offres par SMS",
        parent="marketing",
        direct_marketing=True,
        dpv="dpv:DirectMarketing",
    ),
    _consent(
        "ads",
        "Use your data for advertising",
        "Utiliser vos données à des fins publicitaires",
        direct_marketing=True,
        dpv="dpv:Advertising",
    ),
    _consent(
        "ads.basic",
        "Show you advertising chosen by the page",
        "Afficher de la publicité contextuelle",
        parent="ads",
        tcf=2,
        dpv="dpv:NonPersonalisedAdvertising",
        google=["ad_storage"],
    ),
    _consent(
        "profile.ads",
        "Profile you for advertising",
        "Établir un profil publicitaire",
        parent="ads",
        direct_marketing=True,
        adults_only=True,
        tcf=3,
        dpv="dpv:TargetedAdvertising",
    ),
    _consent(
        "ads.personalised",
        "Show you personalised advertising",
        "Publicité personnalisée",
        parent="ads",
        direct_marketing=True,
        adults_only=True,
        tcf=4,
        dpv="dpv:PersonalisedAdvertising",
        google=["ad_personalization"],
    ),
    _consent(
        "ads.share",
        "Share data with advertising partners",
        "Partager des données publicitaires",
        parent="ads",
        direct_marketing=True,
        adults_only=True,
        dpv="dpv:SellDataToThirdParties",
        google=["ad_user_data"],
    ),
    _consent(
        "measure.ads",
        "Measure how advertising performs",
        "Mesurer la performance des publicités",
        parent="ads",
        tcf=7,
        dpv="dpv:Advertising",
    ),
    _consent(
        "product.improve",
        "Develop and improve our services",
        "Développer et améliorer nos services",
        tcf=10,
        dpv="dpv:ServiceOptimisation",
    ),
    _consent(
        "geo.precise",
        "Use your precise location",
        "Utiliser votre position précise",
        "per_identifier",
        explicit=True,
        tcf_special_feature=1,
        dpv="dpv:ServicePersonalisation",
    ),
    _consent(
        "device.fingerprint",
        "Identify your device by scanning it",
        "Identifier votre appareil par ses caractéristiques",
        "per_identifier",
        explicit=True,
        tcf_special_feature=2,
        dpv="dpv:IdentityVerification",
    ),
    _consent(
        "device.storage",
        "Store information on your device",
        "Stocker des informations sur votre appareil",
        "per_identifier",
        tcf=1,
        dpv="dpv:ServiceProvision",
        google=["functionality_storage", "security_storage"],
    ),
)

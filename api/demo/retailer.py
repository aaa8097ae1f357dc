"""What the demonstration's retailer has set up: segments, journey map, questions about it."""

from typing import Any

#: Each source and the purpose it collects for: the website and the app collect nothing from
#: people who do not allow audience analytics; shop, telephone and mail run the service.
SOURCES: dict[str, str] = {
    "web": "analytics.audience",
    "app": "analytics.audience",
    "shop": "service.operation",
    "call_centre": "service.operation",
    "email": "service.operation",
}

SEGMENTS: tuple[dict[str, Any], ...] = (
    {
        "key": "recent-buyers",
        "name": "Bought in the last 90 days and may get offers by e-mail",
        "purpose": "marketing.email",
        "rule": {"event": "Order Completed", "count": {"gte": 1}, "within_days": 90},
    },
    {
        "key": "abandoned-checkout",
        "name": "Started a checkout in the last 60 days and did not order",
        "purpose": "marketing.email",
        "rule": {
            "all": [
                {"event": "Checkout Started", "within_days": 60},
                {"not": {"event": "Order Completed", "within_days": 60}},
            ]
        },
    },
    {
        "key": "big-spenders",
        "name": "Ordered for 100 EUR or more, at least twice",
        "purpose": "content.personalised",
        "rule": {
            "event": "Order Completed",
            "count": {"gte": 2},
            "where": [{"prop": "revenue", "op": "gte", "value": 100}],
        },
    },
)

CHANNELS: tuple[dict[str, Any], ...] = (
    {"id": "web", "name": {"en": "Website", "fr": "Site"}, "family": "remote", "effort_rank": 1},
    {"id": "app", "name": {"en": "App", "fr": "Application"}, "family": "remote", "effort_rank": 1},
    {"id": "shop", "name": {"en": "Shop", "fr": "Magasin"}, "family": "face to face",
     "effort_rank": 4},
    {"id": "phone", "name": {"en": "Telephone", "fr": "Téléphone"}, "family": "live, remote",
     "effort_rank": 3},
    {"id": "email", "name": {"en": "E-mail", "fr": "E-mail"}, "family": "remote", "effort_rank": 1},
)  # fmt: skip
#: The source whose events are of a channel, where they are not called alike.
_SOURCE = {"phone": "call_centre"}

_ADVICE = {"event": "Call Started", "prop": "reason", "value": "advice"}
_COMPLAINT = {"event": "Call Started", "prop": "reason", "op": "ne", "value": "advice"}
_PAGES: list[dict[str, Any]] = [{"type": "page"}, {"event": "Catalogue Viewed"}]
_SCREENS: list[dict[str, Any]] = [{"type": "screen"}, {"event": "Catalogue Viewed"}]
_MAIL: list[dict[str, Any]] = [{"event": "Email Opened"}, {"event": "Email Link Clicked"}]

#: Stage, channels, kind, the events that show it, its names, and where it is not in the plan: the
#: matrix shows where what the retailer believes of its journey is mistaken.
_POINTS: tuple[tuple[str, str, str, Any, str, str, str], ...] = (
    ("discover", "web app", "ad", [{"event": "Campaign Clicked"}],
     "Advertisement", "Publicité", ""),
    ("discover", "web", "pages", _PAGES, "Site pages", "Pages du site", ""),
    ("discover", "app", "pages", _SCREENS, "App screens", "Écrans de l'application", ""),
    ("discover", "email", "newsletter", _MAIL, "Newsletter", "Lettre d'information", ""),
    ("consider", "web app", "product", [{"event": "Product Viewed"}],
     "Product page", "Fiche produit", ""),
    ("consider", "web app", "search", [{"event": "Products Searched"}], "Search", "Recherche", ""),
    ("consider", "shop", "visit", [{"event": "Shop Visited"}],
     "Visit of a shop", "Visite en magasin", ""),
    ("consider", "phone", "advice", [_ADVICE], "Call for advice", "Appel pour un conseil", "phone"),
    ("buy", "web app", "basket", [{"event": "Product Added"}], "Basket", "Panier", ""),
    ("buy", "web app", "checkout", [{"event": "Checkout Started"}],
     "Checkout", "Commande commencée", ""),
    ("buy", "web app", "refused", [{"event": "Payment Failed"}],
     "Payment refused", "Paiement refusé", "web app"),
    ("buy", "web app", "order", [{"event": "Order Completed"}], "Order", "Commande", ""),
    ("buy", "shop", "till", [{"event": "Order Completed"}], "Till", "Caisse", ""),
    ("buy", "phone", "order", [{"event": "Order Completed"}],
     "Order by telephone", "Commande par téléphone", "phone"),
    ("receive", "web app", "shipped", [{"event": "Order Shipped"}],
     "Parcel sent", "Colis expédié", "app"),
    ("receive", "email", "shipped", [{"event": "Order Shipped"}],
     "Parcel sent, by mail", "Colis expédié, par mail", ""),
    ("receive", "web app shop", "delivered", [{"event": "Order Delivered"}],
     "Parcel delivered", "Colis livré", "app shop"),
    ("receive", "shop", "pick-up", [{"event": "Order Picked Up"}],
     "Pick-up in a shop", "Retrait en magasin", "shop"),
    ("support", "phone", "call", [_COMPLAINT], "Call for help", "Appel à l'aide", ""),
    ("support", "phone", "ticket", [{"event": "Ticket Closed"}],
     "Answer to a request", "Réponse à une demande", ""),
    ("support", "web app shop phone", "return", [{"event": "Order Returned"}],
     "Something sent back", "Retour d'un article", "web app shop"),
    ("loyal", "web app", "review", [{"event": "Review Submitted"}], "Review", "Avis", "app"),
    ("loyal", "shop", "card", [{"event": "Loyalty Card Used"}],
     "Loyalty card", "Carte de fidélité", ""),
)  # fmt: skip

#: What the retailer's people say of touchpoints; what is computed stands beside it.
_SAID: dict[str, dict[str, Any]] = {
    "refused-web": {"assessment": {"declared": "rupture", "by": "workshop"}},
    "delivered-web": {"assessment": {"declared": "enchantment", "by": "workshop"},
                      "moment_of_truth": True},
    "call-phone": {"assessment": {"declared": "irritant", "by": "workshop"},
                   "moment_of_truth": True},
}  # fmt: skip


def _touchpoints() -> list[dict[str, Any]]:
    """Return the map: which event of which source is which stage's touchpoint."""
    return [
        {
            "id": f"{kind}-{channel}",
            "stage": stage,
            "channel": channel,
            "match": {"source": _SOURCE.get(channel, channel), "any": rules},
            "planned": channel not in unplanned.split(),
            "name": _named(channel, channels, english, french),
            **_SAID.get(f"{kind}-{channel}", {}),
        }
        for stage, channels, kind, rules, english, french, unplanned in _POINTS
        for channel in channels.split()
    ]


def _named(channel: str, channels: str, english: str, french: str) -> dict[str, str]:
    """Name a touchpoint, with its channel where there is one of that name on several."""
    if channel == channels or channel == channels.split()[0]:
        return {"en": english, "fr": french}
    [name] = [one["name"] for one in CHANNELS if one["id"] == channel]
    return {"en": f"{english}, {name['en'].lower()}", "fr": f"{french}, {name['fr'].lower()}"}


def _stage(order: int, identifier: str, phase: str, english: str, french: str) -> dict[str, Any]:
    name = {"en": english, "fr": french}
    return {"id": identifier, "name": name, "order": order, "phase": phase}


JOURNEY: dict[str, Any] = {
    "key": "retail-purchase",
    "name": {"en": "From discovery to loyalty", "fr": "De la découverte à la fidélité"},
    "purpose": "analytics.audience",
    "stages": [
        _stage(1, "discover", "before", "Discover", "Je découvre"),
        _stage(2, "consider", "before", "Consider", "Je compare"),
        _stage(3, "buy", "during", "Buy", "J'achète"),
        _stage(4, "receive", "during", "Receive", "Je reçois"),
        _stage(5, "support", "after", "Get help", "Je me fais aider"),
        _stage(6, "loyal", "after", "Come back", "Je reviens"),
    ],
    "channels": list(CHANNELS),
    "touchpoints": _touchpoints(),
    # The way the retailer wants an online order to go.
    "target": {
        "nodes": [
            {"touchpoint": "basket-web", "repeatable": True},
            "checkout-web",
            "order-web",
            {"touchpoint": "shipped-web", "optional": True},
            "delivered-web",
        ],
        "edges": [
            {"from": "basket-web", "to": "checkout-web", "max_delay": "P1D"},
            {"from": "checkout-web", "to": "order-web", "max_delay": "PT2H"},
            {"from": "order-web", "to": "delivered-web", "max_delay": "P5D"},
        ],
        "forbidden": ["refused-web", "call-phone"],
        "inactivity": "P30D",
    },
    "value": {"match": {"event": "Order Completed"}, "prop": "revenue"},
}

FUNNEL: dict[str, Any] = {
    "journey": "retail-purchase",
    "steps": [
        {"match": {"event": "Product Viewed"}, "name": "Product Viewed"},
        {"match": {"event": "Product Added"}, "name": "Product Added"},
        {"match": {"event": "Checkout Started"}, "name": "Checkout Started"},
        {"match": {"event": "Order Completed"}, "name": "Order Completed"},
        {"match": {"event": "Order Delivered"}, "name": "Order Delivered"},
    ],
    "window": "P30D",
    "entry": "best",
}

FAILURE = {"event": "Payment Failed"}
SURVEYS = [{"instrument": "csat", "match": {"event": "Ticket Closed"}, "prop": "satisfaction"}]

#: The questions that the demonstration draws, by the name of the picture.
PICTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "matrix": (
        "matrix",
        {"journey": "retail-purchase", "surveys": SURVEYS, "friction": {"failure": FAILURE}},
    ),
    "funnel": ("funnel", FUNNEL),
    "sankey": (
        "paths",
        {
            "journey": "retail-purchase",
            "start": {"event": "Product Viewed"},
            "label": "touchpoint",
            "max_depth": 4,
            "inactivity": "P30D",
        },
    ),
    "channels": ("switches", {"journey": "retail-purchase"}),
    "lost": (
        "drop-off",
        {
            "journey": "retail-purchase",
            "at_stake": {"match": {"event": "Checkout Started"}, "prop": "value"},
        },
    ),
    "friction": (
        "friction",
        {
            "journey": "retail-purchase",
            "failure": FAILURE,
            "surveys": SURVEYS,
            "transitions": 8,
        },
    ),
    "target": ("conformance", {"journey": "retail-purchase"}),
    "time": ("time-to-convert", FUNNEL),
    "retention": ("retention", {"start": {"event": "Order Completed"}}),
}

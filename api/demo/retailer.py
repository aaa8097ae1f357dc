"""What the demonstration's retailer has set up: its segment, its journey map, its funnel."""

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

CHANNELS = {"web": "web", "app": "app", "shop": "shop", "call_centre": "phone", "email": "email"}


def _touchpoints() -> list[dict[str, Any]]:
    """Return the map: which event of which source is which stage's touchpoint."""
    stages: dict[str, list[dict[str, Any]]] = {
        "discover": [
            {"type": "page"},
            {"type": "screen"},
            {"event": "Campaign Clicked"},
            {"event": "Catalogue Viewed"},
            {"event": "Email Opened"},
            {"event": "Email Link Clicked"},
        ],
        "consider": [
            {"event": "Product Viewed"},
            {"event": "Products Searched"},
            {"event": "Shop Visited"},
            {"event": "Call Started", "prop": "reason", "value": "advice"},
        ],
        "buy": [
            {"event": "Product Added"},
            {"event": "Checkout Started"},
            {"event": "Payment Failed"},
            {"event": "Order Completed"},
        ],
        "receive": [
            {"event": "Order Shipped"},
            {"event": "Order Delivered"},
            {"event": "Order Picked Up"},
        ],
        "support": [
            {"event": "Call Started", "prop": "reason", "op": "ne", "value": "advice"},
            {"event": "Order Returned"},
            {"event": "Ticket Closed"},
        ],
        "loyal": [{"event": "Review Submitted"}, {"event": "Loyalty Card Used"}],
    }
    return [
        {
            "id": f"{stage}-{channel}",
            "stage": stage,
            "channel": channel,
            "match": {"source": source, "any": rules},
            "planned": (stage, channel) in PLANNED,
        }
        for stage, rules in stages.items()
        for source, channel in CHANNELS.items()
    ]


#: What the retailer believes its journey to be; the matrix shows where it is mistaken.
PLANNED = {
    ("discover", "web"),
    ("discover", "app"),
    ("discover", "email"),
    ("consider", "web"),
    ("consider", "app"),
    ("consider", "shop"),
    ("buy", "web"),
    ("buy", "app"),
    ("buy", "shop"),
    ("receive", "web"),
    ("receive", "email"),
    ("support", "phone"),
    ("loyal", "shop"),
    ("loyal", "web"),
}

JOURNEY: dict[str, Any] = {
    "key": "retail-purchase",
    "name": {"en": "From discovery to loyalty", "fr": "De la découverte à la fidélité"},
    "purpose": "analytics.audience",
    "stages": [
        {"id": "discover", "name": {"en": "Discover", "fr": "Je découvre"}, "order": 1},
        {"id": "consider", "name": {"en": "Consider", "fr": "Je compare"}, "order": 2},
        {"id": "buy", "name": {"en": "Buy", "fr": "J'achète"}, "order": 3},
        {"id": "receive", "name": {"en": "Receive", "fr": "Je reçois"}, "order": 4},
        {"id": "support", "name": {"en": "Get help", "fr": "Je demande de l'aide"}, "order": 5},
        {"id": "loyal", "name": {"en": "Come back", "fr": "Je reviens"}, "order": 6},
    ],
    "channels": [
        {"id": "web"},
        {"id": "app"},
        {"id": "shop"},
        {"id": "phone"},
        {"id": "email"},
    ],
    "touchpoints": _touchpoints(),
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

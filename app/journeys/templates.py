"""Journeys to start from: stages, channels and the usual touchpoints of a trade; data, pure.

Events have the names of Segment's specifications (Ecommerce v2, B2B SaaS), which most tags send
already. Whoever starts from one renames, removes and adds; nothing of it is in use until it is
saved.
"""

from typing import Any


def _stage(order: int, identifier: str, phase: str, en: str, fr: str) -> dict[str, Any]:
    return {"id": identifier, "order": order, "phase": phase, "name": {"en": en, "fr": fr}}


def _channel(identifier: str, family: str, effort: int, en: str, fr: str) -> dict[str, Any]:
    return {
        "id": identifier,
        "family": family,
        "effort_rank": effort,
        "name": {"en": en, "fr": fr},
    }


def _point(
    identifier: str, stage: str, channel: str, match: dict[str, Any], en: str, fr: str
) -> dict[str, Any]:
    return {
        "id": identifier,
        "stage": stage,
        "channel": channel,
        "match": match,
        "name": {"en": en, "fr": fr},
    }


WEB = _channel("web", "remote", 1, "Website", "Site")
APP = _channel("app", "remote", 1, "App", "Application")
EMAIL = _channel("email", "remote", 2, "E-mail", "E-mail")
PHONE = _channel("phone", "remote", 3, "Telephone", "Téléphone")
SHOP = _channel("shop", "face to face", 4, "Shop", "Magasin")
_IN_SHOP = {"prop": "channel", "op": "eq", "value": "shop"}

RETAIL: dict[str, Any] = {
    "key": "retail",
    "name": {"en": "From the first look to the next order", "fr": "De la découverte au réachat"},
    "stages": [
        _stage(1, "discover", "before", "Discover", "Je découvre"),
        _stage(2, "consider", "before", "Consider", "Je compare"),
        _stage(3, "buy", "during", "Buy", "J'achète"),
        _stage(4, "receive", "during", "Receive", "Je reçois"),
        _stage(5, "support", "after", "Get help", "Je demande de l'aide"),
    ],
    "channels": [WEB, EMAIL, SHOP, PHONE],
    "touchpoints": [
        _point("email-click", "discover", "email", {"event": "Email Link Clicked"},
               "Link in a newsletter", "Lien d'une lettre"),
        _point("search", "discover", "web", {"event": "Products Searched"},
               "Search", "Recherche"),
        _point("list", "discover", "web", {"event": "Product List Viewed"},
               "List of products", "Liste de produits"),
        _point("product", "consider", "web", {"event": "Product Viewed"},
               "Product page", "Fiche produit"),
        _point("visit", "consider", "shop", {"event": "Shop Visited"},
               "Visit of a shop", "Visite en magasin"),
        _point("cart", "buy", "web", {"event": "Product Added"}, "Cart", "Panier"),
        _point("checkout", "buy", "web", {"event": "Checkout Started"},
               "Checkout", "Commande commencée"),
        _point("till", "buy", "shop", {"event": "Order Completed", **_IN_SHOP}, "Till", "Caisse"),
        _point("order", "buy", "web", {"event": "Order Completed"}, "Order", "Commande"),
        _point("shipped", "receive", "email", {"event": "Order Shipped"},
               "Parcel sent", "Colis expédié"),
        _point("delivered", "receive", "email", {"event": "Order Delivered"},
               "Parcel delivered", "Colis livré"),
        _point("call", "support", "phone", {"event": "Call Started"}, "Call", "Appel"),
        _point("refund", "support", "web", {"event": "Order Refunded"},
               "Refund", "Remboursement"),
        _point("page", "discover", "web", {"type": "page"}, "Any page", "Toute page"),
    ],
}  # fmt: skip

SUBSCRIPTION: dict[str, Any] = {
    "key": "subscription",
    "name": {"en": "From the trial to the renewal", "fr": "De l'essai au renouvellement"},
    "stages": [
        _stage(1, "discover", "before", "Discover", "Je découvre"),
        _stage(2, "try", "before", "Try", "J'essaie"),
        _stage(3, "subscribe", "during", "Subscribe", "Je m'abonne"),
        _stage(4, "use", "during", "Use", "J'utilise"),
        _stage(5, "support", "after", "Get help", "Je demande de l'aide"),
        _stage(6, "renew", "after", "Renew", "Je renouvelle"),
    ],
    "channels": [WEB, APP, EMAIL, PHONE],
    "touchpoints": [
        _point("signed-up", "try", "web", {"event": "Signed Up"}, "Sign-up", "Inscription"),
        _point("trial", "try", "web", {"event": "Trial Started"}, "Trial", "Début de l'essai"),
        _point("subscribed", "subscribe", "web", {"event": "Subscription Started"},
               "Subscription", "Abonnement"),
        _point("used", "use", "app", {"type": "screen"}, "Use of the app", "Usage"),
        _point("invited", "use", "email", {"event": "Invite Sent"}, "Invitation", "Invitation"),
        _point("call", "support", "phone", {"event": "Call Started"}, "Call", "Appel"),
        _point("ticket", "support", "web", {"event": "Ticket Opened"}, "Ticket", "Demande"),
        _point("renewed", "renew", "web", {"event": "Subscription Renewed"},
               "Renewal", "Renouvellement"),
        _point("page", "discover", "web", {"type": "page"}, "Any page", "Toute page"),
    ],
}  # fmt: skip

TEMPLATES = (RETAIL, SUBSCRIPTION)

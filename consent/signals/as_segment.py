"""What Segment would send for an event, by its own rules: for comparison, and for nothing else.

Source: segment-docs, "Consent in Segment Connections", the table that reconciles the consent object
with the integrations object. It lets an event without a consent object flow everywhere, and what no
category is mapped to in any case. No decision of this product asks here.
"""

from collections.abc import Collection, Mapping
from typing import Any

#: The member of the integrations object that speaks of all destinations it does not name.
ALL = "All"


def flows(
    consent: object, integrations: object, destinations: Mapping[str, Collection[str]]
) -> frozenset[str]:
    """Return to which destinations Segment would send; each with the categories it is mapped to.

    An empty `consent` counts as none, though the table says both of it. Without consent object the
    table names those alone that the integrations object switches on, and so does this.
    """
    switches = integrations if isinstance(integrations, Mapping) else {}
    preferences = _preferences(consent)
    silent = preferences is None and bool(switches)
    return frozenset(
        name
        for name, categories in destinations.items()
        if _on(switches, name, otherwise=not silent)
        and (preferences is None or all(preferences.get(one) is True for one in categories))
    )


def _preferences(consent: object) -> Mapping[str, Any] | None:
    """Return what was chosen; None where nothing says so, which to Segment forbids nothing."""
    found = consent.get("categoryPreferences") if isinstance(consent, Mapping) else None
    return found if isinstance(found, Mapping) else None


def _on(switches: Mapping[str, Any], name: str, *, otherwise: bool) -> bool:
    if name in switches:
        return switches[name] is not False
    return otherwise and switches.get(ALL) is not False

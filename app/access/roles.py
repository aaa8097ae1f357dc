"""Roles: names for what people of one office need, and no more; pure.

A role is written out as scopes when a client is registered: what a client may do stands in one
place, and changes for nobody when a role does.
"""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from app.errors import DefinitionInvalid

#: None holds `proof:open`, which two people are given by name, each beside what else they do; none
#: holds both the keys of the house and what people told us.
ROLES: Mapping[str, tuple[str, ...]] = {
    "collector": ("events:write", "consents:write"),
    "marketer": (
        "profiles:read",
        "segments:read",
        "segments:write",
        "journeys:read",
        "destinations:write",
    ),
    "analyst": ("segments:read", "journeys:read", "journeys:write"),
    "developer": ("sources:admin",),
    "steward": ("identity:read", "identity:review", "identity:admin"),
    "privacy-officer": (
        "consents:read",
        "consents:write",
        "privacy:read",
        "privacy:process",
        "ledger:read",
        "audit:read",
    ),
    "auditor": ("consents:read", "privacy:read", "ledger:read", "audit:read"),
    "administrator": ("clients:admin",),
}


def scopes(roles: Iterable[str]) -> list[str]:
    """Return the scopes of these roles; raises DefinitionInvalid for one that there is not."""
    found: list[str] = []
    for role in roles:
        if role not in ROLES:
            close = get_close_matches(role, ROLES, n=1)
            advice = f"did you mean {close[0]!r}?" if close else f"roles are {', '.join(ROLES)}."
            raise DefinitionInvalid(f"There is no role {role!r}; {advice}")
        found += ROLES[role]
    return found

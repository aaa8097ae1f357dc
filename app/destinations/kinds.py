"""The kinds of destinations there are; `kind.py` says how to add one."""

from app.destinations.brevo import Brevo
from app.destinations.file import File
from app.destinations.hubspot import HubSpot
from app.destinations.kind import Kind
from app.destinations.mautic import Mautic
from app.destinations.postgres import Postgres
from app.destinations.salesforce import Salesforce
from app.destinations.segment import Segment
from app.destinations.webhook import Webhook
from app.errors import DefinitionInvalid

#: By name, in the order in which they are shown.
KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Webhook(),
        Segment(),
        HubSpot(),
        Brevo(),
        Salesforce(),
        Mautic(),
        File(),
        Postgres(),
    )
}


def of(name: str) -> Kind:
    """Return a kind; raises DefinitionInvalid for a name that is none."""
    found = KINDS.get(name)
    if found is None:
        raise DefinitionInvalid(f"#/kind: {name!r} is none of {', '.join(KINDS)}")
    return found

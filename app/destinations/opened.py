"""Opens a destination: its settings as its kind reads them, and its secrets."""

from app.destinations import seal
from app.destinations.kind import Kind, Setup
from app.destinations.tables import Destination


def setup_of(destination: Destination, kind: Kind) -> Setup:
    """Open a destination; raises DestinationKeyUnusable, and ValueError for settings of before."""
    settings = destination.settings or {"url": destination.url}
    return Setup(
        destination.id,
        destination.name,
        destination.url,
        destination.purpose,
        tuple(destination.segments),
        kind.settings.model_validate(settings),
        kind.secrets.model_validate(seal.open_all(destination.secret)),
        tuple(destination.formerly),
    )

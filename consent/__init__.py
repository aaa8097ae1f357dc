"""May we? Purposes, notices, append-only records, and the one decision."""

from consent import catalogue, purposes, vendors
from consent.demands import Demand, against_storing, demands, strictest
from consent.errors import PurposeNotFound
from consent.proof import proof
from consent.purposes import LINK, Purpose, Versions
from consent.records import (
    Bounds,
    Changes,
    Choice,
    Moments,
    Written,
    bounds,
    bounds_of,
    changes_since,
    changes_within,
    count_denials,
    denials,
    history,
    moments,
    record,
    standings,
)
from consent.resolve import UNKNOWN, Decision, Said, Standing, Voice, decide
from consent.tables import ConsentRecord
from consent.turning import begun, turned

__all__ = [
    "LINK",
    "UNKNOWN",
    "Bounds",
    "Changes",
    "Choice",
    "ConsentRecord",
    "Decision",
    "Demand",
    "Moments",
    "Purpose",
    "PurposeNotFound",
    "Said",
    "Standing",
    "Versions",
    "Voice",
    "Written",
    "against_storing",
    "begun",
    "bounds",
    "bounds_of",
    "catalogue",
    "changes_since",
    "changes_within",
    "count_denials",
    "decide",
    "demands",
    "denials",
    "history",
    "moments",
    "proof",
    "purposes",
    "record",
    "standings",
    "strictest",
    "turned",
    "vendors",
]

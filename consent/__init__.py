"""May we? Purposes, notices, append-only records, and the one decision."""

from consent import catalogue
from consent.errors import PurposeNotFound
from consent.purposes import LINK, Purpose
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
from consent.resolve import Decision, Standing, Voice, decide
from consent.signals import segment
from consent.tables import ConsentRecord

__all__ = [
    "LINK",
    "Bounds",
    "Changes",
    "Choice",
    "ConsentRecord",
    "Decision",
    "Moments",
    "Purpose",
    "PurposeNotFound",
    "Standing",
    "Voice",
    "Written",
    "bounds",
    "bounds_of",
    "catalogue",
    "changes_since",
    "changes_within",
    "count_denials",
    "decide",
    "denials",
    "history",
    "moments",
    "record",
    "segment",
    "standings",
]

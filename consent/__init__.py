"""May we? Purposes, notices, append-only records, and the one decision."""

from consent import catalogue
from consent.errors import PurposeNotFound
from consent.purposes import LINK, Purpose
from consent.records import (
    Changes,
    Choice,
    Written,
    bounds,
    changes_since,
    count_denials,
    denials,
    history,
    record,
    standings,
)
from consent.resolve import Decision, Standing, Voice, decide
from consent.signals import segment
from consent.tables import ConsentRecord

__all__ = [
    "LINK",
    "Changes",
    "Choice",
    "ConsentRecord",
    "Decision",
    "Purpose",
    "PurposeNotFound",
    "Standing",
    "Voice",
    "Written",
    "bounds",
    "catalogue",
    "changes_since",
    "count_denials",
    "decide",
    "denials",
    "history",
    "record",
    "segment",
    "standings",
]

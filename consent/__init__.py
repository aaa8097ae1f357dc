"""May we? Purposes, notices, append-only records, and the one decision."""

from consent import catalogue
from consent.errors import PurposeNotFound
from consent.purposes import LINK, Purpose
from consent.records import (
    Choice,
    Written,
    count_denials,
    denials,
    history,
    record,
    standings,
)
from consent.resolve import Decision, Voice, decide
from consent.signals import segment
from consent.tables import ConsentRecord

__all__ = [
    "LINK",
    "Choice",
    "ConsentRecord",
    "Decision",
    "Purpose",
    "PurposeNotFound",
    "Voice",
    "Written",
    "catalogue",
    "count_denials",
    "decide",
    "denials",
    "history",
    "record",
    "segment",
    "standings",
]
